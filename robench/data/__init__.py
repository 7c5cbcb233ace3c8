"""How images and labels are read from disk, drawn or downloaded, and what is refused on the way."""
