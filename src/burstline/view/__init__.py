"""Looking at a running engine from outside: what it publishes, what it answers, and the views made of both."""
