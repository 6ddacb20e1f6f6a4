"""Playing scenarios with a deterministic pursuer, every step recorded."""

from functools import partial

import jax
import jax.numpy as jnp

from safepursuit.agents import Agent, Scripted
from safepursuit.evaluation.scenarios import Scenarios
from safepursuit.game import Game
from safepursuit.play import play
from safepursuit.play.recording import Moment, Recording, assemble, joined, moment
from safepursuit.players import evaders_of
from safepursuit.shield import Shield

_CHUNK = 1000
"""Episodes played side by side, a bound on memory."""


def record(pursuer: Agent, evader: str, scenarios: Scenarios, shield: Shield) -> Recording:
    """Play every scenario to its end against a scripted evader, or a mixture of them, under the shield.

    The evader of episode i depends on i alone.
    """
    episodes, game = scenarios.evader_keys.shape[0], scenarios.game
    evaders = evaders_of(evader, episodes)
    parts = []
    for first in range(0, episodes, _CHUNK):
        some = slice(first, first + _CHUNK)
        states = jax.tree.map(lambda leaf, some=some: leaf[..., some], scenarios.states)
        # A single evader has one name, so that one program serves every number of episodes.
        names = evaders[some] if len(set(evaders)) > 1 else evaders[:1]
        moments = _play(pursuer, Scripted(names, shield), states, scenarios.evader_keys[some], game)
        parts.append(assemble(states, moments, game))
    return joined(parts)


@partial(jax.jit, static_argnames="game")
def _play(pursuer: Agent, evader: Agent, states, evader_keys, game: Game) -> Moment:
    """One scan over the horizon; finished episodes stand still."""

    def keys(time):
        each = jax.vmap(lambda key: jax.random.fold_in(key, time))(evader_keys)
        return jax.vmap(lambda key: jax.random.fold_in(key, 1))(each), each

    steps = jnp.arange(game.horizon)
    agents = pursuer, evader
    return play(agents, states, steps, game, lambda _, step: (None, moment(step)), ledger=None, keys=keys)[2]
