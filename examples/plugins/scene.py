"""A generator of layouts: pillars in a row.

safepursuit train --plugin examples/plugins/scene.py --scene colonnade --obstacles 4
"""

import jax
import jax.numpy as jnp

from safepursuit.plugins import scene
from safepursuit.scene import Scene


@scene("colonnade")
def colonnade(key, arena):
    """Equal pillars at equal distances on a line through the middle, their radius and the line's height drawn anew."""
    count = max(1, arena.obstacles)
    half = jnp.asarray(arena.half_extents, jnp.result_type(float))
    radius_key, height_key = jax.random.split(key)
    low, high = arena.radius_range
    radius = jax.random.uniform(radius_key, (), half.dtype, low, high)
    spacing = 2 * half[0] / (count + 1)
    x = -half[0] + spacing * (1 + jnp.arange(count))
    y = jnp.full(count, jax.random.uniform(height_key, (), half.dtype, -0.5, 0.5) * half[1])
    passable = spacing >= 2 * radius + arena.passage
    return Scene(half, jnp.stack([x, y]), jnp.full(count, radius), jnp.arange(count) < arena.obstacles), passable
