"""Data sets: one file each, named as on the command line, with one public class, a `Dataset`."""
