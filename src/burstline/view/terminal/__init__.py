"""`burstline top`: the views of a run in a terminal."""
