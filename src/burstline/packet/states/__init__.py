"""The parser's states, one file per protocol."""
