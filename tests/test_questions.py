"""Keys are names on disk: a change to one orphans every answer that was ever stored under it."""

from dataclasses import replace

import pytest
import torch

from robench.questions import Evaluation, Pretraining, Probing, Question, generator, key
from robench.recipe import Recipe

TRAINING = Pretraining(
    "rocl(eps=8/255, steps=7)", "resnet8(width=16)", "cifar10", Recipe(10, 128, images=8192), 0
)
PROBING = Probing(TRAINING, "linear", "cifar100", 8192)
EVALUATION = Evaluation(PROBING, "pgd(eps=8/255, norm=linf, steps=20)", 250, 500)


@pytest.mark.parametrize(
    ("question", "name"),
    [
        (TRAINING, "rocl-cifar10-resnet8-s0-590487aa73"),
        (PROBING, "rocl-cifar10-resnet8-s0-cifar100-linear-4ea986bce3"),
        (EVALUATION, "rocl-cifar10-resnet8-s0-cifar100-linear-pgd-linf8_255-abbe2c32aa"),
        (
            replace(EVALUATION, attack="clean"),
            "rocl-cifar10-resnet8-s0-cifar100-linear-clean-fae170197d",
        ),
    ],
)
def test_keys_stay_what_they_were(question: Question, name: str) -> None:
    assert key(question) == name


def test_every_field_counts() -> None:
    others = [
        replace(EVALUATION, attack="clean"),
        replace(EVALUATION, batch=125),
        replace(EVALUATION, limit=None),
        replace(EVALUATION, probing=replace(PROBING, probe="linear-sgd")),
        replace(EVALUATION, probing=replace(PROBING, dataset="cifar10")),
        replace(EVALUATION, probing=replace(PROBING, images=None)),
        replace(EVALUATION, probing=replace(PROBING, pretraining=replace(TRAINING, seed=1))),
        replace(
            EVALUATION,
            probing=replace(
                PROBING, pretraining=replace(TRAINING, recipe=replace(TRAINING.recipe, lr=0.1))
            ),
        ),
    ]
    assert len({key(question) for question in [EVALUATION, *others]}) == len(others) + 1


def test_a_recipe_s_defaults_need_not_be_told() -> None:
    spelled = replace(TRAINING, recipe=Recipe(10, 128, 8192, optimizer="adam", precision="fp32"))
    assert key(spelled) == key(TRAINING)


def test_a_key_is_a_plain_file_name() -> None:
    odd = replace(TRAINING, dataset="npz(path='/data/My Set (1).npz')", objective="My_Method")
    assert set(key(odd)) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-")


def test_dice_differ_between_questions_and_purposes_and_repeat() -> None:
    def rolled(question: Question, purpose: str) -> float:
        return float(torch.rand((), generator=generator(question, purpose)))

    first = rolled(EVALUATION, "attack 0")
    assert rolled(EVALUATION, "attack 0") == first
    assert rolled(EVALUATION, "attack 250") != first
    assert rolled(replace(EVALUATION, batch=125), "attack 0") != first


def test_a_recipe_needs_an_epoch_and_a_batch() -> None:
    with pytest.raises(ValueError, match="at least 1 epoch"):
        Recipe(0, 128)
    with pytest.raises(ValueError, match="2 images"):
        Recipe(1, 1)
