"""States of the right hash and the wrong content: refused in a line, and the numbers stay right."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from killed import Killed, Killing
from test_resuming import RECIPE, attacked, train
from torch import Generator, nn

from robench.attacks.apgd_ce import ApgdCe
from robench.catalog.catalog import Catalog
from robench.contracts import NO_CHECKPOINTS, Checkpoints, ProbeData, Run, Split, State
from robench.engine.evaluate import Attempt
from robench.engine.progress import silent
from robench.store import checkpoints as states
from robench.store.checkpoints import FileCheckpoints
from robench.tensors.features import fingerprint
from robench.tensors.modes import preserved_random_state

Work = Callable[[Checkpoints], str]


def pretraining(checkpoints: Checkpoints) -> str:
    with preserved_random_state():
        torch.manual_seed(0)
        encoder = Catalog().build("encoders", "resnet8(width=2)")
        objective = Catalog().build_objective("plain", encoder)
    images = torch.randint(0, 256, (19, 3, 8, 8), generator=Generator().manual_seed(1))
    losses = train(objective, images.to(torch.uint8), RECIPE, checkpoints)
    return f"{losses} {fingerprint(objective)}"


def probing(checkpoints: Checkpoints) -> str:
    rng = Generator().manual_seed(1)
    images = torch.randint(0, 256, (30, 3, 8, 8), generator=rng).to(torch.uint8).numpy()
    part = Split(images, torch.randint(0, 3, (30,), generator=rng).numpy())
    encoder: Any = nn.Sequential(nn.AvgPool2d(4), nn.Flatten())
    encoder.width = 12
    probe = Catalog().build("probes", "linear-sgd(epochs=2, batch=20)")
    run = Run(silent, checkpoints)
    return fingerprint(probe.fit(encoder.eval(), ProbeData(part, part, 3), rng, run))


def attacking(checkpoints: Checkpoints) -> str:
    return shown(attacked(checkpoints))


def within(checkpoints: Checkpoints) -> str:
    return shown(attacked(checkpoints, 21, ApgdCe(eps=0.01)))


def shown(attempt: Attempt) -> str:
    outcome = [column.tobytes() for column in vars(attempt.outcome).values()]
    return repr([attempt.notes, attempt.counts, outcome])


def wrong(state: State) -> Iterator[tuple[str, State]]:
    """The state with one thing wrong, and what that is."""
    tensors, values = dict(state.tensors), dict(state.values)
    few = [n for number, n in enumerate(tensors) if "." not in n or number % 29 == 0]
    for name in [*few, *(n for n in tensors if n.startswith("attack."))]:
        tensor = tensors[name]
        others = {other: kept for other, kept in tensors.items() if other != name}
        yield f"no {name}", State(others, values)
        for other in (f"{name}x", "objective.forward"):
            yield f"{name} is {other}", State({**others, other: tensor}, values)
        for what, put in {
            "longer": torch.cat([tensor.flatten(), tensor.flatten()[:1], tensor.flatten()]),
            "one": tensor.flatten()[:1],
            "empty": torch.zeros(0, dtype=tensor.dtype),
            "other": torch.zeros(3, 3, dtype=torch.float16),
        }.items():
            yield f"{name} {what}", State({**tensors, name: put}, values)
    for name in {"label", "attack.x"} & tensors.keys():  # of other images
        yield f"{name} of others", State({**tensors, name: 1 - tensors[name]}, values)
    for name in ("more", "objective.encoder", "attack.x"):
        yield f"{name} more", State({**tensors, name: torch.ones(1)}, values)
    yield "nothing", State({}, values)
    for what, changed in wrong_values(values):
        yield what, State(tensors, changed)
    for what, changed in wrong_values(values.get("attack", {})):
        yield f"attack: {what}", State(tensors, {**values, "attack": changed})


def wrong_values(values: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in values:
        yield f"no {name}", {n: value for n, value in values.items() if n != name}
        for put in (None, -1, 10**9, "x", {"a": "b"}, [1], float("nan")):
            yield f"{name} {put}", {**values, name: put}


@pytest.mark.parametrize(
    ("work", "after"), [(pretraining, 3), (probing, 4), (attacking, 2), (within, 1)]
)
def test_a_state_of_another_content_changes_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: Work, after: int
) -> None:
    monkeypatch.setattr(states, "EVERY", 0.0)
    whole = work(NO_CHECKPOINTS)
    with pytest.raises(Killed):
        work(Killing(tmp_path / "right", after))
    found = FileCheckpoints(tmp_path / "right", {}, print).load()
    assert found is not None
    refused = 0
    for number, (what, state) in enumerate(wrong(found)):
        folder, said = tmp_path / str(number), list[str]()
        FileCheckpoints(folder, {}, pytest.fail).save_if_due(lambda state=state: state)
        (file,) = folder.iterdir()
        assert work(FileCheckpoints(folder, {}, said.append)) == whole, what
        assert all("\n" not in line for line in said)
        refused += f"{file} is damaged (" in said[0]
    assert refused > (5 if work is within else 0.8 * number)  # or the batch starts again
