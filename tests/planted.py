"""Networks with a fault that makes attacks fail, and which flags each carries.

``python tests/planted.py`` prints the table of docs/trust.md.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import cache
from pathlib import Path
from unittest.mock import patch

import faults
import numpy as np
import torch
from commands import PLUGINS
from faults import corners, honest
from torch import Generator, nn

from robench.attacks.autoattack import AutoAttack
from robench.attacks.pgd import PGD
from robench.catalog.catalog import Catalog
from robench.catalog.plan import plan
from robench.catalog.request import Request
from robench.contracts import Attack, Run, Target
from robench.engine.audit import Verdict, audit
from robench.engine.bench import Bench
from robench.engine.evaluate import Attempt, EvaluationError, evaluate
from robench.engine.progress import silent
from robench.grid.spec import parse_list
from robench.store.store import Store
from robench.tensors.modes import preserved_random_state
from robench.trust.review import flags_together

EPS = Fraction(24, 255)


def winners() -> nn.Module:
    """A network of k-winners-take-all, trained so."""
    return faults.trained(lambda: faults.network(faults.WinnersTakeAll()))


def behind(layer: nn.Module) -> nn.Module:
    """The honest network with one more layer behind its activation."""
    model = honest()
    model[2] = nn.Sequential(model[2], layer)
    return model.eval()


def dropping(p: float) -> nn.Module:
    """The honest network, whose BatchNorm is left out in some calls."""
    model = honest()
    model[1] = faults.Dropping(model[1], p)
    return model.eval()


PLANTED: dict[str, Callable[[], nn.Module]] = {
    "none": honest,
    "pixels rounded to 8 levels": lambda: faults.Quantised(honest()),
    "shattered gradients": lambda: faults.Shattered(honest()),
    "JPEG, and a slope of 1e-3": lambda: faults.Sloped(faults.Jpeg(honest())),
    "JPEG, and a slope of 1e-6": lambda: faults.Sloped(faults.Jpeg(honest()), 1e-6),
    "hard labels, and a slope of 1e-3": lambda: faults.Sloped(faults.Hard(honest())),
    "hard labels behind JPEG, and a slope of 1e-3": lambda: faults.Sloped(
        faults.Hard(faults.Jpeg(honest()))
    ),
    "gradients that are not numbers": lambda: behind(faults.Root()),
    "another answer off the 8-bit grid": lambda: faults.Detector(honest()),
    "k-winners-take-all": winners,
    "normalized and clamped twice": lambda: faults.trained(lambda: faults.Twice(faults.network())),
    "logits / 1000": lambda: faults.Scaled(honest(), 1e-3),
    "noise": lambda: faults.Noisy(honest()),
    "a block dropped with p = 0.1": lambda: dropping(0.1),
    "a block dropped with p = 0.005": lambda: dropping(0.005),
    "statistics of the batch": lambda: faults.with_norm(faults.Batchwise),
}
"""Each network by its fault; all but the twice normalized one see the images of `corners`."""


def attempt(model: nn.Module, attack: Attack, images: int = 120) -> Attempt:
    """The attack on images of `corners`, as a run makes it."""
    test, seeded = corners(images), Generator().manual_seed
    with preserved_random_state():
        torch.manual_seed(0)  # random faults draw from there
        return evaluate(
            Target(model, 4), attack, test, np.arange(images), 60, seeded, Run(silent), ""
        )


def alone(model: nn.Module, norm: str = "linf", eps: float = float(EPS)) -> tuple[str, ...]:
    """The flags of PGD with nothing beside it; "error" where it stops."""
    attack = PGD(eps=eps, norm=norm)
    try:
        return flags_together([attack], [attempt(model, attack)])[0]
    except EvaluationError:
        return ("error",)


def beside(model: nn.Module) -> tuple[tuple[str, ...], ...]:
    """The flags of PGD, and of AutoAttack beside it."""
    attacks = PGD(eps=float(EPS)), AutoAttack(eps=float(EPS))
    try:
        return tuple(flags_together(attacks, [attempt(model, one, 60) for one in attacks]))
    except EvaluationError:
        return ("error",), ("error",)


@contextmanager
def audited() -> Iterator[Callable[[nn.Module], tuple[str, ...]]]:
    """A function that audits a network, and returns the checks that found something."""
    with tempfile.TemporaryDirectory() as folder:
        root, names = Path(folder), ("blobs", "faulty", "mirror")
        catalog = Catalog([PLUGINS / f"{name}.py" for name in names])
        store = Store(root / "out", root / "zoo", print)
        store.prepare()
        bench = Bench(catalog, store, root, torch.device("cpu"), silent, lambda line: None)
        asked = Request(
            methods=parse_list("mirror"),
            sources=parse_list("blobs(contrast=25)"),
            encoders=parse_list("faulty"),
            epochs=1,
            images=192,
        )
        # Another data set than `corners`, as like as can be.
        probing = plan(asked, catalog)[0].probing
        bench.encoder(probing.pretraining)
        (card,) = store.cards()

        def found(model: nn.Module) -> tuple[str, ...]:
            with patch.object(bench, "classifier", lambda _: model), preserved_random_state():
                torch.manual_seed(0)
                findings = list(audit(bench, card, probing, 48, EPS))
            return tuple(one.check for one in findings if one.verdict is not Verdict.OK)

        yield found


@cache
def network(name: str) -> nn.Module:
    """The network with a fault of that name."""
    return PLANTED[name]()


def main() -> None:
    torch.set_num_threads(1)
    print(
        "| fault | PGD alone | PGD, and AutoAttack beside it | audit |",
        "| --- " * 4 + "|",
        sep="\n",
    )
    with audited() as found:
        for name in PLANTED:
            model = network(name)
            columns = alone(model), *beside(model), found(model)
            one, pgd, autoattack, checks = (", ".join(words) or "–" for words in columns)
            print(f"| {name} | {one} | {pgd}; {autoattack} | {checks} |", flush=True)


if __name__ == "__main__":
    main()
