"""CLAE as its authors' code trains it, on three bases (Ho & Vasconcelos 2020, arXiv 2010.12050).

Files and lines are those of github.com/chihhuiho/CLAE at 6986061; what Plain/ and
UEL/ share is given by its line in Plain/.
"""

from robench.presets import Difference, Pairing, Preset, Setting

SIMCLR = (
    Setting("SimCLR: data", "all 50,000 training images", "SimCLR/main.py:109-137"),
    Setting("SimCLR: encoder", "ResNet-18, 3x3 stem, no max-pooling", "SimCLR/main.py:20"),
    Setting(
        "SimCLR: input", "(pixels - 0.5) / 0.5", "SimCLR/modules/transformations/simclr.py:15-16"
    ),
    Setting(
        "SimCLR: projector",
        "linear to 512, ReLU, linear to 64; length 1",
        "SimCLR/main.py:21-22, modules/simclr_BN.py:34-38, 71-72",
    ),
    Setting(
        "SimCLR: views",
        "in this order: crop of 0.08 to 1; flip; colour jitter (0.8, 0.8, 0.8, 0.2) with p 0.8; "
        "grayscale p 0.2",
        "SimCLR/modules/transformations/simclr.py:11-26",
    ),
    Setting("SimCLR: loss", "NT-Xent, mean over 2N", "SimCLR/modules/nt_xent.py:30-55"),
    Setting("SimCLR: temperature", "0.5", "SimCLR/main.py:25"),
    Setting("SimCLR: batch", "256, incomplete ones dropped", "SimCLR/main.py:16, 130-137"),
    Setting("SimCLR: epochs", "100", "SimCLR/main.py:19"),
    Setting("SimCLR: optimiser", "Adam, lr 3e-4, no schedule", "SimCLR/model.py:20-21"),
    Setting(
        "SimCLR: weight decay", "0: the argument is not used", "SimCLR/main.py:24, model.py:21"
    ),
    Setting("SimCLR: eps", "0.03 on normalised images", "SimCLR/run_cifar10.sh:5"),
)

INSTANCE = (
    Setting(
        "Plain, UEL: encoder",
        "ResNet-18, 3x3 stem, no max-pooling",
        "Plain/main.py:46, models/resnet_cifar.py:142",
    ),
    Setting(
        "Plain, UEL: input",
        "normalised by (0.4914, 0.4822, 0.4465) and (0.2023, 0.1994, 0.2010)",
        "Plain/main.py:134",
    ),
    Setting(
        "Plain, UEL: projector",
        "linear to 128; length 1",
        "Plain/main.py:34, models/resnet_cifar.py:154-155",
    ),
    Setting(
        "Plain, UEL: views",
        "in this order: crop of 0.2 to 1; colour jitter (0.4, 0.4, 0.4, 0.4), always; "
        "grayscale p 0.2; flip",
        "Plain/main.py:128-133",
    ),
    Setting(
        "Plain: loss",
        "view 1 finds its view 2 among all views 2; no other direction",
        "Plain/main.py:69-83",
    ),
    Setting(
        "UEL: loss",
        "log p of the own view and log(1 - p) of all others, keys detached, mean over 2N",
        "UEL/BatchAverage.py:30-71",
    ),
    Setting("Plain, UEL: temperature", "0.1", "Plain/main.py:36"),
    Setting("Plain, UEL: batch", "128, incomplete ones dropped", "Plain/main.py:40, 148"),
    Setting("Plain, UEL: epochs", "301", "Plain/main.py:248, UEL/main.py:247"),
    Setting(
        "Plain, UEL: optimiser",
        "SGD, lr 0.03, momentum 0.9, weight decay 5e-4",
        "Plain/main.py:25, 188, UEL/main.py:26, 183",
    ),
    Setting(
        "Plain, UEL: lr",
        "of 0.03, from epoch 120 (from 0) 0.1, from 160 0.05, from 200 0.01",
        "Plain/main.py:190-200, UEL/main.py:185-195",
    ),
    Setting("Plain, UEL: eps", "0.03 on normalised images", "Plain/run_cifar10.sh:4"),
)

ADVERSARY = (
    Setting(
        "adversary",
        "one signed gradient step from view 1, up the base's loss against view 1 itself",
        "SimCLR/main.py:48-61, Plain/main.py:57-66, UEL/main.py:58-69",
    ),
    Setting("adversary's pixels", "not cut to a range", "SimCLR/main.py:56, Plain/main.py:63"),
    Setting("alpha", "1.0", "SimCLR/main.py:40, run_cifar10.sh:5, Plain/main.py:51"),
    Setting(
        "adversary's BatchNorm",
        "a set of its own with momentum 0.01, in train mode, for the step and the loss",
        "SimCLR/main.py:39, modules/resnet_BN.py:41-66, Plain/models/resnet_cifar.py:30-72",
    ),
    Setting(
        "loss",
        "base(view 1, view 2) + alpha base(view 1, adversary)",
        "SimCLR/main.py:80-83, Plain/main.py:224-227, UEL/main.py:219-226",
    ),
)

EVALUATION = (
    Setting(
        "LR input",
        "images as they are, normalised",
        "SimCLR/eval_lr.py:125-128, Plain/eval.py:109-113",
    ),
    Setting(
        "LR features",
        "SimCLR: the 512 before the projector; Plain, UEL: the 128 after it, of length 1",
        "SimCLR/eval_lr.py:58-63, Plain/eval.py:177, 195-197, models/resnet_cifar.py:187-188",
    ),
    Setting("LR optimiser", "Adam, lr 3e-4", "SimCLR/eval_lr.py:205, Plain/eval.py:180"),
    Setting("LR epochs", "1000", "SimCLR/eval_lr.py:16, Plain/eval.py:44"),
    Setting(
        "LR batch",
        "SimCLR 256, Plain and UEL 128; incomplete ones dropped",
        "SimCLR/eval_lr.py:14, 153-159, Plain/eval.py:45, 132-138",
    ),
    Setting(
        "LR readout",
        "the best accuracy on the test set of all epochs",
        "SimCLR/eval_lr.py:218-220, Plain/eval.py:242-243",
    ),
    Setting(
        "kNN",
        "K 200; weights exp(sim / 0.5), Plain and UEL exp(sim / 0.1)",
        "SimCLR/eval_knn.py:51-120, Plain/main.py:260",
    ),
)

_DATA_SETS = ("cifar10", "cifar100")
# The linear layer to 128 is the encoder's, since the classifier sees what comes out of it
# (Plain/models/resnet_cifar.py:187-188, eval.py:195-197); the objective then has none of its own.
_INSTANCE = (
    "plain(base=plain, output=0)",
    "clae(base=plain, output=0)",
    "plain(base=uel, output=0)",
    "clae(base=uel, output=0)",
)
_PIXELS = "mean='0.4914,0.4822,0.4465', std='0.2023,0.1994,0.2010'"  # Plain/main.py:134
_BATCH = ("linear-adam(batch=128)",)  # Plain/eval.py:45

preset = Preset(
    summary="CLAE by its authors' code on its three bases: ResNet-18, 100 and 301 epochs: GPU days",
    methods=("plain(base=clae)", "clae", *_INSTANCE),
    sources=_DATA_SETS,
    targets=_DATA_SETS,
    encoders=("resnet18(mean=0.5, std=0.5)",),
    recipe=None,
    probes=("linear-adam",),
    pairings=(
        Pairing(_INSTANCE, (f"resnet18(embedding=128, {_PIXELS})",), _BATCH),
        # With a projector of its own, which is thrown away: typed without output=0.
        Pairing(
            ("plain(base=plain)", "clae(base=plain)", "plain(base=uel)", "clae(base=uel)"),
            (f"resnet18({_PIXELS})",),
            _BATCH,
        ),
    ),
    settings=(*SIMCLR, *INSTANCE, *ADVERSARY, *EVALUATION),
    differences=(
        Difference(
            "eps on SimCLR",
            "",
            "0.03 on images of standard deviation 0.5; the default is 0.01 (SimCLR/main.py:38)",
            "0.015 in pixels, the same thing: 3.8/255",
        ),
        Difference(
            "eps on Plain and UEL",
            "",
            "the same 0.03, over CIFAR's standard deviations: 0.00607, 0.00598 and 0.00603 by "
            "channel, 2.5 times less than on SimCLR",
            "0.006027 in each channel, at most 0.8% from theirs: an eps here is one number",
        ),
        Difference(
            "forward passes",
            "",
            "view 1 passes the adversarial BatchNorm twice for the step, and on Plain the clean "
            "one twice for the loss",
            "once each: values and gradients are equal, and running averages see view 1 less often",
        ),
        Difference(
            "kept encoder",
            "",
            "on Plain and UEL the one with the best kNN on the test set (Plain/main.py:265-275)",
            "the last: test images give numbers and select nothing",
        ),
        Difference(
            "readout of the linear classifier",
            "",
            "the best accuracy on the test set of 1000 epochs",
            "the last epoch's, for the same reason",
        ),
        Difference(
            "test images",
            "",
            "incomplete batches are dropped: 9,984 of 10,000 (SimCLR/eval_lr.py:161-167)",
            "all 10,000",
        ),
        Difference(
            "kNN",
            "",
            "on the projector's outputs; SimCLR's gallery has 80 features under wrong labels "
            "(SimCLR/eval_knn.py:73-78)",
            "not in the grid: it is no differentiable classifier to attack",
        ),
        Difference(
            "robust accuracy", "", "none: clean accuracy alone", "PGD-20 and AutoAttack beside it"
        ),
        Difference(
            "tinyImageNet",
            "",
            "224x224, batch 128 (run_tinyImagenet.sh)",
            "not among the data sets",
        ),
        Difference("transfer", "", "none", "CIFAR-10 to CIFAR-100 and back, of our own"),
    ),
)
