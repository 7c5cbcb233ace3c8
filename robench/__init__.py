"""robench: robustness benchmarks for contrastive self-supervised encoders.

``robench.run(...)`` answers a grid of questions, ``robench.load_encoder(key)`` gives an encoder of
the zoo, ``robench.reproduce(table)`` runs a published table again.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robench.api import Results, load_encoder, reproduce, run

__all__ = ["Results", "load_encoder", "reproduce", "run"]


def __getattr__(name: str) -> Any:
    # torch takes seconds to import; `robench --help` must not wait for it.
    if name in __all__:
        from robench import api

        return getattr(api, name)
    raise AttributeError(f"module 'robench' has no attribute '{name}'")
