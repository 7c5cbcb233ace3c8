"""RoCL's transfer between CIFAR-10 and CIFAR-100 (arXiv 2006.07589)."""

from robench.reproduction.tables import Column, PaperTable
from robench.reproduction.wording import row

table = PaperTable(
    title="RoCL (Kim, Tack and Hwang 2020), transfer between CIFAR-10 and CIFAR-100, ResNet-18",
    paper="RoCL2020",
    tables=("transfer table",),
    columns=(Column("clean"), Column("pgd", "linf", "8/255")),
    rows=tuple(
        row(method, protocol, source, target)
        for source, target in (("cifar10", "cifar100"), ("cifar100", "cifar10"))
        for method, protocol in (
            ("Shafahi et al. (supervised AT transfer)", "supervised-transfer"),
            ("SimCLR", "LE"),
            ("RoCL", "LE"),
        )
    ),
    remarks=(
        "SimCLR is no row of the published table: it is run beside RoCL as the baseline of equal "
        "budget.",
        "linf 8/255 is run as the authors' code has it elsewhere, 0.0314.",
        "The authors released no code for transfer; their linear evaluation is used.",
    ),
)
