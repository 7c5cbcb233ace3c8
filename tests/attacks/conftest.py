"""Parts of AutoAttack left out, where a test is about the others."""

from typing import Any

import pyautoattack
import pytest
from pyautoattack.square import SquareAttack


@pytest.fixture
def without_square(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the 5,000 queries for each survivor."""
    monkeypatch.setattr(SquareAttack, "perturb", lambda self, x, y: x.clone())


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps, restarts and queries."""
    begin = pyautoattack.AutoAttack.__init__

    def init(self: pyautoattack.AutoAttack, *given: Any, **named: Any) -> None:
        begin(self, *given, **named)
        self.apgd.n_iter = self.apgd_targeted.n_iter = self.fab.n_iter = 5
        self.apgd.n_restarts, self.square.n_queries = 1, 20

    monkeypatch.setattr(pyautoattack.AutoAttack, "__init__", init)
