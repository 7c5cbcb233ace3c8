"""What may be wrong with a number, and how that shows: flags, their meanings and their lines."""
