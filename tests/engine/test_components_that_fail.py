"""A fault of a component costs its cells, in one line; all other cells are made.

The line names the component, its file and line, and what its contract expects.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from commands import Done, finished, robench, without_figures
from torch import Generator, nn

from robench.attacks.autoattack import AutoAttack
from robench.attacks.square import Square
from robench.contracts import Run, Target
from robench.engine.progress import silent

HEAD = """
from dataclasses import dataclass
import numpy as np
import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d
from robench.contracts import Attack, Attacked, Dataset, Encoder, Objective, Outcome, Probe
from robench.grid.recipe import Recipe
from robench.tensors.balls import Linf
"""
ATTACK = """
@dataclass(frozen=True)
class Mine(Attack):
    ball = Linf(0.1)
    def __call__(self, target, images, labels, generator, run):
        {}
"""
PROBE = """
@dataclass(frozen=True)
class Mine(Probe):
    def fit(self, encoder, data, generator, run):
        {}
"""
OBJECTIVE = """
class Mine(Objective):
    recipe = Recipe(epochs=1, batch=64)
    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder, self.scale = encoder, nn.Parameter(torch.ones(()))
    def forward(self, batch):
        features = self.encoder(batch.images)
        {}
"""
ENCODER = """
class Mine(Encoder):
    def __init__(self):
        super().__init__()
        self.width, self.layer = 4, nn.Conv2d(3, 4, 3)
    def forward(self, images):
        pooled = adaptive_avg_pool2d(self.layer(images), 1)
        {}
"""
DATASET = """
@dataclass(frozen=True)
class Mine(Dataset):
    def load(self, root, progress):
        {}
"""
METRIC = """
def mine(outcome: Outcome) -> float:
    {}
"""
NAN_AT_LAST = """self.steps = getattr(self, "steps", 0) + 1
        low = 0.0 if self.steps == 1 else 1.0
        return (features.square().mean() * low).sqrt() + self.scale"""
STRIDES = """for layer in target.model.modules():
            if isinstance(layer, nn.Conv2d):
                layer.to(memory_format=torch.channels_last)
        return Attacked(images)"""

FIRST = "next(target.model.parameters())"
FAULTS = {
    # what an attack returns
    "raises": (
        ATTACK,
        "raise ValueError('no luck')",
        "attack mine .*: ValueError: no luck; an att",
    ),
    "bare tensor": (ATTACK, "return images", "Mine returned float32 .*; expected Attacked"),
    "nothing": (ATTACK, "pass", "Mine returned NoneType; expected Attacked"),
    "float64": (ATTACK, "return Attacked(images.double())", "and returned float64 "),
    "gradient": (
        ATTACK,
        "return Attacked(images.requires_grad_())",
        "and returned float32 .* with a gradient",
    ),
    "an array": (ATTACK, "return Attacked(images.numpy())", "and returned ndarray"),
    "few notes": (ATTACK, "return Attacked(images, None)", "attack mine .*: TypeError: "),
    "its calls": (
        ATTACK,
        "return target.model(images[0, 0])",
        "encoder tiny .*, called by attack mine .*: RuntimeError: ",
    ),
    "exits": (ATTACK, "exit(3)", "attack mine .*: SystemExit: 3; an attack returns Attacked"),
    # what it leaves behind
    "weights": (
        ATTACK,
        f"{FIRST}.data *= 0; return Attacked(images)",
        "changed the model .*weight",
    ),
    "statistics": (
        ATTACK,
        "next(target.model.buffers()).add_(1); return Attacked(images)",
        "changed the model .*running_mean",
    ),
    "hook": (
        ATTACK,
        "target.model.register_forward_hook(lambda *_: 0 * _[2]); return Attacked(images)",
        "changed the model .*hooks",
    ),
    "forward": (
        ATTACK,
        "target.model.forward = lambda x: 0; return Attacked(images)",
        "changed the model .*forward of the model",
    ),
    "layer": (
        ATTACK,
        "target.encoder.layers[1] = nn.Identity(); return Attacked(images)",
        "changed the model .*modules of encoder.layers",
    ),
    "mode": (ATTACK, "target.encoder.train(); return Attacked(images)", "model .*training of "),
    "type": (
        ATTACK,
        "target.model.half(); return Attacked(images)",
        "changed the model .*buffers of ",
    ),
    "layout": (ATTACK, STRIDES, "changed the model .*layers.0.weight"),
    "no gradients": (
        ATTACK,
        "torch.set_grad_enabled(False); return Attacked(images)",
        "changed .*torch's grad mode",
    ),
    "float64 for all": (
        ATTACK,
        "torch.set_default_dtype(torch.float64); return Attacked(images)",
        "changed .*torch's default dtype",
    ),
    "autocast": (
        ATTACK,
        "torch.set_autocast_enabled('cpu', True); return Attacked(images)",
        "changed .*autocast",
    ),
    # probes
    "probe raises": (
        PROBE,
        "return data.labels",
        "probe mine .*: AttributeError: .*; fit.. returns",
    ),
    "no module": (PROBE, "return 3", "Mine fitted int; expected a module"),
    "probe's hook": (
        PROBE,
        "encoder.register_forward_hook(print); return nn.Linear(encoder.width, 4)",
        "changed the encoder that it was to leave frozen: .*hooks",
    ),
    "probe in nan": (
        PROBE,
        "made = nn.Linear(encoder.width, 4); made.bias.data[1] = torch.nan; return made",
        "Mine fitted bias with numbers that are not finite",
    ),
    # objectives
    "loss of a batch": (
        OBJECTIVE,
        "return features.sum(1)",
        r"Mine returned float32 \[128\]; the loss must be a scalar tensor",
    ),
    "a number": (OBJECTIVE, "return 1.0", "returned float; the loss must be a scalar tensor"),
    "no gradient": (OBJECTIVE, "return features.sum().detach()", "without a gradient to the enc"),
    "another's gradient": (
        OBJECTIVE,
        "return features.detach().sum() * self.scale",
        "without a gradient to the encoder, which would never learn",
    ),
    "objective raises": (OBJECTIVE, "return batch.image", "method mine .*: AttributeError: "),
    "weights lost": (OBJECTIVE, NAN_AT_LAST, "encoder.* is not finite after a step whose loss is"),
    # encoders
    "tuple": (ENCODER, "return pooled.flatten(1), 0", r"Mine returned tuple .* float32 \[2, 4\]"),
    "unpooled": (
        ENCODER,
        "return pooled",
        r"float32 \[2, 4, 1, 1\] for 2 images; expected float32",
    ),
    "squeeze": (ENCODER, "return pooled.squeeze()", r"returned float32 \[4\] for 1 images; expec"),
    "float16": (ENCODER, "return pooled.flatten(1).half()", "returned float16 "),
    "detached": (ENCODER, "return pooled.flatten(1).detach()", "features without a gradient to th"),
    "numpy": (
        ENCODER,
        "return torch.tensor(images.numpy().mean((2, 3)))",
        "encoder mine .*: RuntimeError: .*numpy.*; an encoder returns features float32",
    ),
    "writes": (ENCODER, "images.mul_(0.5); return pooled.flatten(1)", "writes into its images; it"),
}
GIVEN = {ATTACK: "--attacks", PROBE: "--probes", OBJECTIVE: "--methods", ENCODER: "--encoders"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    with without_figures():
        yield tmp_path


def run(kind: str, body: str, *more: str) -> Done:
    """Run the finished grid with one more component, ``mine``, before those that are known."""
    words = [*finished(Path.cwd()), "--plugin", "mine.py", *more]
    Path("mine.py").write_text(HEAD + kind.format(body))
    if option := GIVEN.get(kind):
        known = {"--attacks": "pgd", "--probes": "linear", "--methods": "mirror"}.get(
            option, "tiny"
        )
        at = words.index(option) + 1 if option in words else len(words) + 1
        words[at - 1 : at + 1] = [option, f"mine,{known}"]
    return robench(*words)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_its_cells_in_one_line(fault: str) -> None:
    kind, body, message = FAULTS[fault]
    modes = torch.get_default_dtype(), torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")
    done = run(kind, body)
    failed, *_, missing = done.err.splitlines()
    assert done.code == 1, done
    assert failed.startswith("robench: failed: ")
    assert re.search(message, failed), failed
    assert re.search(r"[/ (]mine\.py:\d+", failed) or fault == "weights lost"
    assert "Traceback" not in done.out + done.err
    lost = 1 if kind == ATTACK else 2
    assert missing == f"robench: {lost} of {2 + lost} cells are missing"
    assert len(Path("out/results.csv").read_text().splitlines()) == 1 + 2
    now = torch.get_default_dtype(), torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")
    assert now == modes


def test_cells_after_a_fault_are_what_they_would_be_without_it() -> None:
    body = (
        f"{FIRST}.data *= 0; target.model.register_forward_hook(lambda *_: 0 * _[2]); raise OSError"
    )
    done = run(ATTACK, body, "--limit", "48")
    assert "attack mine" in done.err
    cells = {path.name: path.read_bytes() for path in Path("out/cells").glob("*.npz")}
    for path in Path("out/cells").iterdir():
        path.unlink()
    words = finished(Path("calm"))
    assert robench(*words, "--limit", "48").code == 0
    calm = {path.name: path.read_bytes() for path in Path("calm/out/cells").glob("*.npz")}
    assert cells == calm


def test_debug_shows_the_traceback() -> None:
    done = run(ATTACK, "raise ValueError('no luck')", "--debug")
    assert done.code == 1
    assert "Traceback (most recent call last)" in done.out
    assert "raise ValueError('no luck')" in done.out


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "raise KeyError('shape')",
            "dataset mine .*mine.py:14.: KeyError: 'shape'; load.. returns",
        ),
        (
            "return 3",
            "mine: classes is a NoneType, expected a tuple; a data set's load.. returns Data",
        ),
    ],
)
def test_a_data_set_that_fails_is_refused_before_any_compute(body: str, message: str) -> None:
    done = run(DATASET, body, "--targets", "mine")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert re.search(message, done.err)


@pytest.mark.parametrize("body", ["return outcome.eps", "return None"])
def test_a_metric_that_fails_costs_its_column(body: str) -> None:
    done = run(METRIC, body)
    assert done.code == 1
    assert re.search("failed: metric mine .*; a metric returns a number", done.err)
    assert done.err.count("\n") == 1
    assert "mirror" in Path("out/table.md").read_text()


def test_a_plan_with_a_faulty_method_is_refused_in_one_line() -> None:
    done = run(OBJECTIVE, "return batch.image", "--dry-run")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "method mine" in done.err


# --- sizes


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize(
    "size", [(4, 4), (8, 8), (9, 9), (24, 24), (28, 28), (32, 32), (32, 48), (48, 32), (96, 96)]
)
def test_square_is_refused_exactly_where_the_package_fails(
    norm: str, size: tuple[int, int]
) -> None:
    attack = Square(eps=0.01, norm=norm, queries=1)
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4)).eval()
    images = torch.rand(2, 3, *size, generator=Generator().manual_seed(0))
    labels = model(images).argmax(1)  # so that both images reach the attack
    refusal = attack.refusal(*size)
    assert refusal == AutoAttack(norm=norm).refusal(*size)
    try:
        attack(Target(model, 4), images, labels, Generator().manual_seed(1), Run(silent))
    except (RuntimeError, ZeroDivisionError):
        assert refusal == f"Square in {norm} cannot tile images of {size[0]}x{size[1]}"
    else:
        assert refusal is None


def test_a_size_that_an_attack_cannot_do_is_refused_before_any_compute(elsewhere: Path) -> None:
    words = [*finished(elsewhere), "--norm", "l2,linf", "--eps", "0.5"]
    words[words.index("blobs")] = "shapes10(size=24)"
    words[words.index("pgd")] = "square(queries=2)"
    done = robench(*words)
    assert done.code == 1
    refused = "square(queries=2) l2 0.5: Square in l2 cannot tile images of 24x24"
    assert 0 < done.out.find(refused) < done.out.find("pretraining mirror")
    assert done.err.splitlines()[1:] == ["robench: 1 of 3 cells are missing"]
