"""What the benches share: captures, pinned processes, the peers, and the comparison of results."""
