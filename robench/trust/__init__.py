"""Reasons to doubt a number: statistics, flags, their meanings and their lines."""
