"""RoCL's table 1: white-box attacks in three norms on CIFAR-10 (arXiv 2006.07589)."""

from robench.reproduction.tables import Column, PaperTable
from robench.reproduction.wording import row

table = PaperTable(
    title="RoCL (Kim, Tack and Hwang 2020), table 1: CIFAR-10, ResNet-18, white-box attacks",
    paper="RoCL2020",
    tables=("README Results (presumably the Table 1 RoCL row)", "Table 1 white-box"),
    columns=(
        Column("clean"),
        Column("pgd", "linf", "8/255"),
        Column("pgd", "linf", "16/255"),
        Column("pgd", "l2", "0.25"),
        Column("pgd", "l2", "0.5"),
        Column("pgd", "l1", "7.84"),
        Column("pgd", "l1", "12"),
    ),
    rows=tuple(
        row(method, protocol, "cifar10", "cifar10")
        for method, protocol in (
            ("Supervised-CE", "supervised"),
            ("AT (Madry)", "supervised"),
            ("TRADES", "supervised"),
            ("SCL", "supervised"),
            ("SimCLR", "LE"),
            ("RoCL", "LE"),
            ("RoCL+rLE", "rLE"),
        )
    ),
    remarks=(
        "RoCL's clean accuracy and its accuracy at linf 8/255 are from the authors' README, which "
        "does not name the attack; all other published values here are from another source.",
        "The authors' code evaluates linf only: 20 steps of eps / 10 from a random start, which "
        "is done here in l2 and l1 too.",
        "linf 8/255 and 16/255 are run as the authors' code has them, 0.0314 and 0.0627.",
    ),
)
