"""What a scale cut off the settings of a paper, in words read off the questions themselves."""

import dataclasses

from robench.catalog.catalog import Catalog
from robench.grid.questions import Evaluation
from robench.grid.recipe import Recipe


def cuts(
    evaluation: Evaluation, full: Evaluation, limit: int | None, catalog: Catalog
) -> tuple[str, ...]:
    """Each difference between an evaluation and the same at full scale: ``10 epochs for 1000``."""
    probing, whole = evaluation.probing, full.probing
    here, there = probing.pretraining, whole.pretraining
    label = catalog.label
    pairs = [
        ("method", label("methods", here.objective), label("methods", there.objective)),
        ("encoder", label("encoders", here.encoder), label("encoders", there.encoder)),
        *_schedules(here.recipe, there.recipe),
        ("probe", label("probes", probing.probe), label("probes", whole.probe)),
        ("images to probe on", _said(probing.images), _said(whole.images)),
        ("test images", _said(limit), _said(None)),
        ("attack", str(evaluation.attack), str(full.attack)),
    ]
    return tuple(f"{name} {cut} for {own}" for name, cut, own in pairs if cut != own)


def _schedules(here: Recipe, there: Recipe) -> list[tuple[str, str, str]]:
    return [
        (f"pretraining {name.replace('_', ' ')}", _said(getattr(here, name)), _said(own))
        for name, own in dataclasses.asdict(there).items()
    ]


def _said(value: object) -> str:
    if value is None:
        return "all"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
