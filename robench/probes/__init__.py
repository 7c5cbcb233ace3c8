"""Classifiers on frozen features, one way of fitting a file."""
