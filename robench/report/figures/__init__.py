"""Figures as wide as a paper's column: one file a figure, each with a function ``picture``."""
