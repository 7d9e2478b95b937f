"""Checksums by software: verified on receive, asked for and filled on send."""
