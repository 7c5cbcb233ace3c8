"""Somebody else's encoder: its checkpoint becomes an entry of the zoo that any run can probe."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from robench.catalog.catalog import Catalog
from robench.catalog.typed import spec
from robench.checkpoints.heads import Head, own_head
from robench.checkpoints.layouts import (
    choose_branch,
    normalization,
    pixel_names,
    recognise,
    usual_stem,
)
from robench.checkpoints.naming import Trunk, trunk
from robench.checkpoints.reading import Checkpoint, read
from robench.checkpoints.translate import architecture, load, translate
from robench.contracts import Encoder
from robench.engine.bench import Bench
from robench.engine.faults import not_finite
from robench.grid.questions import Evaluation, Imported, key
from robench.grid.records import Card, Identity, Result
from robench.grid.spec import Spec, SpecError, Value, show
from robench.store.formats import digest
from robench.store.provenance import gather
from robench.store.store import Store
from robench.tensors.batchnorm import CLEAN
from robench.tensors.modes import preserved_random_state
from robench.tensors.resnet import CIFAR, stem

_OWN = Spec("own")


@dataclass(frozen=True)
class Loaded:
    """A checkpoint in an encoder, in eval mode, and the names of weights that were not used.

    ``lines`` are its layout, stem, normalization and branch in words, and what was assumed: neither
    the file nor anybody who typed decided it.
    """

    path: Path
    checkpoint: Checkpoint
    found: Trunk
    question: Imported
    encoder: Encoder
    unused: tuple[str, ...]
    lines: tuple[str, ...]

    def head(self, classes: int | None = None) -> Head:
        """The checkpoint's own linear classifier. Raises SpecError if it has none that fits."""
        return own_head(self.checkpoint.state, self.found, self.encoder.width, classes)


def typed_encoder(encoder: str | None, stem: str | None, normalize: str | None) -> Spec:
    """The encoder as it was typed, with its stem and normalization; its name is "" for any."""
    typed = Spec("") if encoder is None else spec("encoder", encoder)
    given = {"stem": stem, "normalize": normalize}
    own: dict[str, Value] = {
        name: None if value == show(None) else value for name, value in given.items() if value
    }
    return typed.without(*own).with_defaults(own)


def read_encoder(
    path: Path, typed: Spec, catalog: Catalog, branch: str | None = None, prefix: str | None = None
) -> Loaded:
    """Read a checkpoint into the encoder ``typed``; the file decides on arguments left open.

    Raises SpecError for a file that cannot be read, does not fit, or leaves something to be given.
    """
    checkpoint = read(path)
    state, found = checkpoint.state, trunk(checkpoint.state, prefix)
    layout = recognise(checkpoint, found)
    used = choose_branch(layout, found, branch)
    try:
        fits = architecture(state, found)
    except SpecError as error:
        if not typed.name:
            raise SpecError(f"the checkpoint fits no encoder: {error}") from None
        fits = Spec("")
    typed = Spec(typed.name or fits.name, typed.arguments)
    takes = catalog.parameters("encoders", typed.name)
    own: dict[str, Value] = {"stem": usual_stem(layout, str(fits.get("stem") or CIFAR), found)}
    source, assumed = "as given", []
    if typed.name == fits.name:
        own["width"] = fits.get("width")
    if "normalize" in takes and not typed.has("normalize"):
        own["normalize"], source = normalization(layout, state, found)
        assumed += ["normalization (--normalize)"] if source.startswith("the layout's") else []
    if "stem" in takes and not typed.has("stem"):
        pooling = "padding" if found.first in (2, 3) else "padding, pooling"
        assumed += [f"the stem's stride, {pooling} (--stem)"]
    if found.others and prefix is None:
        assumed += [f"encoder {found.prefix}, not {', '.join(found.others)} (--prefix)"]
    full = typed.with_defaults({name: own[name] for name in own if name in takes})
    full = catalog.resolve("encoders", full)
    with preserved_random_state():
        encoder = catalog.build("encoders", full)
    translation = translate(state, found, encoder, used)
    load(encoder, translation)
    if lost := not_finite(encoder.state_dict()):
        raise SpecError(f"{path}: its {lost} has numbers that are not finite")
    name = catalog.label("encoders", full.without("stem", "normalize"))
    lines = [
        f"{path.name}: {layout.name} layout, {name}{' at ' if found.prefix else ''}{found.prefix}, "
        f"{len(translation.weights)} tensors read",
        *(f"stem: {name} ({stem(str(name))})" for name in [full.get("stem")] if name),
        *[f"normalization: {show(full.get('normalize'))} ({source})"] * full.has("normalize"),
        f"BatchNorm: the {used} branch",
        f"assumed: {'; '.join(assumed) or 'nothing'}",
    ]
    if translation.folded:
        lines.append(f"folded into BatchNorm: {', '.join(translation.folded)}")
    pixels = pixel_names(state, found) if source != "as given" else ()
    return Loaded(
        path,
        checkpoint,
        found,
        Imported(checkpoint.sha256, layout.name, used, full, found.prefix if found.others else ""),
        encoder.eval(),
        tuple(name for name in translation.unused if name not in pixels),
        tuple(lines),
    )


def save(loaded: Loaded, store: Store, identity: Identity) -> Card:
    """The encoder's entry in the zoo, made if it is not there or of another identity.

    Its method is named by layout and file. Raises StoreError for a zoo that cannot be written.
    """
    question, encoder = loaded.question, loaded.encoder
    card, weights = store.card(question), encoder.state_dict()
    same = card is not None and card.weights_sha256 == digest(weights)
    if card and same and not card.identity.differs(identity) and store.encoder(card):
        return card
    words = "-".join(filter(None, [loaded.path.stem, question.prefix.rstrip(".")]))
    name = f"{question.layout}/{re.sub(r'[^A-Za-z0-9._-]+', '_', words)}"
    if any(other.name == name and other.key != key(question) for other in store.cards()):
        name += f"-{key(question)[-6:]}"
    card = Card(
        question=question,
        identity=identity,
        width=encoder.width,
        parameters=sum(weights.numel() for weights in encoder.parameters()),
        branches=(CLEAN,),
        evaluated_branch=CLEAN,
        losses=(),
        seconds=0.0,
        weights_sha256="",
        provenance=gather(next(encoder.parameters()).device, "fp32"),
        name=name,
    )
    return store.save_encoder(card, weights)


def take_in(
    loaded: Loaded, planned: Sequence[Evaluation], bench: Bench, typed: bool
) -> list[Evaluation]:
    """Save the encoder, and its own classifier where that is evaluated; the planned evaluations
    with this encoder as their source.

    Unless a probe was ``typed``, its own classifier is evaluated if it fits the data. Raises
    SpecError where one is asked for and there is none, before anything is written.
    """
    head, probes = None, list(dict.fromkeys(one.probing.probe for one in planned))
    classifier = f"the probe {', '.join(one.name for one in probes)}"
    if not typed or _OWN in probes:
        try:
            loaded.head()  # before data are read
            head = loaded.head(len(bench.data(planned[0].probing.dataset).classes))
            classifier = f"its own, {head.place}"
        except SpecError as error:
            if typed:
                raise SpecError(f"{error}; use another --probe, which fits one") from None
            classifier += f", as {error}"
    evaluations = []
    for one in planned:
        probe = _OWN if head is not None and not typed else one.probing.probe
        probing = replace(one.probing, source=loaded.question, probe=probe)
        evaluations.append(replace(one, probing=probing))
    for line in [*loaded.lines, f"classifier: {classifier}"]:
        bench.say(line)
    used = () if head is None else head.names
    left = [name for name in loaded.unused if name not in used]
    if left:
        bench.say(f"not used: {summary(left, loaded.found)}")
    bench.store.prepare()
    save(loaded, bench.store, bench.known.identity(loaded.question))
    if head is not None:
        for probing in {one.probing for one in evaluations}:
            if probing.probe == _OWN and not bench.known.fitted(probing):
                identity = bench.known.identity(probing)
                bench.store.save_probe(probing, identity, head.layer.state_dict())
    return list(dict.fromkeys(evaluations))


def doubts(loaded: Loaded, results: Iterable[Result]) -> Iterator[str]:
    """A line for each clean accuracy that is near that of the best constant answer."""
    for one in results:
        chance = max(Counter(one.outcome.label.tolist()).values()) / one.n
        accuracy = one.correct / one.n
        if one.labels.attack == "clean" and accuracy <= chance + (1 - chance) / 10:
            yield (
                f"clean accuracy {100 * accuracy:.1f}% is near chance, {100 * chance:.1f}%: was "
                f"the checkpoint trained like this? {'; '.join(loaded.lines)}"
            )


def summary(unused: Sequence[str], found: Trunk) -> str:
    """The unused names in few words: their modules, and how many there are in each."""
    counts = Counter[str]()
    for name in unused:
        inside = [prefix for prefix in found.others if prefix and name.startswith(prefix)]
        group = inside[0].rstrip(".") if inside else name.rpartition(".")[0] or name
        counts["another BatchNorm branch" if found.is_layer(name) else group] += 1
    return ", ".join(f"{name} ({n})" if n > 1 else name for name, n in counts.items())
