"""What takes a training's steps: AdamW, or Muon for the matrices and AdamW for the rest."""

from __future__ import annotations

from collections import defaultdict
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
    weights are a matrix of its outputs by all that an output sees, those of a transposed one of its
    inputs by all that an input reaches. Weight decay is decoupled.

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
            alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    matrix = self._with_momentum(weight)
                    alike[matrix.shape].append((weight, matrix))
            for shape, pairs in alike.items():
                # Together, as a GPU is idle while small matrices come one by one.
                updates = orthogonal(torch.stack([matrix for _, matrix in pairs]))
                scale = _ADAM_RMS * max(shape) ** 0.5
                for (weight, _), update in zip(pairs, updates, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.add_(update.reshape(weight.shape), alpha=-group["lr"] * scale)

    def _with_momentum(self, weight: Tensor) -> Tensor:
        """Give a weight's gradient as a matrix, its momentum in it (Nesterov's)."""
        assert weight.grad is not None
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight.grad)
        momentum: Tensor = state["momentum"]
        momentum.lerp_(weight.grad, 1 - _MOMENTUM)
        return weight.grad.lerp(momentum, _MOMENTUM).flatten(1)


def orthogonal(matrix: Tensor) -> Tensor:
    """Bring a matrix's singular values near 1 (0.7 to 1.2), its singular vectors kept.

    Parameters
    ----------
    matrix:
        Floats (..., rows, columns), one or many.

    Returns
    -------
    Tensor
        float32 of the same shape.
    """
    first, second, third = _COEFFICIENTS
    x = matrix.float()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(_ROUNDS):
        square = x @ x.mT
        x = first * x + (second * square + third * square @ square) @ x
    result: Tensor = x.mT if tall else x
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
