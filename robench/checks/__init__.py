"""A component's contract, tried on toys: a line for each promise, and in words what broke it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from robench.catalog.catalog import Catalog
from robench.checks import attacks, datasets, encoders, methods, metrics, probes
from robench.contracts import DataError
from robench.engine.bench import FAILURES
from robench.engine.faults import ContractError, blame
from robench.grid.spec import Spec, SpecError
from robench.tensors.modes import preserved_random_state, usual_modes

PROMISES: Mapping[str, Sequence[Callable[[Any], None]]] = {
    "methods": methods.PROMISES,
    "attacks": attacks.PROMISES,
    "probes": probes.PROMISES,
    "encoders": encoders.PROMISES,
    "datasets": datasets.PROMISES,
    "metrics": metrics.PROMISES,
}
"""What is tried on each kind: functions of whatever makes the component.

The docstring of one is its promise; it raises ContractError, or what a stage raises, where that is
broken.
"""


@dataclass(frozen=True)
class Checked:
    """A promise of a component, and its fault: "" where it is kept."""

    promise: str
    fault: str = ""


def check(catalog: Catalog, kind: str, spec: Spec, root: Path) -> Iterator[Checked]:
    """Try the promises of a kind on a component; data sets are read from the folder ``root``.

    A fault that breaks several promises is told once. Raises SpecError for arguments that do not
    exist or are out of range.
    """
    made, seen = _tried_on(catalog, kind, spec, root), set[str]()
    for promise in PROMISES[kind]:
        fault = ""
        try:
            with usual_modes(), preserved_random_state():
                promise(made)
        except (ContractError, DataError, SpecError, *FAILURES) as error:
            fault = str(error)
        except (Exception, SystemExit) as error:
            fault = blame(error, catalog, kind, spec.name)
        text = " ".join((promise.__doc__ or "").partition("\n\n")[0].split())
        yield Checked(text, "as above" if fault in seen else fault)
        seen |= {fault} - {""}


def _tried_on(catalog: Catalog, kind: str, typed: Spec, root: Path) -> Any:
    """The component of a metric; of another kind, what makes the same one every time."""
    if kind == "metrics":
        return catalog.component(kind, typed.name)
    spec = catalog.resolve(kind, typed)
    if kind == "methods":
        return partial(methods.made, catalog, spec)
    make = partial(catalog.build, kind, spec)
    own: dict[str, Callable[[], Any]] = {
        "probes": lambda: probes.Fits(make),
        "datasets": lambda: datasets.Loaded(make(), root, str(spec)),
    }
    return own[kind]() if kind in own else make
