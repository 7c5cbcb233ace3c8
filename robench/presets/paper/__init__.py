"""The papers, each as its authors' code has it."""
