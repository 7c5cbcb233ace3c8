"""PGD-20 in float32: robench's evaluation attack against torchattacks on the plain module.

    python benchmarks/pgd.py --encoder resnet18

Both start from the same random points. They take turns with each batch, so that other load on the
machine slows both equally.
"""

import argparse
from pathlib import Path

import torch
import torchattacks
from measuring import Clock, Taken, machine, medians, paired, show
from torch import Generator
from trained import trained

from robench.attacks.pgd import PGD
from robench.contracts import NO_CHECKPOINTS, Run, Target
from robench.engine.progress import silent
from robench.tensors.modes import draw_seed, full_precision, preserved_random_state


def main(asked: argparse.Namespace) -> None:
    """Attack the same images with both, ``asked.pairs`` times."""
    torch.set_num_threads(asked.threads)
    model, images, labels = trained(asked.method, asked.encoder, asked.images, asked.cache)
    ours = PGD(eps=asked.eps, norm=asked.norm)
    kind = torchattacks.PGD if asked.norm == "linf" else torchattacks.PGDL2
    theirs = kind(model, eps=asked.eps, alpha=asked.eps / 10, steps=20, random_start=True)
    with torch.no_grad():
        target = Target(model, model(images[:1]).shape[1])
    times: tuple[list[Taken], list[Taken]] = ([], [])
    with full_precision():
        for seed in range(asked.pairs):
            clock = Clock()
            with preserved_random_state():
                torch.manual_seed(draw_seed(Generator().manual_seed(seed)))
                expected = theirs(images, labels)
            times[0].append(clock.taken())
            clock = Clock()
            generator = Generator().manual_seed(seed)
            found = ours(target, images, labels, generator, Run(silent, NO_CHECKPOINTS)).images
            times[1].append(clock.taken())
        with torch.no_grad():
            flags = [model(attacked).argmax(1) == labels for attacked in (expected, found)]
    by_wall, by_cpu = paired(*times)
    row = {
        "benchmark": "pgd",
        "method": asked.method,
        "encoder": asked.encoder,
        "norm": asked.norm,
        "eps": asked.eps,
        "images": len(images),
        "pairs": asked.pairs,
        **machine(),
        "torchattacks_seconds": medians(times[0]).wall,
        "seconds": medians(times[1]).wall,
        "times_as_fast": by_wall,
        "times_as_fast_cpu": by_cpu,
        "torchattacks_standing": int(flags[0].sum()),
        "standing": int(flags[1].sum()),
        "differ": int((flags[0] != flags[1]).sum()),
        "other_pixels": float(((expected - found).abs() > 1e-6).float().mean()),
    }
    names = ["torchattacks_seconds", "seconds", "times_as_fast", "times_as_fast_cpu", "differ"]
    header = ["torchattacks s", "s", "times as fast", "by cpu", "flags that differ"]
    title = f"{asked.method}, {asked.encoder}"
    show(row, {"": header, title: [row[name] for name in names]})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--encoder", default="resnet18", help="resnet18 or resnet8")
    parser.add_argument("--method", default="plain", help="plain or rocl")
    parser.add_argument("--images", type=int, default=250)
    parser.add_argument("--norm", choices=("linf", "l2"), default="linf")
    parser.add_argument("--eps", type=float, default=8 / 255)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path("benchmarks/cache"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    main(parser.parse_args())
