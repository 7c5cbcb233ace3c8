"""robench: robustness benchmarks for contrastive self-supervised encoders."""
