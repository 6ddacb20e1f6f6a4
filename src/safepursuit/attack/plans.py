"""What an attack chooses: starts, layouts, nominal controls, gains, the other robot, and the errors of a budget.

A *plan* holds the choices of many games in natural units. Searches work on *genes*, numbers in [0, 1], from which
`decode` makes plans that are legal by construction: discs are placed about the start, so that its body is clear.
"""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from safepursuit.attack.worlds import World
from safepursuit.geometry import direction
from safepursuit.play.recording import Numbers
from safepursuit.scene import Scene, boundaries
from safepursuit.shapes import Control, Pose

Genes = Float[Array, "genes games"]

KNOTS = 8
"""Pieces of an episode within which nominal control and errors are held."""

_TOUCHING = 4
"""Rounding errors of a position by which a body in contact is clear."""


class Plan(NamedTuple):
    """Games, on the trailing axis."""

    start: Float[Numbers, "3 games"]
    """At standstill; the body is clear of everything."""
    centre: Float[Numbers, "2 discs games"]
    radius: Float[Numbers, "discs games"]
    present: Bool[Numbers, "discs games"]
    nominal: Float[Numbers, "time 2 games"]
    """In half-widths of the actuator box, within it or beyond."""
    chases: Bool[Numbers, "time games"]
    """Instead of the nominal control: full speed towards the nearest boundary, off by half the second number [rad]; of
    a robot that reverses backwards where the first number is negative."""
    gains: Float[Numbers, "boundaries games"]
    errors: Float[Numbers, "time 5 games"]
    """Shares of the errors: x and y of the position (within the unit disc), heading, speed, turn rate, in [−1, 1]."""
    slip: Float[Numbers, "2 games"]
    """Share of the slip of way and turn, in [−1, 1]."""
    opponent: Float[Numbers, "3 games"]
    """The other robot's start; it drives by `nominal` where a policy drives the pursuer."""

    def scene(self, world: World) -> Scene:
        half = jnp.asarray(world.half_extents, self.radius.dtype)
        return Scene(half, jnp.asarray(self.centre), jnp.asarray(self.radius), jnp.asarray(self.present))


def sizes(world: World) -> dict[str, tuple[int, ...]]:
    """Genes of each kind."""
    return {
        "count": (),
        "start": (3,),
        "discs": (3, world.discs),
        "nominal": (KNOTS, 2),
        "chases": (KNOTS,),
        "gains": (world.discs + 4,),
        "errors": (KNOTS, 5),
        "slip": (2,),
        "opponent": (3,),
    }


def number_of_genes(world: World) -> int:
    return sum(math.prod(shape) for shape in sizes(world).values())


def decode(genes: Genes, world: World) -> Plan:
    """The plans of these genes, with a gradient."""
    parts, first = {}, 0
    for name, shape in sizes(world).items():
        size = math.prod(shape)
        parts[name] = genes[first : first + size].reshape(*shape, genes.shape[1])
        first += size
    robot, half = world.robot, jnp.asarray(world.half_extents, genes.dtype)[:, None]
    touching = _TOUCHING * float(jnp.finfo(genes.dtype).eps) * math.hypot(*world.half_extents)
    least = world.start_clearance + touching
    room = half - robot.radius - least
    x, y = room * jnp.clip(2.2 * parts["start"][:2] - 1.1, -1, 1)
    start = jnp.stack([x, y, 2 * jnp.pi * parts["start"][2] - jnp.pi])
    bearing, away, size = parts["discs"]
    radius = robot.radius * (0.3 + 5.7 * size)
    reach = min(robot.max_speed * robot.dt * world.steps, 20 * robot.radius)
    gap = least + reach * jnp.maximum(1.15 * away - 0.15, 0) ** 2
    centre = start[:2, None] + (robot.radius + radius + gap) * direction(2 * jnp.pi * bearing)
    present = jnp.arange(world.discs)[:, None] < jnp.floor((world.discs + 1) * parts["count"])
    knot = jnp.arange(world.steps) * KNOTS // world.steps
    errors = jnp.clip(2.4 * parts["errors"] - 1.2, -1, 1)
    far = jnp.minimum(1, 1.3 * parts["errors"][:, 1]) * direction(2 * jnp.pi * parts["errors"][:, 0])
    return Plan(
        start=start,
        centre=centre,
        radius=radius,
        present=present,
        nominal=jnp.clip(2.6 * parts["nominal"] - 1.3, -1.2, 1.2)[knot],
        chases=(parts["chases"] > 0.5)[knot],
        gains=jnp.clip(1.4 * parts["gains"] - 0.2, 0, 1),
        errors=jnp.concatenate([jnp.moveaxis(far, 0, 1), errors[:, 2:]], axis=1)[knot],
        slip=jnp.clip(2.4 * parts["slip"] - 1.2, -1, 1),
        opponent=jnp.stack([*(half * (2 * parts["opponent"][:2] - 1)), 2 * jnp.pi * parts["opponent"][2]]),
    )


def pick(plan: Any, games: Any) -> Any:
    """Some of the games, as NumPy arrays; of a plan or any other record of games."""
    return type(plan)(*(np.asarray(part)[..., games] for part in plan))


def stack(plans: list[Plan]) -> Plan:
    """Plans of one game each, without a trailing axis, as one."""
    return Plan(*(np.stack(part, axis=-1) for part in zip(*plans, strict=True)))


def nominal_control(plan_part: tuple[Any, Any], robot: Any, pose: Pose, scene: Scene) -> Control:
    """The nominal control [m/s, rad/s] of one step; `plan_part` is (nominal, chases) of that step."""
    wanted, chases = plan_part
    around = boundaries(scene, pose[:2])
    nearest = jnp.argmin(around.distance, axis=0)[None, None]
    normal = jnp.take_along_axis(around.normal, nearest, axis=1)[:, 0]
    turn = jnp.arctan2(-normal[1], -normal[0]) - pose[2] + 0.5 * wanted[1]
    speed = robot.max_speed
    if robot.reverses:
        back = wanted[0] < 0
        turn, speed = turn + jnp.where(back, jnp.pi, 0), jnp.where(back, robot.min_speed, speed)
    turn = jnp.mod(turn + jnp.pi, 2 * jnp.pi) - jnp.pi
    rate = jnp.clip(turn / robot.dt, -robot.max_turn_rate, robot.max_turn_rate)
    towards = jnp.stack([jnp.full_like(rate, speed), rate])
    return jnp.where(chases, towards, robot.from_unit_box(wanted))
