"""Robustness benchmarks for contrastive self-supervised encoders.

``run`` answers a grid of questions, ``evaluate`` attacks a checkpoint of somebody else's, and
``reproduce`` runs a published table. ``compare`` and ``worst_case`` read what is stored,
``load_model`` and ``load_encoder`` give what was trained; ``audit`` tries every check on it,
``measure`` its features, and ``adapt`` what test-time adaptation does for it. A component of your
own is a file with a subclass of `Objective`, `Encoder`, `Dataset`, `Probe` or `Attack`; the other
classes are what these are given and what they return.

    results = robench.run(methods="plain,rocl", attacks="pgd", eps=8 / 255)
    results.frame
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robench.api import (
        Results,
        adapt,
        audit,
        compare,
        evaluate,
        load_encoder,
        load_model,
        measure,
        race,
        reproduce,
        run,
        worst_case,
    )
    from robench.contracts import (
        Attack,
        Attacked,
        Batch,
        Data,
        Dataset,
        Encoder,
        Exported,
        Objective,
        Outcome,
        Probe,
        ProbeData,
        Run,
        Split,
        Target,
    )
    from robench.grid.recipe import Recipe
    from robench.grid.spec import SpecError

    __version__: str

__all__ = [
    "Attack",
    "Attacked",
    "Batch",
    "Data",
    "Dataset",
    "Encoder",
    "Exported",
    "Objective",
    "Outcome",
    "Probe",
    "ProbeData",
    "Recipe",
    "Results",
    "Run",
    "SpecError",
    "Split",
    "Target",
    "__version__",
    "adapt",
    "audit",
    "compare",
    "evaluate",
    "load_encoder",
    "load_model",
    "measure",
    "race",
    "reproduce",
    "run",
    "worst_case",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    # torch takes seconds to import; `robench --help` must not wait for it.
    if name == "__version__":
        from importlib.metadata import version

        return version("robench")
    if name in __all__:
        for module in ("contracts", "api", "grid.recipe", "grid.spec"):
            found = getattr(importlib.import_module(f"robench.{module}"), name, None)
            if found is not None:
                return found
    raise AttributeError(f"module 'robench' has no attribute '{name}'")
