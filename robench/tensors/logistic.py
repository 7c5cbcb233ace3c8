"""Multinomial logistic regression to its optimum."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def fit_logistic(
    features: Tensor,
    labels: Tensor,
    classes: int,
    strength: float,
    start: Tensor | None = None,
    steps: int = 500,
) -> Tensor:
    """Minimise mean cross-entropy + strength / 2 * |weights|^2 by full-batch L-BFGS.

    The bias is not penalised. ``features`` float64 [n, D], ``labels`` int64 [n]; returns float64
    [D + 1, classes], the last row being the bias.
    """
    rows = features.shape[1]
    both = torch.zeros(rows + 1, classes, dtype=features.dtype, device=features.device)
    if start is not None:
        both.copy_(start)
    both.requires_grad_()
    optimizer = torch.optim.LBFGS(
        [both],
        max_iter=steps,
        history_size=20,
        tolerance_grad=1e-7,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )

    def objective() -> Tensor:
        optimizer.zero_grad()
        logits = features @ both[:-1] + both[-1]
        loss = cross_entropy(logits, labels) + strength / 2 * both[:-1].square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        optimizer.step(objective)  # type: ignore[no-untyped-call]
    return both.detach()
