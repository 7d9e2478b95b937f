"""Flow director: which worker handles which packets, decided by hardware where there is some, else by software."""
