"""Encoders of the zoo, from a card and weights that may be anybody's."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import torch
from torch import Tensor, nn

from robench.catalog.catalog import Catalog
from robench.contracts import Encoder, Teacher
from robench.engine.faults import not_finite
from robench.grid.questions import Pretraining
from robench.grid.records import Card
from robench.grid.spec import Spec, SpecError, nearest
from robench.store.store import Store
from robench.tensors.batchnorm import add_branch, use_branch
from robench.tensors.modes import preserved_random_state


def find_card(store: Store, name: str, damages: Sequence[str] = ()) -> Card:
    """The card of the encoder with that key.

    Raises SpecError with the nearest keys where the zoo has none; ``damages`` go before them.
    """
    card = store.card_by_key(name)
    if card is None:
        known = [card.key for card in store.cards()]
        hint = nearest(name, known) if known else "it is empty; `robench run` fills it"
        raise SpecError(f"no encoder '{name}' in {store.zoo}; {' '.join([*damages, hint])}")
    return card


def restore(catalog: Catalog, card: Card, weights: dict[str, Tensor]) -> Encoder:
    """The encoder of a card, in eval mode, on the branch that its features are taken from.

    Raises SpecError where the component of that name is not the one that was trained, or has no
    such branch.
    """
    spec = catalog.resolve("encoders", card.question.encoder)
    try:
        with preserved_random_state():
            _check_size(catalog, spec, weights)
            encoder = catalog.build("encoders", spec)
        assert isinstance(encoder, Encoder)
        for branch in card.branches[1:]:
            add_branch(encoder, branch, momentum=0.01)  # no momentum is used in eval mode
        encoder.load_state_dict(weights)
    except (RuntimeError, ValueError) as error:
        raise SpecError(
            f"{card.key} was trained with another {spec.name} than there is now "
            f"({str(error).splitlines()[-1].strip()}); rename the new one, or use another --zoo"
        ) from None
    if lost := not_finite(weights):
        raise SpecError(f"{card.key}: its {lost} has numbers that are not finite")
    try:
        use_branch(encoder, card.evaluated_branch)
    except ValueError as error:
        raise SpecError(f"{card.key}, whose features its card takes there: {error}") from None
    return encoder.eval()


def restore_head(heads: Mapping[str, Tensor]) -> nn.Linear | None:
    """The classifier among the weights that an encoder was trained with."""
    weights = _part("head.", heads)
    if not weights:
        return None
    with torch.device("meta"):
        outputs, width = weights["weight"].shape
        layer = nn.Linear(width, outputs)
    layer.load_state_dict(weights, assign=True)
    return layer


def restore_projector(
    catalog: Catalog, source: Pretraining, classes: int, heads: Mapping[str, Tensor]
) -> nn.Module | None:
    """The projector among the weights that an encoder was trained with, as its objective has it."""
    weights = _part("projector.", heads)
    if not weights:
        return None
    with preserved_random_state():
        encoder = catalog.build("encoders", source.encoder)
        made = catalog.build_objective(source.objective, encoder, classes, Teacher(encoder))
    projector = made.exported().projector
    assert projector is not None
    projector.load_state_dict(weights)
    return projector


def _part(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): one for n, one in weights.items() if n.startswith(prefix)}


def _check_size(catalog: Catalog, spec: Spec, weights: dict[str, Tensor]) -> None:
    """Raises ValueError where a card, which may be anybody's, asks for more than its weights are.

    A component that cannot be drawn up without memory is not checked.
    """
    with suppress(RuntimeError, NotImplementedError), torch.device("meta"):
        drawn = catalog.build("encoders", spec).state_dict()
        needed, held = (sum(t.numel() for t in ts.values()) for ts in (drawn, weights))
        if needed > held:
            raise ValueError(f"it has {needed:,} numbers, the file {held:,}")
