"""Pretraining: it learns, it repeats itself, it stops where it should, on RoCL's schedule."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from batches import RUN
from torch import Generator, Tensor, nn

from robench.catalog.catalog import Catalog
from robench.contracts import Batch, Encoder, Objective, Run, State, TrainingSet
from robench.engine.pretrain import TrainingError, learning_rate, pretrain
from robench.engine.progress import silent
from robench.grid.recipe import Recipe
from robench.grid.spec import parse
from robench.objectives.rocl import RoCL
from robench.tensors.features import fingerprint
from robench.tensors.modes import preserved_random_state

RECIPE = Recipe(epochs=3, batch=16, lr=5e-3)
Make = Callable[[str], Objective]


@pytest.fixture
def make() -> Iterator[Make]:
    def make(spec: str) -> Objective:
        torch.manual_seed(0)
        return Catalog().build_objective(spec, Catalog().build("encoders", "resnet8(width=4)"))

    with preserved_random_state():
        yield make


@pytest.fixture
def images() -> Tensor:
    """Forty-one pictures, each of one colour with a little noise: easy to tell apart."""
    dice = Generator().manual_seed(1)
    colours = torch.randint(40, 215, (41, 3, 1, 1), generator=dice)
    noise = torch.randint(-20, 20, (41, 3, 8, 8), generator=dice)
    return (colours + noise).to(torch.uint8)


def train(objective: Objective, images: Tensor, recipe: Recipe, seed: int = 2) -> list[float]:
    dice = Generator().manual_seed(seed)
    return pretrain(objective, TrainingSet(images), recipe, dice, RUN, "pretraining toy")


class Stub(Encoder):
    def __init__(self) -> None:
        super().__init__()
        self.width = 1
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        return self.scale * images.mean((1, 2, 3))[:, None]


class Recorder(Objective):
    """Notes what it is given; its loss is the next of the given ones."""

    recipe = RECIPE

    def __init__(self, losses: list[float]) -> None:
        super().__init__()
        self.encoder = Stub()
        self.losses, self.seen = list(losses), []

    def forward(self, batch: Batch) -> Tensor:
        self.seen.append(batch.images)
        return self.encoder.scale * 0 + self.losses.pop(0)


@pytest.mark.parametrize("method", ["plain", "clae", "rocl(steps=1, hidden=32)"])
def test_the_loss_goes_down(make: Make, images: Tensor, method: str) -> None:
    losses = train(make(method), images, dataclasses.replace(RECIPE, epochs=12))
    assert len(losses) == 12
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "lars"])
def test_every_optimizer_moves_the_weights(make: Make, images: Tensor, optimizer: str) -> None:
    objective = make("plain")
    before = {name: p.detach().clone() for name, p in objective.named_parameters()}
    train(objective, images, dataclasses.replace(RECIPE, optimizer=optimizer, lr=0.1))
    for name, p in objective.named_parameters():
        assert not torch.equal(p, before[name]), name


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_seed_gives_the_same_bits(make: Make, images: Tensor, precision: str) -> None:
    recipe = dataclasses.replace(RECIPE, precision=precision)
    first, second, other = (make("rocl(steps=1, hidden=32)") for _ in range(3))
    losses = train(first, images, recipe)
    torch.manual_seed(99)
    assert train(second, images, recipe) == losses
    assert fingerprint(second) == fingerprint(first)
    train(other, images, recipe, seed=3)
    assert fingerprint(other) != fingerprint(first)


def test_half_precision_trains_float32_weights(make: Make, images: Tensor) -> None:
    recipe = dataclasses.replace(RECIPE, epochs=8, precision="bf16")
    objective = make("plain")
    losses = train(objective, images, recipe)
    assert losses[-1] < losses[0]
    assert losses != train(make("plain"), images, dataclasses.replace(recipe, precision="fp32"))
    for tensor in objective.state_dict().values():
        assert tensor.dtype in (torch.float32, torch.int64)
        assert tensor.isfinite().all()


def test_it_trains_in_train_mode_and_leaves_images_and_global_random_state(
    make: Make, images: Tensor
) -> None:
    objective, kept, before = make("plain").eval(), images.clone(), torch.get_rng_state()
    norm = next(m for m in objective.modules() if isinstance(m, nn.BatchNorm2d))
    mean = norm.running_mean.clone()
    train(objective, images, RECIPE)
    assert not torch.equal(norm.running_mean, mean)
    assert torch.equal(images, kept)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_epoch_shows_each_image_at_most_once_in_whole_batches(images: Tensor) -> None:
    objective = Recorder([1.0] * 6)
    train(objective, images, RECIPE)
    assert [len(batch) for batch in objective.seen] == [16] * 6
    stored = {image.numpy().tobytes() for image in images.float().div(255)}
    epochs = [torch.cat(objective.seen[i : i + 2]) for i in (0, 2, 4)]
    for epoch in epochs:
        shown = {image.numpy().tobytes() for image in epoch}
        assert len(shown) == 32
        assert shown <= stored
    assert not torch.equal(epochs[0], epochs[1])


def test_it_reports_each_epoch_s_mean(images: Tensor) -> None:
    assert train(Recorder([1.0, 2.0, 3.0, 5.0, 8.0, 8.0]), images, RECIPE) == [1.5, 4.0, 8.0]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_names_the_epoch_and_a_way_out(
    images: Tensor, bad: float
) -> None:
    objective = Recorder([1.0, 1.0, 1.0, bad, 1.0, 1.0])
    words = f"toy: the loss is {bad} in epoch 2.*try a smaller learning rate than 0.005"
    with pytest.raises(TrainingError, match=words):
        train(objective, images, RECIPE)
    assert len(objective.seen) == 4


def test_one_batch_is_enough_and_fewer_images_are_refused(images: Tensor) -> None:
    assert train(Recorder([2.0]), images[:16], Recipe(epochs=1, batch=16)) == [2.0]
    with pytest.raises(TrainingError, match="15 training images are less than one batch of 16; "):
        train(Recorder([]), images[:15], RECIPE)


class GradualWarmup:
    """The schedule that rocl_train.py:115-126 builds, call by call, on one learning rate.

    warmup_scheduler/scheduler.py:25-63 around torch's CosineAnnealingLR of T_max = 1000, whose
    ``get_lr`` at time 0 is its own base rate, and which only moves once the warm-up handed over.
    """

    def __init__(self, base: float, multiplier: float, total: int, period: int) -> None:
        self.base, self.multiplier, self.total, self.period = base, multiplier, total, period
        self.time, self.cosine_time, self.handed_over = 0, 0, False

    def step(self) -> float:
        if self.handed_over:
            self.cosine_time += 1
            return self.cosine()
        self.time += 1
        if self.time > self.total:
            self.handed_over = True
            return self.cosine()
        return self.base * ((self.multiplier - 1) * self.time / self.total + 1)

    def cosine(self) -> float:
        peak = self.base * self.multiplier
        return peak * 0.5 * (1 + math.cos(math.pi * self.cosine_time / self.period))


def test_every_epoch_of_rocl_has_its_authors_learning_rate() -> None:
    schedule = GradualWarmup(0.1, 15, 10, 1000)  # src/argument.py:110-111, 125
    theirs = [schedule.step() for _ in range(1000)]  # at the start of each epoch
    ours = [learning_rate(RoCL.recipe, epoch, 0.0) for epoch in range(1000)]
    assert ours == pytest.approx(theirs, rel=0, abs=1e-12)
    # By hand: 0.24 first, the peak at the end of the warm-up and once more, and no zero at the end.
    by_hand = {0: 0.24, 9: 1.5, 10: 1.5, 510: 0.75, 999: 0.75 * (1 - math.cos(math.pi * 0.011))}
    assert {epoch: ours[epoch] for epoch in by_hand} == pytest.approx(by_hand, abs=1e-12)


def clae_by_its_authors(epoch: int) -> float:
    """Plain/main.py:190-200 and UEL/main.py:185-195: shares of 0.03, epochs from 0."""
    if 120 <= epoch < 160:
        return 0.03 * 0.1
    if 160 <= epoch < 200:
        return 0.03 * 0.05
    return 0.03 * 0.01 if epoch >= 200 else 0.03


@pytest.mark.parametrize("method", ["plain", "clae"])
@pytest.mark.parametrize("base", ["plain", "uel"])
def test_plain_and_uel_have_their_authors_schedule(method: str, base: str) -> None:
    catalog = Catalog()
    recipe = catalog.schedule(catalog.resolve("methods", parse(f"{method}(base={base})")))
    assert recipe is not None
    ours = [learning_rate(recipe, epoch, share) for epoch in range(301) for share in (0.0, 0.99)]
    theirs = [clae_by_its_authors(epoch) for epoch in range(301) for _ in range(2)]
    assert ours == pytest.approx(theirs, rel=0, abs=1e-15)
    assert ours[2 * 160] == pytest.approx(0.0015)
    assert (recipe.epochs, recipe.batch, recipe.optimizer) == (301, 128, "sgd")
    assert (recipe.lr, recipe.momentum, recipe.weight_decay) == (0.03, 0.9, 5e-4)


@pytest.mark.parametrize("method", ["plain(base=clae)", "clae"])
def test_clae_s_simclr_has_no_schedule(method: str) -> None:
    catalog = Catalog()
    recipe = catalog.schedule(catalog.resolve("methods", parse(method)))
    assert recipe == Recipe(100, 256, optimizer="adam", lr=3e-4, schedule="constant")
    assert {learning_rate(recipe, epoch, 0.5) for epoch in range(100)} == {3e-4}


class Slope(Recorder):
    """Has gradient 1 in its one weight."""

    def forward(self, batch: Batch) -> Tensor:
        return self.encoder.scale * 1.0


def test_momentum_and_weight_decay_reach_the_optimizer(images: Tensor) -> None:
    # SGD written out, as torch has it and the authors use it.
    recipe = Recipe(4, 16, optimizer="sgd", lr=0.03, weight_decay=0.5)
    recipe = dataclasses.replace(recipe, schedule="steps", falls=((1, 0.1), (3, 0.05)))
    objective = Slope([])
    train(objective, images, recipe)
    weight, velocity = 1.0, 0.0
    for epoch in range(4):
        for _ in range(2):
            velocity = 0.9 * velocity + 1.0 + 0.5 * weight
            weight -= 0.03 * {0: 1.0, 1: 0.1, 2: 0.1, 3: 0.05}[epoch] * velocity
    assert objective.encoder.scale.item() == pytest.approx(weight, rel=1e-6)


def test_the_optimizer_follows_the_schedule(images: Tensor) -> None:
    # Without momentum the path is the sum of the learning rates.
    recipe = Recipe(4, 16, optimizer="sgd", lr=0.1, momentum=0.0, warmup=1, warmup_start=0.5)
    objective = Slope([])
    train(objective, images, recipe)
    rates = [learning_rate(recipe, epoch, share) for epoch in range(4) for share in (0, 0.5)]
    assert objective.encoder.scale.item() == pytest.approx(1 - sum(rates), rel=1e-5)
    assert rates[0] == pytest.approx(0.05)


def test_within_an_epoch_the_rate_changes_only_where_the_recipe_says_so() -> None:
    stepwise = Recipe(epochs=4, batch=2, lr=2.0)
    epochwise = dataclasses.replace(stepwise, update="epoch")
    for recipe, epoch in ((epochwise, 1), (RoCL.recipe, 0), (RoCL.recipe, 10), (RoCL.recipe, 500)):
        assert learning_rate(recipe, epoch, 0.0) == learning_rate(recipe, epoch, 0.99)
    assert learning_rate(stepwise, 1, 0.9) < learning_rate(stepwise, 1, 0.0)
    assert learning_rate(stepwise, 0, 0.0) == 2.0
    assert learning_rate(stepwise, 2, 0.0) == pytest.approx(1.0)


def test_a_constant_rate_is_constant_after_its_warm_up() -> None:
    recipe = Recipe(epochs=10, batch=2, lr=0.5, schedule="constant", warmup=2)
    rates = [learning_rate(recipe, epoch, share) for epoch in range(10) for share in (0, 0.5)]
    assert rates == pytest.approx([0, 0.125, 0.25, 0.375] + [0.5] * 16)


# --- what the stage gives to an objective beside the images


class Clustering(Objective):
    """Pulls images to the mean of their label, which a pass before each epoch looks up."""

    recipe = RECIPE
    uses_labels = True
    centres: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.slow = Stub(), nn.Parameter(torch.ones(()), requires_grad=False)
        self.register_buffer("centres", None)
        self.seen: list[Batch] = []
        self.calls: list[str] = []

    def prepare(self, data: TrainingSet, epoch: int, generator: Generator, run: Run) -> None:
        self.calls.append(f"prepare {epoch}")
        assert data.labels is not None
        with torch.no_grad():
            features = self.encoder(data.images.float() / 255)
            self.centres = torch.stack([features[data.labels == k].mean(0) for k in range(2)])

    def forward(self, batch: Batch) -> Tensor:
        self.seen.append(batch)
        assert batch.labels is not None
        return (self.encoder(batch.images) - self.centres[batch.labels] - 1).square().mean()

    def after_step(self, batch: Batch) -> None:
        self.calls.append("after")
        self.slow.data.lerp_(self.encoder.scale.detach(), 0.5)

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [{"params": [self.encoder.scale], "weight_decay": 0.25}]


@pytest.fixture
def labelled(images: Tensor) -> TrainingSet:
    return TrainingSet(images, torch.arange(41) % 2)


def test_a_batch_has_its_rows_labels_and_place(labelled: TrainingSet) -> None:
    objective, generator = Clustering(), Generator().manual_seed(2)
    pretrain(objective, labelled, RECIPE, generator, RUN, "toy")
    assert [batch.epoch for batch in objective.seen] == [0, 0, 1, 1, 2, 2]
    assert {batch.epochs for batch in objective.seen} == {3}
    assert [batch.progress for batch in objective.seen] == pytest.approx([i / 6 for i in range(6)])
    for batch in objective.seen:
        assert torch.equal(batch.images, labelled.images[batch.index].float() / 255)
        assert torch.equal(batch.labels, labelled.labels[batch.index])
        assert batch.generator is generator
    assert objective.calls == [
        word for epoch in range(3) for word in (f"prepare {epoch}", "after", "after")
    ]


def test_groups_keep_what_they_set(labelled: TrainingSet) -> None:
    recipe = Recipe(1, 41, optimizer="sgd", lr=0.1, momentum=0.0, weight_decay=9.0)
    objective = Clustering()
    objective.centres = torch.zeros(2, 1)
    objective.forward = lambda batch: objective.encoder.scale * 1.0  # type: ignore[method-assign]
    pretrain(objective, labelled, recipe, Generator(), RUN, "toy")
    assert objective.encoder.scale.item() == pytest.approx(1 - 0.1 * (1 + 0.25))
    # The moving average follows the step that it comes after.
    assert objective.slow.item() == pytest.approx((1 + objective.encoder.scale.item()) / 2)


class Stopping:
    """Checkpoints in memory, of work that stops after so many steps."""

    def __init__(self, after: int, kept: State | None = None) -> None:
        self.after, self.kept = after, kept

    def load(self, accept: Callable[[State], object]) -> State | None:
        if self.kept is not None:
            accept(self.kept)
        return self.kept

    def save_if_due(self, state: Callable[[], State]) -> None:
        self.after -= 1
        if self.after == 0:
            found = state()
            tensors = {name: tensor.clone() for name, tensor in found.tensors.items()}
            self.kept = dataclasses.replace(found, tensors=tensors)
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [1, 2, 3, 5])
def test_what_was_prepared_and_averaged_survives_an_interruption(
    labelled: TrainingSet, after: int
) -> None:
    whole = Clustering()
    pretrain(whole, labelled, RECIPE, Generator().manual_seed(2), RUN, "toy")
    stopping = Stopping(after)
    run = Run(silent, stopping)
    with pytest.raises(KeyboardInterrupt):
        pretrain(Clustering(), labelled, RECIPE, Generator().manual_seed(2), run, "toy")
    again = Clustering()
    run = Run(silent, Stopping(0, stopping.kept))
    pretrain(again, labelled, RECIPE, Generator(), run, "toy")
    assert fingerprint(again) == fingerprint(whole)
    # An epoch that had begun is not prepared twice.
    assert again.calls == whole.calls[after + (after + 1) // 2 :]


def test_an_encoder_that_uses_view_trains_in_half_precision(images: Tensor) -> None:
    class Viewing(Stub):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 2, 3)

        def forward(self, images: Tensor) -> Tensor:
            return self.layer(images).view(len(images), -1) * self.scale

    class Squares(Recorder):
        def forward(self, batch: Batch) -> Tensor:
            return (self.encoder(batch.images) - 1).square().mean()

    objective = Squares([])
    objective.encoder = Viewing()
    losses = train(objective, images, dataclasses.replace(RECIPE, precision="bf16"))
    assert losses[-1] < losses[0]


def test_weights_that_are_lost_in_the_last_step_are_no_result(images: Tensor) -> None:
    class Rooted(Recorder):
        def forward(self, batch: Batch) -> Tensor:
            loss = super().forward(batch)
            # The root of 0 is a number, and its gradient is not.
            return loss if self.losses else loss + (self.encoder.scale * 0).sqrt()

    with pytest.raises(TrainingError, match=r"encoder\.scale is not finite after a step whose lo"):
        train(Rooted([1.0] * 6), images, RECIPE)
