"""`robench audit`: an honest encoder passes, and each planted fault is caught by name."""

import re
import shutil
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from commands import PLUGINS, Done, files, robench
from stored import planted
from torch.nn.functional import one_hot

from robench.attacks.clean import Clean
from robench.attacks.pgd import PGD
from robench.catalog.catalog import Catalog
from robench.catalog.plan import plan
from robench.catalog.request import Request
from robench.engine import audit as checks
from robench.engine.audit import CHECKS, Finding, Verdict, summary
from robench.engine.bench import Bench
from robench.engine.progress import silent
from robench.grid.questions import key
from robench.grid.spec import parse_list
from robench.store.store import Store

NAMES = ("blobs", "faulty", "mirror", "faint")
PLUGS = [PLUGINS / f"{name}.py" for name in NAMES]
WORDS = tuple(word for path in PLUGS for word in ("--plugin", str(path)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A zoo with an honest encoder and one with each fault; their keys."""
    root, catalog = tmp_path_factory.mktemp("audited"), Catalog(PLUGS)
    store = Store(root / "out", root / "zoo", print)
    store.prepare()
    bench = Bench(catalog, store, root, torch.device("cpu"), silent, lambda line: None)
    keys = {}
    for fault in ("nothing", "quantised", "noisy", "stubborn", "batchwise"):
        request = Request(
            methods=parse_list("mirror"),
            sources=parse_list("blobs"),
            encoders=parse_list(f"faulty(fault={fault})"),
            epochs=1,
            images=192,
        )
        pretraining = plan(request, catalog)[0].probing.pretraining
        bench.encoder(pretraining)
        keys[fault] = key(pretraining)
    return root / "zoo", keys


@pytest.fixture
def keys(
    trained: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained[0], "zoo")
    return trained[1]


def audit(key: str, *words: str) -> Done:
    eps = () if "--eps" in words else ("--eps", "24/255")
    return robench("audit", key, *WORDS, "--limit", "40", *eps, *words)


def verdicts(done: Done) -> dict[str, str]:
    lines = [re.fullmatch(r"(ok|FLAG|ERROR) +(\S+(?: \S+)*)  +.*", x) for x in done.out.split("\n")]
    return {line[2]: line[1] for line in lines if line}


def test_an_honest_encoder_passes(keys: dict[str, str]) -> None:
    done = audit(keys["nothing"], "--eps", "64/255")
    assert done.code == 0, done
    found = verdicts(done)
    assert list(found) == ["weights", "eval mode", "frozen", *CHECKS]
    assert set(found.values()) == {"ok"}
    last = done.out.splitlines()[-1]
    assert last == f"verdict: nothing found in {len(found)} checks"
    assert "images made on mirror-blobs-faulty-" in done.out  # another of the same data
    assert "AutoAttack     leaves " in done.out
    # What a run would keep is kept, and nothing else.
    written = {path for path in files(Path()) if "zoo" not in path or "linear" in path}
    assert [Path(path).parent.name for path in written if ".locks" not in path] == ["probes"]


@pytest.mark.parametrize(
    ("fault", "check", "verdict"),
    [
        ("quantised", "gradients", "FLAG"),
        ("quantised", "Square", "FLAG"),
        ("noisy", "determinism", "FLAG"),
        ("batchwise", "batch size", "FLAG"),
        ("stubborn", "eval mode", "ERROR"),
    ],
)
def test_a_fault_of_the_encoder_is_caught(
    keys: dict[str, str], fault: str, check: str, verdict: str
) -> None:
    done = _faulty(keys[fault])
    assert done.code == 1
    assert verdicts(done)[check] == verdict
    assert re.search(rf"^verdict: .* checks found something: .*\b{check}\b", done.out, re.M)
    assert fault != "stubborn" or "after eval(): Stubborn 'layers.1'" in done.out


@cache
def _faulty(key: str) -> Done:
    return audit(key, "--no-autoattack")


def test_logits_divided_by_a_million_are_caught(keys: dict[str, str]) -> None:
    done = audit(keys["nothing"], "--no-autoattack", "--probe", "faint(scale=1e-6)")
    assert (done.code, verdicts(done)["logit scale"]) == (1, "FLAG")
    assert "cannot resolve 40 of 40 images" in done.out


def test_a_probe_that_trains_its_backbone_is_caught(keys: dict[str, str]) -> None:
    before = files(Path())
    done = audit(keys["nothing"], "--probe", "faint(trains=true)")
    assert (done.code, verdicts(done)["frozen"]) == (1, "ERROR")
    assert "Faint changed the encoder that it was to leave frozen" in done.out
    assert files(Path()) == before


def test_weights_that_are_not_the_card_s_are_caught(keys: dict[str, str]) -> None:
    path = Path("zoo", keys["nothing"], "encoder.safetensors")
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    before = files(Path())
    done = audit(keys["nothing"])
    assert (done.code, verdicts(done)) == (1, {"weights": "ERROR"})
    assert files(Path()) == before


def test_images_of_a_surrogate_beat_masked_gradients(keys: dict[str, str]) -> None:
    for fault in ("noisy", "stubborn", "batchwise"):
        shutil.rmtree(Path("zoo", keys[fault]))
    done = audit(keys["quantised"], "--no-autoattack", "--eps", "64/255")
    assert (done.code, verdicts(done)["transfer"]) == (1, "FLAG")
    assert f"images made on {keys['nothing']} leave " in done.out


def test_without_another_encoder_the_surrogate_is_a_fresh_one(keys: dict[str, str]) -> None:
    for fault, name in keys.items():
        if fault != "nothing":
            shutil.rmtree(Path("zoo", name))
    torch.manual_seed(3)
    before = torch.get_rng_state()
    done = audit(keys["nothing"], "--no-autoattack")
    assert "images made on an untrained faulty leave" in done.out
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--eps", "8"), "is not a radius in linf; give one in (0, 1]"),
        (("--limit", "0"), "limit=0 should be a whole number, at least 1"),
        (("--probe", "liner"), "did you mean linear"),
        (("--target", "blob"), "did you mean blobs"),
        (("--device", "tpu"), "no device 'tpu'"),
    ],
)
def test_bad_input_is_one_line(keys: dict[str, str], words: tuple[str, str], message: str) -> None:
    done = audit(keys["nothing"], *words)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert message in done.err
    done = audit(keys["nothing"][:-1])
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"did you mean {keys['nothing']}" in done.err


def test_a_verdict_names_what_was_found() -> None:
    fine, bad = Finding("steps", Verdict.OK, "1%"), Finding("Square", Verdict.FLAG, "2%")
    assert summary([fine]) == "verdict: nothing found in 1 checks"
    assert summary([fine, bad]) == "verdict: 1 of 2 checks found something: Square"
    assert str(bad) == "FLAG   Square         2%"


def tried(attack: PGD, share: float, **counts: int) -> checks.Tried:
    attempt = SimpleNamespace(outcome=planted(share).outcome, counts=counts, data="")
    return checks.Tried(attack, attempt)  # type: ignore[arg-type]


def test_an_attack_that_fewer_steps_beat_is_found() -> None:
    weak, strong = PGD(steps=1), PGD(steps=20)
    assert checks._any_beaten([tried(weak, 0.2), tried(strong, 0.8)])
    assert not checks._any_beaten([tried(weak, 0.8), tried(strong, 0.2)])


@pytest.mark.parametrize(("missed", "wrong"), [(0, False), (90, True)])
def test_images_that_stand_where_grey_fools_are_found(missed: int, wrong: bool) -> None:
    pgd = tried(PGD(0.5), 0.9, **{"missed-grey": missed})
    subject: Any = SimpleNamespace(tried=lambda _, eps: pgd)
    assert checks._huge(subject)[0] is wrong


@pytest.mark.parametrize("changed", [0, 1])
def test_answers_that_change_when_computed_again_are_found(changed: int) -> None:
    again = torch.arange(6)
    again[:changed] += 1
    attempt = SimpleNamespace(outcome=planted(1.0, n=6).outcome)  # of labels 0 to 5
    subject: Any = SimpleNamespace(
        question=lambda _: None,
        first_batch=torch.rand(6, 3, 4, 4),
        tried=lambda _: checks.Tried(Clean(), attempt),  # type: ignore[arg-type]
        generator=lambda *_: torch.Generator(),
        bench=SimpleNamespace(device=torch.device("cpu")),
        model=None,
        data=SimpleNamespace(classes=()),
        run=None,
        logits=lambda _: one_hot(again, 10).float(),
    )
    assert checks._recomputed(subject)[0] is bool(changed)
