"""CLAE's table 2: clean linear accuracy on three bases, with and without CLAE (2010.12050)."""

from robench.reproduction.tables import Column, PaperTable
from robench.reproduction.wording import row

table = PaperTable(
    title="CLAE (Ho and Vasconcelos 2020), table 2: clean linear accuracy, ResNet-18",
    paper="CLAE2020",
    tables=(),
    columns=(Column("clean"),),
    rows=tuple(
        row(method, f"linear, {base} base", name, name)
        for name in ("cifar10", "cifar100")
        for base in ("Plain", "UEL", "SimCLR")
        for method in (base, f"{base} + CLAE")
    ),
    remarks=(
        "No number of the CLAE paper could be checked against the paper, so the published column "
        "is empty.",
        "Measured is what the authors' linear evaluation measures: on Plain and UEL a classifier "
        "of the 128 outputs of the last linear layer, of length 1 (eval.py), on SimCLR one of the "
        "512 features before the projector (SimCLR/eval_lr.py). Their code has a kNN classifier "
        "too; which of the two the table prints could not be checked.",
        "tinyImageNet is not run: robench does not read it.",
        "The authors report the best test accuracy over the epochs of the linear layer; here "
        "nothing is selected on test images.",
    ),
)
