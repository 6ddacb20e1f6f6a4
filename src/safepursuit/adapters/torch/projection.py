"""The exact projection onto a polygon, for PyTorch."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from safepursuit import qp
from safepursuit.adapters.torch import bridge


class Projection(NamedTuple):
    """As `safepursuit.qp.Projection`, with the batch first. Only `u` carries derivatives."""

    u: torch.Tensor
    """The projected points, (*batch, 2)."""
    active: torch.Tensor
    """The active rows, at most two, (*batch, rows)."""
    multipliers: torch.Tensor
    """λ ≥ 0 of the rows, (*batch, rows)."""
    violation: torch.Tensor
    """Least violation of the rows, 0 unless the polygon is empty, (*batch)."""


def project(
    nominal: torch.Tensor, A: torch.Tensor, b: torch.Tensor, weights: torch.Tensor | Sequence[float] = (1.0, 1.0)
) -> Projection:
    """Project `nominal` (*batch, 2) onto {u : A u ≤ b}, A (*batch, rows, 2), b (*batch, rows), in diag(`weights`).

        argmin_u  ½ (u − nominal)ᵀ diag(weights) (u − nominal)    subject to    A u ≤ b

    `weights` > 0 are (2,) or (*batch, 2). Batch axes broadcast; without any there is one problem. Rows may be parallel,
    redundant, contradictory or padding of zeros, as in `safepursuit.qp.project`.

    Differentiable once with respect to `nominal`, A, b and `weights`, which are all float32 or all float64. Raises
    ValueError for shapes that do not fit, and as `bridge.call`.
    """
    if not isinstance(weights, torch.Tensor):
        weights = nominal.new_tensor(weights)
    if nominal.shape[-1:] != (2,) or A.shape[-1:] != (2,) or A.ndim < 2 or weights.shape[-1:] != (2,):
        raise ValueError(
            "the projection takes nominal (…, 2), A (…, rows, 2), b (…, rows) and weights (…, 2), not "
            f"{tuple(nominal.shape)}, {tuple(A.shape)}, {tuple(b.shape)} and {tuple(weights.shape)}."
        )
    if b.ndim < 1 or b.shape[-1] != A.shape[-2]:
        raise ValueError(f"A has {A.shape[-2]} rows and b {tuple(b.shape)[-1:] or 'none'}: one bound a row is needed.")
    batch = torch.broadcast_shapes(nominal.shape[:-1], A.shape[:-2], b.shape[:-1], weights.shape[:-1])
    tensors = [flatten(nominal, batch, 1), flatten(A, batch, 2), flatten(b, batch, 1)]
    tensors.append(weights if weights.ndim == 1 else flatten(weights, batch, 1))
    return Projection(*(output.reshape((*batch, *output.shape[1:])) for output in bridge.call(_project, *tensors)))


class ProjectionLayer(torch.nn.Module):
    """`project` as the last layer of a network: `layer(nominal, A, b)` gives the safe control (*batch, 2)."""

    weights: torch.Tensor

    def __init__(self, weights: Sequence[float] | torch.Tensor = (1.0, 1.0)) -> None:
        """`weights` (2,) of the metric, fixed; they follow the module's device and precision."""
        super().__init__()
        self.register_buffer("weights", torch.as_tensor(weights, dtype=torch.get_default_dtype()))
        if self.weights.shape != (2,) or not (self.weights > 0).all():
            raise ValueError(f"weights must be two positive numbers, not {weights}.")

    def forward(self, nominal: torch.Tensor, A: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return project(nominal, A, b, self.weights.to(nominal.dtype)).u

    def extra_repr(self) -> str:
        return f"weights={tuple(self.weights.tolist())}"


def flatten(tensor: torch.Tensor, batch: Sequence[int], own: int) -> torch.Tensor:
    """The tensor with one batch axis for all of `batch` before its `own` last axes; a view where possible."""
    shape = tensor.shape[tensor.ndim - own :]
    return tensor.expand(*batch, *shape).reshape(math.prod(batch), *shape)


def _project(nominal, A, b, weights):
    u, *verdicts = qp.project(nominal, qp.Halfplanes(A, b), weights)
    return u, tuple(verdicts)
