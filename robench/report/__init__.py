"""Tables and figures from finished results: `robench.report.write.write` makes them all."""
