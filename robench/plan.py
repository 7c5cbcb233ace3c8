"""From names to questions: the grid that a run asks for, in an order that lets neighbours share work."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from robench.catalog import Catalog
from robench.presets import Preset
from robench.questions import Evaluation, Pretraining, Probing
from robench.recipe import Recipe
from robench.spec import Spec, SpecError, Value, parse, parse_number
from robench.tensors.balls import BALLS


@dataclass(frozen=True)
class Request:
    """What was asked for; None and empty leave it to the preset.

    ``eps`` holds radii as typed, ``epochs`` and ``images`` change the preset's schedule.
    """

    preset: str = "quick"
    methods: tuple[Spec, ...] = ()
    attacks: tuple[Spec, ...] = ()
    sources: tuple[Spec, ...] = ()
    targets: tuple[Spec, ...] = ()
    encoders: tuple[Spec, ...] = ()
    probes: tuple[Spec, ...] = ()
    seeds: tuple[int, ...] = ()
    norms: tuple[str, ...] = ()
    eps: tuple[str, ...] = ()
    limit: int | None = None
    epochs: int | None = None
    images: int | None = None
    precision: str | None = None


def plan(request: Request, catalog: Catalog) -> tuple[Evaluation, ...]:
    """Every evaluation of the grid, each once.

    Raises SpecError for anything that does not exist or cannot be, before any compute.
    """
    preset = catalog.preset(request.preset)
    own = tuple(parse(spec) for spec in preset.arguments)

    def resolved(kind: str, typed: tuple[Spec, ...], default: tuple[str, ...]) -> list[str]:
        specs = typed or tuple(parse(spec) for spec in default)
        return _unique(str(catalog.resolve(kind, spec, own)) for spec in specs)

    methods = resolved("methods", request.methods, preset.methods)
    sources = resolved("datasets", request.sources, preset.sources)
    # Without a word on targets, encoders are evaluated where they were trained and across.
    targets = resolved(
        "datasets",
        request.targets or request.sources,
        preset.targets,
    )
    encoders = resolved("encoders", request.encoders, preset.encoders)
    probes = resolved("probes", request.probes, preset.probes)
    attacks = _attacks(request, preset, catalog, own)
    limit = _positive("limit", request.limit) or preset.limit
    evaluations = [
        Evaluation(
            Probing(
                Pretraining(
                    method,
                    encoder,
                    source,
                    _recipe(request, preset, catalog, method),
                    seed,
                ),
                probe,
                target,
                _positive("images", request.images) or preset.probe_images,
            ),
            attack,
            preset.batch,
            limit,
        )
        for seed in request.seeds or preset.seeds
        for source in sources
        for encoder in encoders
        for method in methods
        for target in targets
        for probe in probes
        for attack in attacks
    ]
    return tuple(dict.fromkeys(evaluations))


def scale(evaluation: Evaluation) -> str:
    """In words, how large an evaluation's training and test are: cells of one scale make a table."""
    pretraining, probing = evaluation.probing.pretraining, evaluation.probing
    recipe = pretraining.recipe
    images = "all" if recipe.images is None else f"{recipe.images:,}"
    probed = "all" if probing.images is None else f"{probing.images:,}"
    tested = "all" if evaluation.limit is None else f"{evaluation.limit:,}"
    return (
        f"{recipe.epochs} epochs of {images} images in batches of {recipe.batch} "
        f"({recipe.optimizer}, lr {recipe.lr:g}, {recipe.precision}), probes on {probed}, {tested} test images"
    )


def _recipe(request: Request, preset: Preset, catalog: Catalog, method: str) -> Recipe:
    recipe: Recipe = preset.recipe or catalog.component("methods", parse(method).name).paper
    epochs, images = _positive("epochs", request.epochs), _positive("images", request.images)
    return replace(
        recipe,
        epochs=epochs or recipe.epochs,
        warmup=min(recipe.warmup, (epochs or recipe.epochs) - 1),
        images=images or recipe.images,
        precision=_precision(request.precision) or recipe.precision,
    )


def _precision(name: str | None) -> Literal["fp32", "bf16"] | None:
    match name:
        case None | "fp32" | "bf16":
            return name
    raise SpecError(f"no precision '{name}'; choose fp32 or bf16")


def _attacks(
    request: Request, preset: Preset, catalog: Catalog, own: Sequence[Spec]
) -> list[str]:
    """Clean first, then each attack with each norm and each radius that it leaves open."""
    found = [catalog.resolve("attacks", Spec("clean"))]
    for typed in request.attacks or tuple(parse(spec) for spec in preset.attacks):
        takes = catalog.parameters("attacks", typed.name)
        norms: tuple[Value, ...] = (typed.get("norm"),)
        if "norm" in takes and not typed.has("norm"):
            norms = tuple(_norm(norm) for norm in request.norms or preset.norms)
        for norm in norms:
            spec = typed if norm is None else typed.with_defaults({"norm": norm})
            if "eps" not in takes or typed.has("eps"):
                _radius(typed.get("eps"), str(norm))
                found.append(catalog.resolve("attacks", spec, own))
                continue
            # A norm typed in the spec that does not exist is refused by the attack itself.
            for eps in request.eps or preset.eps.get(str(norm), ("8/255",)):
                radius = _radius(parse_number(eps), str(norm))
                found.append(
                    catalog.resolve("attacks", spec.with_defaults({"eps": radius}), own)
                )
    return _unique(str(spec) for spec in found)


def _norm(norm: str) -> str:
    if norm not in BALLS:
        raise SpecError(f"no norm '{norm}'; choose from {', '.join(BALLS)}")
    return norm


def _radius(eps: Value, norm: str) -> Value:
    if isinstance(eps, int | Fraction):
        if eps <= 0:
            raise SpecError(f"eps={eps} is no radius; it must be positive, such as 8/255")
        if norm == "linf" and eps > 1:
            raise SpecError(
                f"eps={eps} is more than the pixel range; images are in [0, 1], so write 8/255, not 8"
            )
    return eps


def _positive(name: str, value: int | None) -> int | None:
    if value is not None and value < 1:
        raise SpecError(f"{name}={value} must be at least 1")
    return value


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
