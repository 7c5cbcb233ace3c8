"""Questions in, answers out: nothing twice, nothing lost, and the same bits again."""

import importlib.metadata
import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import PLUGINS, files, finished
from safetensors.torch import load, load_file

from robench.catalog.catalog import Catalog
from robench.catalog.plan import grid, plan
from robench.catalog.request import Request
from robench.contracts import Attacked, Data, DataError, Objective
from robench.data.splits import digest
from robench.engine import bench as bench_module
from robench.engine.bench import Bench
from robench.engine.local import answers
from robench.engine.pretrain import TrainingError
from robench.engine.progress import silent
from robench.engine.restore import restore
from robench.engine.subset import training_subset
from robench.grid.questions import Evaluation, key
from robench.grid.records import Identity, Result
from robench.grid.spec import SpecError, parse, parse_list
from robench.store.formats import sealed
from robench.store.store import Store
from robench.tensors.features import fingerprint
from robench.trust.review import own_flags

TOYS = [PLUGINS / f"{name}.py" for name in ("blobs", "tiny", "mirror", "nudge")]
CATALOG = Catalog(TOYS)
REQUEST = Request(
    methods=parse_list("mirror"),
    sources=parse_list("blobs"),
    encoders=parse_list("tiny"),
    attacks=parse_list("pgd"),
    eps=("8/255",),
    epochs=1,
    images=192,
    limit=16,
)


def ask(catalog: Catalog = CATALOG, **changes: Any) -> list[Evaluation]:
    """The plan of the request with these changes; specs are given as text."""
    read = {n: parse_list(v) if isinstance(v, str) else v for n, v in changes.items()}
    return plan(replace(REQUEST, **read), catalog)


ASKED, NUDGE = ask(), ask(attacks="nudge")


class Lab:
    """A bench in a folder, and all that it said."""

    def __init__(self, folder: Path, catalog: Catalog = CATALOG) -> None:
        self.folder, self.catalog = folder, catalog
        self.said: list[str] = []
        self.failures: list[str] = []

    def bench(self) -> Bench:
        places, labels = (self.folder / "out", self.folder / "zoo"), self.catalog.labels
        store = Store(*places, self.said.append, labels=labels)
        store.prepare()
        cpu = torch.device("cpu")
        return Bench(self.catalog, store, self.folder, cpu, silent, self.said.append)

    def answers(
        self, evaluations: Sequence[Evaluation] = ASKED, limit: int | None = 16
    ) -> list[Result]:
        self.said.clear()
        found, self.failures = answers(self.bench(), evaluations, limit)
        return found

    def file(self, pattern: str) -> Path:
        """The only file of that pattern."""
        (path,) = self.folder.glob(pattern)
        return path

    def weights(self) -> dict[str, bytes]:
        stored = files(self.folder / "zoo").items()
        return {name: data for name, (data, _) in stored if name.endswith(".safetensors")}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Where two cells are finished."""
    finished(tmp_path)
    return Lab(tmp_path)


@pytest.fixture
def fresh(tmp_path: Path) -> Lab:
    """Where nothing is."""
    return Lab(tmp_path)


@pytest.fixture
def other(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Nothing, elsewhere."""
    return Lab(tmp_path_factory.mktemp("other"))


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be computed."""
    for stage in ("pretrain", "probe", "evaluate"):
        monkeypatch.setattr(f"robench.engine.bench.{stage}", pytest.fail)


def calls(monkeypatch: pytest.MonkeyPatch, stage: str) -> list[tuple[Any, ...]]:
    """The arguments of each call of a stage from now on."""
    seen, own = list[tuple[Any, ...]](), getattr(bench_module, stage)

    def watched(*given: Any) -> Any:
        seen.append(given)
        return own(*given)

    monkeypatch.setattr(bench_module, stage, watched)
    return seen


def same(some: Sequence[Result], others: Sequence[Result]) -> bool:
    """Whether results say the same, but for when and how fast it was found."""
    for one, other in zip(some, others, strict=True):
        cells = [
            replace(cell, seconds=0, provenance=one.cell.provenance, outcome_sha256="")
            for cell in (one.cell, other.cell)
        ]
        arrays = zip(vars(one.outcome).values(), vars(other.outcome).values(), strict=True)
        equal = [np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in arrays]
        if cells[0] != cells[1] or not all(equal):
            return False
    return True


def test_what_is_known_is_not_computed(lab: Lab, idle: None, monkeypatch: Any) -> None:
    monkeypatch.setattr(CATALOG.component("datasets", "blobs"), "load", pytest.fail)
    for card in (lab.folder / "zoo").glob("*/card.json"):
        shutil.rmtree(card.parent)
    before = files(lab.folder)
    assert [result.cell.key for result in lab.answers()] == [key(asked) for asked in ASKED]
    assert files(lab.folder) == before
    assert lab.said == []


SUPERVISED = """
from robench.contracts import Encoder, Exported, Objective
from robench.tensors.batchnorm import add_branch
from torch.nn.functional import avg_pool2d, cross_entropy
from torch import nn

class Taught(Objective):
    uses_labels = True

    def __init__(self, encoder: Encoder, *, labels: bool = True):
        super().__init__()
        add_branch(encoder, "weak", momentum=0.1)
        self.encoder, self.head = encoder, nn.Linear(encoder.width, 4)
        self.uses_labels = labels

    def forward(self, batch):
        assert (batch.labels is not None) == self.uses_labels
        brightest = avg_pool2d(batch.images.mean(1, keepdim=True), 4).flatten(1).argmax(1)
        assert batch.labels is None or batch.labels.equal(brightest)
        labels = batch.index % 4 if batch.labels is None else batch.labels
        return cross_entropy(self.head(self.encoder(batch.images)), labels)

    def exported(self):
        return Exported(self.encoder, branch="weak", head=self.head)
"""


def test_only_an_objective_that_uses_labels_gets_them(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "taught.py").write_text(SUPERVISED)
    lab.catalog = Catalog([*TOYS, tmp_path / "taught.py"])
    asked = ask(lab.catalog, methods="taught,taught(labels=false)")
    assert len(lab.answers(asked)) == 4
    cards = [lab.bench().store.card(one.probing.source) for one in asked]
    assert {card.evaluated_branch for card in cards if card} == {"weak"}
    assert {card.branches for card in cards if card} == {("clean", "weak")}


def test_each_seed_and_method_has_first_weights_of_its_own(fresh: Lab, monkeypatch: Any) -> None:
    first = []

    def note(objective: Objective, *_: Any) -> list[float]:
        first.append(fingerprint(objective.encoder))
        raise TrainingError("enough was seen")

    monkeypatch.setattr("robench.engine.bench.pretrain", note)
    asked = ask(methods="mirror,rocl", seeds=(0, 1))
    fresh.answers(asked)
    assert len(set(first)) == 4
    # What else is random has no part in it.
    torch.manual_seed(1)
    fresh.answers(asked)
    assert first[4:] == first[:4]


def test_the_same_question_has_the_same_answer_in_any_order(lab: Lab, other: Lab) -> None:
    torch.manual_seed(12345)  # no draw comes from here
    before = torch.get_rng_state()
    assert same(lab.answers(), other.answers(ASKED[::-1])[::-1])
    assert lab.weights() == other.weights()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize(
    "pattern",
    [
        "out/cells/*pgd*.json",
        "out/cells/*pgd*.npz",
        "zoo/*/card.json",
        "zoo/*/encoder.safetensors",
        "zoo/*/probes/*",
    ],
)
def test_what_is_lost_or_damaged_is_made_again(lab: Lab, pattern: str, lost: bool) -> None:
    before, weights, path = lab.answers(), lab.weights(), lab.file(pattern)
    path.unlink() if lost else path.write_bytes(path.read_bytes()[:-9])
    more = ask(eps=("8/255", "2/255"))
    after = lab.answers(more)
    assert same(before, after[:2])
    assert lab.weights() == weights
    damages = [line for line in lab.said if "is damaged" in line]
    assert len(damages) == (not lost or path.suffix == ".npz")
    assert same(after, lab.answers(more))
    assert lab.said == []


# --- data


def reload(monkeypatch: pytest.MonkeyPatch, change: Callable[[Data], Data]) -> None:
    """Change the data as if their file had been replaced."""
    blobs = CATALOG.component("datasets", "blobs")
    load = blobs.load
    monkeypatch.setattr(blobs, "load", lambda *given: change(load(*given)))


def test_data_are_missed_before_any_compute(lab: Lab, idle: None, monkeypatch: Any) -> None:
    with pytest.raises(DataError, match=r"cifar10 is not in .*robench data fetch cifar10"):
        lab.answers(ask(sources="blobs,cifar10", images=None))
    lab.file("zoo/*/encoder.safetensors").write_bytes(b"")

    def gone(data: Data) -> Data:
        raise DataError("blobs are gone")

    reload(monkeypatch, gone)
    with pytest.raises(DataError, match="gone"):
        lab.answers(NUDGE)


def test_data_that_do_not_fit_are_refused_before_any_compute(
    fresh: Lab, idle: None, monkeypatch: Any
) -> None:
    reload(
        monkeypatch,
        lambda data: replace(data, test=replace(data.test, labels=data.test.labels[1:])),
    )
    with pytest.raises(DataError, match=r"^blobs.*48 images but 47 labels"):
        fresh.answers()


# --- what an answer was made from


def turned(part: str, field: str) -> Callable[[Data], Data]:
    """A change of the data: a split's images or labels, in the opposite order."""

    def change(data: Data) -> Data:
        split = getattr(data, part)
        values = {field: getattr(split, field)[::-1].copy()}
        return replace(data, **{part: replace(split, **values)})

    return change


@pytest.mark.parametrize(
    ("part", "field", "trained"),
    [("train", "images", 2), ("train", "labels", 1), ("test", "images", 1), ("test", "labels", 1)],
)
def test_changed_data_are_never_answered_with_old_numbers(
    lab: Lab, monkeypatch: Any, part: str, field: str, trained: int
) -> None:
    before, encoder = lab.answers(), lab.file("zoo/*/encoder.safetensors").read_bytes()
    reload(monkeypatch, turned(part, field))
    after = lab.answers(NUDGE)
    assert after[0].cell.identity != before[0].cell.identity
    assert lab.said[0].startswith("the data blobs changed since mirror-blobs-tiny-s0-")
    assert lab.said[0].endswith(" was made: computing it again")
    kept = lab.file("zoo/*/encoder.safetensors").read_bytes() == encoder
    assert kept == (trained == 1)
    assert same(lab.answers(NUDGE), after)  # and the new numbers are known from now on
    assert lab.said == []


def interrupted(lab: Lab, asked: Sequence[Evaluation], word: str, steps: int) -> None:
    """Answer, but be interrupted after some steps of the work whose name has the word."""
    left = steps

    def progress(items: Sequence[Any], label: str) -> Iterator[Any]:
        nonlocal left
        for item in items:
            left -= word in label
            if left < 0:
                raise KeyboardInterrupt
            yield item

    bench = lab.bench()
    bench.progress = progress
    with pytest.raises(KeyboardInterrupt):
        answers(bench, asked, 16)


def test_a_training_does_not_go_on_after_its_data_changed(fresh: Lab, monkeypatch: Any) -> None:
    monkeypatch.setattr("robench.store.checkpoints.EVERY", 0.0)
    longer = ask(epochs=3)
    interrupted(fresh, longer, "pretraining", 1)
    assert fresh.file("zoo/unfinished/*/*.safetensors")
    reload(monkeypatch, turned("train", "images"))
    fresh.answers(longer)
    assert any("another data than now; starting anew" in line for line in fresh.said)


@pytest.mark.parametrize(
    "changed", [{"code": (("probes/linear", "1"),)}, {"data": "1"}, {"parents": ("1",)}]
)
def test_a_checkpoint_depends_on_what_its_answer_is_made_from(fresh: Lab, changed: Any) -> None:
    bench, identity = fresh.bench(), Identity((("probes/linear", "0"),), "0", ("0",))
    assert bench._about(replace(identity, **changed)) != bench._about(identity)


def test_each_stage_gets_the_images_that_were_asked_for(fresh: Lab, monkeypatch: Any) -> None:
    seen = {stage: calls(monkeypatch, stage) for stage in ("pretrain", "probe", "evaluate")}
    fresh.answers(ask(targets="blobs(contrast=60)"))
    bench = fresh.bench()
    source, target = (
        training_subset(bench.data(CATALOG.resolve("datasets", name)), 192)
        for name in ("blobs", "blobs(contrast=60)")
    )
    trained_on = np.concatenate([source.train.images, source.held_out.images])
    assert np.array_equal(seen["pretrain"][-1][1].images.numpy(), trained_on)
    for part in ("train", "held_out"):
        assert digest(getattr(seen["probe"][-1][2], part)) == digest(getattr(target, part))
    assert digest(seen["evaluate"][-1][2]) == digest(target.test)


def test_a_transfer_attack_is_computed_on_its_surrogate(fresh: Lab, monkeypatch: Any) -> None:
    seen = calls(monkeypatch, "evaluate")
    one, other = (e for e in ask(seeds=(0, 1)) if e.attack.has("eps"))
    attack, bench = CATALOG.resolve("attacks", "transfer"), fresh.bench()
    bench.result(replace(one, attack=attack, surrogate=other.probing), 16)
    used = [fingerprint(model) for model in (seen[0][0].model, seen[0][0].surrogate)]
    assert used == [fingerprint(bench.classifier(e.probing)) for e in (one, other)]
    assert used[0] != used[1]


def test_what_is_finished_outlives_an_interruption(fresh: Lab) -> None:
    interrupted(fresh, ASKED, "pgd", 0)
    before = files(fresh.folder)
    assert len(fresh.answers()) == 2
    assert len(fresh.said) == 1  # only the cell that was cut off
    assert before.items() <= files(fresh.folder).items()


# --- failures


def test_a_failed_training_costs_only_what_rests_on_it(fresh: Lab, tmp_path: Path) -> None:
    text = (PLUGINS / "mirror.py").read_text()
    text = text.replace("return nt_xent(", "return torch.nan * nt_xent(")
    (tmp_path / "lost.py").write_text(text)
    fresh.catalog = Catalog([*TOYS, tmp_path / "lost.py"])
    results = fresh.answers(ask(fresh.catalog, methods="lost,mirror"))
    assert [result.labels.method for result in results] == ["mirror", "mirror"]
    assert ["the loss is nan in epoch 1" in line for line in fresh.failures] == [True]


def test_a_failed_attack_costs_one_cell(lab: Lab, monkeypatch: Any) -> None:
    def escape(self: Any, model: Any, images: torch.Tensor, *_: Any) -> Attacked:
        return Attacked((images + 0.5).clamp(0, 1))

    monkeypatch.setattr(CATALOG.component("attacks", "nudge"), "__call__", escape)
    results = lab.answers(ask(attacks="nudge,pgd(steps=3)"))
    assert [result.labels.attack for result in results] == ["clean", "pgd(steps=3)"]
    assert "left its ball" in lab.failures[0]


PROBE = """
from dataclasses import dataclass
import torch
from torch import nn
from robench.contracts import Probe
@dataclass(frozen=True)
class Own(Probe):
    def fit(self, encoder, data, generator, run):
        FIT
"""
CHANGING = "next(encoder.parameters()).data.zero_(); return nn.Linear(encoder.width, 4)"


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        ("return nn.Linear(encoder.width, data.classes + 1)", "that do not fit: "),
        ("return nn.Sequential(nn.ReLU())", "Missing key(s) in state_dict"),
        (CHANGING, "changed the encoder"),
    ],
)
def test_a_probe_that_fails_costs_only_its_cells(
    lab: Lab, tmp_path: Path, fit: str, message: str
) -> None:
    (tmp_path / "mine.py").write_text(PROBE.replace("FIT", fit))
    lab.catalog = Catalog([*TOYS, tmp_path / "mine.py"])
    results = lab.answers(ask(lab.catalog, probes="mine,linear", attacks="pgd(steps=3)"))
    assert [result.labels.probe for result in results] == ["linear", "linear"]
    assert [message in line for line in lab.failures] == [True]
    # The encoder that it changed is not the one that the others were measured on.
    assert same(results[:1], lab.answers(ASKED[:1]))


def test_an_unknown_batchnorm_branch_is_one_line(lab: Lab) -> None:
    path = lab.file("zoo/*/card.json")
    card = json.loads(path.read_bytes()) | {"evaluated_branch": "sparse"}
    path.write_bytes(sealed(json.dumps(card).encode()))
    lab.answers(NUDGE)
    (failure,) = lab.failures
    assert re.match(r"mirror-blobs.*: no BatchNorm branch 'sparse'; this enc", failure)


def test_an_encoder_with_weights_that_are_not_finite_is_refused(lab: Lab) -> None:
    found = lab.bench().known.encoder(ASKED[0].probing.source)
    assert found is not None
    card, weights = found
    weights["layers.1.running_var"][2] = torch.nan
    with pytest.raises(SpecError, match=r"its layers\.1\.running_var has numbers that are not fin"):
        restore(CATALOG, card, weights)


def test_a_finetuned_encoder_is_kept_beside_the_one_it_was(lab: Lab, monkeypatch: Any) -> None:
    known, path = lab.answers(), lab.file("zoo/*/encoder.safetensors")
    encoder = path.read_bytes()
    asked = ask(probes="aff(epochs=1, batch=64, steps=1),linear")
    before = lab.answers(asked)
    kept = load_file(lab.file("zoo/*/probes/*-aff-*.safetensors"))
    original = load(encoder)
    assert set(kept) == {f"encoder.{name}" for name in original} | {"linear.weight", "linear.bias"}
    assert not [n for n in original if torch.equal(kept[f"encoder.{n}"], original[n])]
    assert path.read_bytes() == encoder
    # Another probe sees the encoder as it was.
    linear = [one for one in before if one.labels.probe == "linear"]
    assert same(linear, known)
    assert len({one.cell.identity.parents for one in before}) == 2
    shutil.rmtree(lab.folder / "out")
    monkeypatch.setattr("robench.engine.bench.probe", pytest.fail)
    assert same(before, lab.answers(asked))


@pytest.mark.parametrize(
    ("spec", "flag"), [("linear-adam(epochs=1)", "underfitted"), ("linear", "")]
)
def test_a_probe_s_fit_is_kept_with_it_and_flags_its_cells(
    fresh: Lab, spec: str, flag: str
) -> None:
    asked = ask(probes=spec)
    fresh.answers(asked, 6)
    grown = fresh.answers(asked, 12)
    stored = fresh.bench().store.fitted(asked[0].probing)
    assert stored is not None
    assert stored.fit is not None
    assert 0 < stored.fit.held_out <= 1
    assert (stored.fit.optimum is None) is (spec == "linear")
    for one in grown:
        assert stored.fit.counts.items() <= one.counts.items()
        assert ("underfitted" in own_flags(one)) is bool(flag)


# --- other processes


def test_work_of_others_is_left_to_them_and_waited_for(fresh: Lab, monkeypatch: Any) -> None:
    both = ask(methods="mirror,mirror(noise=0.2)")
    others, pauses = ExitStack(), list[float]()
    store = fresh.bench().store
    for question in (both[0].probing.source, both[3]):
        others.enter_context(store.lock(question))

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        assert len(list((fresh.folder / "out" / "cells").glob("*.json"))) == 1
        if len(pauses) == 3:
            others.close()

    monkeypatch.setattr("robench.engine.local.time.sleep", pause)
    results = fresh.answers(both)
    assert [result.cell.key for result in results] == [key(asked) for asked in both]
    assert len(pauses) == 3
    waits = [line for line in fresh.said if "waiting" in line]
    assert waits == ["waiting for what other processes compute of 3 cells"]
    done = [line.partition(" ")[0] for line in fresh.said if "/4 " in line]
    assert done == ["3/4", "1/4", "2/4", "4/4"]


def test_what_another_process_found_meanwhile_is_not_computed(
    fresh: Lab, idle: None, tmp_path_factory: Any, monkeypatch: Any
) -> None:
    finished(done := tmp_path_factory.mktemp("done"))
    held = ExitStack()
    held.enter_context(fresh.bench().store.lock(ASKED[0].probing.source))

    def pause(seconds: float) -> None:
        for part in ("zoo", "out"):
            shutil.copytree(done / part, fresh.folder / part, dirs_exist_ok=True)
        held.close()

    monkeypatch.setattr("robench.engine.local.time.sleep", pause)
    assert len(fresh.answers()) == 2


# --- what is on record


def test_a_cell_says_how_it_was_made(lab: Lab) -> None:
    one, other = lab.answers()
    assert (one.norm, one.eps, other.norm, other.eps) == ("", "", "linf", "8/255")
    assert one.n == other.n == 16
    assert other.correct < one.correct
    clean, attacked = one.cell, other.cell
    assert clean.counts == {"test-images": 48, "recomputed-otherwise": 0, "probe-images": 192}
    signs = (
        "flat",
        "still",
        "jagged",
        "close",
        "unresolved",
        "missed-margin",
        "missed-easy",
        "missed-grey",
    )
    assert set(attacked.counts) == {*clean.counts, *signs}
    assert attacked.counts.items() >= dict.fromkeys(("flat", "still", "missed-grey"), 0).items()
    assert attacked.provenance.versions["torch"] == importlib.metadata.version("torch")
    assert attacked.provenance.precision == "fp32"
    card = json.loads(lab.file("zoo/*/card.json").read_bytes())
    assert card["weights_sha256"] in lab.bench().known.identity(ASKED[0].probing).parents
    assert attacked.identity.parents == clean.identity.parents
    code = {"encoders/tiny", "probes/linear", "attacks/pgd", "engine/evaluate"}
    assert dict(attacked.identity.code).keys() == code
    assert card["parameters"] == 3 * 4 * 9 + 4 + 8
    assert len(card["losses"]) == 1


def test_a_limit_takes_the_same_images_for_every_attack(lab: Lab) -> None:
    clean, attacked = lab.answers()
    assert np.array_equal(clean.outcome.index, attacked.outcome.index)
    assert np.array_equal(clean.outcome.clean_prediction, attacked.outcome.clean_prediction)
    more = lab.answers(limit=1000)
    assert more[0].n == 48
    assert np.array_equal(clean.outcome.index, more[0].outcome.index[:16])


BATCHES = replace(CATALOG.preset("quick"), batch=8)


@pytest.mark.parametrize("steps", [(16, None), (8, 24, None), (12, 40)])
def test_a_cell_grows_to_the_bits_of_one_that_was_large_at_once(
    fresh: Lab, other: Lab, steps: tuple[int | None, ...]
) -> None:
    asked = grid(replace(REQUEST, attacks=parse_list("pgd(steps=3, restarts=2)")), BATCHES, CATALOG)
    grown = [fresh.answers(asked, limit) for limit in steps][-1]
    assert [result.n for result in grown] == [steps[-1] or 48] * 2
    assert same(grown, other.answers(asked, steps[-1]))


def test_only_new_images_are_attacked_in_batches_with_draws_of_their_own(
    fresh: Lab, monkeypatch: Any
) -> None:
    seen = calls(monkeypatch, "evaluate")
    asked = grid(REQUEST, BATCHES, CATALOG)
    for limit in (16, 48):
        fresh.answers(asked, limit)
    assert [len(given[3]) for given in seen] == [16, 16, 32, 32]
    seeds = [given[5](at).initial_seed() for given in seen for at in range(0, len(given[3]), 8)]
    assert len(set(seeds)) == len(seeds) == 2 * (2 + 4)
    again = fresh.answers(asked, 16)  # what is known is not thrown away
    assert len(seen) == 4
    assert all(r.n == 48 and r.pictures and len(r.pictures.clean) == 8 for r in again)


def test_a_noisy_probe_says_how_many_labels_are_wrong_and_its_test_labels_are_right(
    fresh: Lab,
) -> None:
    clean = ask()[0]
    noisy = replace(clean, probing=replace(clean.probing, noise=parse("sym(rate=1)")))
    ordinary, found = (fresh.bench().result(one, None) for one in (clean, noisy))
    images = found.counts["probe-images"]
    assert 0.6 * images < found.counts["wrong-labels"] <= images
    assert "wrong-labels" not in ordinary.counts
    assert np.array_equal(found.outcome.label, ordinary.outcome.label)
    assert found.cell.key != ordinary.cell.key
