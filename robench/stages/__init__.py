"""The three stages of an answer: pretrain an encoder, fit a probe, evaluate an attack. Each is given its components."""
