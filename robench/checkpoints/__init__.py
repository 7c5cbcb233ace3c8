"""Somebody else's weights: read without running code, known by their names, renamed to ours."""
