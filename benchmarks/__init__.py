"""The benches of `burstline bench`, one file each; `harness/` is what they share, `c/` and `peers/` are the peers."""
