"""A run on a terminal: one bar of the whole work, and a log above it."""

import io
import re

import pytest
from rich.console import Console

from robench.engine.progress import duration
from robench.engine.terminal import Terminal


def terminal(width: int = 80) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=True, _environ={})


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())


def percent(display: Terminal) -> float:
    (task,) = display._bar.tasks
    return task.percentage


def test_each_part_of_a_plan_moves_the_bar_by_its_share() -> None:
    with Terminal(terminal()) as display:
        display.plan([("pretraining plain", 60.0), ("plain, pgd", 30.0), ("plain, pgd", 10.0)])
        seen = [percent(display) for _ in display(range(2), "pretraining plain")]
        assert seen == pytest.approx([0, 30])
        assert percent(display) == pytest.approx(60)
        for _ in display(range(1000), "linear probe"):  # is no part of the plan
            pass
        assert percent(display) == pytest.approx(60)
        for _ in display(range(5), "plain, pgd"):  # ends early, as where all images are fooled
            break
        for _ in display(range(5), "plain, pgd"):
            pass
        assert percent(display) == pytest.approx(100)
        for _ in display(range(5), "plain, pgd"):  # a part that starts again
            pass
        assert percent(display) == pytest.approx(100)


def test_parts_that_other_processes_do_move_the_bar_too() -> None:
    with Terminal(terminal()) as display:
        display.plan([("pretraining plain", 50.0), ("pretraining rocl", 150.0)])
        display.follow("pretraining rocl", 1, 3)
        display.follow("pretraining plain", 1, 2)
        assert percent(display) == pytest.approx(37.5)
        display.finish("pretraining plain")  # one that says nothing in the midst
        display.finish("pretraining rocl")
        assert percent(display) == pytest.approx(100)


def test_without_a_plan_the_bar_is_that_of_the_items() -> None:
    with Terminal(terminal()) as display:
        for label in ("first", "second"):
            assert [percent(display) for _ in display(range(4), label)] == [0, 25, 50, 75]


@pytest.mark.parametrize("width", [80, 120])
def test_the_bar_is_one_line_with_the_time_left_and_the_log_stands_above_it(width: int) -> None:
    console = terminal(width)
    with Terminal(console) as display:
        display.plan([("rocl(steps=3) shapes10 -> shapes100, pgd linf 8/255", 240.0), ("b", 1.0)])
        display.say("1/2  a line of the log")
        for _ in display(range(2), "rocl(steps=3) shapes10 -> shapes100, pgd linf 8/255"):
            display._bar.refresh()
        display.warn("mind\x1b[2J this")
    lines = shown(console).splitlines()
    assert max(map(len, lines)) <= width
    bars = [line for line in lines if "RoCL (steps=3) Shapes-10 → " in line]
    assert re.search(r"0% +4 min left", bars[0])
    assert lines.index("1/2  a line of the log") < lines.index(bars[-1])
    assert "robench: mind?[2J this" in shown(console)


def test_colours_are_left_out_where_they_are_not_wanted() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, _environ={"NO_COLOR": "1"})
    with Terminal(console) as display:
        display.say("failed: one")
    assert isinstance(console.file, io.StringIO)
    assert not re.search("\x1b\\[[0-9;]*3[0-9]m", console.file.getvalue())


def test_durations_are_in_the_unit_that_fits() -> None:
    assert [duration(one) for one in (0.2, 40, 720, 12600, 1e6)] == [
        "1 s",
        "40 s",
        "12 min",
        "3.5 h",
        "278 h",
    ]
