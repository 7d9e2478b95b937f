"""Discrete events: packets through queues and workers of a machine, with a balancing policy in the loop."""
