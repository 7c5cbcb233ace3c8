"""How methods are trained: by whose schedule, and for how long, in words."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from robench.catalog.catalog import Catalog
from robench.catalog.request import Request
from robench.catalog.settings import resized
from robench.grid.questions import Evaluation, Imported
from robench.grid.recipe import Recipe
from robench.grid.spec import Spec, SpecError, parse
from robench.presets import Pairing, Preset


def schedules(evaluations: Iterable[Evaluation], request: Request, catalog: Catalog) -> list[str]:
    """A line for each schedule in a plan: its methods, and whether it is the preset's or theirs."""
    preset, methods = catalog.preset(request.preset), dict[str, dict[str, None]]()
    for training in dict.fromkeys(evaluation.probing.pretraining for evaluation in evaluations):
        method, own = training.objective, catalog.schedule(training.objective)
        given = paired(preset, catalog, method).recipe
        if given is not None:
            origin = f"preset {request.preset}'s"
            if own is not None and own != given:
                origin += ", not the method's own"
        elif own is not None:
            origin = f"the method's own, as preset {request.preset} sets none"
        else:
            origin = "typed"
        typed = request.recipe(partial(agrees, method=method, catalog=catalog))
        changes = ", ".join(f"{key}={value}" for key, value in typed.items())
        line = f"{words(training.recipe)}; {origin}{f', with {changes}' if changes else ''}"
        methods.setdefault(line, {})[catalog.label("methods", method)] = None
    return [f"Schedule of {', '.join(names)}: {line}" for line, names in methods.items()]


class Scale(NamedTuple):
    """How an encoder is trained, and how much is tested, in words; "" for an imported one."""

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


def scale(evaluation: Evaluation, limit: int | None, catalog: Catalog) -> Scale:
    """How an evaluation's encoder is trained, and how much is tested.

    ``limit`` is the number of test images (None: all).
    """
    return _scale(evaluation, limit, catalog, words)


def size(evaluation: Evaluation, limit: int | None, catalog: Catalog) -> Scale:
    """The same without settings such as the learning rate; one size makes a table."""
    return _scale(
        evaluation,
        limit,
        catalog,
        lambda recipe: f"{_epochs(recipe)} of {_count(recipe.images)} images ({recipe.precision})",
    )


def _scale(
    evaluation: Evaluation, limit: int | None, catalog: Catalog, brief: Callable[[Recipe], str]
) -> Scale:
    probing = evaluation.probing
    test = f"probes on {_count(probing.images)}, {_count(limit)} test images"
    if isinstance(probing.source, Imported):
        return Scale("", test)
    recipe = probing.source.recipe
    own, trained = _own(catalog, probing.source.objective), brief(recipe)
    if own is not None and recipe == replace(
        resized(own, recipe.epochs), images=recipe.images, precision=recipe.precision
    ):
        epochs = "" if recipe.epochs == own.epochs else f", cut to {_epochs(recipe)}"
        images = f"{_count(recipe.images)} images"
        trained = f"each method's own schedule{epochs} on {images} ({recipe.precision})"
    return Scale(trained, test)


def words(recipe: Recipe) -> str:
    """A recipe in brief."""
    return (
        f"{_epochs(recipe)} of {_count(recipe.images)} images in batches of {recipe.batch} "
        f"({recipe.optimizer}, lr {recipe.lr:g}, {recipe.precision})"
    )


def _epochs(recipe: Recipe) -> str:
    return "1 epoch" if recipe.epochs == 1 else f"{recipe.epochs} epochs"


def _count(number: int | None) -> str:
    return "all" if number is None else f"{number:,}"


def _own(catalog: Catalog, objective: Spec) -> Recipe | None:
    """The method's own schedule; None where the method is not at hand."""
    try:
        return catalog.schedule(objective)
    except SpecError:
        return None


def agrees(named: Spec, method: Spec, catalog: Catalog) -> bool:
    """Whether the method has that name, and every argument that ``named`` gives."""
    return named.name == method.name and set(named.arguments) <= set(method.arguments)


def paired(preset: Preset, catalog: Catalog, method: Spec) -> Pairing:
    """The settings of a method: the first of those paired with it, or else the preset's."""
    found = [
        pairing
        for pairing in preset.pairings
        if any(agrees(parse(named), method, catalog) for named in pairing.methods)
    ]
    return Pairing(
        (str(method),),
        encoders=next((p.encoders for p in found if p.encoders), preset.encoders),
        probes=next((p.probes for p in found if p.probes), preset.probes),
        recipe=next((p.recipe for p in found if p.recipe), preset.recipe),
        arguments=next((p.arguments for p in found if p.arguments), ()),
    )
