"""AutoAttack stopped after any of its attacks continues to the same bits, notes and counts."""

from pathlib import Path

import pytest
import torch
from attacking import call, curved, grey_images, predict
from killed import resumed

from robench.attacks.autoattack import AutoAttack
from robench.store import checkpoints

RADII = {"linf": 0.003, "l2": 0.02, "l1": 0.1}


@pytest.mark.parametrize(("norm", "classes"), [("linf", 3), ("linf", 10), ("l2", 2), ("l1", 10)])
@pytest.mark.usefixtures("brief")
def test_stopped_after_each_attack_it_ends_in_the_same_bits(
    norm: str, classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    model, images = curved(classes), grey_images()
    images = torch.cat([images, images.flip(2), images.flip(3)])
    labels = predict(model, images)
    labels[0] = (labels[0] + 1) % classes
    attack = AutoAttack(RADII[norm], norm)
    whole = call(attack, model, images, labels)
    again, kills = resumed(
        tmp_path, lambda checkpoints: call(attack, model, images, labels, 4, checkpoints)
    )
    assert kills == (3 if classes < 4 else 4)
    assert torch.equal(again.images, whole.images)
    assert (again.notes, again.counts) == (whole.notes, whole.counts)
    assert again.fooled_by is not None
    assert whole.fooled_by is not None
    assert torch.equal(again.fooled_by, whole.fooled_by)
    fooled = predict(model, whole.images) != labels
    assert fooled.any()
    assert not fooled.all()
    assert torch.equal(whole.fooled_by[1:] >= 0, fooled[1:])
    assert whole.fooled_by[0] == -1  # it was misclassified to begin with
