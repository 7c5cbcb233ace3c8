"""Encoders: images to features, one architecture a file."""
