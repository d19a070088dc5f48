"""What takes a training's steps: AdamW, or Muon for the matrices and AdamW for the rest."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

OPTIMIZERS = ("adamw", "muon")
_MOMENTUM = 0.95
_SMALLEST_SIDE = 16  # of a matrix that is worth orthogonalising
# Newton-Schulz iteration of fifth order, coefficients of Jordan et al.: five rounds bring every
# singular value close to 1.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ROUNDS = 5
# An orthogonal update's root mean square times this is what AdamW's commonly is (Liu et al., "Muon
# is scalable for LLM training", 2025), so that both take the same learning rate.
_ADAM_RMS = 0.2


class Muon(torch.optim.Optimizer):
    """Steps along the momentum with all its singular values made one.

    Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024. A convolution's
    weights are a matrix of its outputs by all that an output sees. Weight decay is decoupled.

    Parameters
    ----------
    params:
        Weights of two dimensions or more.
    lr:
        Learning rate, on AdamW's scale.
    weight_decay:
        As AdamW's.
    """

    def __init__(self, params: Iterable[Tensor], *, lr: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take a step; a closure is not supported."""
        assert closure is None
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight.grad)
                momentum = state["momentum"]
                momentum.lerp_(weight.grad, 1 - _MOMENTUM)
                matrix = weight.grad.lerp(momentum, _MOMENTUM).flatten(1)
                update = orthogonal(matrix).reshape(weight.shape)
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                scale = _ADAM_RMS * max(matrix.shape) ** 0.5
                weight.add_(update, alpha=-group["lr"] * scale)


def orthogonal(matrix: Tensor) -> Tensor:
    """Bring a matrix's singular values near 1 (0.7 to 1.2), its singular vectors kept.

    Parameters
    ----------
    matrix:
        Floats (rows, columns).

    Returns
    -------
    Tensor
        float32 (rows, columns).
    """
    first, second, third = _COEFFICIENTS
    x = matrix.float()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(_ROUNDS):
        square = x @ x.T
        x = first * x + (second * square + third * square @ square) @ x
    result: Tensor = x.T if tall else x
    return result


def optimizers_for(
    network: nn.Module, kind: str, *, lr: float, weight_decay: float
) -> list[torch.optim.Optimizer]:
    """Give the optimizers that together train all of a network."""
    weights = list(network.parameters())
    if kind == "adamw":
        return [torch.optim.AdamW(weights, lr=lr, weight_decay=weight_decay)]
    matrices = [w for w in weights if w.ndim > 1 and min(w.flatten(1).shape) >= _SMALLEST_SIDE]
    chosen = {id(weight) for weight in matrices}
    others = [weight for weight in weights if id(weight) not in chosen]
    optimizers: list[torch.optim.Optimizer] = []
    if matrices:
        optimizers.append(Muon(matrices, lr=lr, weight_decay=weight_decay))
    if others:
        optimizers.append(torch.optim.AdamW(others, lr=lr, weight_decay=weight_decay))
    return optimizers
