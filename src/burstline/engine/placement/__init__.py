"""Carrying out where threads and memory belong: affinity, memory policy, interrupts, and moves of workers."""
