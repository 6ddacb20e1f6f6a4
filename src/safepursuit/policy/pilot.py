"""Driving one robot: a trained policy as a single compiled call on plain NumPy numbers."""

from typing import Any, no_type_check

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from safepursuit.game import Game, GameState, observe
from safepursuit.policy.policy import Policy, situation
from safepursuit.scene import Scene
from safepursuit.shapes import Control
from safepursuit.shield import Shield, Shielded


class Pilot:
    """The deterministic policy with its safety layer, compiled ahead for one game at a time.

    pilot = Pilot(trainer.policy, config.game, config.shield)
    control = pilot(state)

    A call takes the state of one game, its arrays NumPy's or JAX's, and returns the safe control [m/s, rad/s] as NumPy
    float32. It packs the state into one array, because every further argument of a compiled program costs some
    microseconds; parameters and rules are constants of the program.
    """

    def __init__(self, policy: Policy, game: Game, shield: Shield) -> None:
        """Compiles, which takes about a second, for scenes with as many (present or absent) discs as the game's."""
        self.discs = max(1, game.arena.obstacles)
        numbers = jax.ShapeDtypeStruct((_FIXED + 4 * self.discs,), jnp.float32)

        def act(packed: Float[Array, "numbers"]) -> Control:
            return _deployed(policy, _unpacked(packed, self.discs), game, shield).control

        self._act = jax.jit(act).lower(numbers).compile()

    # Not checked for shapes in tests: that would take longer than the call.
    @no_type_check
    def __call__(self, state: GameState) -> np.ndarray:
        """The control [m/s, rad/s]; (2,). Raises ValueError for a scene with another number of discs."""
        scene = state.scene
        if scene.radius.shape != (self.discs,):
            raise ValueError(
                f"this pilot was compiled for one game with {self.discs} discs, present or absent, not for a scene "
                f"whose radii have the shape {scene.radius.shape}."
            )
        packed = np.concatenate(
            (
                state.pursuer,
                state.evader,
                state.pursuer_control,
                state.evader_control,
                scene.half_extents,
                *scene.centre,
                scene.radius,
                scene.present,
            ),
            dtype=np.float32,
            casting="same_kind",
        )
        return np.asarray(self._act(packed))


_FIXED = 12
"""Numbers besides those of the discs: two poses, two controls, the half extents."""


def _unpacked(packed: Float[Array, "numbers"], discs: int) -> GameState:
    pursuer, evader, own, other, half, x, y, radius, present = jnp.split(
        packed, np.cumsum([3, 3, 2, 2, 2, discs, discs, discs])
    )
    scene = Scene(half, jnp.stack([x, y]), radius, present > 0)
    return GameState(pursuer, evader, own, other, scene, jnp.asarray(0, jnp.int32))


def _deployed(policy: Policy, state: GameState, game: Game, shield: Shield) -> Shielded:
    where = situation(state, game.robot, shield)
    distribution: Any = policy.head.distribution(policy.features(observe(state, game)), where)
    return policy.head.deploy(distribution, where)
