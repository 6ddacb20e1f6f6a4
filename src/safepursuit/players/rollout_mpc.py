"""Model-predictive players: every candidate course is simulated against a model of the opponent.

Rollout, the simplest model-predictive control (Bertsekas 2020): `_CANDIDATES` courses, each held for the whole horizon,
are simulated in steps of `_STEP` seconds for both robots as unicycles with their limits; the best gives the control.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from safepursuit.geometry import direction, length, unit
from safepursuit.players.course import Course, around_discs, clear_of_boundaries, towards_interception, within_walls
from safepursuit.players.player import Sight, steer
from safepursuit.robot import Robot, Unicycle
from safepursuit.scene import Scene, Way, way
from safepursuit.shapes import Control, Keys, Point, Pose, Scalar

_CANDIDATES = 16
_STEP = 0.15
_THERE = 0.3
"""Distance [m] from a corner at which a model opponent has come around it."""


class _Mover(NamedTuple):
    """A simulated robot; its heading is a unit vector, so that no step needs a sine or an arctangent."""

    place: Point
    heading: Float[Array, "2 *batch"]
    speed: Scalar
    """[m/s] in the last step."""

    @classmethod
    def at(cls, pose: Pose) -> "_Mover":
        return cls(pose[:2], direction(pose[2]), jnp.zeros_like(pose[2]))

    def steered(self, robot: Robot, course: Course, scene: Scene) -> "_Mover":
        """One step later: `player.steer` and Euler's step, stopped at the walls."""
        ahead = unit(course)
        forward = self.heading[0] * ahead[0] + self.heading[1] * ahead[1]
        leftward = self.heading[0] * ahead[1] - self.heading[1] * ahead[0]
        speed = robot.max_speed * jnp.maximum(forward, 0)
        most, c = math.sin(robot.max_swing), math.cos(robot.max_swing)
        s = jnp.where(leftward >= 0, most, -most)
        x, y = self.heading
        turned = jnp.where(forward >= c, ahead, jnp.stack([c * x - s * y, s * x + c * y]))
        return _Mover(within_walls(self.place + speed * robot.dt * self.heading, scene, robot), turned, speed)


Model = Callable[[_Mover, _Mover, Scene, Robot], Course]
"""The course of a model opponent: itself, the other, the scene, its own limits."""


def _pursue(own: _Mover, other: _Mover, scene: Scene, robot: Robot) -> Course:
    return around_discs(own.place, other.place, scene, robot)


def _lead(own: _Mover, other: _Mover, scene: Scene, robot: Robot) -> Course:
    return towards_interception(own.place, other.place, other.speed * other.heading, scene, robot)


def _run(own: _Mover, other: _Mover, scene: Scene, robot: Robot) -> Course:
    return clear_of_boundaries(own.place, own.place - other.place, scene, robot)


def _play_out(
    course: Course, sight: Sight, robot: Robot, model: Model, horizon: float, pursuing: bool, theirs: Way
) -> Scalar:
    """The score of a robot that holds this course against the model: for the evader the least distance plus 0.3 times
    the last one, that of the shortest way, for the pursuer the negative.

    `theirs` is the opponent's way at first: in a room, the model sees this robot at its first corner, standing, until
    it has come there.
    """
    coarse = Unicycle(robot.radius, robot.max_speed, robot.max_turn_rate, _STEP)  # no inertia, no wheels
    scene = sight.scene
    plain = scene._replace(room=None)  # no shortest ways at every step

    def advance(carry, _):
        own, other, least, came = carry
        ahead = clear_of_boundaries(own.place, course, plain, coarse)
        seen = own
        if came is not None:
            came = came | (length(other.place - theirs.next) < _THERE)
            seen = _Mover(jnp.where(came, own.place, theirs.next), own.heading, jnp.where(came, own.speed, 0))
        towards = model(other, seen, plain, coarse)
        own, other = own.steered(coarse, ahead, plain), other.steered(coarse, towards, plain)
        return (own, other, jnp.minimum(least, length(other.place - own.place)), came), None

    own, other = _Mover.at(sight.own), _Mover.at(sight.opponent)
    own = own._replace(speed=own.steered(coarse, course, scene).speed)
    start = own, other, length(other.place - own.place), None if scene.room is None else theirs.straight
    (own, other, least, _), _ = jax.lax.scan(advance, start, None, length=round(horizon / _STEP))
    score = least + 0.3 * way(scene, own.place, other.place, robot.radius).length
    return -score if pursuing else score


def _best(sight: Sight, robot: Robot, models: tuple[Model, ...], horizon: float, pursuing: bool) -> Control:
    """The first control of the candidate that is best against the worst of the models."""
    own, other = sight.own[:2], sight.opponent[:2]
    towards = jnp.arctan2(*(way(sight.scene, own, other, robot.radius).next - own)[::-1])
    theirs = way(sight.scene, other, own, robot.radius)

    def judge(offset):
        course = direction(towards + offset)
        scores = [_play_out(course, sight, robot, model, horizon, pursuing, theirs) for model in models]
        return jnp.min(jnp.stack(scores), axis=0)

    offsets = jnp.arange(_CANDIDATES) * (2 * jnp.pi / _CANDIDATES)
    chosen = offsets[jnp.argmax(jax.vmap(judge)(offsets), axis=0)]
    course = clear_of_boundaries(own, direction(towards + chosen), sight.scene, robot)
    return steer(robot, sight.own, course)


def mpc_pursuer(key: Keys, sight: Sight, robot: Robot) -> Control:
    """Rollout-MPC against an evader that is thought to flee (2.4 s ahead)."""
    return _best(sight, robot, (_run,), 2.4, pursuing=True)


def mpc_evader(key: Keys, sight: Sight, robot: Robot) -> Control:
    """Rollout-MPC against a pursuer that is thought to head straight for it (2.4 s ahead)."""
    return _best(sight, robot, (_pursue,), 2.4, pursuing=False)


def mpc_lead_evader(key: Keys, sight: Sight, robot: Robot) -> Control:
    """Rollout-MPC against a pursuer that is thought to cut it off (lead-intercept, 3.6 s ahead)."""
    return _best(sight, robot, (_lead,), 3.6, pursuing=False)


def mpc_robust_evader(key: Keys, sight: Sight, robot: Robot) -> Control:
    """Rollout-MPC that assumes the worse of a pursuer that heads straight for it and one that cuts it off (3.6 s)."""
    return _best(sight, robot, (_pursue, _lead), 3.6, pursuing=False)
