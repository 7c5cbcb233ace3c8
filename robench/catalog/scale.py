"""How large a training and a test are, in words."""

from dataclasses import replace

from robench.catalog.catalog import Catalog
from robench.catalog.settings import resized
from robench.grid.questions import Evaluation
from robench.grid.recipe import Recipe
from robench.grid.spec import Spec, SpecError


def scale(evaluation: Evaluation, limit: int | None, catalog: Catalog) -> str:
    """How an evaluation's encoder is trained, and how much is tested, in words.

    ``limit`` is the number of test images (None: all).
    """
    recipe = evaluation.probing.pretraining.recipe
    return _scale(evaluation, limit, catalog, words(recipe))


def size(evaluation: Evaluation, limit: int | None, catalog: Catalog) -> str:
    """The same without settings such as the learning rate; one size makes a table."""
    recipe = evaluation.probing.pretraining.recipe
    brief = f"{_epochs(recipe)} of {_count(recipe.images)} images ({recipe.precision})"
    return _scale(evaluation, limit, catalog, brief)


def _scale(evaluation: Evaluation, limit: int | None, catalog: Catalog, trained: str) -> str:
    probing, recipe = evaluation.probing, evaluation.probing.pretraining.recipe
    own = _own(catalog, probing.pretraining.objective)
    if own is not None and recipe == replace(
        resized(own, recipe.epochs), images=recipe.images, precision=recipe.precision
    ):
        epochs = "" if recipe.epochs == own.epochs else f", cut to {_epochs(recipe)}"
        images = f"{_count(recipe.images)} images"
        trained = f"each method's own schedule{epochs} on {images} ({recipe.precision})"
    return f"{trained}, probes on {_count(probing.images)}, {_count(limit)} test images"


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
    full = catalog.arguments("methods", method)
    return named.name == method.name and set(named.arguments) <= set(full.items())
