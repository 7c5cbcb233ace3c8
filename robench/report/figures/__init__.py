"""Figures as wide as a paper's column: one file per figure, each with a function ``draw``."""
