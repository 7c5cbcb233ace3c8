"""SimCLR as RoCL's authors' code trains it without an adversary, the baseline of their table 1.

Files and lines are those of github.com/Kim-Minseon/RoCL at b6d5185.
"""

from dataclasses import replace

from robench.presets import Difference, Setting
from robench.presets.paper import rocl

preset = replace(
    rocl.preset,
    summary="SimCLR by RoCL's code without its adversary: ResNet-18, 1000 epochs: GPU days",
    methods=("plain(base=rocl)",),
    settings=(
        Setting("launch", "--train_type contrastive --advtrain_type None", "src/argument.py:105"),
        *rocl.TRAINING,
        Setting(
            "loss",
            "NT-Xent over two views in one batch, by 2N",
            "src/loss.py:12-27, 78-79, rocl_train.py:146-157",
        ),
        *rocl.EVALUATION,
    ),
    differences=(
        Difference(
            "the command",
            "",
            "none is given for this row: README.md:25 without its adversary, the rest as there",
            "the same",
        ),
        Difference(
            "gradient of the similarities",
            "of NT-Xent, both sides",
            "the key side is detached (src/loss.py:55)",
            "the code's; plain without a base has the gradient of the formula",
        ),
        *rocl.SHARED,
    ),
)
