"""robench: robustness benchmarks for contrastive self-supervised encoders.

``robench.run(...)`` answers a grid of questions, ``robench.load_encoder(key)`` gives an encoder of
the zoo, ``robench.reproduce(table)`` runs a published table again. A component of your own is a
subclass of `Objective`, `Encoder`, `Dataset`, `Probe` or `Attack`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robench.api import (
        Results,
        audit,
        compare,
        evaluate,
        load_encoder,
        reproduce,
        run,
        worst_case,
    )
    from robench.contracts import Attack, Dataset, Encoder, Objective, Probe

__all__ = [
    "Attack",
    "Dataset",
    "Encoder",
    "Objective",
    "Probe",
    "Results",
    "audit",
    "compare",
    "evaluate",
    "load_encoder",
    "reproduce",
    "run",
    "worst_case",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    # torch takes seconds to import; `robench --help` must not wait for it.
    if name in __all__:
        for module in ("robench.contracts", "robench.api"):
            found = getattr(importlib.import_module(module), name, None)
            if found is not None:
                return found
    raise AttributeError(f"module 'robench' has no attribute '{name}'")
