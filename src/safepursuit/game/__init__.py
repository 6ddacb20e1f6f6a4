"""The pursuit-evasion game of two robots in a walled arena with round obstacles.

As in Gymnasium's functional API: `initial`, `observe`, `transition`, `reward`; all pure, batch on trailing axes.

    state      pose [m, m, rad] and last control of each robot, the scene, the step counter
    control    (v, ω) of each robot [m/s, rad/s], held for dt seconds
    capture    the centres come within `capture_radius` at any time during the step  →  terminated
    time-out   `horizon` steps without capture                                      →  truncated (never both)
    contact    a robot's body would enter a wall or disc: these are solid, so it stops at them, still turns, and
               the step counts as a collision of that kind, by that robot. Touching bodies of the two robots are a
               collision too, by each robot that moves towards the other.
    movers     discs of a room that follow a script; one that runs into a robot at rest passes, and is no collision

The game does not depend on the safety layer. Version 1.
"""

from safepursuit.game.rules import REWARDS, Game, Reward, reward, transition
from safepursuit.game.sensors import SENSORS, Observation, flat, observation_shapes, observe
from safepursuit.game.starts import initial, initial_shapes
from safepursuit.game.state import ROLES, Contact, GameState, RobotState, Role, Transition, collided, other

__all__ = [
    "REWARDS",
    "ROLES",
    "SENSORS",
    "Contact",
    "Game",
    "GameState",
    "Observation",
    "Reward",
    "RobotState",
    "Role",
    "Transition",
    "collided",
    "flat",
    "initial",
    "initial_shapes",
    "observation_shapes",
    "observe",
    "other",
    "reward",
    "transition",
]
