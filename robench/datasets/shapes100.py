"""A hundred kinds of drawn objects: ten outlines, each in ten materials."""

from robench.data import shapes

# Every outline in every material but the one that shapes10 shows it in.
_KINDS = tuple(
    shapes.Kind(material, outline)
    for i, outline in enumerate(shapes.OUTLINES)
    for j, material in enumerate(shapes.MATERIALS)
    if i != j
)


class Shapes100(shapes.Drawn):
    """12,000 pictures of ``size`` by ``size`` pixels, 100 classes, always the same: no files."""

    kinds = _KINDS
    seed = 100
    counts = (9000, 1000, 2000)
