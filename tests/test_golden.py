"""Today's code gives the numbers that are kept in ``golden.json``; golden.py writes them."""

import golden
import pytest


@pytest.mark.parametrize("section", golden.FAST)
def test_today_gives_the_golden_values(section: str) -> None:
    assert golden.compared(section) == []


@pytest.mark.slow
def test_today_gives_the_golden_cells_of_quick() -> None:
    assert golden.compared("quick") == []
