"""A model to make images on that are then tried on another."""

import torch
from torch import nn

from robench.contracts import Encoder, Probe, Run
from robench.engine.audit.subject import Subject
from robench.engine.bench import restore
from robench.engine.probe import probe
from robench.engine.subset import training_subset
from robench.grid.questions import generator
from robench.grid.spec import SpecError
from robench.probes.linear import Linear

IMAGES = 2048  # for its probe, which is kept nowhere


def surrogate(subject: Subject) -> tuple[str, nn.Module]:
    """A classifier of the same data beside the subject's, and what to call it.

    Another encoder of the zoo that was trained on the same data, of the same method if there is
    one, or else the subject's architecture with fresh weights; with a linear probe of its own.
    """
    bench, pretraining = subject.bench, subject.card.question
    dice = generator(pretraining, "audit surrogate", bench.device)
    named, encoder = _another(subject)
    if encoder is None:
        named = f"an untrained {subject.card.encoder}"
        torch.manual_seed(dice.initial_seed())  # the audit gives the global state back
        encoder = bench.catalog.build("encoders", pretraining.encoder)
        assert isinstance(encoder, Encoder)
        encoder = encoder.eval()
    encoder = encoder.to(bench.device)
    method: Probe = Linear(strength=0.1)
    few = training_subset(subject.data, IMAGES)
    return named, probe(method, encoder, few, dice, Run(bench.progress, device=bench.device)).to(
        bench.device
    ).eval()


def _another(subject: Subject) -> tuple[str, Encoder | None]:
    store, own = subject.bench.store, subject.card
    others = [card for card in store.cards() if card.key != own.key and card.source == own.source]
    # An encoder of the same kind is wrong in the same places: its images transfer best.
    for card in sorted(others, key=lambda card: (card.method != own.method, card.key)):
        weights = store.encoder(card)
        if weights is not None:
            try:
                return card.key, restore(subject.bench.catalog, card, weights)
            except SpecError:
                continue  # such as one of a plug-in that is not at hand
    return "", None
