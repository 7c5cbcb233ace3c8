"""Attacks of torchattacks give the package's images, with its settings fixed by the adapter."""

from typing import Any

import pytest
import torch
import torchattacks
from attacking import call, curved, grey_images, predict

from robench.attacks.torchattacks import Torchattacks
from robench.catalog.catalog import Catalog
from robench.grid.spec import SpecError, parse
from robench.tensors.modes import draw_seed, preserved_random_state

MODEL, IMAGES = curved(), grey_images()
LABELS = predict(MODEL, IMAGES)


def chosen(**arguments: Any) -> Torchattacks:
    return Torchattacks.chosen(arguments)(**arguments)


@pytest.mark.parametrize(
    ("attack", "arguments", "theirs"),
    [
        ("PGD", {}, {"eps": 8 / 255}),
        ("PGD", {"eps": 0.1, "steps": 3, "alpha": 0.05}, {"eps": 0.1, "steps": 3, "alpha": 0.05}),
        ("PGDL2", {"eps": 0.5, "norm": "l2"}, {"eps": 0.5}),
        ("MIFGSM", {"decay": 0.5}, {"eps": 8 / 255, "decay": 0.5}),
        ("PIFGSM", {"eps": 0.05}, {"max_epsilon": 0.05}),
        ("Square", {"eps": 0.3, "norm": "l2", "n_queries": 30}, {"eps": 0.3, "norm": "L2"}),
    ],
)
def test_the_images_are_the_package_s(
    attack: str, arguments: dict[str, Any], theirs: dict[str, Any]
) -> None:
    found = call(chosen(attack=attack, **arguments), MODEL, IMAGES, LABELS, seed=5).images
    with preserved_random_state():
        seed = draw_seed(torch.Generator().manual_seed(5)) % 2**32
        torch.manual_seed(seed)
        kind = getattr(torchattacks, attack)
        if attack == "Square":
            theirs = {**theirs, "n_queries": 30, "seed": seed}
        expected = kind(MODEL, **theirs)(IMAGES, LABELS)
    assert torch.equal(found, expected)
    assert not torch.equal(found, IMAGES)


def test_what_moves_further_than_eps_is_not_counted() -> None:
    theirs = torchattacks.CW(MODEL, c=5, steps=40)(IMAGES, LABELS).detach()
    moved = (theirs - IMAGES).flatten(1).norm(dim=1)
    assert (moved > 0).all()
    eps = moved.median().item() + 1e-4
    found = call(chosen(attack="CW", c=5, steps=40, eps=eps, norm="l2"), MODEL, IMAGES, LABELS)
    near = moved <= eps
    assert 0 < near.sum() < len(IMAGES)
    assert torch.equal(found.images[near], theirs[near])
    assert torch.equal(found.images[~near], IMAGES[~near])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"attack": "PGDL3"}, "torchattacks has no 'PGDL3'; choose from APGD, APGDT, BIM, CW,"),
        ({"attack": "AutoAttack"}, "a tenth of AutoAttack's steps; use the attack autoattack"),
        ({"attack": "LGV"}, "LGV needs training data"),
        ({"attack": "PGD", "norm": "l2"}, "PGD moves in linf; write norm=linf"),
        ({"attack": "PGDL2"}, "PGDL2 moves in l2; write norm=l2"),
    ],
)
def test_senseless_arguments_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        chosen(**arguments)


def test_arguments_are_those_of_the_attack_that_is_named() -> None:
    catalog = Catalog()
    spec = catalog.resolve("attacks", parse("torchattacks(attack=CW, c=0.5, steps=20)"))
    assert str(spec) == (
        "torchattacks(attack=CW, c=0.5, eps=8/255, kappa=0, lr=0.01, norm=linf, steps=20)"
    )
    assert catalog.label("attacks", spec) == "torchattacks(attack=CW, c=0.5, steps=20)"
    attack = catalog.attack(spec)
    assert isinstance(attack, Torchattacks)
    assert vars(attack) == {
        **{"attack": "CW", "eps": 8 / 255, "norm": "linf"},
        **{"c": 0.5, "kappa": 0, "steps": 20, "lr": 0.01},
    }


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("torchattacks(attack=CW, k=1)", "torchattacks has no argument 'k'"),
        ("torchattacks(attack=PGD, c=1)", "torchattacks has no argument 'c'"),
        ("torchattacks(attack=CW, steps=few)", "steps=few should be a whole number or a number"),
        ("torchattacks(attack=Nothing)", "torchattacks: torchattacks has no 'Nothing'"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(typed: str, words: str) -> None:
    with pytest.raises(SpecError, match=words) as refused:
        Catalog().resolve("attacks", parse(typed))
    assert "\n" not in str(refused.value)
