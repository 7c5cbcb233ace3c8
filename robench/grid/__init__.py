"""Pure values: what can be asked, and what is known."""
