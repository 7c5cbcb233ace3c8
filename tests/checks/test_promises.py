"""Each broken promise is found, and said in words; what is sound keeps every one."""

import re
from pathlib import Path

import pytest
from commands import robench

from robench.catalog.catalog import Catalog
from robench.checks import PROMISES, Checked, check
from robench.grid.spec import parse
from robench.templates import KINDS

HEAD = """
import random
from dataclasses import dataclass, replace
import numpy as np
import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy
from robench.contracts import *
from robench.contracts import Outcome
from robench.grid.recipe import Recipe
from robench.tensors.balls import Linf
"""
METHOD = """
class Mine(Objective):
    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder, self.steps = encoder, 0
        self.dropout = nn.Dropout()
    def forward(self, batch):
        images, labels, generator = batch.images, batch.labels, batch.generator
        noise = torch.randn(images.shape, generator=generator)
        features = self.encoder(images + 0.1 * noise)
        {}
"""
ENCODER = """
class Mine(Encoder):
    def __init__(self):
        super().__init__()
        self.width, self.layer = 4, nn.Conv2d(3, 4, 3)
        self.fixed = torch.randn(4)
    def forward(self, images):
        features = adaptive_avg_pool2d(self.layer(images), 1).flatten(1)
        {}
"""
ATTACK = """
@dataclass(frozen=True)
class Mine(Attack):
    eps: float = 8 / 255
    {needs}
    @property
    def ball(self):
        return Linf(self.eps)
    def __call__(self, target, images, labels, generator, run):
        {body}
"""
CLIMB = """with torch.enable_grad():
            images.requires_grad_()
            loss = cross_entropy(target.model(images), labels)
            (slope,) = torch.autograd.grad(loss, images)
        return Attacked((images + self.eps * slope.sign()).clamp(0, 1).detach())"""
PROBE = """
@dataclass({frozen})
class Mine(Probe):
    def fit(self, encoder, data, generator, run):
        features, labels = data.features(encoder, run)
        layer = nn.Linear(encoder.width, data.classes)
        with torch.no_grad():
            for one in range(data.classes):
                mean = features[labels == one].mean(0)
                layer.weight[one], layer.bias[one] = 2 * mean, -mean.square().sum()
        {body}
"""
MODULE = """
class Odd(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer, self.shift = layer, torch.tensor([0.0, 1.0, 0.0]) * 1000
    def forward(self, features):
        {}
"""
DATASET = """
@dataclass(frozen=True)
class Mine(Dataset):
    def files(self, root):
        return {files}
    def load(self, root, progress):
        rng = {rng}
        parts = [Split(rng.integers(0, 256, (30, 3, 8, 8)).astype(np.uint8), np.arange(30) % 3)
                 for _ in range(3)]
        {body}
        return Data(*parts, ("a", "b", "c"))
"""
METRIC = """
def mine(outcome: Outcome) -> float:
    {}
"""


def method(body: str) -> str:
    return METHOD.format(body)


def attack(body: str, needs: str = "needs = frozenset({'labels', 'gradients'})") -> str:
    return ATTACK.format(body=body, needs=needs)


def probe(body: str, frozen: str = "frozen=True") -> str:
    return PROBE.format(body=body, frozen=frozen)


def odd(body: str) -> str:
    return MODULE.format(body) + probe("return Odd(layer)")


def dataset(body: str = "", rng: str = "np.random.default_rng(0)", files: str = "()") -> str:
    return DATASET.format(body=body or "pass", rng=rng, files=files)


MEAN = "features.square().mean()"
FAULTS = {
    # objectives
    "shape of the loss": (
        method("return features.sum(1)"),
        "one finite number",
        r"Mine returned float32 \[8\]; the loss must be a scalar tensor \(.*mine.py:",
    ),
    "a loss of nan": (method(f"return {MEAN} / 0 * 0"), "one finite number", "a loss of nan"),
    "an exception": (method("return batch.image"), "one finite number", "method mine .*Attrib"),
    "labels unsaid": (
        method("return cross_entropy(features, labels)"),
        "one finite number",
        "takes batch.labels, which are None: write uses_labels = True in the class",
    ),
    "no gradient": (
        method("return features.detach().mean() * nn.Parameter(torch.ones(()))"),
        "reaches the encoder",
        "whose gradient in the encoder is none or zero: it would never learn",
    ),
    "a gradient of zero": (
        method(f"return 0 * {MEAN}"),
        "reaches the enc",
        "encoder is none or zero",
    ),
    "torch's state": (
        method(f"return {MEAN} * torch.rand(())"),
        "from batch.generator",
        "Mine draws from torch's global random state, not from batch.generator",
    ),
    "a layer's draws": (
        method("return self.dropout(features).mean()"),
        "from batch.gen",
        "torch's",
    ),
    "NumPy's state": (
        method(f"return {MEAN} * np.random.rand()"),
        "from batch.generator",
        "draws from NumPy's global random state",
    ),
    "Python's state": (
        method(f"return {MEAN} * random.random()"),
        "from batch.generator",
        "draws from Python's global random state",
    ),
    "a generator of its own": (
        method(
            f"own = torch.Generator(); own.seed(); return {MEAN} * torch.rand((), generator=own)"
        ),
        "from batch.generator",
        "gave two losses for the same weights, images and generator",
    ),
    "eval mode": (
        method(f"self.encoder.eval(); return {MEAN}"),
        "train and eval",
        "changed the train or eval mode of encoder",
    ),
    "train mode": (
        method(f"self.encoder.train(); return {MEAN}"),
        "train and eval",
        "changed the train or eval mode of encoder.*1",
    ),
    "weights": (
        method(f"next(self.encoder.parameters()).data += 1; return {MEAN}"),
        "leaves? weights",
        "changed the weights encoder.*; a forward pass may change buffers only",
    ),
    "a gradient left": (
        method(f"self.encoder(images).sum().backward(); return {MEAN}"),
        "leaves? weights",
        "changed the gradient of encoder",
    ),
    "images": (
        method(f"images.mul_(0.5); return {MEAN}"),
        "leaves? weights",
        "changed batch.images; it should work on a copy",
    ),
    "grad mode": (
        method(f"torch.set_default_dtype(torch.float64); return {MEAN}"),
        "torch's settings",
        "changed torch's default dtype",
    ),
    "state outside": (
        method(f"self.steps += 1; return {MEAN} * self.steps"),
        "interrupted",
        "ends with other weights after an interruption: .*register_buffer.: steps",
    ),
    "an encoder that is none": (
        method(f"return {MEAN}") + "    def exported(self):\n        return self.encoder\n",
        "exports an encoder",
        "returned ResNet8; expected Exported",
    ),
    "a branch that is not there": (
        method(f"return {MEAN}")
        + "    def exported(self):\n        return Exported(self.encoder, 'adversarial')\n",
        "exports an encoder",
        "exports the branch 'adversarial'; its encoder has clean",
    ),
    "a recipe of words": (
        method(f"return {MEAN}") + "    recipe = {'epochs': 3}\n",
        "recipe",
        "has a recipe that is a dict",
    ),
    # encoders
    "unpooled": (
        ENCODER.format("return self.layer(images)"),
        "float32 .B, width",
        r"expected float32 \[8, 4\]",
    ),
    "nan": (ENCODER.format("return features / 0 * 0"), "float32 .B, width", "not finite"),
    "untrainable": (
        ENCODER.format("return images.mean((2, 3)) @ torch.ones(3, 4)"),
        "reach its weights",
        "has no weights, or none that a gradient reaches",
    ),
    "blind": (
        ENCODER.format(
            "return features + 0 * features.detach() - features * 1.0 + self.layer.bias"
        ),
        "reach its weights",
        "gradient of zero in the pixels of an image",
    ),
    "batchwise": (
        ENCODER.format("return features - features.mean(0)"),
        "features are its own",
        "for an image among other images",
    ),
    "noisy": (
        ENCODER.format("return features + torch.randn_like(features)"),
        "features are its own",
        "something else for the same images with each call in eval mode",
    ),
    "draws": (
        ENCODER.format("torch.rand(1); return features"),
        "draws nothing",
        "draws from torch's global random state in eval mode",
    ),
    "unsaved": (
        ENCODER.format("return features * self.fixed"),
        "parameters and buffers",
        "is neither a parameter nor a buffer",
    ),
    # attacks
    "not frozen": (
        attack(CLIMB).replace("frozen=True", "eq=False"),
        "equal",
        "write @dataclass.frozen=True",
    ),
    "another type": (attack("return images"), "within its ball", "returned float32 .*Attacked"),
    "out of the ball": (
        attack("return Attacked((images + 0.1).clamp(0, 1))"),
        "within its ball",
        "left its ball: size 0.1",
    ),
    "out of the range": (
        attack("return Attacked(images - 0.9)").replace("Linf(self.eps)", "Linf(1.0)"),
        "within its ball",
        "left the pixel range",
    ),
    "the model's weights": (
        attack("next(target.model.parameters()).data += 1; return Attacked(images)"),
        "within its ball",
        "changed the model that it should leave as it is",
    ),
    "train mode in an attack": (
        attack("target.model.train(); target.model(images); return Attacked(images)"),
        "within its ball",
        "in train mode while it should only be evaluated",
    ),
    "a radius that does nothing": (
        attack(CLIMB).replace("Linf(self.eps)", "Linf(0.5)"),
        "its eps says",
        "has eps=0.0313.* and a ball of 0.5",
    ),
    "global draws": (
        attack("return Attacked((images + 1e-3 * torch.rand_like(images)).clamp(0, 1))"),
        "from the generator",
        "draws from torch's global random state, not from its generator",
    ),
    "one image": (
        attack("made = images.squeeze(0); return Attacked(images if len(images) > 1 else made)"),
        "a single image",
        r"returned images \[3, 16, 16\] of \[1, 3, 16, 16\]",
    ),
    "labels unneeded": (
        attack(CLIMB, "needs = frozenset({'gradients'})"),
        "needs do not name",
        "add .labels. to its needs",
    ),
    "gradients unneeded": (
        attack(CLIMB, "needs = frozenset({'labels'})"),
        "needs do not name",
        "add .gradients. to its needs",
    ),
    "weak": (
        attack("return Attacked(images)"),
        "wherever one step",
        r"left \d of 8 images standing that one step along the gradient",
    ),
    "other draws after an interruption": (
        attack(
            "found = run.checkpoints.load()\n"
            "        if found is None:\n"
            "            run.checkpoints.save_if_due(lambda: State({'images': images}, {}))\n"
            "            torch.rand(9, generator=generator)\n"
            "        noise = torch.rand(images.shape, generator=generator)\n"
            "        return Attacked((images + self.eps * noise).clamp(0, 1))"
        ),
        "goes on from there",
        "its state lacks something",
    ),
    # probes
    "a probe not frozen": (probe("return layer", "eq=False"), "equal", "frozen=True"),
    "no module": (probe("return 3"), "fits a module", "Mine fitted int; expected a module"),
    "the encoder": (
        probe("next(encoder.parameters()).data += 1; return layer"),
        "leaves the encoder",
        "changed the encoder that it was to leave frozen",
    ),
    "the encoder in train mode": (
        probe("encoder.train(); encoder(torch.rand(2, 3, 16, 16)); return layer"),
        "leaves the encoder",
        "in train mode while it should only be evaluated",
    ),
    "classes": (
        probe("return nn.Linear(encoder.width, 2)"),
        "logits float32",
        r"gives float32 \[60, 2\]; expected \[60, 3\]",
    ),
    "weights of nan": (
        probe("layer.bias.data[1] = torch.nan; return layer"),
        "fits a module",
        "fitted linear.bias with numbers that are not finite",
    ),
    "first weights": (
        probe("layer.weight.data += 1e-3 * torch.rand(1); return layer"),
        "from the generator",
        "same generator: it draws from elsewhere, as the first weights",
    ),
    "a module of its own": (
        odd("return self.layer(features)"),
        "Made again from its weights",
        "has weights that do not fit",
    ),
    "a shift that is not saved": (
        odd("return self.layer(features) + self.shift")
        + "    def rebuild(self, width, classes, weights):\n"
        "        made = Odd(nn.Linear(width, classes))\n"
        "        made.load_state_dict(weights)\n"
        "        made.shift = torch.zeros(3)\n"
        "        return made\n",
        "Made again from its weights",
        "something is not in its state_dict",
    ),
    "logits of others": (
        odd("return self.layer(features) - self.layer(features).mean(0)"),
        "logits are its own",
        "in eval mode for an image among other images",
    ),
    "not fitted": (
        probe("layer.weight.data.zero_(); return layer"),
        "tells apart",
        "classifies 33% of the images right",
    ),
    "a probe that goes on wrongly": (
        probe(
            "if run.checkpoints.load() is None:\n"
            "            run.checkpoints.save_if_due(lambda: State({'w': layer.weight}, {}))\n"
            "            return layer\n"
            "        layer.bias.data += 1\n"
            "        return layer"
        ),
        "goes on from there",
        "its state lacks something",
    ),
    # data sets
    "a file that is missing": (
        dataset(files="[root / 'missing.npz']"),
        "files",
        "lists PosixPath.*missing.npz.*, which is no file",
    ),
    "a file as text": (dataset(files="['mine.npz']"), "files", "lists str .*; expected a Path"),
    "no data": (dataset("return 3"), "loads three parts", "a data set's load.. returns Data"),
    "float pixels": (
        dataset("parts[2] = Split(parts[2].images / 255, parts[2].labels)"),
        "loads three parts",
        r"images are float64 \[30, 3, 8, 8\], expected uint8",
    ),
    "labels out of range": (
        dataset("parts[1].labels[3] = 7"),
        "loads three parts",
        "label 7 in row 3 is out of range",
    ),
    "other images each time": (
        dataset(rng="np.random.default_rng()"),
        "same images every time",
        "loads other images or labels each time, in the part train",
    ),
    "draws of load": (
        dataset("np.random.rand()"),
        "same images every time",
        "draws from NumPy's global random state; use a seed of its own",
    ),
    "test images in train": (
        dataset("parts[2].images[:9] = parts[0].images[:9]"),
        "No image of the test part",
        "has 9 of its 30 test images in the part train too",
    ),
    # metrics
    "no number": (METRIC.format("return None"), "finite number", "returned NoneType for 40 im"),
    "no finite one": (METRIC.format("return float('inf')"), "finite number", "returned inf for"),
    "an array": (METRIC.format("return outcome.size"), "finite number", "returned ndarray"),
    "an attribute": (METRIC.format("return outcome.eps"), "finite number", "metric mine .*Attrib"),
    "written into": (
        METRIC.format("outcome.size[0] = 1; return 1.0"),
        "leaves the outcome",
        "mine writes into outcome.size; it should work on a copy",
    ),
    "nobody fooled": (
        METRIC.format("return 1 / int((outcome.prediction != outcome.label).sum())"),
        "for none fooled",
        "metric mine .*ZeroDivisionError",
    ),
    "the first image": (
        METRIC.format("return float(outcome.size[0])"),
        "order of the images",
        "for the same images turned round",
    ),
}


def kind_of(code: str) -> str:
    for kind, base in (
        ("methods", "Objective"),
        ("encoders", "Encoder"),
        ("attacks", "Attack"),
        ("probes", "Probe"),
        ("datasets", "Dataset"),
    ):
        if f"class Mine({base})" in code:
            return kind
    return "metrics"


def checked(code: str, folder: Path) -> list[Checked]:
    file = folder / "mine.py"
    file.write_text(HEAD + code)
    return list(check(Catalog([file]), kind_of(code), parse("mine"), folder))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_in_words(fault: str, tmp_path: Path) -> None:
    code, promise, message = FAULTS[fault]
    found = [one for one in checked(code, tmp_path) if one.fault]
    said = "\n".join(map(str, found))
    assert any(
        re.search(promise, one.promise) and re.search(message, one.fault) for one in found
    ), said


def test_every_promise_has_a_fault_here() -> None:
    for kind, promises in PROMISES.items():
        texts = [promise.__doc__ or "" for promise in promises]
        faults = [promise for code, promise, _ in FAULTS.values() if kind_of(code) == kind]
        assert all(any(re.search(one, text) for one in faults) for text in texts), (kind, texts)


SLOW = {"apgd-t", "fab-t", "square", "autoattack", "robust-linear", "resnet34", "resnet50"}
BUILT_IN = [(kind, name) for kind in PROMISES for name in Catalog().names(kind)]
BUILT_IN = [
    one for one in BUILT_IN if one[1] not in {"own", "cifar10", "cifar100", "npz", "folder"}
]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        pytest.param(*one, id="-".join(one), marks=[pytest.mark.slow] * (one[1] in SLOW))
        for one in BUILT_IN
    ],
)
def test_every_component_here_keeps_them(kind: str, name: str, tmp_path: Path) -> None:
    found = list(check(Catalog(), kind, parse(name), tmp_path))
    assert [one.promise for one in found if one.fault] == [], found


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_file_keeps_them(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    begun = robench("new", kind, "ours")
    assert "  robench check ours.py\n" in begun.out
    done = robench("check", "ours.py")
    assert (done.code, done.err) == (0, ""), done
    first, *lines, last = done.out.splitlines()
    assert first == f"ours.py: the {kind} ours"
    assert len(lines) == len(PROMISES[f"{kind}s"])
    assert all(line.startswith("  ok     ") for line in lines)
    assert last == "every promise is kept"


def test_the_command_says_each_fault_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(HEAD + method("return batch.image"))
    done = robench("check", "mine.py")
    assert done.code == 1
    assert done.out.count("AttributeError") == 1
    assert "as above" in done.out
    assert done.out.splitlines()[-1] == "5 promises are broken"


def test_arguments_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    robench("new", "method", "ours")
    assert robench("check", "ours.py", "ours(temperature=0.5)").code == 0
    assert "should be positive" in robench("check", "ours.py", "ours(temperature=0)").err
    assert "is not a file" in robench("check", "none.py").err
    assert "ours.py holds ours, not rocl" in robench("check", "ours.py", "rocl").err
