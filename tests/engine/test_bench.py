"""Questions in, answers out: nothing twice, nothing lost, and the same bits again."""

import importlib.metadata
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
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
from robench.engine.evaluate import evaluate
from robench.engine.local import answers
from robench.engine.pretrain import TrainingError
from robench.engine.progress import silent
from robench.engine.subset import training_subset
from robench.grid.questions import Evaluation, key
from robench.grid.records import Identity, Result, radius
from robench.grid.spec import SpecError, parse, parse_list
from robench.store import store as store_module
from robench.store.formats import sealed
from robench.store.store import Store
from robench.tensors.features import fingerprint

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
ASKED = plan(REQUEST, CATALOG)


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
        found, self.failures = answers(self.bench(), evaluations, limit)
        return found


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Where two cells are finished."""
    finished(tmp_path)
    return Lab(tmp_path)


@pytest.fixture
def fresh(tmp_path: Path) -> Lab:
    """Where nothing is."""
    return Lab(tmp_path)


def same(one: Result, other: Result) -> bool:
    """Whether two results say the same, but for when and how fast it was found."""
    cells = [replace(r.cell, seconds=0, provenance=one.cell.provenance) for r in (one, other)]
    return replace(cells[0], outcome_sha256="") == replace(cells[1], outcome_sha256="") and all(
        np.array_equal(getattr(one.outcome, name), array, equal_nan=array.dtype.kind == "f")
        for name, array in vars(other.outcome).items()
    )


def weights(folder: Path) -> dict[str, bytes]:
    return {
        name: data for name, (data, _) in files(folder / "zoo").items() if "safetensors" in name
    }


def test_what_is_known_is_not_computed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for stage in ("pretrain", "probe", "evaluate"):
        monkeypatch.setattr(f"robench.engine.bench.{stage}", pytest.fail)
    monkeypatch.setattr(CATALOG.component("datasets", "blobs"), "load", pytest.fail)
    before = files(lab.folder)
    assert [result.cell.key for result in lab.answers()] == [key(asked) for asked in ASKED]
    assert files(lab.folder) == before
    assert lab.said == []


SUPERVISED = """
from robench.contracts import Encoder, Exported, Objective
from robench.grid.recipe import Recipe
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
    asked = plan(replace(REQUEST, methods=parse_list("taught,taught(labels=false)")), lab.catalog)
    lab.answers(asked)
    cards = [lab.bench().store.card(e.probing.pretraining) for e in asked]
    assert {card.evaluated_branch for card in cards if card} == {"weak"}
    assert {card.branches for card in cards if card} == {("clean", "weak")}


def test_each_seed_and_method_has_first_weights_of_its_own(
    fresh: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = []

    def note(objective: Objective, *_: Any) -> list[float]:
        first.append(fingerprint(objective.encoder))
        raise TrainingError("enough was seen")

    monkeypatch.setattr("robench.engine.bench.pretrain", note)
    request = replace(REQUEST, methods=parse_list("mirror,rocl"), seeds=(0, 1))
    asked = plan(request, CATALOG)
    fresh.answers(asked)
    assert len(set(first)) == 4
    # What else is random has no part in it.
    torch.manual_seed(1)
    fresh.answers(asked)
    assert first[4:] == first[:4]


def test_the_same_question_has_the_same_answer(lab: Lab, tmp_path_factory: Any) -> None:
    other = Lab(tmp_path_factory.mktemp("other"))
    torch.manual_seed(12345)  # no draw comes from here
    pairs = zip(lab.answers(), other.answers(), strict=True)
    assert all(same(one, another) for one, another in pairs)
    assert weights(lab.folder) == weights(other.folder)


def test_the_order_of_the_questions_does_not_matter(lab: Lab, tmp_path_factory: Any) -> None:
    other = Lab(tmp_path_factory.mktemp("other"))
    backwards = other.answers(ASKED[::-1])[::-1]
    assert all(same(one, another) for one, another in zip(lab.answers(), backwards, strict=True))


def test_computing_leaves_the_caller_s_dice_alone(fresh: Lab) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    fresh.answers()
    assert torch.equal(torch.get_rng_state(), before)


def break_json(folder: Path) -> None:
    path = next((folder / "out" / "cells").glob("*pgd*.json"))
    path.write_bytes(path.read_bytes()[:100])


def flip_outcome(folder: Path) -> None:
    path = next((folder / "out" / "cells").glob("*pgd*.npz"))
    path.write_bytes(path.read_bytes().replace(b"PK", b"KP", 1))


def lose_outcome(folder: Path) -> None:
    next((folder / "out" / "cells").glob("*pgd*.npz")).unlink()


@pytest.mark.parametrize("damage", [break_json, flip_outcome, lose_outcome])
def test_a_damaged_cell_is_computed_again_to_the_same_end(lab: Lab, damage: Any) -> None:
    before = lab.answers()
    trained = files(lab.folder / "zoo")
    damage(lab.folder)
    after = lab.answers()
    assert all(same(one, other) for one, other in zip(before, after, strict=True))
    assert len(list((lab.folder / "out" / "cells").glob("*.json.damaged"))) == 1
    assert sum("is damaged" in line for line in lab.said) == 1
    assert files(lab.folder / "zoo") == trained
    lab.said.clear()
    assert len(lab.answers()) == 2
    assert lab.said == []


def test_damaged_weights_are_trained_again_to_the_same_bits(lab: Lab) -> None:
    before, cells = weights(lab.folder), files(lab.folder / "out" / "cells")
    path = next((lab.folder / "zoo").glob("*/encoder.safetensors"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    more = plan(replace(REQUEST, eps=("8/255", "2/255")), CATALOG)
    assert len(lab.answers(more)) == 3
    after = weights(lab.folder)
    assert after.pop(next(name for name in after if name.endswith(".damaged"))) == bytes(data)
    assert after == before
    assert cells.items() <= files(lab.folder / "out" / "cells").items()


@pytest.mark.parametrize("part", ["card.json", "encoder.safetensors", "probes"])
def test_what_is_lost_from_the_zoo_is_made_again(lab: Lab, part: str) -> None:
    before = weights(lab.folder)
    path = next((lab.folder / "zoo").glob(f"*/{part}"))
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    more = plan(replace(REQUEST, attacks=parse_list("nudge")), CATALOG)
    assert len(lab.answers(more)) == 2
    assert weights(lab.folder) == before


def test_finished_cells_need_no_zoo(lab: Lab) -> None:
    shutil.rmtree(lab.folder / "zoo")
    assert len(lab.answers()) == 2
    assert not list((lab.folder / "zoo").iterdir())


# --- data


def test_missing_data_show_before_any_training(fresh: Lab, monkeypatch: Any) -> None:
    monkeypatch.setattr("robench.engine.bench.pretrain", pytest.fail)
    both = replace(REQUEST, sources=parse_list("blobs,cifar10"), images=None)
    with pytest.raises(DataError, match=r"cifar10 is not in .*robench data fetch cifar10"):
        fresh.answers(plan(both, CATALOG))


def test_data_are_missed_before_any_compute_where_weights_are_damaged(
    lab: Lab, monkeypatch: Any
) -> None:
    next((lab.folder / "zoo").glob("*/encoder.safetensors")).write_bytes(b"")
    asked = plan(replace(REQUEST, attacks=parse_list("nudge")), CATALOG)

    def gone(*_: Any) -> Data:
        raise DataError("blobs are gone")

    monkeypatch.setattr(CATALOG.component("datasets", "blobs"), "load", gone)
    with pytest.raises(DataError, match="gone"):
        lab.answers(asked)


def test_a_probe_of_other_classes_is_fitted_again(lab: Lab) -> None:
    store = lab.bench().store
    probing = ASKED[0].probing
    identity = lab.bench().identity(probing)
    store.save_probe(probing, identity, {"weight": torch.zeros(10, 16), "bias": torch.zeros(10)})
    more = plan(replace(REQUEST, attacks=parse_list("nudge")), CATALOG)
    before = next(lab.bench().store.results()).cell.identity.parents
    assert {result.cell.identity.parents for result in lab.answers(more)} == {before}
    assert any("is damaged (Linear has weights that do not fit: " in line for line in lab.said)


# --- what an answer was made from


def change(part: str, field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace a part of the data as if its file had been replaced."""
    blobs = CATALOG.component("datasets", "blobs")
    load = blobs.load

    def changed(self: Any, *places: Any) -> Data:
        data = load(self, *places)
        split = getattr(data, part)
        return replace(
            data, **{part: replace(split, **{field: getattr(split, field)[::-1].copy()})}
        )

    monkeypatch.setattr(blobs, "load", changed)


NUDGE = plan(replace(REQUEST, attacks=parse_list("nudge")), CATALOG)


@pytest.mark.parametrize(
    ("part", "field", "trained"),
    [("train", "images", 2), ("train", "labels", 1), ("test", "images", 1), ("test", "labels", 1)],
)
def test_changed_data_are_never_answered_with_old_numbers(
    lab: Lab, monkeypatch: Any, part: str, field: str, trained: int
) -> None:
    before = lab.answers()[0]
    encoder = weights(lab.folder)
    change(part, field, monkeypatch)
    clean = lab.answers(NUDGE)[0]
    assert clean.cell.identity != before.cell.identity
    assert lab.said[0].startswith("the data changed since mirror-blobs-tiny-s0-")
    assert lab.said[0].endswith(" was made: computing it again")
    same_encoder = encoder.items() & weights(lab.folder).items()
    assert len([name for name, _ in same_encoder if "encoder" in name]) == (trained == 1)
    lab.said.clear()
    assert same(lab.answers(NUDGE)[0], clean)  # and the new numbers are known from now on
    assert lab.said == []


def test_a_training_does_not_go_on_after_its_data_changed(fresh: Lab, monkeypatch: Any) -> None:
    monkeypatch.setattr("robench.store.checkpoints.EVERY", 0.0)
    longer = plan(replace(REQUEST, epochs=3), CATALOG)
    seen = 0

    def killed(items: Sequence[Any], label: str) -> Iterator[Any]:
        nonlocal seen
        for item in items:
            seen += "pretraining" in label
            if seen == 2:
                raise KeyboardInterrupt
            yield item

    bench = fresh.bench()
    bench.progress = killed
    with pytest.raises(KeyboardInterrupt):
        answers(bench, longer, 16)
    assert list((fresh.folder / "zoo").glob("unfinished/*/*.safetensors"))
    change("train", "images", monkeypatch)
    fresh.answers(longer)
    assert any("another data than now; starting anew" in line for line in fresh.said)


@pytest.mark.parametrize(
    "changed", [{"code": (("probes/linear", "1"),)}, {"data": "1"}, {"parents": ("1",)}]
)
def test_a_checkpoint_depends_on_what_its_answer_is_made_from(fresh: Lab, changed: Any) -> None:
    bench, identity = fresh.bench(), Identity((("probes/linear", "0"),), "0", ("0",))
    assert bench._about(replace(identity, **changed)) != bench._about(identity)


def test_each_stage_gets_the_images_that_were_asked_for(fresh: Lab, monkeypatch: Any) -> None:
    seen: dict[str, Any] = {}

    def watch(stage: str, place: int) -> None:
        real = getattr(bench_module, stage)

        def watched(*given: Any) -> Any:
            seen[stage] = given[place]
            return real(*given)

        monkeypatch.setattr(bench_module, stage, watched)

    for stage, place in (("pretrain", 1), ("probe", 2), ("evaluate", 2)):
        watch(stage, place)
    fresh.answers(plan(replace(REQUEST, targets=parse_list("blobs(contrast=60)")), CATALOG))
    bench = fresh.bench()
    source, target = (
        training_subset(bench.data(CATALOG.resolve("datasets", name)), 192)
        for name in ("blobs", "blobs(contrast=60)")
    )
    trained_on = np.concatenate([source.train.images, source.held_out.images])
    assert np.array_equal(seen["pretrain"].images.numpy(), trained_on)
    for part in ("train", "held_out", "test"):
        assert digest(getattr(seen["probe"], part)) == digest(getattr(target, part))
    assert digest(seen["evaluate"]) == digest(target.test)


def test_a_transfer_attack_is_computed_on_its_surrogate(fresh: Lab, monkeypatch: Any) -> None:
    targets = []

    def watched(*given: Any) -> Any:
        targets.append(given[0])
        return evaluate(*given)

    monkeypatch.setattr(bench_module, "evaluate", watched)
    one, other = (e for e in plan(replace(REQUEST, seeds=(0, 1)), CATALOG) if e.attack.has("eps"))
    attack, bench = CATALOG.resolve("attacks", "transfer"), fresh.bench()
    bench.result(replace(one, attack=attack, surrogate=other.probing), 16)
    used = [fingerprint(model) for model in (targets[0].model, targets[0].surrogate)]
    assert used == [fingerprint(bench.classifier(e.probing)) for e in (one, other)]
    assert used[0] != used[1]


def test_a_cell_without_its_outcomes_is_no_answer(fresh: Lab, monkeypatch: Any) -> None:
    """The process is killed between the two files of a cell."""

    def killed(path: Path, data: bytes) -> None:
        if path.parent.name == "cells":
            raise KeyboardInterrupt
        write(path, data)

    write = store_module._write
    monkeypatch.setattr(store_module, "_write", killed)
    with pytest.raises(KeyboardInterrupt):
        fresh.answers()
    monkeypatch.setattr(store_module, "_write", write)
    assert list(fresh.bench().store.results()) == []
    results = fresh.answers()
    assert [result.n for result in results] == [16, 16]
    assert fresh.said[-1].startswith("[2/2]")


def plugged(folder: Path, name: str, old: str, new: str) -> Catalog:
    """The toys, with one of them edited."""
    text = (PLUGINS / f"{name}.py").read_text()
    assert old in text
    (folder / f"{name}.py").write_text(text.replace(old, new))
    return Catalog([folder / f"{name}.py", *(path for path in TOYS if path.stem != name)])


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("nudge", "sign()", "sign().neg()"),
        ("mirror", "return nt_xent(", "return 0.5 * nt_xent("),
        ("tiny", "Conv2d(3, width, 3", "Conv2d(3, width, 5"),
    ],
)
def test_an_edited_plug_in_is_not_answered_with_old_numbers(
    lab: Lab, tmp_path: Path, name: str, old: str, new: str
) -> None:
    lab.answers(NUDGE)
    lab.said.clear()
    lab.catalog = plugged(tmp_path, name, old, new)
    results = lab.answers(NUDGE)
    assert f"/{name} changed since " in lab.said[0]
    assert len(results) == 2
    lab.said.clear()
    lab.answers(NUDGE)
    assert lab.said == []


def test_a_comment_in_a_plug_in_changes_nothing(lab: Lab, tmp_path: Path) -> None:
    lab.answers(NUDGE)
    lab.said.clear()
    lab.catalog = plugged(
        tmp_path, "nudge", "    def __call__", "    # a reason\n\n    def __call__"
    )
    lab.answers(NUDGE)
    assert lab.said == []


def test_an_answer_computed_again_is_the_same(lab: Lab) -> None:
    before = lab.answers()
    shutil.rmtree(lab.folder / "out")
    shutil.rmtree(next((lab.folder / "zoo").glob("*/probes")))
    assert all(same(one, other) for one, other in zip(before, lab.answers(), strict=True))


# --- failures


def test_a_failed_training_costs_only_what_rests_on_it(fresh: Lab, tmp_path: Path) -> None:
    text = (PLUGINS / "mirror.py").read_text()
    (tmp_path / "lost.py").write_text(
        text.replace("return nt_xent(", "return torch.nan * nt_xent(")
    )
    fresh.catalog = Catalog([*TOYS, tmp_path / "lost.py"])
    both = replace(REQUEST, methods=parse_list("lost,mirror"))
    results = fresh.answers(plan(both, fresh.catalog))
    assert [result.labels.method for result in results] == ["mirror", "mirror"]
    assert len(fresh.failures) == 1
    assert "the loss is nan in epoch 1" in fresh.failures[0]


def test_a_failed_attack_costs_one_cell(lab: Lab, monkeypatch: Any) -> None:
    def escape(self: Any, model: Any, images: torch.Tensor, *_: Any) -> Attacked:
        return Attacked((images + 0.5).clamp(0, 1))

    monkeypatch.setattr(CATALOG.component("attacks", "nudge"), "__call__", escape)
    asked = plan(replace(REQUEST, attacks=parse_list("nudge,pgd(steps=3)")), CATALOG)
    names = [result.labels.attack for result in lab.answers(asked)]
    assert names == ["clean", "pgd(steps=3)"]
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


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        ("return nn.Linear(encoder.width, data.classes + 1)", "has weights that do not fit: "),
        ("return nn.Sequential(nn.ReLU())", "Missing key(s) in state_dict"),
        (
            "next(encoder.parameters()).data.zero_(); return nn.Linear(encoder.width, 4)",
            "changed the encoder",
        ),
    ],
)
def test_a_probe_that_breaks_its_word_costs_only_its_cells(
    lab: Lab, tmp_path: Path, fit: str, message: str
) -> None:
    (tmp_path / "mine.py").write_text(PROBE.replace("FIT", fit))
    lab.catalog = Catalog([*TOYS, tmp_path / "mine.py"])
    asked = plan(
        replace(REQUEST, probes=parse_list("mine,linear"), attacks=parse_list("pgd(steps=3)")),
        lab.catalog,
    )
    results = lab.answers(asked)
    assert [result.labels.probe for result in results] == ["linear", "linear"]
    assert message in lab.failures[0]
    assert len(lab.failures) == 1
    # The encoder that it changed is not the one that the others were measured on.
    assert same(results[0], lab.answers([ASKED[0]])[0])


AFF = replace(REQUEST, probes=parse_list("aff(epochs=1, batch=64, steps=1)"), eps=("2/255",))


def finetuned(folder: Path) -> Path:
    return next((folder / "zoo").glob("*/probes/*-aff-*.safetensors"))


def test_a_finetuned_encoder_is_kept_with_its_layer(lab: Lab, monkeypatch: Any) -> None:
    asked = plan(AFF, CATALOG)
    encoder = next((lab.folder / "zoo").glob("*/encoder.safetensors")).read_bytes()
    before = lab.answers(asked)
    kept, original = load_file(finetuned(lab.folder)), load(encoder)
    assert set(kept) == {f"encoder.{name}" for name in original} | {"linear.weight", "linear.bias"}
    moved = [name for name in original if not torch.equal(kept[f"encoder.{name}"], original[name])]
    assert sorted(moved) == sorted(original)
    assert next((lab.folder / "zoo").glob("*/encoder.safetensors")).read_bytes() == encoder
    shutil.rmtree(lab.folder / "out")
    monkeypatch.setattr("robench.engine.bench.probe", pytest.fail)
    assert all(same(one, other) for one, other in zip(before, lab.answers(asked), strict=True))


def test_another_probe_sees_the_encoder_as_it_was(lab: Lab) -> None:
    both = replace(AFF, probes=(*AFF.probes, *parse_list("linear")), eps=("8/255",))
    results = {result.cell.evaluation: result for result in lab.answers(plan(both, CATALOG))}
    known = Lab(lab.folder).answers(ASKED)
    assert all(same(results[one.cell.evaluation], one) for one in known)
    linear, aff = (
        next(r.cell.identity.parents for q, r in results.items() if q.probing.probe.name == name)
        for name in ("linear", "aff")
    )
    assert linear != aff


def test_a_finetuned_encoder_of_other_shapes_is_made_again(lab: Lab) -> None:
    asked = plan(AFF, CATALOG)
    before = lab.answers(asked)
    path = finetuned(lab.folder)
    first = path.read_bytes()
    wrong = load(first)
    wrong["encoder.layers.0.weight"] = torch.zeros(4, 3, 5, 5)
    probing = asked[0].probing
    lab.bench().store.save_probe(probing, lab.bench().identity(probing), wrong)
    shutil.rmtree(lab.folder / "out")
    lab.said.clear()
    after = lab.answers(asked)
    assert any("AFF has weights that do not fit" in line for line in lab.said)
    assert all(same(one, other) for one, other in zip(before, after, strict=True))
    assert path.read_bytes() == first


def test_a_branch_that_is_not_there_costs_only_its_cells(lab: Lab) -> None:
    probes = parse_list("aff(branch=adversarial),linear")
    results = lab.answers(plan(replace(REQUEST, probes=probes), CATALOG))
    assert {result.labels.probe for result in results} == {"linear"}
    assert len(lab.failures) == 1
    assert lab.failures[0].endswith(
        "aff(branch=adversarial): no BatchNorm branch 'adversarial'; this encoder has clean"
    )


def test_an_unknown_batchnorm_branch_is_one_line(lab: Lab) -> None:
    path = next((lab.folder / "zoo").glob("*/card.json"))
    card = path.read_text()
    card = card.replace('"evaluated_branch": "clean"', '"evaluated_branch": "sparse"')
    path.write_bytes(sealed(card.encode()))
    asked = plan(replace(REQUEST, attacks=parse_list("nudge")), CATALOG)
    with pytest.raises(SpecError, match=r"mirror-blobs.*: no BatchNorm branch 'sparse'; this enc"):
        lab.answers(asked)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": lambda x: x / np.float32(255)}, r", test: images are float32 \[48, 3, 8, 8\]"),
        ({"images": lambda x: x[:, :1]}, r"expected uint8 pixels in 0 to 255, \[n, 3, H, W\]"),
        ({"labels": lambda y: y + 1}, "test: label 4 in row .* expected 0 to 3"),
        ({"labels": lambda y: y[1:]}, "48 images but 47 labels"),
    ],
)
def test_data_that_do_not_fit_are_refused_before_any_compute(
    fresh: Lab, monkeypatch: Any, change: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr("robench.engine.bench.pretrain", pytest.fail)
    blobs = CATALOG.component("datasets", "blobs")
    load = blobs.load

    def changed(self: Any, *places: Any) -> Data:
        data = load(self, *places)
        parts = {name: make(getattr(data.test, name)) for name, make in change.items()}
        return replace(data, test=replace(data.test, **parts))

    monkeypatch.setattr(blobs, "load", changed)
    with pytest.raises(DataError, match=f"^blobs.*{message}"):
        fresh.answers()


# --- stopping


def test_what_is_finished_outlives_an_interruption(fresh: Lab) -> None:
    def impatient(items: Sequence[Any], label: str) -> Iterator[Any]:
        if "pgd" in label:
            raise KeyboardInterrupt
        yield from items

    bench = fresh.bench()
    bench.progress = impatient
    with pytest.raises(KeyboardInterrupt):
        answers(bench, ASKED, 16)
    before = files(fresh.folder)
    assert any(name.endswith(".json") and "clean" in name for name in before)
    fresh.said.clear()
    assert len(fresh.answers()) == 2
    assert len(fresh.said) == 1  # only the cell that was cut off
    assert before.items() <= files(fresh.folder).items()


# --- other processes


def test_work_of_others_is_left_to_them_and_waited_for(
    fresh: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = plan(replace(REQUEST, methods=parse_list("mirror,mirror(noise=0.2)")), CATALOG)
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
    done = [line.partition("]")[0] for line in fresh.said if line.startswith("[")]
    assert done == ["[3/4", "[1/4", "[2/4", "[4/4"]


def test_what_another_process_found_meanwhile_is_not_computed(
    fresh: Lab, tmp_path_factory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(done := tmp_path_factory.mktemp("done"))
    other = fresh.bench().store.lock(ASKED[0].probing.source)

    def pause(seconds: float) -> None:
        for part in ("zoo", "out"):
            shutil.copytree(done / part, fresh.folder / part, dirs_exist_ok=True)
        other.__exit__(None, None, None)

    monkeypatch.setattr("robench.engine.local.time.sleep", pause)
    for stage in ("pretrain", "probe", "evaluate"):
        monkeypatch.setattr(f"robench.engine.bench.{stage}", pytest.fail)
    with suppress(RuntimeError):
        other.__enter__()
    assert len(fresh.answers()) == 2


# --- what is on record


def test_a_cell_says_how_it_was_made(lab: Lab) -> None:
    one, other = lab.answers()
    assert (one.norm, one.eps, other.norm, other.eps) == ("", "", "linf", "8/255")
    assert one.n == other.n == 16
    assert other.correct < one.correct
    clean, attacked = one.cell, other.cell
    assert clean.counts == {"test-images": 48, "recomputed-otherwise": 0}
    assert attacked.counts == {**clean.counts, "flat": 0, "unresolved": 0, "missed-grey": 0}
    assert attacked.provenance.versions["torch"] == importlib.metadata.version("torch")
    assert attacked.provenance.precision == "fp32"
    card = json.loads(next((lab.folder / "zoo").glob("*/card.json")).read_bytes())
    bench = lab.bench()
    assert card["weights_sha256"] in bench.identity(ASKED[0].probing).parents
    assert attacked.identity.parents == clean.identity.parents
    assert dict(attacked.identity.code).keys() == {
        "encoders/tiny",
        "probes/linear",
        "attacks/pgd",
        "engine/evaluate",
    }
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
    fresh: Lab, tmp_path_factory: Any, steps: tuple[int | None, ...]
) -> None:
    asked = grid(replace(REQUEST, attacks=parse_list("pgd(steps=3, restarts=2)")), BATCHES, CATALOG)
    grown = [fresh.answers(asked, limit) for limit in steps][-1]
    whole = Lab(tmp_path_factory.mktemp("whole")).answers(asked, steps[-1])
    assert [result.n for result in grown] == [steps[-1] or 48] * 2
    assert all(same(one, other) for one, other in zip(grown, whole, strict=True))


def test_each_batch_of_a_cell_has_draws_of_its_own(fresh: Lab, monkeypatch: Any) -> None:
    seeds: list[int] = []

    def watched(*given: Any, **named: Any) -> Any:
        seeds.extend(given[5](start).initial_seed() for start in range(0, len(given[3]), 8))
        return evaluate(*given, **named)

    monkeypatch.setattr("robench.engine.bench.evaluate", watched)
    asked = grid(REQUEST, BATCHES, CATALOG)
    for limit in (32, 48):
        fresh.answers(asked, limit)
    assert len(set(seeds)) == len(seeds) == 2 * (4 + 2)


def test_only_the_new_images_of_a_cell_are_attacked(fresh: Lab, monkeypatch: Any) -> None:
    asked = grid(REQUEST, BATCHES, CATALOG)
    fresh.answers(asked, 16)
    seen: list[int] = []

    def counted(*given: Any, **named: Any) -> Any:
        seen.append(len(given[3]))
        return evaluate(*given, **named)

    monkeypatch.setattr("robench.engine.bench.evaluate", counted)
    fresh.answers(asked, 48)
    assert seen == [32, 32]
    assert all(r.n == 48 for r in fresh.answers(asked, 16))  # what is known is not thrown away
    assert seen == [32, 32]
    pictures = [result.pictures for result in fresh.answers(asked, 16)]
    assert all(shown is not None and len(shown.clean) == 8 for shown in pictures)


@pytest.mark.parametrize(
    ("attack", "told"),
    [
        ("clean", ("", "")),
        ("pgd(eps=8/255, norm=linf)", ("linf", "8/255")),
        ("pgd(eps=1/85, norm=linf)", ("linf", "3/255")),
        ("pgd(eps=0.5, norm=l2)", ("l2", "0.5")),
        ("pgd(eps=1/7, norm=l2)", ("l2", "1/7")),
        ("pgd(eps=12, norm=l1)", ("l1", "12")),
        ("own(eps=1)", ("", "1")),
    ],
)
def test_a_radius_is_told_as_one_would_type_it(attack: str, told: tuple[str, str]) -> None:
    assert radius(parse(attack)) == told
