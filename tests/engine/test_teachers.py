"""Students learn from encoders of the zoo, which are trained first if need be, and once."""

from pathlib import Path

from commands import robench

from robench.grid.questions import Pretraining
from robench.store.store import Store

GRID = ("--sources", "shapes10", "--attacks", "pgd", "--eps", "2/255")
SIZE = ("--encoders", "resnet8(width=4)", "--images", "256", "--limit", "20")
FAST = ("--epochs", "1", "--batch", "128", "--probes", "linear(strength=0.01)")


def ran(folder: Path, methods: str) -> tuple[str, Store]:
    folders = "--out", str(folder / "out"), "--zoo", str(folder / "zoo")
    done = robench("run", "--methods", methods, *GRID, *SIZE, *FAST, *folders)
    assert done.code == 0, done.err
    return done.out, Store(folder / "out", folder / "zoo", lambda line: None)


def test_students_of_a_method_and_of_a_key(tmp_path: Path) -> None:
    said, store = ran(tmp_path, "deacl(steps=1),profeat(steps=1, teacher=plain)")
    assert "3 to pretrain" in said
    cards = {card.question.objective.name: card for card in store.cards()}
    assert set(cards) == {"plain", "deacl", "profeat"}
    teacher = cards["plain"].question
    for name in ("deacl", "profeat"):
        assert isinstance(cards[name].question, Pretraining)
        assert cards[name].question.teacher == teacher
        assert cards[name].question.objective.get("teacher") is None
    names = {one.labels.method.partition("(")[0] for one in store.results()}
    assert names == {"deacl", "profeat"}
    said, _ = ran(tmp_path, f"deacl(teacher={cards['deacl'].key}, steps=1)")
    assert "1 to pretrain" in said
