"""Keys are names on disk: a change to one orphans every answer that was ever stored under it."""

from dataclasses import replace

import pytest
import torch
from pydantic import TypeAdapter

from robench.grid.questions import (
    Evaluation,
    Imported,
    Pretraining,
    Probing,
    Question,
    generator,
    key,
    parents,
)
from robench.grid.recipe import Recipe
from robench.grid.records import Identity, radius
from robench.grid.spec import Spec, parse

TRAINING = Pretraining(
    parse("rocl(eps=8/255, steps=7)"),
    parse("resnet8(width=16)"),
    Spec("cifar10"),
    Recipe(10, 128, images=8192),
    0,
)
PROBING = Probing(TRAINING, Spec("linear"), Spec("cifar100"), 8192)
EVALUATION = Evaluation(PROBING, parse("pgd(eps=8/255, norm=linf, steps=20)"))
IMPORTED = Imported("0" * 64, "solo-learn", "clean", parse("resnet8(width=16)"))


@pytest.mark.parametrize(
    ("question", "name"),
    [
        (TRAINING, "rocl-cifar10-resnet8-s0-590487aa73"),
        (IMPORTED, "solo-learn-resnet8-clean-a298c1294d"),
        (PROBING, "rocl-cifar10-resnet8-s0-cifar100-linear-37186572bc"),
        (EVALUATION, "rocl-cifar10-resnet8-s0-cifar100-linear-pgd-linf8_255-0966441638"),
        (
            replace(EVALUATION, attack=Spec("clean")),
            "rocl-cifar10-resnet8-s0-cifar100-linear-clean-16ce36b6bd",
        ),
    ],
)
def test_keys_stay_what_they_were(question: Question, name: str) -> None:
    assert key(question) == name


def test_every_field_counts() -> None:
    others = [
        replace(EVALUATION, attack=Spec("clean")),
        replace(EVALUATION, batch=125),
        replace(EVALUATION, surrogate=PROBING),
        replace(EVALUATION, probing=replace(PROBING, probe=Spec("linear-sgd"))),
        replace(EVALUATION, probing=replace(PROBING, dataset=Spec("cifar10"))),
        replace(EVALUATION, probing=replace(PROBING, images=None)),
        replace(EVALUATION, probing=replace(PROBING, source=IMPORTED)),
        replace(EVALUATION, probing=replace(PROBING, source=replace(IMPORTED, branch="x"))),
        replace(EVALUATION, probing=replace(PROBING, source=replace(TRAINING, teacher=IMPORTED))),
        replace(EVALUATION, probing=replace(PROBING, source=replace(TRAINING, seed=1))),
        replace(
            EVALUATION,
            probing=replace(
                PROBING, source=replace(TRAINING, recipe=replace(TRAINING.recipe, lr=0.1))
            ),
        ),
    ]
    assert len({key(question) for question in [EVALUATION, *others]}) == len(others) + 1


def test_a_recipe_s_defaults_need_not_be_told() -> None:
    spelled = replace(TRAINING, recipe=Recipe(10, 128, 8192, optimizer="adam", precision="fp32"))
    assert key(spelled) == key(TRAINING)


def test_a_key_is_a_plain_file_name() -> None:
    odd = replace(
        TRAINING, dataset=parse("npz(path='/data/My Set (1).npz')"), objective=Spec("My_Method")
    )
    assert set(key(odd)) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-")


def test_parents_are_what_an_answer_is_computed_from() -> None:
    other = Probing(IMPORTED, Spec("linear"), Spec("cifar100"))
    taught = replace(TRAINING, teacher=IMPORTED)
    assert parents(TRAINING) == parents(IMPORTED) == ()
    assert parents(taught) == (IMPORTED,)
    assert parents(PROBING) == (TRAINING,)
    assert parents(EVALUATION) == (PROBING,)
    assert parents(replace(EVALUATION, surrogate=other)) == (PROBING, other)


@pytest.mark.parametrize("question", [TRAINING, IMPORTED, PROBING, EVALUATION])
def test_a_question_written_to_json_is_read_back(question: Question) -> None:
    form = TypeAdapter(type(question))
    assert form.validate_json(form.dump_json(question)) == question


def test_an_identity_names_what_differs_and_compares_what_both_know() -> None:
    own = Identity((("attacks/pgd", "a"), ("engine/evaluate", "b")), "data", ("first", ""))
    assert own.differs(own) == ()
    others = {
        "the code of attacks/pgd": replace(own, code=(("attacks/pgd", "0"),)),
        "the data": replace(own, data="0"),
        "the weights": replace(own, parents=("0", "")),
    }
    for name, other in others.items():
        assert own.differs(other) == other.differs(own) == (name,)
    assert own.differs(Identity((), "", ("", "second"))) == ()
    assert own.differs(replace(own, parents=())) == ("the weights",)


def test_dice_differ_between_questions_and_purposes_and_repeat() -> None:
    def rolled(question: Question, purpose: str) -> float:
        return float(torch.rand((), generator=generator(question, purpose)))

    first = rolled(EVALUATION, "attack 0")
    assert rolled(EVALUATION, "attack 0") == first
    assert rolled(EVALUATION, "attack 250") != first
    assert rolled(replace(EVALUATION, batch=125), "attack 0") != first


def test_a_recipe_s_later_fields_count_where_they_say_something() -> None:
    later = {"hold": 1, "span": "all", "schedule": "constant"}
    recipes = [replace(TRAINING.recipe, **{field: value}) for field, value in later.items()]
    recipes.append(replace(TRAINING.recipe, schedule="steps", falls=((5, 0.1),)))
    recipes.append(replace(TRAINING.recipe, schedule="steps", falls=((5, 0.2),)))
    asked = [TRAINING, *(replace(TRAINING, recipe=recipe) for recipe in recipes)]
    assert len({key(question) for question in asked}) == len(asked)
    plain = replace(TRAINING.recipe, hold=0, span="rest", falls=())
    assert key(replace(TRAINING, recipe=plain)) == key(TRAINING)


def test_a_recipe_needs_an_epoch_and_a_batch() -> None:
    with pytest.raises(ValueError, match="at least 1 epoch"):
        Recipe(0, 128)
    with pytest.raises(ValueError, match="2 images"):
        Recipe(1, 1)


def test_a_recipe_s_falls_belong_to_steps_and_are_in_order() -> None:
    with pytest.raises(ValueError, match="schedule=cosine"):
        Recipe(10, 128, falls=((5, 0.1),))
    with pytest.raises(ValueError, match="schedule=steps"):
        Recipe(10, 128, schedule="steps")
    with pytest.raises(ValueError, match="in the order of the epochs"):
        Recipe(10, 128, schedule="steps", falls=((5, 0.1), (3, 0.5)))


@pytest.mark.parametrize(
    ("attack", "shown"),
    [
        ("clean", ("", "")),
        ("pgd(eps=8/255, norm=linf)", ("linf", "8/255")),
        ("pgd(eps=1/85, norm=linf)", ("linf", "3/255")),
        ("pgd(eps=0.5, norm=l2)", ("l2", "0.5")),
        ("pgd(eps=1/7, norm=l2)", ("l2", "1/7")),
        ("pgd(eps=12, norm=l1)", ("l1", "12")),
        ("own(eps=1)", ("", "1")),
    ],
)
def test_a_radius_is_shown_as_one_would_type_it(attack: str, shown: tuple[str, str]) -> None:
    assert radius(parse(attack)) == shown
