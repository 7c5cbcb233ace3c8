"""Somebody else's encoder: its checkpoint becomes an entry of the zoo that any run can probe."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from robench.catalog.catalog import Catalog
from robench.checkpoints.heads import Head, own_head
from robench.checkpoints.layouts import choose_branch, normalization, recognise, stem
from robench.checkpoints.naming import trunk
from robench.checkpoints.reading import Checkpoint, read
from robench.checkpoints.translate import load, translate
from robench.contracts import Encoder
from robench.engine.bench import Bench
from robench.grid.questions import Evaluation, Imported, key
from robench.grid.records import Card, Identity
from robench.grid.spec import Spec, Value, show
from robench.store.provenance import gather
from robench.store.store import Store
from robench.tensors.batchnorm import CLEAN
from robench.tensors.modes import preserved_random_state

_NETWORK = re.compile(r"(?<![^.])(?:conv1|bn1|layer\d|normalize|\d(?=\.\d\.))")
"""The beginning of a residual network's names."""


@dataclass(frozen=True)
class Loaded:
    """A checkpoint in an encoder, in eval mode, and the names of weights that were not used.

    ``source`` is where the normalization is from.
    """

    path: Path
    checkpoint: Checkpoint
    question: Imported
    encoder: Encoder
    unused: tuple[str, ...]
    source: str

    def lines(self, own: bool) -> list[str]:
        """Layout, stem, branch, normalization and unused names; ``own``: its head is used."""
        spec, used = self.question.encoder, self.head().names if own else ()
        read = len(self.checkpoint.state) - len(self.unused)
        lines = [f"{self.path.name}: {self.question.layout} layout, {read} tensors read"]
        lines += [f"stem: {spec.get('stem')}", f"BatchNorm: the {self.question.branch} branch"]
        lines += [f"normalization: {show(spec.get('normalize'))} ({self.source})"]
        left = [name for name in self.unused if name not in used]
        prefix = trunk(self.checkpoint.state).prefix
        return lines + ([f"not used: {summary(left, prefix)}"] if left else [])

    def head(self, classes: int | None = None) -> Head:
        """The checkpoint's own linear classifier. Raises SpecError if it has none that fits."""
        state = self.checkpoint.state
        return own_head(state, trunk(state), self.encoder.width, classes)


def read_encoder(path: Path, typed: Spec, branch: str | None, catalog: Catalog) -> Loaded:
    """Read a checkpoint into the encoder ``typed``; the file decides on arguments left open.

    Raises SpecError for a file that cannot be read, does not fit, or leaves something to be given.
    """
    checkpoint = read(path)
    state, found = checkpoint.state, trunk(checkpoint.state)
    layout = recognise(checkpoint, found)
    used = choose_branch(layout, found, branch)
    normalize, source = typed.get("normalize"), "as given"
    if not typed.has("normalize"):
        normalize, source = normalization(layout, state, found)
    own: dict[str, Value] = {"normalize": normalize, "stem": stem(layout, state, found)}
    takes = catalog.parameters("encoders", typed.name)
    spec = typed.with_defaults({name: own[name] for name in own if name in takes})
    spec = catalog.resolve("encoders", spec)
    with preserved_random_state():
        encoder = catalog.build("encoders", spec)
    translation = translate(state, encoder, used)
    load(encoder, translation)
    question = Imported(checkpoint.sha256, layout.name, used, spec)
    layer = {name for name, inner in found.names.items() if inner.startswith("normalize.")}
    unused = tuple(name for name in translation.unused if name not in layer)
    return Loaded(path, checkpoint, question, encoder.eval(), unused, source)


def save(loaded: Loaded, store: Store, identity: Identity) -> Card:
    """The encoder's entry in the zoo, made if it is not there or of another identity.

    Its method is named by layout and file. Raises StoreError for a zoo that cannot be written.
    """
    question, encoder = loaded.question, loaded.encoder
    card = store.card(question)
    if card is not None and not card.identity.differs(identity) and store.encoder(card):
        return card
    name = f"{question.layout}/{re.sub(r'[^A-Za-z0-9._-]+', '_', loaded.path.stem)}"
    if any(other.name == name and other.key != key(question) for other in store.cards()):
        name += f"-{question.sha256[:6]}"
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
    return store.save_encoder(card, encoder.state_dict())


def take_in(loaded: Loaded, planned: Sequence[Evaluation], bench: Bench) -> list[Evaluation]:
    """Save the encoder, and its own classifier where that is evaluated; the planned evaluations
    with this encoder as their source.

    Raises SpecError where there is no such classifier, before anything is written.
    """
    own = [replace(e, probing=replace(e.probing, source=loaded.question)) for e in planned]
    heads = {
        probing: loaded.head(len(bench.data(probing.dataset).classes))
        for probing in dict.fromkeys(one.probing for one in own)
        if probing.probe.name == "own" and not bench.known.fitted(probing)
    }
    for line in loaded.lines(own=any(one.probing.probe.name == "own" for one in own)):
        bench.say(line)
    bench.store.prepare()
    save(loaded, bench.store, bench.known.identity(loaded.question))
    for probing, head in heads.items():
        bench.store.save_probe(probing, bench.known.identity(probing), head.layer.state_dict())
    return own


def summary(unused: Sequence[str], prefix: str) -> str:
    """The unused names in few words: their modules, and how many there are in each.

    ``prefix`` is that of the network that was read.
    """
    counts: dict[str, int] = {}
    for name in unused:
        group = name.rpartition(".")[0] or name
        inside = _NETWORK.search(name)
        if inside is not None:
            before = name[: inside.start()]
            group = "another BatchNorm branch" if before == prefix else before.rstrip(".")
        counts[group] = counts.get(group, 0) + 1
    return ", ".join(f"{name} ({n})" if n > 1 else name for name, n in counts.items())
