"""Numbers from per-image outcomes: one file a metric, each with one public `contracts.Metric`."""
