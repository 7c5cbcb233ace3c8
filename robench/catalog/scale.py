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
from robench.grid.spec import SpecError


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
        line = f"{_words(training.recipe)}; {origin}{f', with {changes}' if changes else ''}"
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


def scale(
    evaluation: Evaluation, limit: int | None, catalog: Catalog, settings: bool = True
) -> Scale:
    """The training of an evaluation's encoder, and its test on ``limit`` images (None: all).

    Without ``settings`` such as the learning rate, it is the size that results of a table share.
    """
    probing = evaluation.probing
    test = f"probes on {_count(probing.images)}, {_count(limit)} test images"
    if isinstance(probing.source, Imported):
        return Scale("", test)
    recipe = probing.source.recipe
    images = f"{_count(recipe.images)} images"
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
    return Scale(_words(recipe) if settings else brief, test)


def _words(recipe: Recipe) -> str:
    return (
        f"{_epochs(recipe)} of {_count(recipe.images)} images in batches of {recipe.batch} "
        f"({recipe.optimizer}, lr {recipe.lr:g}, {recipe.precision})"
    )


def _epochs(recipe: Recipe) -> str:
    return "1 epoch" if recipe.epochs == 1 else f"{recipe.epochs} epochs"


def _count(number: int | None) -> str:
    return "all" if number is None else f"{number:,}"
