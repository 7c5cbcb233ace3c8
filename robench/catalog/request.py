"""Options, each written once.

The fields of `Request` and `Places` are the options of the command line and the keywords of
``robench.run``. Values are taken as typed (``"plain,rocl(steps=5)"``, ``8 / 255``), and are read
and checked when the dataclass is made.
"""

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from functools import partial, wraps
from inspect import Parameter
from pathlib import Path
from typing import Any, TypeVar

from robench.catalog.typed import (
    Setting,
    agrees,
    each,
    executor,
    lower,
    needs,
    noise,
    path,
    paths,
    processes,
    radius,
    recipe_value,
    settings,
    specs,
    whole,
    word,
)
from robench.grid.spec import Spec, nearest

R = TypeVar("R")


def _option(
    help: str,  # noqa: A002
    read: Callable[[str, Any], Any] = specs,
    default: Any = (),
    flag: str = "",
    group: str = "What to run",
    **click: Any,
) -> Any:
    """A field with its help, and how a typed value is read; ``click`` are keywords of its option.

    ``flag`` is its name on the command line where that is not the field's, and ``group`` the
    heading that it stands under in the help.
    """
    click.setdefault("metavar", None if click.get("is_flag") else "NAMES")
    about = {"help": help, "read": read, "flag": flag, "group": group, "click": click}
    return field(default=default, metadata=about)


_TRAINING, _WHERE, _HOW = "How to pretrain", "Where things are", "How to compute"


def _of_recipe(help: str, metavar: str = "N") -> Any:  # noqa: A002
    return _option(help, recipe_value, None, group=_TRAINING, metavar=metavar)


@dataclass(frozen=True)
class _Typed:
    """Reads its values when it is made; None is the default."""

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            read = one.default if value is None else one.metadata["read"](one.name, value)
            object.__setattr__(self, one.name, read)


@dataclass(frozen=True)
class Request(_Typed):
    """A grid to be answered. None and empty leave a choice to the preset."""

    methods: tuple[Spec, ...] = _option('Objectives, such as plain,clae,"rocl(steps=10)".')
    attacks: tuple[Spec, ...] = _option("Attacks, such as pgd,autoattack; clean is always tried.")
    preset: str = _option(
        "Settings of all that is not typed; robench presets lists them.",
        lower,
        "quick",
        metavar="NAME",
    )
    sources: tuple[Spec, ...] = _option("Data sets to pretrain on.")
    targets: tuple[Spec, ...] = _option("Data sets to probe and attack on, also for transfer.")
    encoders: tuple[Spec, ...] = _option('Architectures, such as resnet18 or "resnet8(width=32)".')
    probes: tuple[Spec, ...] = _option("Classifiers on features, such as linear,linear-sgd.")
    noises: tuple[Spec | None, ...] = _option(
        "Wrong labels for probes: sym, sym-ex or asym and a rate, such as sym:0.4; sym:0 is none.",
        each(noise),
        flag="label-noise",
        metavar="WAY:RATE,...",
    )
    probe_images: int | None = _option(
        "Fit probes on N images alone, such as 500, 1% of CIFAR.",
        whole,
        None,
        flag="probe-images",
        metavar="N",
    )
    seeds: tuple[int, ...] = _option(
        "Seeds of the pretraining, such as 0,1,2.", each(partial(whole, least=0)), metavar="N,..."
    )
    norms: tuple[str, ...] = _option("Norms of the attacks: linf, l2, l1.", each(word), flag="norm")
    eps: tuple[str, ...] = _option(
        "Radii in pixels of [0, 1], such as 8/255,4/255; exact.", each(radius), metavar="X,..."
    )
    limit: int | None = _option("Evaluate N test images, a fixed choice.", whole, None, metavar="N")
    images: int | None = _of_recipe("Train encoders and probes on N images.")
    epochs: int | None = _of_recipe("Pretrain for N epochs; warm-up and steps shrink with them.")
    batch: int | None = _of_recipe("Images in a batch of the pretraining.")
    lr: float | None = _of_recipe("Peak learning rate of the pretraining.", "X")
    precision: str | None = _of_recipe("Precision of the pretraining: fp32 or bf16.", "NAME")
    settings: tuple[Setting, ...] = _option(
        "Another setting of the pretraining's recipe, such as weight_decay=1e-4 or rocl.lr=0.5.",
        settings,
        flag="set",
        group=_TRAINING,
        metavar="[METHOD.]KEY=VALUE",
        multiple=True,
    )

    def recipe(self, method: Spec) -> dict[str, Any]:
        """The typed fields of a method's recipe; settings for that method alone win."""
        own = [one.name for one in fields(self) if one.metadata["read"] is recipe_value]
        typed = {name: getattr(self, name) for name in own if getattr(self, name) is not None}
        typed |= {one.key: one.value for one in self.settings if one.method is None}
        alone = (one for one in self.settings if one.method and agrees(one.method, method))
        return typed | {one.key: one.value for one in alone}


@dataclass(frozen=True)
class Places(_Typed):
    """The folders of results, encoders and data, the device, and files with components.

    ``accept_older_code`` says which answers in these folders count.
    """

    out: Path | None = _option(
        "Results folder.  [default: its own under results/]",
        path,
        None,
        group=_WHERE,
        metavar="DIR",
    )
    zoo: Path = _option("Folder of encoders.", path, Path("zoo"), group=_WHERE, metavar="DIR")
    data: Path | None = _option(
        "Folder of data sets.  [default: $ROBENCH_DATA or data]",
        path,
        None,
        group=_WHERE,
        metavar="DIR",
    )
    device: str = _option("auto, cpu, cuda or cuda:N.", word, "auto", group=_HOW, metavar="NAME")
    devices: int = _option(
        "Processes that share each pretraining, a GPU each, or as torchrun says.",
        whole,
        1,
        group=_HOW,
        metavar="N",
    )
    workers: int = _option(
        "Processes that share the work: N, or auto, one a core.",
        processes,
        1,
        group=_HOW,
        metavar="N|auto",
    )
    executor: str = _option(
        "local or ray: who answers the questions. (ray has workers of its own.)",
        executor,
        "local",
        group=_HOW,
        metavar="NAME",
    )
    address: str | None = _option(
        "Ray cluster, such as auto or HOST:6379.  [default: $RAY_ADDRESS, or this machine]",
        word,
        None,
        group=_HOW,
        metavar="HOST",
    )
    ray: tuple[tuple[str, float], ...] = _option(
        "Needs of a question on Ray, memory in GiB: cpus=4,gpus=1,memory=16.  [default: cpus=1, "
        "and a GPU where the cluster has some]",
        needs,
        group=_HOW,
        metavar="NEED=N,...",
    )
    threads: int | None = _option(
        "Threads of a process; they move last digits.  [default: the cores, shared out]",
        whole,
        None,
        group=_HOW,
        metavar="N",
    )
    plugins: tuple[Path, ...] = _option(
        "A Python file with one component of your own. Its code is run: use files you trust.",
        paths,
        flag="plugin",
        group=_WHERE,
        metavar="FILE",
        multiple=True,
    )
    debug: bool = _option(
        "Show the traceback of a failure too.",
        lambda _, value: bool(value),
        False,
        group=_HOW,
        is_flag=True,
    )

    accept_older_code: bool = _option(
        "Accept answers of other code than today's, and say so in captions.",
        lambda _, value: bool(value),
        False,
        flag="accept-older-code",
        group=_HOW,
        is_flag=True,
    )

    @property
    def root(self) -> Path:
        """The folder of data sets: as given, else ``ROBENCH_DATA``, else ``data``."""
        return self.data or Path(os.environ.get("ROBENCH_DATA") or "data")


OPTIONS: Mapping[str, "Field[Any]"] = {
    f.name: f for kind in (Request, Places) for f in fields(kind)
}
PLACES = tuple(one.name for one in fields(Places) if one.name != "devices")
STORED = "preset", "out", "zoo", "plugins", "accept_older_code"
"""The options of whatever only reads results."""
_MADE = {"request", "places"}


def gathered(names: Sequence[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords with a ``request`` and ``places`` for those of their fields that ``names`` lists."""
    rest = dict(values)
    for kind in (Request, Places):
        known = [one.name for one in fields(kind) if one.name in names]
        own = {name: rest.pop(name) for name in known if name in rest}
        if known:
            rest.setdefault(kind.__name__.lower(), kind(**own))
    return rest


def keywords(*names: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Let a function of a ``request`` or ``places`` be called with their fields of these names.

    They stand in its signature and its docstring. A call raises TypeError with the nearest names
    for one that does not exist.
    """

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        own = inspect.signature(function).parameters.values()
        kind = Parameter.POSITIONAL_OR_KEYWORD
        options = [Parameter(n, kind, default=OPTIONS[n].default or None) for n in names]
        both = [*(one for one in own if one.name not in _MADE), *options]
        signature = inspect.Signature(sorted(both, key=lambda one: one.kind))

        @wraps(function)
        def called(*given: Any, **named: Any) -> R:
            for name in named.keys() - _MADE - signature.parameters.keys():
                hint = nearest(name, list(signature.parameters))
                raise TypeError(f"{function.__name__}() has no argument '{name}'; {hint}")
            made = {name: named.pop(name) for name in _MADE & named.keys()}
            values = signature.bind_partial(*given, **named).arguments
            return function(**gathered(names, values | made))

        lines = [f"    {name}: {OPTIONS[name].metadata['help']}" for name in names]
        called.__doc__ = "\n".join([(function.__doc__ or "").rstrip(), "", *lines])
        called.__signature__ = signature  # type: ignore[attr-defined]
        return called

    return decorate
