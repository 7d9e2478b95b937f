"""Who does which offload of a port: what it can do, what is asked, and why."""
