"""`burstline serve`: the views of a run as a web page."""
