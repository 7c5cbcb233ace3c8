"""The published tables that can be run again, one a TOML file, and the scales to run them at."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Literal

from robench.grid.recipe import Recipe
from robench.grid.spec import SpecError, nearest
from robench.presets import Preset


@dataclass(frozen=True)
class PaperRow:
    """A method under a protocol, in the paper's words.

    The method ``runs`` is run for it, with a ``preset`` and a ``probe`` ("": the preset's), or
    ``not_run`` says why nothing is.
    """

    method: str
    protocol: str
    preset: str = ""
    runs: str = ""
    probe: str = ""
    not_run: str = ""


@dataclass(frozen=True)
class PaperTable:
    """A published table, a TOML file of this folder.

    ``paper`` and ``tables`` select its published values. Each of the ``transfers``, a source and a
    target data set, has all the ``rows``. ``columns`` are attacks, as the published values name
    them and as they are run; the first is clean.
    """

    title: str
    paper: str
    tables: Sequence[str]
    transfers: Sequence[Sequence[str]]
    columns: Mapping[str, str]
    rows: tuple[PaperRow, ...]
    remarks: Sequence[str] = ()


def names() -> list[str]:
    """The names of all tables, sorted."""
    found = [file.name.partition(".") for file in files(__name__).iterdir()]
    return sorted(stem for stem, _, suffix in found if suffix == "toml")


def find(name: str) -> PaperTable:
    """The table of that name.

    Raises SpecError with the nearest names where there is none.
    """
    if name not in names():
        raise SpecError(f"no table '{name}'; {nearest(name, names())}")
    content = tomllib.loads((files(__name__) / f"{name}.toml").read_text("utf-8"))
    rows = tuple(PaperRow(**row) for row in content.pop("rows"))
    return PaperTable(rows=rows, **content)


@dataclass(frozen=True)
class Scale:
    """Overrides of a paper's preset; None and empty leave it as it is.

    ``encoder`` is another architecture and ``recipe`` replaces every method's; ``epochs`` and
    ``precision`` change it. ``arguments`` are specs whose arguments win over the preset's. The
    steps of an attack are never reduced.
    """

    encoder: str | None = None
    recipe: Recipe | None = None
    epochs: int | None = None
    precision: Literal["fp32", "bf16"] | None = None
    probe_images: int | None = None
    limit: int | None = None
    arguments: tuple[str, ...] = ()

    def applied(self, preset: Preset) -> Preset:
        """The preset at this scale, except for ``epochs``, ``precision`` and ``limit``."""

        def encoders(typed: Sequence[str]) -> tuple[str, ...]:
            # Another architecture keeps the arguments, such as the input's normalisation.
            own = (one.partition("(") for one in typed)
            return tuple(f"{self.encoder or name}{bracket}{rest}" for name, bracket, rest in own)

        pairings = [
            replace(one, encoders=encoders(one.encoders), recipe=self.recipe or one.recipe)
            for one in preset.pairings
        ]
        return replace(
            preset,
            encoders=encoders(preset.encoders),
            recipe=self.recipe or preset.recipe,
            pairings=tuple(pairings),
            probe_images=self.probe_images or preset.probe_images,
            arguments=(*self.arguments, *preset.arguments),
        )


_SHORT_RLE = "robust-linear(epochs=10, decay='2,3,7')"  # a fifteenth of RoCL's
SCALES = {
    "full": Scale(),
    "gpu-hour": Scale(
        epochs=30, precision="bf16", arguments=(_SHORT_RLE, "linear-adam(epochs=300)")
    ),
    "cpu-hour": Scale(
        encoder="resnet8",
        # The schedule of `cifar-small`: it takes two cores some ten minutes an encoder.
        recipe=Recipe(epochs=10, batch=128, images=8192, lr=2e-3, warmup=1, precision="bf16"),
        probe_images=8192,
        limit=1000,
        arguments=(_SHORT_RLE,),
    ),
}
