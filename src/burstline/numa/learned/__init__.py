"""The learned cost model: nanoseconds a packet, as measured, where the analytic model is the first guess."""
