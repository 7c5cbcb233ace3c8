"""From names to questions: the grid that a run asks for, in an order that lets neighbours share
work.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from robench.catalog.catalog import Catalog
from robench.grid.questions import Evaluation, Pretraining, Probing
from robench.grid.recipe import Recipe
from robench.grid.spec import Spec, SpecError, Value, nearest, parse, parse_number, show
from robench.presets import EPS, Pairing, Preset
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
    return grid(request, catalog.preset(request.preset), catalog)


def grid(request: Request, preset: Preset, catalog: Catalog) -> tuple[Evaluation, ...]:
    """The same, where ``preset`` stands for the one that the request names."""
    own = tuple(parse(spec) for spec in preset.arguments)

    def resolved(kind: str, typed: tuple[Spec, ...], default: Sequence[str]) -> list[str]:
        specs = typed or tuple(parse(spec) for spec in default)
        return _unique(str(catalog.resolve(kind, spec, own)) for spec in specs)

    pairings: dict[str, Pairing] = {}
    for typed in request.methods or tuple(map(parse, preset.methods)):
        pairing = _pairing(preset, catalog, str(catalog.resolve("methods", typed, own)))
        usual = (*map(parse, pairing.arguments), *own)
        pairings[str(catalog.resolve("methods", typed, usual))] = pairing
    methods = list(pairings)
    sources = resolved("datasets", request.sources, preset.sources)
    # Without a word on targets, encoders are evaluated where they were trained and across.
    targets = resolved(
        "datasets",
        request.targets or request.sources,
        preset.targets,
    )
    encoders, probes = {}, {}
    for method, pairing in pairings.items():
        encoders[method] = resolved("encoders", request.encoders, pairing.encoders)
        probes[method] = resolved("probes", request.probes, pairing.probes)
    attacks = _attacks(request, preset, catalog, own)
    limit = _positive("limit", request.limit) or preset.limit
    recipes = {
        method: _recipe(request, pairing.recipe, catalog, method)
        for method, pairing in pairings.items()
    }
    seeds = [_seed(seed) for seed in request.seeds or preset.seeds]
    evaluations = [
        Evaluation(
            Probing(
                Pretraining(method, encoder, source, recipes[method], seed),
                probe,
                target,
                _positive("images", request.images) or preset.probe_images,
            ),
            attack,
            preset.batch,
            limit,
        )
        for seed in seeds
        for source in sources
        for encoder in _unique(encoder for paired in encoders.values() for encoder in paired)
        for method in methods
        if encoder in encoders[method]
        for target in targets
        for probe in probes[method]
        for attack in attacks
    ]
    return tuple(dict.fromkeys(evaluations))


def scale(evaluation: Evaluation, catalog: Catalog) -> str:
    """How large an evaluation's training and test are, in words; one scale makes a table."""
    probing, recipe = evaluation.probing, evaluation.probing.pretraining.recipe
    tested = f"probes on {_count(probing.images)}, {_count(evaluation.limit)} test images"
    paper = _paper(catalog, probing.pretraining.objective)
    if paper is not None and recipe == _cut(paper, recipe.epochs, recipe.images, recipe.precision):
        epochs = "" if recipe.epochs == paper.epochs else f", cut to {_epochs(recipe)}"
        images = f"{_count(recipe.images)} images"
        return f"each method's own schedule{epochs} on {images} ({recipe.precision}), {tested}"
    return (
        f"{_epochs(recipe)} of {_count(recipe.images)} images in batches of {recipe.batch} "
        f"({recipe.optimizer}, lr {recipe.lr:g}, {recipe.precision}), {tested}"
    )


def _pairing(preset: Preset, catalog: Catalog, method: str) -> Pairing:
    """The settings of a method: the first of those paired with it, or else the preset's."""
    full = catalog.arguments("methods", method).items()

    def is_for(pairing: Pairing) -> bool:
        named = map(parse, pairing.methods)
        return any(s.name == parse(method).name and set(s.arguments) <= set(full) for s in named)

    found = [pairing for pairing in preset.pairings if is_for(pairing)]
    return Pairing(
        (method,),
        encoders=next((p.encoders for p in found if p.encoders), preset.encoders),
        probes=next((p.probes for p in found if p.probes), preset.probes),
        recipe=next((p.recipe for p in found if p.recipe), preset.recipe),
        arguments=next((p.arguments for p in found if p.arguments), ()),
    )


def _epochs(recipe: Recipe) -> str:
    return "1 epoch" if recipe.epochs == 1 else f"{recipe.epochs} epochs"


def _count(number: int | None) -> str:
    return "all" if number is None else f"{number:,}"


def _paper(catalog: Catalog, objective: str) -> Recipe | None:
    """The method's own schedule; None where the method is not at hand."""
    try:
        return catalog.schedule(objective)
    except SpecError:
        return None


def _recipe(request: Request, given: Recipe | None, catalog: Catalog, method: str) -> Recipe:
    recipe = given or _paper(catalog, method)
    if recipe is None:
        raise SpecError(
            f"{parse(method).name} has no schedule of its own, which this preset asks for; "
            "choose another --preset, or give its class paper = Recipe(...)"
        )
    recipe = _cut(
        recipe,
        _positive("epochs", request.epochs) or recipe.epochs,
        _positive("images", request.images) or recipe.images,
        _precision(request.precision) or recipe.precision,
    )
    if recipe.images is not None and recipe.images < recipe.batch:
        raise SpecError(
            f"images={recipe.images} is less than one batch of the pretraining; "
            f"give at least {recipe.batch}"
        )
    return recipe


def _cut(
    recipe: Recipe, epochs: int, images: int | None, precision: Literal["fp32", "bf16"]
) -> Recipe:
    """The recipe at another length.

    The warm-up leaves at least one epoch; steps come at the same share of the training.
    """
    return replace(
        recipe,
        epochs=epochs,
        warmup=min(recipe.warmup, epochs - 1),
        falls=tuple((-(-at * epochs // recipe.epochs), share) for at, share in recipe.falls),
        images=images,
        precision=precision,
    )


def _precision(name: str | None) -> Literal["fp32", "bf16"] | None:
    match name:
        case None | "fp32" | "bf16":
            return name
    raise SpecError(f"no precision '{name}'; {nearest(str(name), ['fp32', 'bf16'])}")


def _attacks(request: Request, preset: Preset, catalog: Catalog, own: Sequence[Spec]) -> list[str]:
    """Clean first, then each attack with each norm and each radius that it leaves open."""
    found = [catalog.resolve("attacks", Spec("clean"))]
    for typed in request.attacks or tuple(parse(spec) for spec in preset.attacks):
        takes = catalog.parameters("attacks", typed.name)
        radii = preset.radii.get(typed.name, preset.eps)
        norms: tuple[Value, ...] = (typed.get("norm"),)
        if "norm" in takes and not typed.has("norm"):
            usual = [norm for norm in preset.norms if norm in radii]
            norms = tuple(_norm(norm) for norm in request.norms or usual)
        for norm in norms:
            spec = typed if norm is None else typed.with_defaults({"norm": norm})
            if "eps" not in takes or typed.has("eps"):
                _radius(typed.get("eps"), str(norm))
                found.append(catalog.resolve("attacks", spec, own))
                continue
            # A norm typed in the spec that does not exist is refused by the attack itself.
            for eps in request.eps or {**EPS, **radii}.get(str(norm), ("8/255",)):
                radius = _radius(parse_number(eps), str(norm))
                found.append(catalog.resolve("attacks", spec.with_defaults({"eps": radius}), own))
    return _unique(str(spec) for spec in found)


def _norm(norm: str) -> str:
    if norm not in BALLS:
        raise SpecError(f"no norm '{norm}'; {nearest(norm, list(BALLS))}")
    return norm


def _radius(eps: Value, norm: str) -> Value:
    if isinstance(eps, int | Fraction):
        if eps <= 0:
            raise SpecError(f"eps={show(eps)} is no radius; it must be positive, such as 8/255")
        if norm == "linf" and eps > 1:
            raise SpecError(
                f"eps={show(eps)} is more than the pixel range; images are in [0, 1], "
                "so write 8/255, not 8"
            )
    return eps


def _positive(name: str, value: int | None) -> int | None:
    if value is not None and (not isinstance(value, int) or value < 1):
        raise SpecError(f"{name}={value} should be a whole number, at least 1")
    return value


def _seed(seed: int) -> int:
    if not isinstance(seed, int) or seed < 0:
        raise SpecError(f"seed '{seed}' should be a whole number, at least 0")
    return seed


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
