"""Balls of norms that Linf training has not seen, as in RoCL's table 1 (arXiv 2006.07589)."""

from dataclasses import replace

from robench.presets.cifar import preset as cifar

preset = replace(
    cifar,
    summary="the preset cifar with attacks in L2 (0.25, 0.5) and L1 (7.84, 12): one GPU",
    norms=("l2", "l1"),
)
