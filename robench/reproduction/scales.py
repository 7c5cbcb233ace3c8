"""How much of a paper's settings is run: all of them, or what fits into an hour."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from robench.grid.recipe import Recipe
from robench.grid.spec import Spec, SpecError, nearest, parse
from robench.presets import Preset


@dataclass(frozen=True)
class Scale:
    """What is cut off a paper's preset; None and empty cut nothing.

    ``encoder`` is another architecture and ``recipe`` stands for every method's own schedule;
    ``epochs`` and ``precision`` change theirs. ``arguments`` are specs whose arguments stand for
    the preset's. An attack's steps are never cut.
    """

    name: str
    encoder: str | None = None
    recipe: Recipe | None = None
    epochs: int | None = None
    precision: Literal["fp32", "bf16"] | None = None
    probe_images: int | None = None
    limit: int | None = None
    arguments: tuple[str, ...] = ()

    @property
    def full(self) -> bool:
        """Whether nothing is cut, so that a published value may be spoken of."""
        return self == Scale(self.name)

    def cut(self, preset: Preset) -> Preset:
        """The preset at this scale, but for ``epochs`` and ``precision``, which a request says."""
        return dataclasses.replace(
            preset,
            encoders=self._encoders(preset.encoders),
            pairings=tuple(
                dataclasses.replace(pairing, encoders=self._encoders(pairing.encoders))
                for pairing in preset.pairings
            ),
            recipe=self.recipe or preset.recipe,
            probe_images=self.probe_images or preset.probe_images,
            limit=self.limit or preset.limit,
            arguments=_merged(self.arguments, preset.arguments),
        )

    def _encoders(self, typed: tuple[str, ...]) -> tuple[str, ...]:
        """The first of them; another architecture keeps its arguments, such as the input's."""
        specs = [parse(spec) for spec in typed[:1]]
        return tuple(str(Spec(self.encoder or spec.name, spec.arguments)) for spec in specs)


def _merged(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    """Specs by name, where an argument of the first stands for one of the second."""
    specs = {spec.name: spec for spec in map(parse, second)}
    for spec in map(parse, first):
        own = specs.get(spec.name)
        specs[spec.name] = spec if own is None else spec.with_defaults(dict(own.arguments))
    return tuple(map(str, specs.values()))


_SHORT_RLE = "robust-linear(epochs=10, decay='2,3,7')"  # a fifteenth of RoCL's

FULL = Scale("full")

GPU_HOUR = Scale(
    "gpu-hour",
    epochs=30,
    precision="bf16",
    arguments=(_SHORT_RLE, "linear-adam(epochs=300)"),
)

CPU_HOUR = Scale(
    "cpu-hour",
    encoder="resnet8",
    # The schedule of `cifar-small`: it takes two cores some ten minutes an encoder.
    recipe=Recipe(epochs=10, batch=128, images=8192, lr=2e-3, warmup=1, precision="bf16"),
    probe_images=8192,
    limit=1000,
    arguments=(_SHORT_RLE,),
)

SCALES = {scale.name: scale for scale in (FULL, GPU_HOUR, CPU_HOUR)}


def find(name: str) -> Scale:
    """The scale of that name.

    Raises SpecError with the nearest names where there is none.
    """
    if name not in SCALES:
        raise SpecError(f"no scale '{name}'; {nearest(name, list(SCALES))}")
    return SCALES[name]
