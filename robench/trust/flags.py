"""The flags that a number may carry, what each means, and where its line is drawn.

What a stage or an attack notices stays beside the number as evidence: notes, and counts of images.
A flag is drawn from the evidence whenever it is read, so a line that moves moves for old numbers
too.
"""

from collections.abc import Iterable, Mapping

import torch

RANDOM, BATCH, RECOMPUTED = "random", "batch", "recomputed"
SUBSET, BUDGET, MASKED, GAP = "subset", "budget", "masked", "gap"
UNDERFITTED, COLLAPSED, REPAIRED = "underfitted", "collapsed", "repaired"
OUTDATED, BOUND = "outdated", "bound"

MEANINGS: Mapping[str, str] = {
    RANDOM: "the model's outputs change from call to call",
    BATCH: "the model's outputs for an image change with the batch that it is in",
    RECOMPUTED: "the same attacked images, predicted again, gave another accuracy",
    SUBSET: "fewer test images than the set has",
    BUDGET: "the attack ran with less than its standard budget",
    MASKED: "signs of masked gradients, so that the true accuracy may be lower",
    GAP: "a stronger attack leaves over 10 points less, so that the true accuracy is lower",
    REPAIRED: "more images are right attacked than clean: the attack repairs what it should break",
    UNDERFITTED: "the probe is below the best linear layer on the same features",
    COLLAPSED: "the encoder's features are nearly constant, whatever the image",
    BOUND: "the accuracy is between the two at 95%: the full attack ran on a random sample of the "
    "images that a cheaper one left, so that this is a bound and no number",
    OUTDATED: "measured with other code, data or weights than today's",
}
"""In one sentence each, for the footnotes of a table."""

# Evidence: notes.
OUTPUTS_CHANGE = "outputs-change"
BATCH_MATTERS = "batch-matters"
RANDOMIZED = "randomized"  # AutoAttack's
NO_DLR = "no-dlr"  # AutoAttack's
FEW_STEPS = "few-steps"  # PGD's
FEW_QUERIES = "few-queries"  # Square's
CONSTANT_FEATURES = "constant-features"  # the probe's

NOTES: Mapping[str, str] = {
    OUTPUTS_CHANGE: RANDOM,
    RANDOMIZED: RANDOM,
    BATCH_MATTERS: BATCH,
    NO_DLR: BUDGET,
    FEW_STEPS: BUDGET,
    FEW_QUERIES: BUDGET,
    CONSTANT_FEATURES: COLLAPSED,
}
"""The flag for each note."""

# Evidence: counts of images.
TEST_IMAGES = "test-images"  # of the set, in its files
PUBLISHED_IMAGES = "published-images"  # of the test set as it was published, where that is known
PROBE_IMAGES = "probe-images"  # that the probe was given
WRONG_LABELS = "wrong-labels"  # of those, after the noise that was asked for
RECOMPUTED_OTHERWISE = "recomputed-otherwise"  # right in one of two predictions, wrong in the other
FLAT = "flat"  # classified correctly, and the margin has no gradient, or a faint one
STILL = "still"  # classified correctly, and most pixels have no gradient
JAGGED = "jagged"  # classified correctly, and a small step does not do what the gradient predicts
MISSED_EASY = "missed-easy"  # left standing, though noise or a single step in their ball fools
MISSED_MARGIN = "missed-margin"  # left standing, though further steps on the margin fool
CLOSE = "close"  # logits so close that the cross-entropy heeds all classes alike
UNRESOLVED = "unresolved"  # the cross-entropy has no resolution left for the logits
MISSED_GREY = "missed-grey"  # left standing, though the grey image in their ball is an answer
SQUARE = "square"  # AutoAttack's: fooled by Square and by none of its gradient attacks
ZERO_GRADIENTS = "zero-gradients"  # AutoAttack's: its loss had no gradient at all
# Of the probe's held-out part:
HELD_OUT = "held-out"  # all
BEST_ALONE = "best-layer-alone"  # right by the best linear layer, wrong by the probe
PROBE_ALONE = "probe-alone"  # the other way round

# Lines.
ROUNDING = 1e-3
"""Of the logits' spread: how far two computations of the same logits may differ.

Float32 sums in another order move them by some 1e-6 (docs/trust.md has measurements); a BatchNorm
that uses its batch's statistics moves them by some hundredths.
"""

SMALLEST_SPREAD = 1000 * torch.finfo(torch.float32).eps
"""Of the logits of an image, times log K, the loss around which they lie.

The steps of an attack move the spread by about a hundredth each; under this line that is less than
ten float32 steps of the cross-entropy, and an attack that compares losses compares rounding.
"""

SMALL_SPREAD = 1.0
"""Of the logits of an image: up to it, no class weighs three times another in the cross-entropy.

Its steepest step then leads to all other classes at once, and not to the nearest.
"""

CLOSE_SPREAD, SATURATED, FURTHER_STEPS = 3.0, 16.0, 10
"""Images left standing, of a smaller spread or with a larger lead, are climbed so many steps more.

No class weighs e^3 times another up to this spread; from this lead on the true class has all of the
softmax in float32 (2^-24 is e^-16.6). The steps are on the margin, which suffers neither.
"""

MOST = 0.6
"""Of the images: how many may have logits with a small spread.

Of 120 weakly trained classifiers (docs/trust.md) one had 60%, of an untrained one most have.
"""

FAINT = 1.0
"""Of an image's margin: up to this change, predicted for all pixels across their whole range, the
gradient is a faint one. It explains no prediction; networks have 16 and more (docs/trust.md).
"""

STILL_PIXELS = 0.5
"""Of the pixel values of an image: how many may have a gradient of exactly zero.

A crop leaves out up to a quarter of them, a clamp after a normalization two thirds.
"""

OFF = 0.5
"""Of the change that a gradient predicts for half a level of 8 bits: how far it may be off.

Usual networks are bent by less, but for an image in a hundred.
"""

NO_GRADIENT = 0.01
"""Of the images: how many may have no gradient, or a loss that float32 cannot resolve.

Networks trained and attacked as usual have none. Each such image counts as robust for want of a
direction, and a point is what tables are read to.
"""

MISLED = 0.10
"""Of the images: how many may have pixels that stand still, or a gradient that predicts nothing."""

SQUARE_ALONE = 0.002
"""Of the images: how many only Square may fool; AutoAttack's own line (its checks.py)."""

LED_ASTRAY = 0.02
"""Of the images: how many may stand though further steps on the margin fool the model.

Of weakly trained classifiers, whose logits are close, up to 4% did (docs/trust.md).
"""

MISSED = 0.05
"""Of the images: how many may stand though something simple in their ball fools the model.

In a ball with the grey image every image is the same one, so a working attack comes close to zero.
Noise fools none that stand under PGD. A single step along the margin's gradient fools some: the
cross-entropy heeds all classes, where its logits are close. Trained networks had up to 3%.
"""

FAR_BELOW = 0.10
"""The largest gap from PGD down to AutoAttack without a flag.

More than ten points is what the authors of AutoAttack report of defences whose own evaluation had
failed (Croce & Hein 2020, abstract), and more than the 8.6 points between PGD and AutoAttack that
DeACL reports of its encoder (README.md:17 of its repository).
"""

BELOW_BEST = 0.02
"""Of the held-out images: how far a probe may be below the best linear layer.

The best layer has not seen them, and the probe may have: it is ahead by what it overfits, so that a
point or two less is a poor fit already.
"""

SIGNIFICANT = 0.01
"""Of McNemar's exact test, where a weaker attack beats a stronger one, or a layer beats the probe.

A grid has dozens of such pairs, nearly all of them far on the other side; 0.01 takes eight images.
"""


def whole_set(counts: Mapping[str, int]) -> int:
    """The number of test images in the set, as published or else in its files; 0 if not known."""
    return max(counts.get(TEST_IMAGES, 0), counts.get(PUBLISHED_IMAGES, 0))


def doubts(flags: Iterable[str]) -> tuple[str, ...]:
    """The flags that cast doubt on a number: the interval holds that of fewer images."""
    return tuple(flag for flag in flags if flag != SUBSET)


def explain(flag: str) -> str:
    """The footnote of a flag."""
    return f"flagged: {flag} ({MEANINGS[flag]})" if flag in MEANINGS else f"flagged: {flag}"
