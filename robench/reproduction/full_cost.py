"""What a table takes at full scale: timed once on a machine, and kept beside its cells."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from robench.engine.bench import Bench
from robench.engine.estimate import Cost, cost
from robench.grid.questions import Evaluation, key
from robench.report.files import replace
from robench.store.store import StoreError


@dataclass(frozen=True)
class _Timed:
    plan: str
    device: str
    low: float
    high: float


_TIMED = TypeAdapter(_Timed)


def remembered(bench: Bench, evaluations: Sequence[Evaluation]) -> Cost:
    """What the evaluations take from nothing: as timed before on this device, or timed now.

    Raises StoreError where it cannot be kept.
    """
    path = bench.store.out / "full_scale.json"
    plan = hashlib.sha256(" ".join(map(key, evaluations)).encode()).hexdigest()
    known = _read(path)
    if known is None or (known.plan, known.device) != (plan, str(bench.device)):
        taken = cost(bench, evaluations, None)
        known = _Timed(plan, str(bench.device), round(taken.low, 1), round(taken.high, 1))
        try:
            replace(path, _TIMED.dump_json(known, indent=1))
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror or error}") from None
    return Cost("at full scale", known.low, known.high)


def _read(path: Path) -> _Timed | None:
    try:
        return _TIMED.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
