"""NUMA: what a machine looks like, and where on it the threads and memory of an application belong."""
