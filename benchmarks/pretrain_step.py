"""Seconds per training step, against a step of the authors' code.

    python benchmarks/pretrain_step.py rocl --batch 64 --encoder resnet18

The baseline makes the passes of the authors' code, listed at each function, in eager float32 and
torch's default memory layout. It is given its views; robench's time includes making them. The two
take turns inside one training, so that other load on the machine slows both equally.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import torch
from measuring import (
    Clock,
    Rate,
    Taken,
    machine,
    medians,
    operations,
    paired,
    rate,
    show,
    timed,
    timed_product,
)
from torch import Generator, Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy

from robench.catalog.catalog import Catalog
from robench.contracts import Batch, Objective, Run, TrainingSet
from robench.engine.pretrain import pretrain
from robench.engine.work import keep_freed_memory
from robench.grid.recipe import Recipe
from robench.tensors.batchnorm import ADVERSARIAL, through_branch

Step = Callable[[Tensor, Tensor], None]
METHODS = ("plain", "clae", "rocl")


def make(method: str, encoder: str, device: torch.device) -> Objective:
    """An objective with fresh weights, the same in each call."""
    torch.manual_seed(0)
    catalog = Catalog()
    return catalog.build_objective(method, catalog.build("encoders", encoder)).to(device).train()


def authors(method: str, objective: Objective) -> Step:
    """The step of the authors' code, as a function of the two views."""
    network = nn.Sequential(objective.encoder, objective.projector)
    match method:
        case "plain":
            return partial(_plain, network, torch.optim.SGD(network.parameters(), 0.1, 0.9))
        case "clae":
            return partial(_clae, network, torch.optim.Adam(network.parameters(), 3e-4))
        case _:
            return partial(_rocl, network, torch.optim.SGD(network.parameters(), 0.1, 0.9))


def _plain(
    network: nn.Module, descent: torch.optim.Optimizer, first: Tensor, second: Tensor
) -> None:
    """Both views in one batch (RoCL's rocl_train.py:145-157 without an adversary)."""
    loss = _masked_nt_xent(network(torch.cat([first, second])), 2)
    descent.zero_grad()
    loss.backward()
    descent.step()


def _rocl(
    network: nn.Module, descent: torch.optim.Optimizer, first: Tensor, second: Tensor
) -> None:
    """Seven ascent steps with both views, then the two-view and the three-view batch.

    src/attack_lib.py:121-177 and rocl_train.py:135-165, without torchlars' scaling.
    """
    attacked = (first + torch.empty_like(first).uniform_(-0.0314, 0.0314)).clamp(0, 1)
    network.eval()
    for _ in range(7):
        attacked = attacked.detach().requires_grad_()
        network.zero_grad()
        loss = _masked_nt_xent(network(torch.cat([attacked, second])), 2)
        (gradient,) = torch.autograd.grad(loss, attacked)
        moved = (attacked + 0.007 * gradient.sign()).clamp(0, 1)
        attacked = first + (moved - first).clamp(-0.0314, 0.0314)
    network.train()
    regulariser = _masked_nt_xent(network(torch.cat([attacked, second])), 2) / 256
    three = network(torch.cat([first, second, attacked.detach()]))
    loss = _masked_nt_xent(three, 3) + regulariser
    descent.zero_grad()
    loss.backward()
    descent.step()


def _clae(
    network: nn.Sequential, descent: torch.optim.Optimizer, first: Tensor, second: Tensor
) -> None:
    """Five encodings of one view each, two of them only for the adversary.

    SimCLR/main.py:48-90: the adversary's loss is back-propagated into weights and images, through
    both of its encodings, and the weights' gradient is discarded.
    """
    encoder = network[0]
    descent.zero_grad()
    anchor = network(first)
    attacked = first.detach().clone().requires_grad_()
    with through_branch(encoder, ADVERSARIAL):
        _full_nt_xent(network(first), network(attacked)).backward()
    assert attacked.grad is not None
    adversary = (attacked + 0.015 * attacked.grad.sign()).detach()
    descent.zero_grad()
    loss = _full_nt_xent(anchor, network(second))
    with through_branch(encoder, ADVERSARIAL):
        loss = loss + _full_nt_xent(anchor, network(adversary))
    loss.backward()
    descent.step()


def _masked_nt_xent(embeddings: Tensor, views: int) -> Tensor:
    """RoCL's loss.py:55-84: a masked exponential of every pair, and the logarithm of its share."""
    unit = embeddings / (embeddings.norm(dim=1, keepdim=True) + 1e-8)
    total = len(unit)
    weights = (unit @ unit.detach().T / 0.5).exp() * (1 - torch.eye(total, device=unit.device))
    terms = -(weights / (weights.sum(1, keepdim=True) + 1e-8) + 1e-8).log()
    each = total // views
    blocks = [
        terms[a * each : (a + 1) * each, b * each : (b + 1) * each].diagonal().sum()
        for a in range(views)
        for b in range(views)
        if a != b
    ]
    return torch.stack(blocks).sum() / total


def _full_nt_xent(first: Tensor, second: Tensor) -> Tensor:
    """CLAE's nt_xent.py: the cosine of every pair, positives before the negatives."""
    both = torch.cat([first, second])
    similarity = cosine_similarity(both.unsqueeze(1), both.unsqueeze(0), dim=2) / 0.5
    total, half = len(both), len(first)
    mask = ~torch.eye(total, dtype=torch.bool, device=both.device)
    rows = torch.arange(total, device=both.device)
    partners = (rows + half) % total
    positives = similarity[rows, partners].unsqueeze(1)
    mask[rows, partners] = False
    logits = torch.cat([positives, similarity[mask].view(total, -1)], dim=1)
    return cross_entropy(logits, torch.zeros(total, dtype=torch.long, device=both.device))


def measure(
    method: str,
    *,
    batch: int = 64,
    encoder: str = "resnet18",
    device: torch.device | str = "cpu",
    pairs: int = 5,
    precision: Literal["bf16", "fp32"] = "bf16",
) -> dict[str, Any]:
    """Time ``pairs`` steps of each in turns, after a warm-up step of each."""
    device = torch.device(device)
    generator = Generator(device=device).manual_seed(1)
    pixels = torch.randint(
        0,
        256,
        (batch * (pairs + 1), 3, 32, 32),
        dtype=torch.uint8,
        device=device,
        generator=generator,
    )
    views = pixels[:batch].float().div(255), pixels[-batch:].float().div(255)
    baseline = authors(method, make(method, encoder, device))
    objective = make(method, encoder, device)
    ours: list[Taken] = []
    theirs: list[Taken] = []
    products: dict[str, list[Taken]] = {"bf16": [], "fp32": []}

    def in_turns(items: Sequence[Any], label: str) -> Iterator[Any]:
        for item in items:
            theirs.append(timed(lambda: baseline(*views), device))
            for name, times in products.items():
                times.append(timed_product(name, device))
            clock = Clock(device)
            yield item
            ours.append(clock.taken())

    # Otherwise as in the preset `cifar`.
    recipe = Recipe(
        epochs=1, batch=batch, optimizer="lars", lr=1.5, weight_decay=1e-6, precision=precision
    )
    keep_freed_memory()
    run = Run(in_turns, device=device)
    pretrain(objective, TrainingSet(pixels), recipe, generator, run, method)

    def step() -> None:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            images = pixels[:batch].float().div(255)
            rows = torch.arange(batch, device=device)
            loss = objective(Batch(images, rows, None, 0, 1, 0.0, generator))
        loss.backward()

    work = {"robench": operations(step), "authors": operations(lambda: baseline(*views))}
    step_taken, baseline_taken = medians(ours[1:]), medians(theirs[1:])
    ratio = paired(theirs[1:], ours[1:])
    rates = {name: rate(times[1:], device) for name, times in products.items()}
    reached = Rate(work["robench"] / step_taken.wall, work["robench"] / step_taken.cpu)
    return {
        "benchmark": "pretrain_step",
        "method": method,
        "encoder": encoder,
        "batch": batch,
        "precision": precision,
        "pairs": pairs,
        **machine(device),
        "seconds": step_taken.wall,
        "cpu_seconds": step_taken.cpu,
        "baseline_seconds": baseline_taken.wall,
        "baseline_cpu_seconds": baseline_taken.cpu,
        "times_as_fast": ratio[0],
        "times_as_fast_by_cpu": ratio[1],
        "images_per_second": batch / step_taken.wall,
        "teraflop": work["robench"] / 1e12,
        "baseline_teraflop": work["authors"] / 1e12,
        **{f"{name}_teraflop_per_second": one.wall / 1e12 for name, one in rates.items()},
        **{f"share_of_{name}": reached.wall / one.wall for name, one in rates.items()},
        **{f"share_of_{name}_by_cpu": reached.cpu / one.cpu for name, one in rates.items()},
    }


def table(rows: Sequence[dict[str, Any]]) -> dict[str, list[object]]:
    """A table of the main numbers, by wall and processor time."""
    columns = {
        "step, s": ("seconds", "cpu_seconds"),
        "authors', s": ("baseline_seconds", "baseline_cpu_seconds"),
        "times as fast": ("times_as_fast", "times_as_fast_by_cpu"),
        "of bf16 rate": ("share_of_bf16", "share_of_bf16_by_cpu"),
        "of fp32 rate": ("share_of_fp32", "share_of_fp32_by_cpu"),
    }
    lines: dict[str, list[object]] = {"": list(columns)}
    for row in rows:
        for i, clock in enumerate(("wall", "cpu")):
            name = f"{row['method']} {row['encoder']} {row['batch']} ({clock})"
            lines[name] = [row[keys[i]] for keys in columns.values()]
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    row = measure(
        asked.method,
        batch=asked.batch,
        encoder=asked.encoder,
        device=asked.device,
        pairs=asked.pairs,
        precision=asked.precision,
    )
    show(row, table([row]))
