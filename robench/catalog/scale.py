"""The schedule that methods are trained by, and its origin, in words."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from robench.catalog.catalog import Catalog
from robench.catalog.plan import paired, resized
from robench.catalog.request import Request
from robench.grid.questions import Evaluation, Imported
from robench.grid.recipe import Recipe
from robench.grid.records import Card, Result
from robench.grid.spec import SpecError
from robench.trust.flags import PROBE_IMAGES


def schedules(evaluations: Iterable[Evaluation], request: Request, catalog: Catalog) -> list[str]:
    """A line for each schedule in a plan: its methods, and whether it is the preset's or theirs."""
    preset, methods = catalog.preset(request.preset), defaultdict[str, dict[str, None]](dict)
    for training in dict.fromkeys(evaluation.probing.pretraining for evaluation in evaluations):
        method, own = training.objective, catalog.schedule(training.objective)
        given = paired(preset, method).recipe
        if given is not None:
            origin = f"preset {request.preset}'s"
            if own is not None and own != given:
                origin += ", not the method's own"
        elif own is not None:
            origin = f"the method's own, as preset {request.preset} sets none"
        else:
            origin = "typed"
        changes = ", ".join(f"{key}={value}" for key, value in request.recipe(method).items())
        most = training.recipe.images
        images = "all images" if most is None else f"up to {most:,} images"
        line = f"{_words(training.recipe, images)}; {origin}"
        line += f", with {changes}" if changes else ""
        methods[line][catalog.label("methods", method)] = None
    return [f"Schedule of {', '.join(names)}: {line}" for line, names in methods.items()]


class Scale(NamedTuple):
    """The training of an encoder and the size of its test, in words; "" for an imported one."""

    training: str
    test: str

    def __str__(self) -> str:
        return ", ".join(filter(None, self))

    def fits(self, other: "Scale") -> bool:
        """Whether a result of this size belongs into a table of the other."""
        return self.test == other.test and self.training in ("", other.training)


def table_size(sizes: Sequence[Scale]) -> Scale:
    """The size of the last one's table: its own, or if it is imported, of the last that it fits."""
    fitting = [one for one in sizes if sizes[-1].fits(one) and one.training]
    return fitting[-1] if fitting else sizes[-1]


def scale(result: Result, card: Card | None, catalog: Catalog, settings: bool = True) -> Scale:
    """The training of a result's encoder, and its test, with the numbers of images that were used.

    That of the training is on the encoder's ``card``; without it, as asked. Without ``settings``
    such as the learning rate, it is the size that results of a table share.
    """
    probing = result.cell.evaluation.probing
    probed = result.counts.get(PROBE_IMAGES) or probing.images
    test = f"probes on {_count(probed)}, {result.n:,} test images"
    if isinstance(probing.source, Imported):
        return Scale("", test)
    recipe = probing.source.recipe
    images = f"{_count((card and card.images) or recipe.images)} images"
    try:
        own = catalog.schedule(probing.source.objective)
    except SpecError:
        own = None  # such as a plug-in's that is not at hand
    if own is not None and recipe == replace(
        resized(own, recipe.epochs), images=recipe.images, precision=recipe.precision
    ):
        cut = "" if recipe.epochs == own.epochs else f", cut to {_epochs(recipe)}"
        return Scale(f"each method's own schedule{cut} on {images} ({recipe.precision})", test)
    brief = f"{_epochs(recipe)} of {images} ({recipe.precision})"
    return Scale(_words(recipe, images) if settings else brief, test)


def _words(recipe: Recipe, images: str) -> str:
    return (
        f"{_epochs(recipe)} of {images} in batches of {recipe.batch} "
        f"({recipe.optimizer}, lr {recipe.lr:g}, {recipe.precision})"
    )


def _epochs(recipe: Recipe) -> str:
    return "1 epoch" if recipe.epochs == 1 else f"{recipe.epochs} epochs"


def _count(number: int | None) -> str:
    return "all" if number is None else f"{number:,}"
