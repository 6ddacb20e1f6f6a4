"""Players that think ahead: every candidate course is played out against a model of the opponent.

Rollout, the simplest model-predictive control (Bertsekas 2020): a handful of courses, each held for the whole horizon,
simulated in steps of `_STEP` seconds for both robots as unicycles with their limits; the best first control is taken.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from safepursuit import robot as motion
from safepursuit.geometry import direction, length
from safepursuit.players.course import around_discs, clear_of_boundaries, towards_interception, within_walls
from safepursuit.players.player import Sight, steer
from safepursuit.robot import Unicycle
from safepursuit.scene import Scene
from safepursuit.shapes import Control, Keys, Pose

_CANDIDATES = 16
_STEP = 0.15

Model = Callable[[Pose, Pose, Control, Scene, Unicycle], Array]
"""The course a model opponent takes: own pose, the other's pose and control, scene, own limits."""


def _pursue(own: Pose, other: Pose, other_control: Control, scene: Scene, robot: Unicycle) -> Array:
    return around_discs(own[:2], other[:2], scene, robot)


def _lead(own: Pose, other: Pose, other_control: Control, scene: Scene, robot: Unicycle) -> Array:
    return towards_interception(own[:2], other, other_control, scene, robot)


def _run(own: Pose, other: Pose, other_control: Control, scene: Scene, robot: Unicycle) -> Array:
    return clear_of_boundaries(own[:2], own[:2] - other[:2], scene, robot)


def _play_out(course: Array, sight: Sight, robot: Unicycle, model: Model, horizon: float, pursuing: bool) -> Array:
    """How well it goes for a robot that heads this way, whatever the opponent does according to the model.

    The evader gains the least distance and, less so, the last one; the pursuer loses as much.
    """
    coarse = Unicycle(robot.radius, robot.max_speed, robot.max_turn_rate, _STEP)
    scene = sight.scene

    def advance(carry, _):
        own, other, own_control, least = carry
        ahead = clear_of_boundaries(own[:2], course, scene, coarse)
        mine = steer(coarse, own, ahead)
        theirs = steer(coarse, other, model(other, own, own_control, scene, coarse))
        own, other = motion.step(coarse, own, mine), motion.step(coarse, other, theirs)
        own = jnp.concatenate([within_walls(own[:2], scene, coarse), own[2:]])
        other = jnp.concatenate([within_walls(other[:2], scene, coarse), other[2:]])
        distance = length(other[:2] - own[:2])
        return (own, other, mine, jnp.minimum(least, distance)), None

    least = length(sight.opponent[:2] - sight.own[:2])
    own_control = steer(coarse, sight.own, course)
    start = (sight.own, sight.opponent, own_control, least)
    (own, other, _, least), _ = jax.lax.scan(advance, start, None, length=round(horizon / _STEP))
    last = length(other[:2] - own[:2])
    score = least + 0.3 * last
    return -score if pursuing else score


def _best(sight: Sight, robot: Unicycle, models: tuple[Model, ...], horizon: float, pursuing: bool) -> Control:
    """The first control of the candidate that is best against the model, or against the worst of several."""
    towards = jnp.arctan2(*(sight.opponent[:2] - sight.own[:2])[::-1])

    def judge(offset):
        course = direction(towards + offset)
        scores = [_play_out(course, sight, robot, model, horizon, pursuing) for model in models]
        return jnp.min(jnp.stack(scores), axis=0)

    offsets = jnp.arange(_CANDIDATES) * (2 * jnp.pi / _CANDIDATES)
    chosen = offsets[jnp.argmax(jax.vmap(judge)(offsets), axis=0)]
    course = clear_of_boundaries(sight.own[:2], direction(towards + chosen), sight.scene, robot)
    return steer(robot, sight.own, course)


def mpc_pursuer(key: Keys, sight: Sight, robot: Unicycle) -> Control:
    """Rollout-MPC against an evader that is thought to flee (2.4 s ahead)."""
    del key
    return _best(sight, robot, (_run,), 2.4, pursuing=True)


def mpc_evader(key: Keys, sight: Sight, robot: Unicycle) -> Control:
    """Rollout-MPC against a pursuer that is thought to head straight for it (2.4 s ahead)."""
    del key
    return _best(sight, robot, (_pursue,), 2.4, pursuing=False)


def mpc_lead_evader(key: Keys, sight: Sight, robot: Unicycle) -> Control:
    """Rollout-MPC against a pursuer that is thought to cut it off (lead-intercept, 3.6 s ahead)."""
    del key
    return _best(sight, robot, (_lead,), 3.6, pursuing=False)


def mpc_robust_evader(key: Keys, sight: Sight, robot: Unicycle) -> Control:
    """Rollout-MPC that assumes the worse of a pursuer that heads straight for it and one that cuts it off (3.6 s)."""
    del key
    return _best(sight, robot, (_pursue, _lead), 3.6, pursuing=False)
