"""The stages of an answer: pretrain, probe, evaluate. Each is given its components."""
