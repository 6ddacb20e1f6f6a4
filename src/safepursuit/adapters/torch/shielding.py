"""The whole safety layer, barriers, program and speed governor, for PyTorch."""

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import jax.numpy as jnp
import torch

from safepursuit import shield as safety
from safepursuit.adapters.torch import bridge
from safepursuit.adapters.torch.projection import flatten
from safepursuit.robot import Robot
from safepursuit.scene import Scene
from safepursuit.shield import Shield


class Shielded(NamedTuple):
    """As `safepursuit.shield.Shielded`, in part. Only `control` carries derivatives."""

    control: torch.Tensor
    """The safe control [m/s, rad/s], (*batch, 2)."""
    intervened: torch.Tensor
    """A barrier row or the governor changed the control, (*batch)."""
    correction: torch.Tensor
    """‖control − nominal‖ in half-widths of the actuator box, (*batch)."""
    feasible: torch.Tensor
    """The guarantee holds, (*batch): the pose is finite, the body clear, and the program had a solution."""
    clearance: torch.Tensor
    """Distance [m] of the body from the nearest boundary before the step, (*batch); NaN where not finite."""


def filter(
    nominal: torch.Tensor,
    pose: torch.Tensor,
    discs: torch.Tensor,
    gains: torch.Tensor | None = None,
    *,
    half_extents: tuple[float, ...],
    robot: Robot,
    shield: Shield,
) -> Shielded:
    """Make a control safe: `safepursuit.shield.filter` on tensors.

    `nominal` (*batch, 2) [m/s, rad/s]; `pose` (*batch, 3) x, y, heading [m, m, rad]; `discs` (*batch, discs, 3) x, y,
    radius [m], world frame, rows of three NaN being padding; walls stand at ±`half_extents` [m]. `gains` γ in [0, 1]
    are (*batch, discs + 4), the walls' last in the order +x, −x, +y, −y, by default `shield.gain`.

    From every clear pose the control keeps the body clear for the whole next step, for any nominal control and gains
    (theory.md §2.3). Differentiable once, with respect to `nominal`, `pose`, `discs` and `gains`. Raises ValueError for
    shapes that do not fit, for a disc that is no padding and not finite or of negative radius, for half-extents that
    are not two positive lengths, for parameters that break an assumption of the theorems or whose margin does not cover
    rounding in this precision, and as `bridge.call`.
    """
    fits = nominal.shape[-1:] == (2,) and pose.shape[-1:] == (3,) and discs.ndim >= 2 and discs.shape[-1] == 3
    if not fits or (gains is not None and gains.shape[-1:] != (discs.shape[-2] + 4,)):
        shapes = ", ".join(str(tuple(part.shape)) for part in (nominal, pose, discs, gains) if part is not None)
        raise ValueError(
            "the shield takes nominal (…, 2), pose (…, 3), discs (…, discs, 3) and, if any, gains (…, discs + 4), not "
            f"{shapes}."
        )
    _check(discs.detach())
    parts = [(nominal, 1), (pose, 1), (discs, 2)] + ([] if gains is None else [(gains, 1)])
    batch = torch.broadcast_shapes(*(tensor.shape[: tensor.ndim - own] for tensor, own in parts))
    function = _filter(robot, shield, half_extents, pose.dtype)
    outputs = bridge.call(function, *(flatten(tensor, batch, own) for tensor, own in parts))
    return Shielded(*(output.reshape((*batch, *output.shape[1:])) for output in outputs))


class ShieldLayer(torch.nn.Module):
    """`filter` as the last layer of a network: `layer(nominal, pose, discs, gains)` gives the safe control."""

    def __init__(self, *, half_extents: Sequence[float], robot: Robot, shield: Shield) -> None:
        """Walls at ±`half_extents` [m]. Raises ValueError where these are not two positive lengths, the robot breaks an
        assumption of the theorems, or the margin does not cover rounding in PyTorch's default precision; `forward`
        raises it for other tensors."""
        super().__init__()
        self.half_extents = tuple(map(float, half_extents))
        self.robot, self.shield = robot, shield
        _filter(robot, shield, self.half_extents, torch.get_default_dtype())

    def forward(
        self, nominal: torch.Tensor, pose: torch.Tensor, discs: torch.Tensor, gains: torch.Tensor | None = None
    ) -> torch.Tensor:
        return filter(
            nominal, pose, discs, gains, half_extents=self.half_extents, robot=self.robot, shield=self.shield
        ).control

    def extra_repr(self) -> str:
        return f"half_extents={self.half_extents}, robot={self.robot}, shield={self.shield}"


def _check(discs: torch.Tensor) -> None:
    """Raise ValueError for a disc that cannot be kept clear of; one that is padding is none."""
    sound = torch.isfinite(discs).all(-1) & (discs[..., 2] >= 0)
    wrong = ~(sound | torch.isnan(discs).all(-1))
    if wrong.any():
        raise ValueError(
            "a disc takes three finite numbers x, y, radius [m], the radius not negative, not "
            f"{discs[wrong][0].tolist()}; padding is a row of three NaN."
        )


@cache
def _filter(robot: Robot, shield: Shield, half_extents: tuple[float, ...], dtype: torch.dtype) -> bridge.Function:
    Scene.of(half_extents=half_extents)  # raises ValueError
    if dtype.is_floating_point:  # others are refused by the bridge
        safety.check(shield, robot, math.inf, half_extents, str(dtype).removeprefix("torch."))

    def function(nominal, pose, discs, gains=None):
        present = ~jnp.all(jnp.isnan(discs), axis=1)
        discs = jnp.where(present[:, None], discs, 0)
        walls = jnp.asarray(half_extents, pose.dtype).reshape(2, *(1,) * (pose.ndim - 1))
        scene = Scene(jnp.broadcast_to(walls, pose[:2].shape), discs[:, :2].swapaxes(0, 1), discs[:, 2], present)
        done = safety.filter(nominal, pose, scene, robot=robot, shield=shield, gains=gains)
        return done.control, (done.intervened, done.correction, done.feasible, done.clearance)

    return function
