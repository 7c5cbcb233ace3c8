"""Published tables run again: what was published beside what is measured, at a scale in words."""
