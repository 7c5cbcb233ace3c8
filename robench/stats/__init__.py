"""How sure numbers are: one accuracy, several seeds, two methods on the same images."""
