"""Lidar: ranges along rays from the robot, and the opponent where it is in sight.

safepursuit train --plugin examples/plugins/sensor.py --sensor lidar
"""

import jax.numpy as jnp

from safepursuit.game import flat
from safepursuit.geometry import direction, length, ray_disc_hit, ray_slab_hit, to_body_frame, unit
from safepursuit.plugins import sensor

RAYS, REACH = 32, 6.0


@sensor("lidar")
def lidar(state, game, role):
    """Nearness 1/(1 + range) along 32 rays; the opponent's bearing, nearness and heading where no disc hides it."""
    own, other = (state.pursuer, state.evader) if role == "pursuer" else (state.evader, state.pursuer)
    x, y, scene = own[0], own[1], state.scene

    def reach(rays):  # (2, rays, …) → range [m]
        discs = ray_disc_hit((own[:2, None] - scene.centre)[:, None], rays[:, :, None], scene.radius)
        walls = [ray_slab_hit(at, ray, half) for at, ray, half in zip((x, y), rays, scene.half_extents, strict=True)]
        return jnp.minimum(jnp.min(jnp.where(scene.present, discs, jnp.inf), axis=1), jnp.minimum(*walls))

    angles = own[2] + 2 * jnp.pi * jnp.arange(RAYS).reshape(-1, *(1,) * x.ndim) / RAYS
    ranges = jnp.minimum(reach(direction(angles)), REACH)
    gap = other[:2] - own[:2]
    visible = reach(unit(gap)[:, None])[0] > length(gap)
    turned = direction(other[2] - own[2])
    opponent = jnp.stack([*unit(to_body_frame(own[2], gap)), 1 / (1 + length(gap)), *turned])
    speeds = state.robot(role).control / jnp.array([1.0, 2.84]).reshape(2, *(1,) * x.ndim)
    return flat(jnp.concatenate([1 / (1 + ranges), jnp.where(visible, opponent, 0), speeds]))
