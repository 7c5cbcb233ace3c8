"""What an encoder's measures are computed from."""

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from batches import Small
from faults import corners
from stored import planted

from robench.engine.measure import measure
from robench.engine.progress import silent
from robench.grid.spec import Spec


def measured(eps: Fraction, limit: int | None = 40) -> dict[str, tuple[float, float]]:
    torch.manual_seed(0)
    encoder, data = Small().eval(), SimpleNamespace(test=corners(), classes=tuple("abcd"))
    bench: Any = SimpleNamespace(
        encoder=lambda source: encoder,
        data=lambda name: data,
        device=torch.device("cpu"),
        progress=silent,
    )
    source = planted(0.5).cell.evaluation.probing.source
    found = measure(bench, source, Spec("corners"), limit, eps)
    return {name: (clean, attacked) for name, clean, attacked in found}


def test_an_attack_moves_features_and_a_tiny_one_does_not() -> None:
    large, tiny = measured(Fraction(32, 255)), measured(Fraction(1, 10**9))
    assert set(large) == set(tiny)
    assert large["distance to the attacked image"][1] > 1e-3
    assert tiny["distance to the attacked image"][1] < 1e-9
    for clean, attacked in tiny.values():
        if attacked == attacked:  # not nan
            assert attacked == pytest.approx(clean, abs=2e-2)
    assert large["retrieval mAP"][1] < large["retrieval mAP"][0]
    assert {name: one[0] for name, one in large.items()} == {
        name: one[0] for name, one in tiny.items()
    }


def test_it_is_the_same_twice() -> None:
    assert repr(measured(Fraction(8, 255))) == repr(measured(Fraction(8, 255)))
