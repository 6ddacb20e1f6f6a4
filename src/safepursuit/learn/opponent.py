"""The other robot: scripted evaders, alone or mixed, with their own speed limits and behind a shield of their own."""

from collections.abc import Sequence

from safepursuit import shield as safety
from safepursuit.game import Game, GameState
from safepursuit.players import EVADERS, Sight
from safepursuit.players.lineup import play_together
from safepursuit.shapes import Control, Keys
from safepursuit.shield import Shield


def evader_control(names: Sequence[str], key: Keys, state: GameState, game: Game, shield: Shield | None) -> Control:
    """What the evaders do, `names[i]` in game i (or the only one in all); `shield` keeps them off walls and discs.

    An evader with a speed limit of its own (`state.evader_speed`) drives as it would with the highest one, slower in
    proportion. `key` is one key, or one for each game.
    """
    sight = Sight(state.evader, state.pursuer, state.pursuer_control, state.scene)
    nominal = play_together(names, EVADERS, key, sight, game.evader)
    if state.evader_speed is not None:
        nominal = nominal.at[0].multiply(state.evader_speed / game.evader.max_speed)
    if shield is None:
        return nominal
    return safety.filter(nominal, state.evader, state.scene, robot=game.evader, shield=shield, gains=1.0).control
