"""From names to questions: the grid that a run asks for; evaluations that share work adjoin."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

from robench.catalog.arguments import TEACHER
from robench.catalog.catalog import Catalog
from robench.catalog.request import Request
from robench.catalog.typed import agrees, spec, specs
from robench.grid.questions import Evaluation, Pretraining, Probing, Source
from robench.grid.recipe import Recipe
from robench.grid.spec import Spec, SpecError, Value, nearest, parse_number, show
from robench.presets import EPS, Pairing, Preset
from robench.tensors.balls import BALLS

Find = Callable[[str], Source]
"""The encoder of the zoo with that key. Raises SpecError where there is none."""


def plan(request: Request, catalog: Catalog, find: Find | None = None) -> tuple[Evaluation, ...]:
    """Every evaluation of the grid, each once; ``find`` looks up the encoders that it names.

    Raises SpecError for anything that does not exist or cannot be, before any compute.
    """
    return grid(request, catalog.preset(request.preset), catalog, find)


def grid(
    request: Request, preset: Preset, catalog: Catalog, find: Find | None = None
) -> tuple[Evaluation, ...]:
    """The same, where ``preset`` stands for the one that the request names."""
    own = specs("arguments", preset.arguments)

    def resolved(kind: str, typed: Sequence[Spec | str]) -> list[Spec]:
        return [catalog.resolve(kind, one, own) for one in typed]

    def training(typed: Spec | str) -> tuple[_Training, Pairing]:
        pairing = paired(preset, catalog.resolve("methods", typed, own))
        method = catalog.resolve("methods", typed, (*pairing.arguments, *own))
        recipe = _recipe(request, pairing.recipe, catalog, method)
        return _Training(method.without(TEACHER), recipe, teacher(method)), pairing

    def teacher(method: Spec) -> _Training | Source | None:
        if not catalog.has_teacher(method):
            return None
        named = str(method.get(TEACHER))
        if spec(TEACHER, named).name in catalog.names("methods"):
            return training(named)[0]
        if find is None:
            raise SpecError(f"no method '{named}'; {nearest(named, catalog.names('methods'))}")
        return find(named)

    chosen = dict[_Training, tuple[list[Spec], list[Spec]]]()
    for typed in request.methods or preset.methods:
        one, pairing = training(typed)
        chosen[one] = (
            resolved("encoders", request.encoders or pairing.encoders),
            resolved("probes", request.probes or pairing.probes),
        )
    _check_settings(request, [method for one in chosen for method in one.methods()])
    sources = resolved("datasets", request.sources or preset.sources)
    # Default targets: all sources, so transfer is included.
    targets = resolved("datasets", request.targets or request.sources or preset.targets)
    attacks = list(_attacks(request, preset, catalog, own))
    probings = [
        Probing(
            one.on(encoder, source, seed),
            probe,
            target,
            request.probe_images or request.images or preset.probe_images,
            noise,
        )
        for seed in request.seeds or preset.seeds
        for source in sources
        for one, (encoders, probes) in chosen.items()
        for encoder in encoders
        for target in targets
        for probe in probes
        for noise in request.noises or (None,)
        if catalog.component("probes", probe.name).fits
        or (catalog.has_head(one.objective) and target == source and noise is None)
    ]
    probed = {probing.pretraining.objective for probing in probings}
    if headless := [one.objective.name for one in chosen if one.objective not in probed]:
        raise SpecError(
            f"{headless[0]} has no classifier of its own on the target; give a probe that fits one"
        )
    evaluations = (
        Evaluation(probing, attack, preset.batch, surrogate)
        for probing in probings
        for attack, origin in attacks
        for surrogate in _surrogates(probing, attack, origin, list(chosen), catalog, find)
    )
    return tuple(dict.fromkeys(evaluations))


class _Training(NamedTuple):
    """A method, and the recipe and teacher that it is trained with on any data."""

    objective: Spec
    recipe: Recipe
    teacher: "_Training | Source | None"

    def on(self, encoder: Spec, dataset: Spec, seed: int) -> Pretraining:
        """Its pretraining; a teacher that is trained for it has the same encoder, data and seed."""
        teacher = self.teacher
        if isinstance(teacher, _Training):
            teacher = teacher.on(encoder, dataset, seed)
        return Pretraining(self.objective, encoder, dataset, self.recipe, seed, teacher)

    def methods(self) -> list[Spec]:
        """The methods that are trained for it, its own first."""
        taught = self.teacher.methods() if isinstance(self.teacher, _Training) else []
        return [self.objective, *taught]


def _surrogates(
    probing: Probing,
    attack: Spec,
    origin: str | None,
    rivals: Sequence[_Training],
    catalog: Catalog,
    find: Find | None,
) -> list[Probing | None]:
    """The classifiers to compute the attack on, fitted as ``probing`` is; None for its own."""
    if "surrogate" not in catalog.component("attacks", attack.name).needs:
        return [None]
    own, named = probing.pretraining, None if origin is None else spec("from", origin)
    others = [
        one.on(own.encoder, own.dataset, own.seed)
        for one in rivals
        if one.objective != own.objective and (named is None or agrees(named, one.objective))
    ]
    if not others and named is not None and not agrees(named, own.objective):
        assert origin is not None
        if find is None:
            raise SpecError(f"no method '{origin}' in this run for {attack.name}(from={origin})")
        return [replace(probing, source=find(origin))]
    if not others and len(rivals) < 2:
        raise SpecError(
            f"{attack.name} needs another model to make its images on: give several --methods, or "
            f"an encoder of the zoo, as {attack.name}(from=KEY)"
        )
    return [replace(probing, source=other) for other in others]


def reach(request: Request, catalog: Catalog) -> int | None:
    """The number of test images that each evaluation covers; None for all."""
    return request.limit or catalog.preset(request.preset).limit


def paired(preset: Preset, method: Spec) -> Pairing:
    """The settings of a method: the first of those paired with it, or else the preset's."""
    found = [
        pairing
        for pairing in preset.pairings
        if any(agrees(spec("pairing", named), method) for named in pairing.methods)
    ]
    found.append(Pairing((), preset.encoders, preset.probes, preset.recipe))

    def first(field: str) -> Any:
        return next(filter(None, (getattr(one, field) for one in found)), None)

    recipe, arguments = first("recipe"), first("arguments")
    return Pairing((str(method),), first("encoders"), first("probes"), recipe, arguments or ())


def _check_settings(request: Request, methods: Sequence[Spec]) -> None:
    for setting in request.settings:
        named = setting.method
        if named and not any(agrees(named, method) for method in methods):
            hint = nearest(named.name, [method.name for method in methods])
            raise SpecError(f"--set {setting}: the run has no such method; {hint}")


def _recipe(request: Request, given: Recipe | None, catalog: Catalog, method: Spec) -> Recipe:
    """Typed settings over the preset's recipe, or else over the method's own."""
    base, name = given or catalog.schedule(method), method.name
    typed = request.recipe(method)
    if base is None and not {"epochs", "batch"} <= typed.keys():
        raise SpecError(
            f"{name} has no schedule of its own, which this preset asks for; choose another "
            "--preset, type --epochs and --batch, or give its class recipe = Recipe(...)"
        )
    if typed.get("schedule", "steps") != "steps":
        typed = {"falls": (), **typed}
    try:
        if base is None:
            made = Recipe(**typed)
        else:
            made = replace(resized(base, typed.get("epochs") or base.epochs), **typed)
    except ValueError as error:
        raise SpecError(f"{name}: {error}") from None
    if made.warmup >= made.epochs:
        raise SpecError(f"{name}: warmup={made.warmup} is not less than epochs={made.epochs}")
    if made.images is not None and made.images < made.batch:
        raise SpecError(
            f"{name}: images={made.images} is less than one batch of the pretraining; "
            f"give at least {made.batch}"
        )
    return made


def resized(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe at another number of epochs.

    The warm-up leaves at least one epoch, and steps come at the same share of the training.
    """
    return replace(
        recipe,
        epochs=epochs,
        warmup=min(recipe.warmup, epochs - 1),
        falls=tuple((-(-at * epochs // recipe.epochs), share) for at, share in recipe.falls),
    )


def _attacks(
    request: Request, preset: Preset, catalog: Catalog, own: Sequence[Spec]
) -> Iterator[tuple[Spec, str | None]]:
    """Clean first, then each attack with each norm and each radius that it leaves open.

    With each goes the surrogate that it names, where it takes one.
    """
    if unknown := [norm for norm in request.norms if norm not in BALLS]:
        raise SpecError(f"no norm '{unknown[0]}'; {nearest(unknown[0], list(BALLS))}")
    yield catalog.resolve("attacks", Spec("clean")), None
    for named in request.attacks or specs("attacks", preset.attacks):
        typed = catalog.named("attacks", named)
        takes = catalog.parameters("attacks", typed.name)
        origin = None
        if "surrogate" in catalog.component("attacks", typed.name).needs and typed.has("from"):
            origin, typed = str(typed.get("from")), typed.without("from")
        radii = preset.radii.get(typed.name, preset.eps)
        norms: Sequence[Value] = [typed.get("norm")]
        if "norm" in takes and not typed.has("norm"):
            norms = request.norms or [norm for norm in preset.norms if norm in radii]
        for norm in norms:
            sizes: Sequence[Value] = [typed.get("eps")]
            if "eps" in takes and not typed.has("eps"):
                # A norm typed in the spec that does not exist is refused by the attack itself.
                usual = {**EPS, **radii}.get(str(norm), ("8/255",))
                sizes = [parse_number(eps) for eps in request.eps or usual]
            for eps in sizes:
                _check_radius(eps, norm)
                ball: dict[str, Value] = {"norm": norm} if norm is not None else {}
                ball |= {"eps": eps} if eps is not None else {}
                yield catalog.resolve("attacks", typed.with_defaults(ball), own), origin


def _check_radius(eps: Value, norm: Value) -> None:
    if not isinstance(eps, int | Fraction):
        return
    if eps <= 0:
        raise SpecError(f"eps={show(eps)} should be above 0, such as 8/255")
    if norm == "linf" and eps > 1:
        raise SpecError(
            f"eps={show(eps)} is more than the pixel range; images are in [0, 1], "
            "so write 8/255, not 8"
        )
