"""Somebody else's model, from its checkpoint to a table.

Its numbers have a folder of their own, and not the cells of a run: how the model was trained is not
known, so there is no question to keep them under.

```
OUT/<file>-<hash of the settings>/result.json, table.md    accuracies, and what was evaluated how
OUT/<file>-<hash of the settings>/<attack>.npz             what happened to each image
```
"""

import hashlib
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Generator, nn

from robench.catalog.catalog import Catalog
from robench.catalog.plan import plan
from robench.catalog.request import Request
from robench.checkpoints.heads import own_head
from robench.checkpoints.layouts import choose_branch, normalization, recognise, stem
from robench.checkpoints.naming import trunk
from robench.checkpoints.reading import Checkpoint, read
from robench.checkpoints.translate import load, translate
from robench.contracts import (
    Attack,
    Data,
    Encoder,
    Outcome,
    Probe,
    ProbeError,
    Progress,
    Run,
    Target,
)
from robench.data.checks import check_data
from robench.engine.bench import FAILURES, radius
from robench.engine.evaluate import evaluate
from robench.engine.probe import probe
from robench.engine.subset import rows
from robench.files import read_limited, read_npz
from robench.grid.questions import Evaluation
from robench.grid.records import Provenance
from robench.grid.spec import Spec, SpecError, Value, parse, show
from robench.report.render import markdown
from robench.report.table import Number, Table, attack_name
from robench.report.table import Row as Line
from robench.report.write import save as replace_file
from robench.store.checkpoints import States
from robench.store.provenance import gather
from robench.store.store import StoreError
from robench.tensors.features import fingerprint
from robench.tensors.modes import preserved_random_state
from robench.tensors.resnet import CIFAR
from robench.trust.flags import NOTES, explain
from robench.trust.review import flags_together
from robench.trust.statistics import wilson

PROBE, OWN = "probe", "own"
_MOST_BYTES = 2**28  # of a result's files


@dataclass(frozen=True)
class Asked:
    """What was typed; None leaves it to the checkpoint, or to the defaults of a run."""

    encoder: Spec
    dataset: Spec
    attacks: tuple[Spec, ...] = ()
    norms: tuple[str, ...] = ()
    eps: tuple[str, ...] = ()
    limit: int | None = None
    probe: Spec | None = None
    branch: str | None = None
    head: str = PROBE


@dataclass(frozen=True)
class Settings:
    """What decides every number but the attack; specs are written out with all arguments.

    ``checkpoint`` is the file's SHA-256, and ``probe`` is "" where the checkpoint's own head is
    used.
    """

    checkpoint: str
    layout: str
    encoder: str
    branch: str
    head: str
    probe: str
    dataset: str
    limit: int | None
    batch: int

    @property
    def key(self) -> str:
        """A hash of the settings; the folder's name ends in it and every seed comes from it."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:10]


@dataclass(frozen=True)
class Row:
    """One attack's number; ``file`` has what happened to each image."""

    attack: str
    name: str
    norm: str
    eps: str
    n: int
    correct: int
    low: float
    high: float
    notes: tuple[str, ...]
    seconds: float
    file: str
    file_sha256: str
    provenance: Provenance
    counts: dict[str, int] = field(default_factory=dict)
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """What was found out: rows in the order asked for, the table, and why others are missing."""

    rows: tuple[Row, ...]
    failures: tuple[str, ...]
    table: str
    folder: Path


@dataclass(frozen=True)
class Guest:
    """A checkpoint in an encoder of ours, in eval mode, and what was not used of it."""

    encoder: Encoder
    settings: Settings
    unused: tuple[str, ...]


_ROWS = TypeAdapter(tuple[Row, ...])
_NETWORK = re.compile(r"(?<![^.])(?:conv1|bn1|layer\d|normalize|\d(?=\.\d\.))")
"""Where the names of a residual network begin."""


def evaluate_checkpoint(
    path: Path,
    asked: Asked,
    catalog: Catalog,
    root: Path,
    out: Path,
    device: torch.device,
    progress: Progress,
    say: Callable[[str], None],
) -> Report:
    """Attack the model of a checkpoint; numbers that its folder has already are not made again.

    ``say`` is told, in a line each, how the checkpoint was read and what was computed. Raises
    SpecError, DataError or StoreError, before any compute, for what cannot be read or does not fit.
    """
    evaluations = _plan(asked, catalog)
    checkpoint = read(path)
    guest = admit(path, checkpoint, asked, evaluations[0], catalog, say)
    settings = guest.settings
    data = catalog.build("datasets", parse(settings.dataset)).load(root, progress)
    check_data(data, settings.dataset)
    guest.encoder.to(device)
    model, unused = _model(checkpoint, guest, data)
    if unused:
        say(f"not used: {summary(unused, trunk(checkpoint.state).prefix)}")
    folder = out / f"{_slug(path.stem)}-{settings.key}"
    known = {row.attack: row for row in _known(folder, settings)}
    _save(folder, path, settings, unused, list(known.values()))  # before hours are spent
    found: list[Row] = []
    failures: list[str] = []
    unfit = False
    for number, question in enumerate(evaluations, 1):
        row = known.get(str(question.attack))
        if row is None and unfit:
            continue
        if row is None:
            try:
                if model is None:
                    model = _probed(guest, catalog, data, device, progress)
                row = _attacked(model, question, settings, catalog, data, folder, progress, say)
            except ProbeError as error:
                unfit = True  # a second try would end the same
                failures.append(str(error))
                continue
            except FAILURES as error:
                failures.append(f"{question.attack}: {error}")
                continue
            say(f"[{number}/{len(evaluations)}] {row.name}: {_share(row)}, {row.seconds:.1f} s")
            known[row.attack] = row
        found.append(row)
        known = {row.attack: row for row in _reviewed(list(known.values()), catalog, folder)}
        _save(folder, path, settings, unused, list(known.values()))
    found = [known[row.attack] for row in found]
    text = table(found, settings, path.name)
    if found:
        _write(folder / "table.md", f"{text}\n".encode())
    return Report(tuple(found), tuple(failures), text, folder)


def admit(
    path: Path,
    checkpoint: Checkpoint,
    asked: Asked,
    question: Evaluation,
    catalog: Catalog,
    say: Callable[[str], None],
) -> Guest:
    """Read a checkpoint into the encoder that was asked for, and say how it was read."""
    found = trunk(checkpoint.state)
    layout = recognise(checkpoint, found)
    branch = choose_branch(layout, found, asked.branch)
    pixels, source = (
        (asked.encoder.get("normalize"), "as given")
        if asked.encoder.has("normalize")
        else normalization(layout, checkpoint.state, found)
    )
    own: dict[str, Value] = {"normalize": pixels, "stem": stem(layout, checkpoint.state, found)}
    takes = catalog.parameters("encoders", asked.encoder.name)
    spec = asked.encoder.with_defaults({name: own[name] for name in own if name in takes})
    spec = catalog.resolve("encoders", spec)
    with preserved_random_state():
        encoder = catalog.build("encoders", spec)
    assert isinstance(encoder, Encoder)
    translation = translate(checkpoint.state, encoder, branch)
    load(encoder, translation)
    settings = Settings(
        checkpoint=checkpoint.sha256,
        layout=layout.name,
        encoder=str(spec),
        branch=branch,
        head=asked.head,
        probe="" if asked.head == OWN else str(question.probing.probe),
        dataset=str(question.probing.dataset),
        limit=asked.limit,
        batch=question.batch,
    )
    say(f"{path.name}: {layout.name} layout, {len(translation.weights)} tensors read")
    if own["stem"] != CIFAR:
        say(f"stem: {own['stem']}")
    if asked.branch is not None:
        say(f"BatchNorm: the {branch} branch")
    say(f"normalization: {show(pixels)} ({source})")
    layer = {name for name, inner in found.names.items() if inner.startswith("normalize.")}
    unused = tuple(name for name in translation.unused if name not in layer)
    return Guest(encoder.eval(), settings, unused)


def summary(unused: Sequence[str], prefix: str) -> str:
    """The unused names in few words: the modules they are in, and how many there are in each.

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
    words = [f"{group} ({count})" if count > 1 else group for group, count in counts.items()]
    return ", ".join(words)


def table(found: Sequence[Row], settings: Settings, name: str) -> str:
    """Accuracy with its 95% Wilson interval for each attack, and a line on how it was made."""
    head = "its own head" if settings.head == OWN else f"probe {settings.probe}"
    caption = (
        f"Accuracy of {name} ({settings.layout} layout, {settings.branch} BatchNorm, {head}) on "
        f"{settings.dataset}, 95% Wilson intervals."
    )
    lines = []
    for row in found:
        plain = [note for note in row.notes if note not in NOTES]
        notes = f" ({', '.join(plain)})" if plain else ""
        share = Number(100 * row.correct / row.n, flags=row.flags)
        interval = f"{100 * row.low:.1f} to {100 * row.high:.1f}"
        lines.append(Line((f"{row.name}{notes}",), (share, interval, f"{row.n:,}")))
    flags = {
        flag: explain(flag, [row for row in found if flag in row.flags])
        for row in found
        for flag in row.flags
    }
    columns = ("accuracy (%)", "95% interval", "images")
    made = Table(caption, ("attack",), columns, (tuple(lines),), flags=flags)
    return markdown(made).rstrip("\n")


def _plan(asked: Asked, catalog: Catalog) -> tuple[Evaluation, ...]:
    """The attacks as a run would plan them; the pretraining in these questions means nothing."""
    if asked.head not in (PROBE, OWN):
        raise SpecError(f"no head '{asked.head}'; choose probe or own")
    if asked.head == OWN and asked.probe is not None:
        raise SpecError("--head own attacks the checkpoint's own classifier; leave --probe away")
    request = Request(
        preset="cifar",
        methods=(Spec("plain"),),
        attacks=asked.attacks,
        sources=(asked.dataset,),
        targets=(asked.dataset,),
        encoders=(asked.encoder,),
        probes=(asked.probe or Spec("linear"),),
        seeds=(0,),
        norms=asked.norms,
        eps=asked.eps,
        limit=asked.limit,
    )
    return plan(request, catalog)


def _model(
    checkpoint: Checkpoint, guest: Guest, data: Data
) -> tuple[nn.Module | None, tuple[str, ...]]:
    """The classifier where the checkpoint brings it, and what is then not used."""
    if guest.settings.head != OWN:
        return None, guest.unused
    found, encoder = trunk(checkpoint.state), guest.encoder
    head = own_head(checkpoint.state, found, encoder.width, len(data.classes))
    layer = head.layer.to(next(encoder.parameters()).device)
    unused = tuple(name for name in guest.unused if name not in head.names)
    return nn.Sequential(encoder, layer).eval(), unused


def _probed(
    guest: Guest, catalog: Catalog, data: Data, device: torch.device, progress: Progress
) -> nn.Module:
    method = catalog.build("probes", parse(guest.settings.probe))
    assert isinstance(method, Probe)
    dice = _generator(guest.settings, "probe", device)
    return probe(method, guest.encoder, data, dice, Run(progress, device=device)).eval()


def _attacked(
    model: nn.Module,
    question: Evaluation,
    settings: Settings,
    catalog: Catalog,
    data: Data,
    folder: Path,
    progress: Progress,
    say: Callable[[str], None],
) -> Row:
    attack = catalog.build("attacks", question.attack)
    assert isinstance(attack, Attack)
    label = catalog.label("attacks", question.attack, without=("norm", "eps"))
    norm, eps = radius(question.attack)
    name = attack_name(label, norm, eps, with_norm=norm not in ("", "linf"))
    device = next(model.parameters()).device
    file = f"{_slug(f'{label}-{norm}{eps}'.strip('-'))}.npz"
    about = {"device": device.type, "attack": str(question.attack), "model": fingerprint(model)}
    states = States(folder / f"{file}.unfinished", about, say)
    attempt = evaluate(
        Target(model, len(data.classes)),
        attack,
        data.test,
        rows(len(data.test), settings.limit),
        settings.batch,
        lambda batch: _generator(settings, f"{question.attack} {batch}", device),
        Run(progress, states, device),
        name,
    )
    seconds = round(states.seconds, 3)
    content, outcome = _npz(attempt.outcome), attempt.outcome
    correct, n = int((outcome.prediction == outcome.label).sum()), len(outcome.label)
    digest = hashlib.sha256(content).hexdigest()
    _write(folder / file, content)
    states.clear()
    return Row(
        attack=str(question.attack),
        name=name,
        norm=norm,
        eps=eps,
        n=n,
        correct=correct,
        low=wilson(correct, n).low,
        high=wilson(correct, n).high,
        notes=attempt.notes,
        seconds=seconds,
        file=file,
        file_sha256=digest,
        provenance=gather(device, "fp32"),
        counts=attempt.counts,
    )


@dataclass(frozen=True)
class _Evidence:
    outcome: Outcome
    notes: Sequence[str]
    counts: Mapping[str, int]


def _reviewed(found: Sequence[Row], catalog: Catalog, folder: Path) -> list[Row]:
    """The rows with their flags, each in the light of all."""
    attacks = [catalog.attack(parse(row.attack)) for row in found]
    left = [_Evidence(_outcome(folder / row.file), row.notes, row.counts) for row in found]
    drawn = flags_together(attacks, left)
    return [replace(row, flags=flags) for row, flags in zip(found, drawn, strict=True)]


def _outcome(path: Path) -> Outcome:
    return Outcome(**read_npz(path, _MOST_BYTES))


def _generator(settings: Settings, purpose: str, device: torch.device) -> Generator:
    digest = hashlib.sha256(f"{settings.key} {purpose}".encode()).digest()
    return Generator(device=device).manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def _known(folder: Path, settings: Settings) -> list[Row]:
    """The rows of an earlier call with the same settings whose files are as they were written."""
    try:
        content = json.loads(read_limited(folder / "result.json", _MOST_BYTES))
        if TypeAdapter(Settings).validate_python(content["settings"]) != settings:
            return []
        found = _ROWS.validate_python(content["rows"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError, RecursionError):
        return []
    return [
        row
        for row in found
        if Path(row.file).name == row.file
        and 0 <= row.correct <= row.n > 0
        and _sha256(folder / row.file) == row.file_sha256
        and _has_outcome(folder, row)
    ]


def _has_outcome(folder: Path, row: Row) -> bool:
    try:
        found = asdict(_outcome(folder / row.file))
    except (OSError, ValueError, TypeError):
        return False
    kinds = "".join(array.dtype.kind for array in found.values())
    return kinds == "iiiifffi" and all(array.shape == (row.n,) for array in found.values())


def _save(
    folder: Path,
    path: Path,
    settings: Settings,
    unused: Sequence[str],
    found: Sequence[Row],
) -> None:
    content = {
        "file": path.name,
        "settings": asdict(settings),
        "unused": list(unused),
        "rows": [asdict(row) for row in found],
    }
    _write(folder / "result.json", json.dumps(content, indent=1).encode())


def _npz(outcome: Outcome) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **asdict(outcome))
    return buffer.getvalue()


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(read_limited(path, _MOST_BYTES)).hexdigest()
    except OSError:
        return ""


def _write(path: Path, content: bytes) -> None:
    try:
        replace_file(path, content)
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}; choose another folder with --out"
        ) from None


def _share(row: Row) -> str:
    return f"{100 * row.correct / row.n:.1f}% of {row.n} images"


def _slug(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9.]+", "_", text).strip("_.") or "checkpoint"
