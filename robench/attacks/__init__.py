"""Attacks, one a file: images within a ball around the clean ones, chosen to be misclassified."""
