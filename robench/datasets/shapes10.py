"""Ten kinds of drawn objects: a small set that needs no download."""

from robench.data import shapes


class Shapes10(shapes.Drawn):
    """6,000 pictures of ``size`` by ``size`` pixels in 10 classes, always the same: no files."""

    # Outline i in material i: the pairs that shapes100 leaves out, so that the two share no class.
    kinds = tuple(map(shapes.Kind, shapes.MATERIALS, shapes.OUTLINES))
    seed = 10
    counts = (4500, 500, 1000)
