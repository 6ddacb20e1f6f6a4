"""The safety layer for PyTorch: exact projection and shield with gradients, and a drop-in for `qpth.qp.QPFunction`.

Needs PyTorch: `pip install 'safepursuit[torch]'`. The mathematics is that of `safepursuit.qp` and `safepursuit.shield`,
compiled by JAX; DLPack hands over the tensors (`bridge`). As usual in PyTorch, the batch comes first.
"""

try:
    import torch  # noqa: F401
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "safepursuit.adapters.torch needs PyTorch: pip install 'safepursuit[torch]'.", name=missing.name
    ) from missing

from safepursuit.adapters.torch.projection import Projection, ProjectionLayer, project
from safepursuit.adapters.torch.quadratic_program import QPFunction, QPSolvers
from safepursuit.adapters.torch.shielding import Shielded, ShieldLayer, filter

__all__ = [
    "Projection",
    "ProjectionLayer",
    "QPFunction",
    "QPSolvers",
    "ShieldLayer",
    "Shielded",
    "filter",
    "project",
]
