"""Numbers of today's code, kept in ``golden.json``, that a change of structure must leave alone.

``python tests/golden.py`` prints how the code differs from the file, in every image and beyond the
tolerances; ``--write`` writes what differs again; ``--quick`` has the slow section along.
"""

import argparse
import hashlib
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from attacking import call
from batches import RUN, Tiny, first_loss, probe_data
from torch import Generator, Tensor, nn

from robench import api
from robench.catalog.catalog import Catalog
from robench.contracts import Data, Split, Teacher
from robench.engine.probe import probe as fit
from robench.engine.progress import silent
from robench.grid import questions
from robench.tensors.learners import projector

FILE = Path(__file__).with_name("golden.json")

RTOL = {"objectives": 1e-9, "encoders": 1e-6, "attacks": 1e-5, "probes": 1e-4}
"""How far a sum may be off, as a share of the sum of absolute values, where the kernels are those
that wrote the file."""

ELSEWHERE = {"objectives": 1e-6, "encoders": 1e-4, "attacks": 0.1, "probes": 1e-3}
"""The same for other kernels. Held against AVX512's, those without any vector instructions move
objectives by 3e-7 (views draw in float32), AutoAttack in l1, where a run forks, by 0.08, ``aff`` by
4e-4, the other attacks and probes by less than in RTOL, and 3 of 32 images of one grid cell."""

IMAGES, IMAGES_ELSEWHERE = 1, 3
"""How many predictions of a line may differ: one, as CPUs of one kind round differently too."""

Value = dict[str, Any]


def stable_generator(question: Any, purpose: str, on: torch.device | str = "cpu") -> Generator:
    """What `questions.generator` is replaced by while a golden grid runs.

    The product's own seeds come from the hash of a question, which any new field changes. These
    come from names only: where a question's fields change, this function alone has to follow.
    """
    attack, probing = getattr(question, "attack", None), getattr(question, "probing", question)
    probe, pretraining = getattr(probing, "probe", None), getattr(probing, "pretraining", probing)
    names = [pretraining.objective, pretraining.dataset, pretraining.seed]
    names += [] if probe is None else [probe, probing.dataset]
    names += [] if attack is None else [attack]
    said = [str(name).partition("(")[0] for name in names]
    ball = dict(re.findall(r"\b(norm|eps)=([^,) ]+)", str(attack)))
    eps = f"{float(Fraction(ball['eps'])):.6g}" if "eps" in ball else ""
    text = " ".join([*said, ball.get("norm", ""), eps, purpose])
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    return Generator(device=on).manual_seed(seed)


@contextmanager
def stable_seeds() -> Iterator[None]:
    """Replace `questions.generator` in every module that imported it, or does so meanwhile."""
    own, name = questions.generator, questions.generator.__name__

    def replace(old: object, new: object) -> None:
        for module in list(sys.modules.values()):
            if getattr(module, "__dict__", {}).get(name) is old:
                setattr(module, name, new)

    replace(own, stable_generator)
    try:
        yield
    finally:
        replace(stable_generator, own)


def ran(**asked: Any) -> Value:
    """Each cell's predictions, by its labels, norm, radius and seed."""
    # The report is left out for its time alone: where this name is gone, it is written.
    skipped = patch.object(api, "write_report", create=True)
    with stable_seeds(), skipped, tempfile.TemporaryDirectory() as folder:
        quiet = {"device": "cpu", "progress": silent, "say": lambda line: None}
        results = api.run(**asked, out=f"{folder}/results", zoo=f"{folder}/zoo", **quiet)
    assert not results.failures, results.failures
    cells = {}
    for result in results:
        outcome = result.outcome
        said = [result.labels.method, result.labels.source, "to", result.labels.target]
        said += [result.labels.attack, result.norm, result.eps, f"seed {result.seed}"]
        cells[" ".join(filter(None, said))] = {
            "clean": line(outcome.clean_prediction),
            "attacked": line(outcome.prediction),
        }
    return cells


def filled(module: nn.Module) -> Any:
    """The module with fixed weights; each is drawn by its shape, and so keeps through renaming."""
    before: Counter[tuple[int, ...]] = Counter()
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                shape = tuple(tensor.shape)
                before[shape] += 1
                seed = hashlib.sha256(f"{shape} {before[shape]}".encode()).digest()[:6]
                dice = Generator().manual_seed(int.from_bytes(seed))
                drawn = torch.randn(shape, dtype=torch.float64, generator=dice)
                fan = max(1, tensor[0].numel()) if tensor.dim() > 1 else 4
                tensor.copy_(drawn / fan**0.5)
                if name.endswith("running_var"):
                    tensor.abs_().add_(0.3)
    return module


def net(classes: int) -> nn.Sequential:
    layers = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Tanh(), nn.Flatten()
    model: nn.Sequential = filled(nn.Sequential(*layers, nn.Linear(384, classes))).eval()
    return model


def sums(tensor: Tensor) -> list[float]:
    tensor = tensor.detach().double()
    return [tensor.sum().item(), tensor.abs().sum().item()]


def line(labels: Any) -> str:
    return " ".join(str(int(label)) for label in labels)


def images_of_colours(count: int, seed: int) -> Split:
    """Noise around one colour for each of three classes."""
    rng = np.random.Generator(np.random.PCG64(seed))
    labels = np.arange(count, dtype=np.int64) % 3
    colours = (100 + 60 * np.eye(3))[labels][:, :, None, None]
    noise = rng.random((count, 3, 10, 10)) * 200 - 100
    return Split((colours + noise).clip(0, 255).astype(np.uint8), labels)


OBJECTIVES = (
    *(f"plain(base={base})" for base in ("simclr", "rocl", "clae", "plain", "uel")),
    "plain(temperature=0.2, hidden=12, output=6, colour=1, crop=0.3)",
    *(f"clae(base={base})" for base in ("simclr", "plain", "uel")),
    "clae(eps=0.1, alpha=0.5, clamp=true)",
    "rocl",
    "rocl(steps=2, lamda=4, hidden=16)",
    "rocl(stop_gradient=false)",
    "supervised",
    "at",
    "trades",
    "acl",
    *(f"dynacl(variant={variant})" for variant in ("ema", "schedule")),
    "deacl",
    "profeat",
    *("barlow", "byol", "simsiam", "vicreg"),
)


def objectives() -> Value:
    """Loss, and of each parameter's gradient the sum and the sum of absolute values, in float64.

    The gradients are in the order of their size, not of names, which may change.
    """
    found = {}
    for spec in OBJECTIVES:
        images = torch.rand(6, 3, 8, 8, dtype=torch.float64, generator=Generator().manual_seed(4))
        teacher = Teacher(filled(Tiny(8)), filled(projector(8, 6, 4)))
        objective = Catalog().build_objective(spec, Tiny(8), 3, teacher)
        objective = filled(objective.double())
        generator = Generator().manual_seed(5)
        loss = first_loss(objective, images, generator)
        loss.backward()
        given = [p.grad for p in objective.parameters() if p.grad is not None]
        gradients = sorted(map(sums, given), key=lambda pair: pair[1])
        found[spec] = {"loss": sums(loss), "gradients": gradients}
    return found


ENCODERS = tuple(f"{name}(width=4)" for name in ("resnet8", "resnet18", "resnet34", "resnet50"))


def encoders() -> Value:
    """Sums of the features of fixed images by fixed weights, in float32."""
    images = torch.rand(4, 3, 32, 32, generator=Generator().manual_seed(2))
    with torch.no_grad():
        return {spec: sums(filled(Catalog().build("encoders", spec)).eval()(images))
                for spec in ENCODERS}  # fmt: skip


RADII = {"linf": "1/255", "l2": "0.06", "l1": "0.4"}
ATTACKS = (
    "clean",
    *(f"pgd(norm={norm}, eps={eps})" for norm, eps in RADII.items()),
    *(f"pgd(norm={norm}, eps={eps}, steps=5, restarts=3)" for norm, eps in RADII.items()),
    "pgd(step_size=2/255, steps=10)",
    *(f"autoattack(norm={norm}, eps={eps})" for norm, eps in RADII.items()),
    *(f"{name}(eps=1/255)" for name in ("apgd-ce", "apgd-t", "fab-t", "square")),
    "corruption",
    *(f"{name}(eps=1/255)" for name in ("fgsm", "noise", "embedding", "transfer", "pma")),
)


def attacks() -> Value:
    """Predictions of the attacked images, and sums of the perturbation, in float32."""
    model = net(4)
    noise = torch.randn(20, 3, 10, 10, generator=Generator().manual_seed(1))
    images = (0.5 + 0.1 * noise).clamp(0, 1)
    found = {}
    with torch.no_grad():
        model[-1].bias -= model(images).mean(0)  # so that every class has images
        labels = model(images).argmax(1)
    for spec in ATTACKS:
        attack = Catalog().build("attacks", spec)
        made = call(attack, model, images, labels, seed=6).images
        with torch.no_grad():
            predicted = model(made).argmax(1)
        found[spec] = {"attacked": line(predicted), "perturbation": sums(made - images)}
    return found


PROBES = (
    "linear",
    "linear(strength=0.01)",
    "linear-sgd",
    "knn(k=20)",
    "linear-adam(epochs=100)",
    "slf(epochs=4, batch=16, decay='2,3')",
    "alf(epochs=4, batch=16, decay='2,3')",
    "robust-linear(epochs=4, batch=16)",
    "aff(epochs=2, batch=16)",
)


def probes() -> Value:
    """Sums of each weight of each probe's classifier: what is fitted, and the encoder if it is."""
    data = Data(*(images_of_colours(n, n) for n in (60, 31, 30)), ("red", "green", "blue"))
    found = {}
    for spec in PROBES:
        probe, generator = Catalog().build("probes", spec), Generator().manual_seed(7)
        model = fit(probe, filled(Tiny(8)).eval(), probe_data(data), generator, RUN)
        tensors = [t for t in model.state_dict().values() if t.is_floating_point()]
        found[spec] = sorted(map(sums, tensors), key=lambda pair: pair[1])
    return found


def grid() -> Value:
    """Every cell of a small grid from pretraining to AutoAttack."""
    return ran(
        methods="plain,clae,rocl(steps=2, hidden=32)",
        attacks="pgd(eps=1/255),pgd(eps=4/255),autoattack(eps=4/255)",
        encoders="resnet8(width=4)",
        probes="linear(strength=0.001)",
        epochs=1,
        images=512,
        limit=32,
    )


def quick() -> Value:
    """24 cells of the preset ``quick`` after one epoch."""
    return ran(preset="quick", attacks="pgd(eps=4/255)", epochs=1, limit=100)


FAST = {part.__name__: part for part in (objectives, encoders, attacks, probes, grid)}
SECTIONS = {**FAST, "quick": quick}


def differences(found: Any, kept: Any, rtol: float, images: int, path: str = "") -> list[str]:
    """Where ``found`` is not ``kept``: by over ``images`` predictions of a line or ``rtol``."""
    if isinstance(kept, Mapping) and isinstance(found, Mapping):
        names = sorted({*kept, *found})
        pairs = [(name, found.get(name), kept.get(name)) for name in names]
    elif isinstance(kept, str) and isinstance(found, str):
        a, b = found.split(), kept.split()
        count = sum(x != y for x, y in zip(a, b, strict=False)) + abs(len(a) - len(b))
        return [f"{path}: {count} of {len(b)} predictions differ"] if count > images else []
    elif isinstance(kept, Sequence) and isinstance(found, Sequence) and len(kept) == len(found):
        if kept and isinstance(kept[0], float):
            far = max(abs(a - b) for a, b in zip(found, kept, strict=True))
            near = far <= rtol * max(kept[1], 1e-6)
            return [] if near else [f"{path}: {found} instead of {kept}"]
        pairs = [(str(i), a, b) for i, (a, b) in enumerate(zip(found, kept, strict=True))]
    else:
        return [f"{path}: {found} instead of {kept}"]
    return [
        text for name, a, b in pairs for text in differences(a, b, rtol, images, f"{path}/{name}")
    ]


def kernels() -> list[str]:
    """What a file written here is exact for."""
    return [torch.__version__, torch.backends.cpu.get_cpu_capability()]


def compared(section: str, images: int = IMAGES) -> list[str]:
    """How today's code differs from the file in a section."""
    kept = json.loads(FILE.read_text())
    return moved(SECTIONS[section](), kept[section], kept["kernels"], section, images)


def moved(found: Any, kept: Any, wrote: list[str], section: str, images: int = IMAGES) -> list[str]:
    """How values differ from those that the kernels ``wrote``."""
    rtol = RTOL
    if wrote != kernels():
        rtol, images = ELSEWHERE, IMAGES_ELSEWHERE
    return differences(found, kept, rtol.get(section, 0.0), images, section)


def write(sections: Mapping[str, Callable[[], Value]]) -> None:
    """Write the values that moved; the others stay, as a revision rests on each."""
    kept = json.loads(FILE.read_text()) if FILE.exists() else {"kernels": kernels()}
    for section, part in sections.items():
        before = kept.get(section, {})
        kept[section] = {
            name: value
            if name not in before or moved(value, before[name], kept["kernels"], section)
            else before[name]
            for name, value in part().items()
        }
    FILE.write_text(json.dumps(kept, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--quick", action="store_true", help="the slow section too")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    sections = SECTIONS if asked.quick else FAST
    if asked.write:
        return write(sections)
    found = [text for section in sections for text in compared(section, images=0)]
    print("\n".join(found) or "no differences")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
