"""Images and labels: read from disk, drawn or downloaded, and checked on the way."""
