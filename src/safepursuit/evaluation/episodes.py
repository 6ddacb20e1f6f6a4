"""Playing scenarios with a deterministic agent, every step recorded."""

from functools import partial

import jax
import jax.numpy as jnp

from safepursuit.agents import Agent
from safepursuit.evaluation.scenarios import Scenarios
from safepursuit.experiment.opponents import Opponents
from safepursuit.game import Game, Role
from safepursuit.play import play
from safepursuit.play.recording import Moment, Recording, assemble, joined, moment
from safepursuit.players import lineup

_CHUNK = 1000
"""Episodes played side by side, a bound on memory."""


def record(own: Agent, opponents: Opponents, scenarios: Scenarios, role: Role = "pursuer") -> Recording:
    """Play every scenario to its end: an agent in this role, against opponents.

    The opponent of episode i depends on i alone.
    """
    episodes, game = scenarios.evader_keys.shape[0], scenarios.game
    players = lineup(dict(opponents.weights), episodes)
    parts = []
    for first in range(0, episodes, _CHUNK):
        some = slice(first, first + _CHUNK)
        states = jax.tree.map(lambda leaf, some=some: leaf[..., some], scenarios.states)
        # A single player has one name, so that one program serves every number of episodes.
        names = players[some] if len(set(players)) > 1 else players[:1]
        agents = own, opponents.agent(names)
        if role == "evader":
            agents = agents[::-1]
        moments = _play(*agents, states, scenarios.evader_keys[some], game, role)
        parts.append(assemble(states, moments, game, role))
    return joined(parts)


@partial(jax.jit, static_argnames=("game", "role"))
def _play(pursuer: Agent, evader: Agent, states, evader_keys, game: Game, role: Role) -> Moment:
    """One scan over the horizon; finished episodes stand still."""

    def keys(time):
        each = jax.vmap(lambda key: jax.random.fold_in(key, time))(evader_keys)
        return jax.vmap(lambda key: jax.random.fold_in(key, 1))(each), each

    steps = jnp.arange(game.horizon)
    agents = pursuer, evader
    return play(agents, states, steps, game, lambda _, step: (None, moment(step, role)), ledger=None, keys=keys)[2]
