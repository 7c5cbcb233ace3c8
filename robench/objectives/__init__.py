"""Pretraining losses, one method a file."""
