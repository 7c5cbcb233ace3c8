"""A signal waits for a safe point, a second one does not, and handlers are given back."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from robench.engine.stopping import SIGNALS, at_safe_points


class Signalled(BaseException):
    """What the handler of this test raises."""


@pytest.fixture(autouse=True, params=SIGNALS, ids=lambda number: number.name)
def number(request: pytest.FixtureRequest) -> Iterator[int]:
    def handle(number: int, frame: object) -> None:
        raise Signalled(number)

    before = signal.signal(request.param, handle)
    yield request.param
    signal.signal(request.param, before)


def test_the_first_waits_for_the_safe_point(number: int) -> None:
    saved = []
    with pytest.raises(Signalled, match=str(int(number))), at_safe_points() as stop:  # noqa: PT012
        stop(lambda: saved.append("too early"))
        os.kill(os.getpid(), number)
        assert saved == []
        stop(lambda: saved.append("in time"))
        pytest.fail("nothing was raised")
    assert saved == ["in time"]


def test_the_second_does_not_wait(number: int) -> None:
    with pytest.raises(Signalled), at_safe_points():  # noqa: PT012
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        pytest.fail("nothing was raised")


def test_without_a_safe_point_it_waits_to_the_end(number: int) -> None:
    after = []
    with pytest.raises(Signalled), at_safe_points():  # noqa: PT012
        os.kill(os.getpid(), number)
        after.append(1)
    assert after


def test_handlers_come_back(number: int) -> None:
    before = [signal.getsignal(one) for one in SIGNALS]
    with at_safe_points():
        assert signal.getsignal(number) is not before[SIGNALS.index(number)]
    assert [signal.getsignal(one) for one in SIGNALS] == before


def test_what_has_no_handler_in_python_is_left_alone(number: int) -> None:
    signal.signal(number, signal.SIG_IGN)
    with at_safe_points() as stop:
        os.kill(os.getpid(), number)
        stop(pytest.fail)
    assert signal.getsignal(number) == signal.SIG_IGN


def test_another_thread_can_do_without() -> None:
    ran = []

    def work() -> None:
        with at_safe_points() as stop:
            stop(pytest.fail)
            ran.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ran == [True]
