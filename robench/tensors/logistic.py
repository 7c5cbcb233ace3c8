"""Multinomial logistic regression to its optimum."""

import torch
from torch import Tensor


def standardised(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Features [n, D] with mean 0 and standard deviation 1, in float64; their means, and scales.

    One that differs by no more than float32's rounding becomes 0 everywhere: its scale is infinite.
    """
    known = features.double()
    mean, scale = known.mean(0), known.std(0)
    rounding = torch.finfo(torch.float32).eps * known.abs().amax(0)
    scale = torch.where(scale > rounding, scale, torch.inf)
    return (known - mean) / scale, mean, scale


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

    The descent is in other coordinates, where the curvature is nearly the same in all directions:
    along the features' principal axes, each scaled by the curvature that it has while all classes
    are equally likely, variance / classes + strength. The optimum is the same, and several times
    fewer steps away.
    """
    mean = features.mean(0)
    centred = features - mean
    variance, axes = torch.linalg.eigh(centred.T @ centred / len(features))
    scale = (variance.clamp(min=0) / classes + strength).rsqrt()
    inputs = centred @ axes * scale
    penalty = (strength * scale.square())[:, None]
    # The bias is the weight of a constant input, whose variance is 1 and which is not penalised.
    constant = classes**0.5
    point = torch.zeros(len(mean) + 1, classes, dtype=features.dtype, device=features.device)
    if start is not None:
        point[:-1] = axes.T @ start[:-1] / scale[:, None]
        point[-1] = (start[-1] + mean @ start[:-1]) / constant
    point.grad = torch.zeros_like(point)
    optimizer = torch.optim.LBFGS(
        [point],
        max_iter=steps,
        history_size=20,
        tolerance_grad=1e-7,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )
    rows = torch.arange(len(features), device=features.device)

    def objective() -> Tensor:
        weights, bias = point[:-1], constant * point[-1]
        shares = torch.addmm(bias, inputs, weights).log_softmax(1)
        loss: Tensor = -shares[rows, labels].mean() + (penalty * weights.square()).sum() / 2
        excess = shares.exp_()
        excess[rows, labels] -= 1
        excess /= len(features)
        assert point.grad is not None
        torch.addmm(penalty * weights, inputs.T, excess, out=point.grad[:-1])
        point.grad[-1] = constant * excess.sum(0)
        return loss

    with torch.no_grad():
        optimizer.step(objective)  # type: ignore[no-untyped-call]
        weights = axes @ (scale[:, None] * point[:-1])
        bias = constant * point[-1] - mean @ weights
    return torch.cat([weights, bias[None]])
