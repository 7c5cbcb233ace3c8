"""RoCL as its authors' code trains and evaluates it (Kim, Tack & Hwang 2020, arXiv 2006.07589).

Files and lines are those of github.com/Kim-Minseon/RoCL at b6d5185.
"""

from robench.presets import Difference, Preset, Setting

TRAINING = (
    Setting("data", "all 50,000 training images", "src/data_loader.py:53, 126"),
    Setting(
        "encoder", "ResNet-18, 3x3 stem, no max-pooling", "README.md:25, src/models/resnet.py:131"
    ),
    Setting("input", "pixels in [0, 1], not normalised", "src/data_loader.py:17-23"),
    Setting("projector", "linear to 2048, ReLU, linear to 128", "src/models/projector.py:9-19"),
    Setting(
        "views",
        "in this order: colour jitter (0.4, 0.4, 0.4, 0.1) with p 0.8; grayscale p 0.2; flip; "
        "crop of 0.08 to 1",
        "src/data_loader.py:8-23, argument.py:129",
    ),
    Setting("temperature", "0.5", "src/argument.py:130"),
    Setting("keys of the similarities", "detached", "src/loss.py:55"),
    Setting("BatchNorm", "one set of statistics, over both GPUs", "src/rocl_train.py:88"),
    Setting("batch", "256 on each of 2 GPUs: 512", "README.md:25, src/argument.py:124"),
    Setting("epochs", "1000", "src/argument.py:125"),
    Setting(
        "optimiser",
        "SGD, momentum 0.9, weight decay 1e-6, in LARS (eps 1e-8, trust 0.001)",
        "src/rocl_train.py:111-112, argument.py:112",
    ),
    Setting(
        "lr",
        "0.1, by 10 epochs of warm-up to 15 times that, then a cosine of period 1000",
        "src/argument.py:110-111, rocl_train.py:115-116",
    ),
    Setting("lr, when", "changed at the start of each epoch", "src/rocl_train.py:126"),
    Setting("seed", "none: 0 leaves it unset", "src/argument.py:123, rocl_train.py:43-44"),
)
"""What RoCL and the SimCLR of the same code have in common."""

ADVERSARY = (
    Setting("adversary of", "view 1, against view 2", "src/rocl_train.py:135-141"),
    Setting("adversary's loss", "two-view NT-Xent at 0.5", "src/attack_lib.py:144-148"),
    Setting("adversary's ball", "linf, eps 0.0314, cut to [0, 1]", "src/argument.py:137-140"),
    Setting("adversary's step", "0.007, by the sign", "src/argument.py:142, attack_lib.py:156-159"),
    Setting("adversary's steps", "7, from a random start", "src/argument.py:143-144"),
    Setting("adversary's mode", "encoder and projector in eval mode", "src/attack_lib.py:132-133"),
    Setting(
        "loss",
        "NT-Xent over three views, all six directed pairs summed, by 3N",
        "src/loss.py:61-84, rocl_train.py:145-152",
    ),
    Setting(
        "regulariser",
        "NT-Xent of adversary and view 2, by 256, in a forward pass of its own",
        "src/argument.py:99, attack_lib.py:164-177",
    ),
)

EVALUATION = (
    Setting("LE encoder", "frozen, in eval mode", "src/linear_eval.py:147-154"),
    Setting("LE images", "as they are", "src/linear_eval.py:163-166, argument.py:46"),
    Setting("LE batch and epochs", "1024 and 150", "src/total_process.sh:17"),
    Setting("LE optimiser", "SGD, momentum 0.9, weight decay 5e-4", "src/linear_eval.py:111"),
    Setting(
        "LE lr",
        "0.1, divided by 10 after epochs 30, 50 and 100, counted from 0",
        "README.md:33, src/linear_eval.py:256-268, 303-308",
    ),
    Setting("LE readout", "the last epoch", "src/linear_eval.py:303-316"),
    Setting(
        "rLE",
        "LE on adversaries alone: linf, eps 0.0314, 10 steps of 0.007, random start",
        "src/total_process.sh:23, argument.py:78-88, linear_eval.py:168-187",
    ),
    Setting(
        "attack",
        "PGD on the cross-entropy, linf, 20 steps, random start",
        "src/total_process.sh:19-20, attack_lib.py:50-94",
    ),
    Setting(
        "attack's eps and step",
        "0.0314 with 0.00314, and 0.0627 with 0.00627",
        "src/total_process.sh:19-20",
    ),
)

SHARED = (
    Difference(
        "cosine",
        "",
        "falls after 10 epochs of warm-up and one at the peak, by a half wave of all 1000 epochs: "
        "it ends at 0.0003 of the peak",
        "the same, at every epoch",
    ),
    Difference(
        "GPUs",
        "",
        "two, with BatchNorm and negatives over both",
        "one device with the whole batch of 512",
    ),
    Difference(
        "last batch",
        "",
        "an epoch's incomplete last batch is trained on (src/data_loader.py:64-68)",
        "left out, since the loss depends on the batch's size: 97 steps an epoch instead of 98",
    ),
    Difference(
        "small constants",
        "",
        "1e-8 inside logarithm and quotients (src/loss.py:54, 76)",
        "log-sum-exp without them",
    ),
    Difference(
        "LE lr",
        "",
        "0.1 in README.md:33, 0.2 as the default (src/argument.py:51)",
        "0.1",
    ),
    Difference(
        "LE features",
        "",
        "computed anew in each epoch",
        "computed once: images are not augmented and the encoder is frozen, so they never change",
    ),
    Difference(
        "eps of the attack",
        "8/255 and 16/255 (as quoted elsewhere, not checked)",
        "0.0314 = 8.007/255 and 0.0627 = 15.99/255",
        "the code's; AutoAttack at 8/255",
    ),
    Difference(
        "l2 and l1 attacks",
        "l2 0.25 and 0.5, l1 7.84 and 12 (as quoted elsewhere, not checked)",
        "none released (src/attack_lib.py:22-23)",
        "the paper's radii, 20 steps of eps / 10: a choice of our own",
    ),
    Difference("AutoAttack", "", "none", "standard version at linf 8/255, the number to trust"),
    Difference(
        "evaluation script",
        "",
        "src/robustness_test.py does not start: test_parser is not imported (line 19) and has no "
        "--module, which total_process.sh passes",
        "written from its source",
    ),
    Difference(
        "PGD's projection",
        "",
        "cut to [0, 1], then to the ball",
        "to the ball, then to [0, 1]: the same, as each centre is in [0, 1]",
    ),
    Difference(
        "transfer",
        "CIFAR-10 to CIFAR-100 and back",
        "none released",
        "LE on the other set, the encoder frozen",
    ),
)
"""Differences that RoCL and the SimCLR of the same code have in common."""

preset = Preset(
    summary="RoCL by its authors' code: ResNet-18, 1000 epochs, LE and rLE, PGD-20: GPU days",
    methods=("rocl",),
    sources=("cifar10", "cifar100"),
    targets=("cifar10", "cifar100"),
    encoders=("resnet18(mean=0, std=1)",),
    recipe=None,
    # LE and robust LE (total_process.sh:17, 23).
    probes=("linear-sgd", "robust-linear"),
    attacks=("pgd", "autoattack"),
    norms=("linf", "l2", "l1"),
    # PGD's own default step is their eps / 10.
    radii={
        "pgd": {"linf": ("0.0314", "0.0627"), "l2": ("0.25", "0.5"), "l1": ("7.84", "12")},
        "autoattack": {"linf": ("8/255",)},
    },
    settings=(*TRAINING, *ADVERSARY, *EVALUATION),
    differences=(
        Difference(
            "the adversary's eps and step",
            "8/255 and 2/255",
            "0.0314 = 8.007/255 and 0.007 = 1.785/255 (src/argument.py:140-142)",
            "the code's",
        ),
        Difference(
            "gradient of the similarities",
            "of NT-Xent, both sides",
            "the key side is detached (src/loss.py:55)",
            "the code's; stop_gradient=false gives the paper's",
        ),
        Difference(
            "regulariser and adversary",
            "",
            "over the 256 images of one GPU",
            "over the whole batch of 512, as there is one device",
        ),
        Difference(
            "target in the ascent",
            "",
            "encoded anew at each step",
            "encoded once: in eval mode nothing changes it",
        ),
        *SHARED,
    ),
)
