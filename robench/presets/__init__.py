"""Named settings for a whole run, one a file: what is not typed comes from here."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from robench.grid.recipe import Recipe

Radii = Mapping[str, tuple[str, ...]]
"""Which radii an attack is tried at, by its norm."""

EPS: Radii = {
    "linf": ("4/255", "8/255"),
    "l2": ("0.25", "0.5"),
    "l1": ("7.84", "12"),
}
"""RoCL's table 1, with linf 4/255 instead of 16/255, which nothing small survives."""


@dataclass(frozen=True)
class Setting:
    """What the authors' code sets, to what, and the file and line that say so."""

    name: str
    value: str
    source: str


@dataclass(frozen=True)
class Difference:
    """Where the paper, its authors' code and robench part, and why; "" where one says nothing."""

    point: str
    paper: str
    code: str
    here: str


@dataclass(frozen=True)
class Pairing:
    """Encoders and probes of some methods alone, instead of the preset's; empty are the preset's.

    They are for every method that agrees with one of ``methods`` in all that it names:
    "clae(base=uel)" is any CLAE on that base.
    """

    methods: tuple[str, ...]
    encoders: tuple[str, ...] = ()
    probes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preset:
    """Everything that a run needs. Specs are as typed on the command line.

    ``recipe`` None gives each method its paper's schedule. ``radii`` are an attack's own, by its
    name, which is then tried in those of the ``norms`` that it has radii for; ``eps`` are those of
    all others. ``probe_images`` None fits probes on all training images; ``limit`` None evaluates
    all test images, ``batch`` at a time. ``arguments`` are specs whose arguments replace the
    defaults of the component of that name.

    A preset that follows a paper has its authors' ``settings``, and the ``differences`` between
    paper, code and here.
    """

    summary: str
    methods: tuple[str, ...]
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    encoders: tuple[str, ...]
    recipe: Recipe | None
    attacks: tuple[str, ...] = ("pgd", "autoattack")
    probes: tuple[str, ...] = ("linear",)
    norms: tuple[str, ...] = ("linf",)
    eps: Radii = field(default_factory=lambda: EPS)
    radii: Mapping[str, Radii] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    probe_images: int | None = None
    limit: int | None = None
    batch: int = 250  # the batch of the official AutoAttack
    arguments: tuple[str, ...] = ()
    pairings: tuple[Pairing, ...] = ()
    settings: tuple[Setting, ...] = ()
    differences: tuple[Difference, ...] = ()
