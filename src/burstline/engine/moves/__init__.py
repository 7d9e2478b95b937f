"""Flows that move from one worker to another while packets flow, with their records, in order and without loss."""
