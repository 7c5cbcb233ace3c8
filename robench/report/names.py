"""Names as papers print them, for tables, figures and the terminal: ``plain`` is SimCLR.

Files and commands keep the names that are typed.
"""

import re
from collections.abc import Mapping

NAMES: Mapping[str, str] = {
    # methods
    "plain": "SimCLR",
    "clae": "CLAE",
    "rocl": "RoCL",
    "acl": "ACL",
    "advcl": "AdvCL",
    "air": "AIR",
    "ascl": "ASCL",
    "astra": "ASTrA",
    "at": "AT",
    "barlow": "Barlow Twins",
    "byol": "BYOL",
    "cf-amc": "CF-AMC",
    "deacl": "DeACL",
    "dscl": "DSCL",
    "dynacl": "DynACL",
    "moco": "MoCo",
    "profeat": "ProFeAT",
    "simsiam": "SimSiam",
    "supcon": "SupCon",
    "trades": "TRADES",
    "vicreg": "VICReg",
    # data sets
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "shapes10": "Shapes-10",
    "shapes100": "Shapes-100",
    "stl10": "STL-10",
    "svhn": "SVHN",
    # encoders and probes
    "resnet8": "ResNet-8",
    "resnet18": "ResNet-18",
    "resnet34": "ResNet-34",
    "resnet50": "ResNet-50",
    "aff": "AFF",
    "alf": "ALF",
    "slf": "SLF",
    "knn": "kNN",
    # attacks
    "pgd": "PGD",
    "fgsm": "FGSM",
    "apgd-ce": "APGD-CE",
    "apgd-t": "APGD-T",
    "autoattack": "AutoAttack",
    "fab-t": "FAB-T",
    "square": "Square",
}
NORMS: Mapping[str, str] = {"linf": "L∞", "l2": "L2", "l1": "L1"}

PGD_STEPS = 20
"""The default of `robench.attacks.pgd.PGD`, which a label leaves out."""

_TERM = re.compile(r"([\w/-]+)(?:\(([^()]*)\))?")


def proper(label: str) -> str:
    """The label with each name in it as papers print it; one that is not known stays as typed.

    ``rocl(steps=3)`` is "RoCL (steps=3)", ``pgd(steps=50)`` is "PGD-50", and ``pgd`` "PGD-20".
    """
    return _TERM.sub(_term, label)


def _term(found: re.Match[str]) -> str:
    name, inside = found[1], found[2] or ""
    if name not in NAMES or (name == "plain" and re.search(r"base=(plain|uel)", inside)):
        return found[0]  # these bases of plain are no SimCLR
    arguments = inside.split(", ") if inside else []
    shown = NAMES[name]
    if name == "pgd":
        steps = [one for one in arguments if one.startswith("steps=")]
        shown += f"-{steps[0].removeprefix('steps=') if steps else PGD_STEPS}"
        arguments = [one for one in arguments if one not in steps]
    return f"{shown} ({', '.join(arguments)})" if arguments else shown
