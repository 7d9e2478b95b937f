"""What the CPU's vector units offer, and code that uses them."""
