"""Line-ups: which evader plays in which game of a training or an evaluation."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from safepursuit.players.player import Player, Sight
from safepursuit.registry import Registry
from safepursuit.robot import Robot
from safepursuit.shapes import Control, Keys


def parse(text: str, known: Registry[Player], beyond: Callable[[str], bool] = lambda name: False) -> dict[str, float]:
    """Names and weights of “flee”, or of a mixture such as “flee:2,orbit,hide:0.5”; the default weight is 1.

    Names for which `beyond` is true need not be known.

    Raises ValueError for an unknown name, a name given twice, or a weight that is not a positive number.
    """
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, colon, number = (word.strip() for word in part.partition(":"))
        head, _, tail = (whole := part.strip()).rpartition(":")
        if beyond(head) and tail.strip()[:1].isdigit():
            name, colon, number = head, ":", tail
        elif beyond(whole):
            name, colon = whole, ""
        else:
            known.find(name)
        if name in weights:
            raise ValueError(f"{known.kind} {name!r} is named twice in {text!r}: add up its weights.")
        try:
            weights[name] = float(number) if colon else 1.0
        except ValueError:
            weights[name] = math.nan
        if not 0 < weights[name] < math.inf:
            raise ValueError(f"the weight of {known.kind} {name!r} must be a positive number, not {number!r}.")
    return weights


def lineup(weights: dict[str, float], games: int) -> tuple[str, ...]:
    """The player of each of `games` games: evenly spread, with numbers in proportion to the weights to within one game.

    Highest averages (Webster 1832): the next game goes to the player with the largest weight / (2 · games so far + 1),
    the first named among equals. The players of the first games do not depend on `games`.
    """
    played = dict.fromkeys(weights, 0)
    chosen = []
    for _ in range(games):
        name = max(weights, key=lambda one: weights[one] / (2 * played[one] + 1))
        played[name] += 1
        chosen.append(name)
    return tuple(chosen)


def check_all_play(weights: dict[str, float], games: int) -> None:
    """Raise ValueError where `lineup` has no game for a player; at once, for any number of games."""
    if idle := [name for name in weights if first_game(weights, name) >= games]:
        raise ValueError(f"of {games} games none is left for {', '.join(sorted(idle))}: raise num_envs or its weight.")


def first_game(weights: dict[str, float], name: str) -> float:
    """The number, from 0, of a player's first game in `lineup`: how many averages of others come before its own."""
    names = list(weights)
    others = {other: weight for other, weight in weights.items() if other != name}
    return math.fsum(
        _averages_before(weight, weights[name], names.index(other) < names.index(name))
        for other, weight in others.items()
    )


def _averages_before(weight: float, own: float, named_first: bool) -> float:
    """How many of weight / 1, weight / 3, weight / 5 … come before `own`, to the last bit."""
    if weight / own > 1e15:
        return weight / own / 2

    def comes_before(number: int) -> bool:
        average = weight / (2 * number + 1)
        return average > own or (average == own and named_first)

    number = int(weight / own) // 2
    while comes_before(number):
        number += 1
    while number and not comes_before(number - 1):
        number -= 1
    return float(number)


def play_together(names: Sequence[str], players: Registry[Player], key: Keys, sight: Sight, robot: Robot) -> Control:
    """The controls of games in which `names[i]` plays game i; each player is computed for its own games only.

    `key` is one key, or one per game; every array of `sight` has the axis of the games.
    """
    distinct = list(dict.fromkeys(names))
    if len(distinct) == 1:
        return players.find(distinct[0])(key, sight, robot)
    places = [np.flatnonzero(np.array(names) == name) for name in distinct]
    parts = []
    for number, (name, own) in enumerate(zip(distinct, places, strict=True)):
        part = key[own] if key.ndim else jax.random.fold_in(key, number)
        parts.append(players.find(name)(part, jax.tree.map(lambda leaf, own=own: leaf[..., own], sight), robot))
    return jnp.concatenate(parts, axis=-1)[..., np.argsort(np.concatenate(places))]
