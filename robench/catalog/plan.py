"""From names to questions: the grid that a run asks for, in an order that lets neighbours share
work.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import partial

from robench.catalog.catalog import Catalog
from robench.catalog.request import Request
from robench.catalog.scale import agrees, paired
from robench.catalog.settings import changed
from robench.grid.questions import Evaluation, Pretraining, Probing
from robench.grid.recipe import Recipe
from robench.grid.spec import Spec, SpecError, Value, nearest, parse, parse_number, show
from robench.presets import EPS, Pairing, Preset
from robench.tensors.balls import BALLS


def plan(request: Request, catalog: Catalog) -> tuple[Evaluation, ...]:
    """Every evaluation of the grid, each once.

    Raises SpecError for anything that does not exist or cannot be, before any compute.
    """
    return grid(request, catalog.preset(request.preset), catalog)


def grid(request: Request, preset: Preset, catalog: Catalog) -> tuple[Evaluation, ...]:
    """The same, where ``preset`` stands for the one that the request names."""
    own = tuple(parse(spec) for spec in preset.arguments)

    def resolved(kind: str, typed: tuple[Spec, ...], default: Sequence[str]) -> list[Spec]:
        specs = typed or tuple(parse(spec) for spec in default)
        return _unique(catalog.resolve(kind, spec, own) for spec in specs)

    pairings: dict[Spec, Pairing] = {}
    for typed in request.methods or tuple(map(parse, preset.methods)):
        pairing = paired(preset, catalog, catalog.resolve("methods", typed, own))
        usual = (*map(parse, pairing.arguments), *own)
        pairings[catalog.resolve("methods", typed, usual)] = pairing
    methods = list(pairings)
    sources = resolved("datasets", request.sources, preset.sources)
    # Default targets: all sources, so transfer is included.
    targets = resolved("datasets", request.targets or request.sources, preset.targets)
    encoders, probes = {}, {}
    for method, pairing in pairings.items():
        encoders[method] = resolved("encoders", request.encoders, pairing.encoders)
        probes[method] = resolved("probes", request.probes, pairing.probes)
    attacks = _attacks(request, preset, catalog, own)
    _check_settings(request, methods, catalog)
    recipes = {
        method: _recipe(request, pairing.recipe, catalog, method)
        for method, pairing in pairings.items()
    }
    evaluations = [
        Evaluation(
            Probing(
                Pretraining(method, encoder, source, recipes[method], seed),
                probe,
                target,
                request.images or preset.probe_images,
            ),
            attack,
            preset.batch,
        )
        for seed in request.seeds or preset.seeds
        for source in sources
        for encoder in _unique(encoder for paired in encoders.values() for encoder in paired)
        for method in methods
        if encoder in encoders[method]
        for target in targets
        for probe in probes[method]
        for attack in attacks
    ]
    return tuple(dict.fromkeys(evaluations))


def reach(request: Request, catalog: Catalog) -> int | None:
    """The number of test images that each evaluation covers; None for all."""
    return request.limit or catalog.preset(request.preset).limit


def _check_settings(request: Request, methods: Sequence[Spec], catalog: Catalog) -> None:
    for setting in request.settings:
        named = setting.method
        if named and not any(agrees(named, method, catalog) for method in methods):
            hint = nearest(named.name, [method.name for method in methods])
            raise SpecError(f"--set {named}.{setting.key}: the run has no such method; {hint}")


def _recipe(request: Request, given: Recipe | None, catalog: Catalog, method: Spec) -> Recipe:
    """Typed settings over the preset's recipe, or else over the method's own."""
    base, name = given or catalog.schedule(method), method.name
    typed = request.recipe(partial(agrees, method=method, catalog=catalog))
    if base is None and not {"epochs", "batch"} <= typed.keys():
        raise SpecError(
            f"{name} has no schedule of its own, which this preset asks for; choose another "
            "--preset, type --epochs and --batch, or give its class recipe = Recipe(...)"
        )
    try:
        return changed(base, typed)
    except SpecError as error:
        raise SpecError(f"{name}: {error}") from None


def _attacks(request: Request, preset: Preset, catalog: Catalog, own: Sequence[Spec]) -> list[Spec]:
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
    return _unique(found)


def _norm(norm: str) -> str:
    if norm not in BALLS:
        raise SpecError(f"no norm '{norm}'; {nearest(norm, list(BALLS))}")
    return norm


def _radius(eps: Value, norm: str) -> Value:
    if isinstance(eps, int | Fraction):
        if eps <= 0:
            raise SpecError(f"eps={show(eps)} should be above 0, such as 8/255")
        if norm == "linf" and eps > 1:
            raise SpecError(
                f"eps={show(eps)} is more than the pixel range; images are in [0, 1], "
                "so write 8/255, not 8"
            )
    return eps


def _unique(specs: Iterable[Spec]) -> list[Spec]:
    return list(dict.fromkeys(specs))
