"""From what was typed to questions."""
