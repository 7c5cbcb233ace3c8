"""AutoAttack at its official budget, in float32: robench against the official package.

    python benchmarks/autoattack.py --encoder resnet18 --images 100

For each method, both attack the same images through the same classifier, batch for batch with the
same seeds. They take turns with each batch, so that other load on the machine slows both equally.
Robust flags are compared image by image, by the model's own predictions.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyautoattack
import torch
from measuring import Clock, Taken, machine, medians, show
from torch import Generator, Tensor, nn
from trained import trained

from robench.attacks.autoattack import AutoAttack
from robench.contracts import NO_CHECKPOINTS, Run, Target
from robench.engine.progress import silent
from robench.tensors.modes import draw_seed, full_precision, preserved_random_state

NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}
Attacking = Callable[[Tensor, Tensor, int], Tensor]


class Passes:
    """Counts images in forward and backward passes of a model and its copies."""

    def __init__(self, model: nn.Module) -> None:
        self.forward = self.backward = 0

        def count(_: nn.Module, given: tuple[Tensor, ...], logits: Tensor) -> None:
            self.forward += len(given[0])
            if logits.requires_grad:
                logits.register_hook(count_back)

        def count_back(gradient: Tensor) -> None:
            self.backward += len(gradient)

        model.register_forward_hook(count)

    def taken(self) -> tuple[int, int]:
        """The counts since the last call."""
        counts = self.forward, self.backward
        self.forward = self.backward = 0
        return counts


def official(model: nn.Module, norm: str, eps: float) -> Attacking:
    """The official package, called as in its README."""

    def attack(images: Tensor, labels: Tensor, seed: int) -> Tensor:
        with preserved_random_state():
            package = pyautoattack.AutoAttack(
                model,
                norm=NORMS[norm],
                eps=eps,
                seed=draw_seed(Generator().manual_seed(seed)),
                version="standard",
            )
            attacked, _ = package.run_standard_evaluation(images, labels, batch_size=len(images))
        model.zero_grad(set_to_none=True)
        return attacked

    return attack


def robench(model: nn.Module, norm: str, eps: float) -> Attacking:
    """robench's attack, called as in an evaluation."""
    ours = AutoAttack(eps=eps, norm=norm)

    def attack(images: Tensor, labels: Tensor, seed: int) -> Tensor:
        with torch.no_grad():
            target = Target(model, model(images[:1]).shape[1])
        generator = Generator().manual_seed(seed)
        return ours(target, images, labels, generator, Run(silent, NO_CHECKPOINTS)).images

    return attack


def standing(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """A mask of the images that the model still classifies correctly."""
    with torch.no_grad():
        return torch.cat([model(some) for some in images.split(250)]).argmax(1) == labels


def total(times: list[Taken]) -> Taken:
    """The total time of several batches."""
    return Taken(sum(one.wall for one in times), sum(one.cpu for one in times))


def measure(method: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Attack a method's classifier with both, ``asked.pairs`` times."""
    model, images, labels = trained(method, asked.encoder, asked.images, asked.cache)
    attacks = [make(model, asked.norm, asked.eps) for make in (official, robench)]
    times: list[list[Taken]] = [[], []]
    passes: list[list[tuple[int, int]]] = [[], []]
    found: list[list[Tensor]] = [[], []]
    counter = Passes(model)
    for pair in range(asked.pairs):
        parts: list[list[Taken]] = [[], []]
        for seed, start in enumerate(range(0, len(images), asked.batch)):
            batch = slice(start, start + asked.batch)
            for i, attack in enumerate(attacks):
                counter.taken()
                clock = Clock()
                attacked = attack(images[batch], labels[batch], seed)
                parts[i].append(clock.taken())
                if pair == 0:
                    passes[i].append(counter.taken())
                    found[i].append(attacked)
        for kept, part in zip(times, parts, strict=True):
            kept.append(total(part))
    theirs, ours = (standing(model, torch.cat(attacked), labels) for attacked in found)
    (their_forward, their_backward), (forward, backward) = (
        (sum(column) for column in zip(*made, strict=True)) for made in passes
    )
    their_time, time = (medians(kept) for kept in times)
    return {
        "images": len(images),
        "clean": int(standing(model, images, labels).sum()),
        "package_standing": int(theirs.sum()),
        "standing": int(ours.sum()),
        "differ": int((theirs != ours).sum()),
        "package_seconds": their_time.wall,
        "seconds": time.wall,
        "package_cpu": their_time.cpu,
        "cpu": time.cpu,
        "times_as_fast": their_time.wall / time.wall,
        "times_as_fast_cpu": their_time.cpu / time.cpu,
        "package_forward": their_forward,
        "package_backward": their_backward,
        "forward": forward,
        "backward": backward,
    }


def main(asked: argparse.Namespace) -> None:
    """Measure each method, and all of them together."""
    methods = asked.methods.split(",")
    torch.set_num_threads(asked.threads)
    with full_precision():
        made = {}
        for method in methods:
            made[method] = measure(method, asked)
            print(json.dumps({method: made[method]}), flush=True)  # the next one takes long
    both = [sum(one[name] for one in made.values()) for name in ("package_seconds", "seconds")]
    row = {
        "benchmark": "autoattack",
        "encoder": asked.encoder,
        "norm": asked.norm,
        "eps": asked.eps,
        "batch": asked.batch,
        "pairs": asked.pairs,
        **machine(),
        "methods": made,
        "times_as_fast": both[0] / both[1],
    }
    columns = {
        "clean": "clean",
        "package standing": "package_standing",
        "standing": "standing",
        "differ": "differ",
        "package s": "package_seconds",
        "s": "seconds",
        "times as fast": "times_as_fast",
        "by cpu": "times_as_fast_cpu",
        "package forward": "package_forward",
        "forward": "forward",
        "package backward": "package_backward",
        "backward": "backward",
    }
    table: dict[str, list[object]] = {"": list(methods)}
    for title, name in columns.items():
        table[title] = [made[method][name] for method in methods]
    show(row, table)
    print(f"together {row['times_as_fast']:.3g} times as fast")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--encoder", default="resnet18", help="resnet18 or resnet8")
    parser.add_argument("--methods", default="plain,rocl", help="plain, rocl or both")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--batch", type=int, default=250)
    parser.add_argument("--norm", choices=tuple(NORMS), default="linf")
    parser.add_argument("--eps", type=float, default=8 / 255)
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path("benchmarks/cache"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    main(parser.parse_args())
