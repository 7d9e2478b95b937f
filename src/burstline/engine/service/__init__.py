"""What a run needs that goes on for weeks: a user of its own, state that outlives it, and word to who started it."""
