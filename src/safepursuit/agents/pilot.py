"""Driving one robot: an agent as a single compiled call on NumPy arrays."""

from typing import no_type_check

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from safepursuit.agents.agent import Agent, View
from safepursuit.game import Game, GameState, Role, initial_shapes


class Pilot:
    """An agent compiled ahead for one game at a time.

    pilot = Pilot(Trained(policy, config.shield), config.game)
    control = pilot(state)

    A call takes the state of one game (arrays of NumPy or JAX) and returns the control [m/s, rad/s] as NumPy float32.
    The state is packed into one array, because each argument of a compiled program costs some microseconds; parameters
    and rules are constants of the program.
    """

    def __init__(self, agent: Agent, game: Game, role: Role = "pursuer") -> None:
        """Compiles (about a second) for scenes with as many discs, present or absent, as the game's."""
        shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[:-1], leaf.dtype), initial_shapes(game, 1))
        leaves, structure = jax.tree.flatten(shapes)
        cuts = np.cumsum([leaf.size for leaf in leaves])
        self.discs = shapes.scene.radius.shape[0]
        self._carry = agent.initial(shapes)

        def act(packed: Float[Array, "numbers"], carry):
            parts = zip(jnp.split(packed, cuts[:-1]), leaves, strict=True)
            state = jax.tree.unflatten(structure, [part.reshape(leaf.shape).astype(leaf.dtype) for part, leaf in parts])
            key = jax.random.fold_in(jax.random.key(0), state.step)
            done, carry = agent.act(carry, key, View(state, game, role))
            return done.control, carry

        numbers = jax.ShapeDtypeStruct((cuts[-1],), jnp.float32)
        self._act = jax.jit(act).lower(numbers, self._carry).compile()

    # Without the shape check of tests, which takes longer than the call.
    @no_type_check
    def __call__(self, state: GameState) -> np.ndarray:
        """The control [m/s, rad/s]; (2,). Raises ValueError for a scene with another number of discs."""
        if state.scene.radius.shape != (self.discs,):
            raise ValueError(
                f"this pilot was compiled for one game with {self.discs} discs, present or absent, not for a scene "
                f"whose radii have the shape {state.scene.radius.shape}."
            )
        packed = np.concatenate(
            [np.ravel(leaf) for leaf in jax.tree.leaves(state)], dtype=np.float32, casting="same_kind"
        )
        control, self._carry = self._act(packed, self._carry)
        return np.asarray(control)
