"""`qpth.qp.QPFunction` for two variables: the same call, an exact answer.

    ẑ  =  argmin_z  ½ zᵀ Q z + pᵀ z    subject to    G z ≤ h

With Q = L Lᵀ (Cholesky) and y = Lᵀ z this is the Euclidean projection of −L⁻¹ p onto {y : G L⁻ᵀ y ≤ h}.
"""

from collections.abc import Callable
from enum import Enum

import jax.numpy as jnp
import torch

from safepursuit import qp
from safepursuit.adapters.torch import bridge


class QPSolvers(Enum):
    """The names of qpth; both stand for the exact solution."""

    PDIPM_BATCHED = 1
    CVXPY = 2


Solve = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def QPFunction(
    eps: float = 1e-12,
    verbose: int = 0,
    notImprovedLim: int = 3,
    maxIter: int = 20,
    solver: Enum = QPSolvers.PDIPM_BATCHED,
    check_Q_spd: bool = True,
) -> Solve:
    """A function (Q, p, G, h, A, b) → ẑ (nBatch, 2), called as that of qpth (Amos & Kolter 2017).

    Q (nBatch, 2, 2) symmetric and positive definite, p (nBatch, 2), G (nBatch, nineq, 2), h (nBatch, nineq); without
    nBatch where all problems share it. A and b must be empty tensors: there are no equality constraints. Only
    `check_Q_spd` has an effect; the other settings belong to an iterative solver.

    Deviations from qpth 0.0.18: the answer is exact up to rounding; a row of zeros in G is padding; where G z ≤ h has
    no solution, ẑ violates it least and passes no gradient; a tensor without nBatch receives the sum of the problems'
    gradients (PyTorch's broadcasting), not their mean.

    The function raises ValueError for shapes that do not fit and for equality constraints, RuntimeError if
    `check_Q_spd` and a Q is not positive definite, and as `bridge.call`.
    """

    def solve(
        Q: torch.Tensor, p: torch.Tensor, G: torch.Tensor, h: torch.Tensor, A: torch.Tensor, b: torch.Tensor
    ) -> torch.Tensor:
        if A.numel() or b.numel():
            raise ValueError(
                "equality constraints are not provided for: two variables with one equality leave an interval. Pass "
                "empty tensors for A and b."
            )
        if Q.shape[-2:] != (2, 2) or p.shape[-1:] != (2,) or G.ndim < 2 or G.shape[-1] != 2:
            raise ValueError(
                "this QPFunction solves problems in two variables, Q (…, 2, 2), p (…, 2), G (…, nineq, 2), not "
                f"{tuple(Q.shape)}, {tuple(p.shape)}, {tuple(G.shape)}; for others use qpth."
            )
        if h.ndim < 1 or h.shape[-1] != G.shape[-2]:
            raise ValueError(f"G {tuple(G.shape)} and h {tuple(h.shape)} differ in the number of rows.")
        if check_Q_spd and not _positive_definite(Q.detach()):
            raise RuntimeError("Q is not SPD.")
        (ẑ,) = bridge.call(_solve, *_batched((Q, 2), (p, 1), (G, 2), (h, 1)))
        return ẑ

    return solve


def _batched(*parameters: tuple[torch.Tensor, int]) -> list[torch.Tensor]:
    """Each tensor with one batch axis before its own axes, repeated where it has none; of length 1 if all have none."""
    sizes = {tensor.shape[0] for tensor, own in parameters if tensor.ndim == own + 1}
    if len(sizes) > 1 or any(tensor.ndim > own + 1 for tensor, own in parameters):
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor, _ in parameters)
        raise ValueError(f"Q, p, G and h must have the same number of problems in front, or none; they are {shapes}.")
    (count,) = sizes or {1}
    return [tensor if tensor.ndim > own else tensor.expand(count, *tensor.shape) for tensor, own in parameters]


def _positive_definite(Q: torch.Tensor) -> bool:
    determinant = Q[..., 0, 0] * Q[..., 1, 1] - Q[..., 0, 1] * Q[..., 1, 0]
    return bool(((Q[..., 0, 0] > 0) & (determinant > 0)).all())


def _solve(Q, p, G, h):
    """Batch last. L = [[first, 0], [below, second]]; the symmetric part of Q is used."""
    first = jnp.sqrt(Q[0, 0])
    below = (Q[0, 1] + Q[1, 0]) / (2 * first)
    second = jnp.sqrt(Q[1, 1] - below**2)
    target_0 = -p[0] / first
    target = jnp.stack([target_0, (-p[1] - below * target_0) / second])
    rows_0 = G[:, 0] / first
    rows = jnp.stack([rows_0, (G[:, 1] - below * rows_0) / second], axis=1)
    y = qp.project(target, qp.Halfplanes(rows, h), jnp.ones((2,), p.dtype)).u
    z = y[1] / second
    return jnp.stack([(y[0] - below * z) / first, z]), ()
