"""The mathematics: torch and math only; no files, no printing, no global state."""
