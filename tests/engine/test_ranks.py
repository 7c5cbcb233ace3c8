"""Several processes train one model to the loss and gradients of one process."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir
from unittest import mock

import pytest
import torch
from commands import PLUGINS
from killed import Killed, Killing
from torch import Generator, Tensor, distributed, multiprocessing

from robench.contracts import Batch, Checkpoints, Objective, Run, Teacher, TrainingSet
from robench.encoders.resnet8 import ResNet8
from robench.engine.pretrain import TrainingError, pretrain
from robench.engine.progress import silent
from robench.grid.recipe import Recipe
from robench.objectives.acl import ACL
from robench.objectives.at import AT
from robench.objectives.barlow import BarlowTwins
from robench.objectives.byol import BYOL
from robench.objectives.clae import CLAE
from robench.objectives.deacl import DeACL
from robench.objectives.dynacl import DynACL
from robench.objectives.plain import Plain
from robench.objectives.profeat import ProFeAT
from robench.objectives.rocl import RoCL
from robench.objectives.simsiam import SimSiam
from robench.objectives.supervised import Supervised
from robench.objectives.trades import TRADES
from robench.objectives.vicreg import VICReg
from robench.store import checkpoints
from robench.store.checkpoints import FileCheckpoints
from robench.tensors.ascend import Climb
from robench.tensors.balls import Linf
from robench.tensors.ranks import WideBatchNorm2d, across_ranks, average

SMALL = {"hidden": 8, "output": 8}
METHODS = {
    "plain": lambda encoder: Plain(encoder),
    "plain-instance": lambda encoder: Plain(encoder, base="plain"),
    "plain-uel": lambda encoder: Plain(encoder, base="uel"),
    "clae": lambda encoder: CLAE(encoder),
    "rocl": lambda encoder: RoCL(encoder, steps=3),
    "rocl-formula": lambda encoder: RoCL(encoder, steps=2, stop_gradient=False),
    "simsiam": lambda encoder: SimSiam(encoder, predictor=4, **SMALL),
    "byol": lambda encoder: BYOL(encoder, **SMALL),
    "barlow": lambda encoder: BarlowTwins(encoder, **SMALL),
    "vicreg": lambda encoder: VICReg(encoder, **SMALL),
    "supervised": lambda encoder: Supervised(encoder, 3),
    "at": lambda encoder: AT(encoder, 3, steps=2),
    "trades": lambda encoder: TRADES(encoder, 3, steps=2),
    "acl": lambda encoder: ACL(encoder, steps=2),
    "dynacl": lambda encoder: DynACL(encoder, steps=2),
    "deacl": lambda encoder: DeACL(encoder, teacher(), steps=2, scratch=True),
    "profeat": lambda encoder: ProFeAT(encoder, teacher(), steps=2, scratch=True),
}


def teacher() -> Teacher:
    return Teacher(ResNet8(width=4), torch.nn.Linear(16, 8))


class Fixed:
    """Views that depend on the image alone: the image, and its mirror image."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        self.calls += 1
        return images if self.calls % 2 else images.flip(-1) ** 2

    def weaker(self, strength: float) -> "Fixed":
        return self


class Still(Linf):
    """A ball whose random point depends on the image alone."""

    def sample(self, centre: Tensor, generator: Generator) -> Tensor:
        return (centre + self.eps * (7 * centre).sin()).clamp(0, 1)


def still(climb: Climb) -> Callable[..., Tensor]:
    """The same climb from a point that depends on the images alone."""

    def climbed(
        loss: Callable[[Tensor], Tensor], centre: Tensor, *_: object, **__: object
    ) -> Tensor:
        return climb(loss, centre, start=Still(climb.eps).sample(centre, Generator()))

    return climbed


def step(name: str, rank: int, size: int) -> dict[str, Tensor]:
    """Loss, gradients and buffers of one step on this rank's part of a batch of 16."""
    torch.manual_seed(0)
    objective: Objective = METHODS[name](ResNet8(width=4)).double()
    view = objective.augment = objective.strong = Fixed()
    objective.augments = view, view
    if isinstance(objective, RoCL):
        objective.ball = Still(objective.ball.eps)
    if climb := getattr(objective, "climb", None):
        objective.climb = still(climb)
    images = torch.rand(16, 3, 8, 8, dtype=torch.float64)
    rows = torch.arange(16).chunk(size)[rank]
    objective.train()
    with across_ranks(objective):
        loss = objective(Batch(images[rows], rows, rows % 3, 0, 1, 0.0, Generator()))
        loss.backward()
    found = {"loss": loss.detach()}
    found |= {n: p.grad for n, p in objective.named_parameters() if p.grad is not None}
    average(found.values())
    found |= {n: b for n, b in objective.named_buffers() if b.is_floating_point()}
    assert not any(isinstance(part, WideBatchNorm2d) for part in objective.modules())
    return found


def worker(rank: int, size: int, folder: str) -> None:
    torch.set_num_threads(1)
    file = f"file://{folder}/meeting"
    distributed.init_process_group("gloo", init_method=file, rank=rank, world_size=size)
    for name in METHODS:
        torch.save(step(name, rank, size), f"{folder}/{name}-{rank}.pt")
    with mock.patch.object(checkpoints, "EVERY", 0.0), suppress(Killed):
        train(Killing(Path(folder) / f"rank {rank}", after=STEPS - 2))
    distributed.destroy_process_group()


STEPS = 3 * 4


def train(saved: Checkpoints) -> tuple[Plain, list[float]]:
    """Three epochs of four steps, with a loss for each epoch."""
    torch.manual_seed(0)
    objective = Plain(ResNet8(width=4))
    objective.augment = Fixed()
    images = torch.randint(0, 256, (64, 3, 8, 8), dtype=torch.uint8, generator=Generator())
    recipe, run = Recipe(epochs=3, batch=16), Run(silent, saved)
    losses = pretrain(objective, TrainingSet(images), recipe, Generator(), run, "toy")
    return objective, losses


def check(size: int, folder: Path) -> None:
    multiprocessing.spawn(worker, (size, str(folder)), size)
    for name in METHODS:
        alone = step(name, 0, 1)
        assert len(alone) > 10
        for rank in range(size):
            found = torch.load(folder / f"{name}-{rank}.pt")
            assert found.keys() == alone.keys()
            for part, value in alone.items():
                error = (found[part] - value).abs().max() / value.abs().max().clamp(min=1)
                assert error < 1e-10, (name, rank, part, error)
    # What several ranks began, one process ends.
    objective, losses = train(FileCheckpoints(folder / "rank 0", {}, lambda line: None))
    assert objective.augment.calls == 2 * 2
    assert len(losses) == 3


def test_two_ranks_have_the_loss_and_gradients_of_one_process(tmp_path: Path) -> None:
    check(2, tmp_path)


def test_a_batch_that_ranks_cannot_share_is_refused() -> None:
    with (
        mock.patch("robench.tensors.ranks.size", return_value=3),
        mock.patch("robench.tensors.ranks.rank", return_value=0),
        pytest.raises(TrainingError, match="3 processes cannot share a batch of 16 evenly"),
    ):
        train(Checkpoints())


@pytest.mark.slow
def test_four_ranks_have_the_loss_and_gradients_of_one_process(tmp_path: Path) -> None:
    check(4, tmp_path)


@pytest.mark.slow
def test_a_killed_rank_ends_the_run_with_a_clear_error(tmp_path: Path) -> None:
    mark = Path(gettempdir()) / f"{tmp_path.name}-{os.getpid()}-rank"
    plugins = (w for one in ("tiny", "marking") for w in ("--plugin", str(PLUGINS / f"{one}.py")))
    words = [*("run", *plugins, "--encoders", "tiny", "--sources", "shapes10(size=8)")]
    words += ["--methods", f"marking(name={mark.name})", "--attacks", "clean", "--devices", "2"]
    words += ["--epochs", "4000", "--images", "384"]
    words += ["--out", str(tmp_path / "out"), "--zoo", str(tmp_path / "zoo")]
    process = subprocess.Popen(
        [sys.executable, "-m", "robench", *words], stderr=subprocess.PIPE, text=True
    )
    while not (mark.exists() and mark.read_text()):
        assert process.poll() is None
        time.sleep(0.1)
    os.kill(int(mark.read_text()), signal.SIGKILL)
    _, err = process.communicate(timeout=100)
    assert process.returncode != 0
    told = "robench: .*(another of the 2 processes ended|the same command goes on from here)"
    assert re.search(told, err), err
