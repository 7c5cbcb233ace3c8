"""The whole battery of checks on one encoder, with the evidence for each."""
