"""One episode of a recording with all that is drawn of it: its end, its barriers, and what held the control."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from safepursuit.evaluation.referee import Verdict
from safepursuit.play.recording import Recording, scenes
from safepursuit.report.figures import CAPTURE, COLLISION, ending, hits
from safepursuit.robot import Unicycle
from safepursuit.scene import Scene
from safepursuit.shield import Shield, Surroundings, survey

PLAIN = "#3c4043"

_AHEAD = 1.0
"""Seconds that a prediction looks ahead: with the control held, the robot would be at its end."""


@dataclass(frozen=True)
class Take:
    """One episode of a recording with all that is drawn of it."""

    recording: Recording
    verdict: Verdict
    index: int
    shield: Shield
    gain: float | None
    """γ of the outer contour; None where nothing enforces h ≥ 0."""
    active: np.ndarray
    """(time, boundaries) bool: which boundary (discs, then walls at +x, −x, +y, −y) held the control."""

    @property
    def length(self) -> int:
        return int(self.recording.length[self.index])

    @property
    def hits(self) -> np.ndarray:
        """(time,) whether the robot that is judged collided by its own motion."""
        return hits(self.verdict)[self.index]

    @property
    def ending(self) -> tuple[str, str]:
        """How it ended, and the colour for it."""
        if self.hits.any():
            return f"collided after {np.argmax(self.hits) * self.recording.game.robot.dt:.1f} s", COLLISION
        captured = self.recording.outcome[self.index] == "capture"
        return ending(self.recording, self.index), CAPTURE if captured else PLAIN


def takes(
    recording: Recording, verdict: Verdict, episodes: Sequence[int], shield: Shield, gain: float | None
) -> list[Take]:
    """The episodes with these indices, ready to be drawn.

    Where something else than a row of the program held the control (the governor, a map onto the safe set), the
    boundary of least h is shown as the one that did. At the end of an invalid episode a robot whose pose is not finite
    stands where it was last.
    """
    recording = replace(recording, pursuer=_known(recording, "pursuer"), evader=_known(recording, "evader"))
    chosen = np.asarray(episodes)
    active = recording.active[chosen]
    nearest = np.arange(active.shape[-1]) == _nearest(recording, chosen, shield)[..., None]
    held = np.where(active.any(axis=-1, keepdims=True), active, nearest) & recording.intervened[chosen][..., None]
    return [Take(recording, verdict, int(index), shield, gain, each) for index, each in zip(chosen, held, strict=True)]


def _known(recording: Recording, robot: str) -> np.ndarray:
    """Its poses, with the last but one for a last one that is not finite."""
    poses, episodes, last = getattr(recording, robot).copy(), np.arange(len(recording.length)), recording.length
    end = poses[episodes, last]
    finite = np.isfinite(end).all(axis=-1, keepdims=True)
    poses[episodes, last] = np.where(finite, end, poses[episodes, last - 1])
    return poses


def level(gain: float, robot: Unicycle) -> float:
    """v̄Δ/γ [m]: the h below which a row with gain γ forbids full speed straight at its boundary."""
    return robot.max_speed * robot.dt / gain


def _nearest(recording: Recording, episodes: np.ndarray, shield: Shield) -> np.ndarray:
    """(episodes, time) the boundary of least h before each step."""
    steps = recording.pursuer.shape[1] - 1
    poses = np.moveaxis(recording.own[episodes, :-1], -1, 0).reshape(3, -1)
    scene = scenes(recording, np.repeat(episodes, steps), np.tile(np.arange(steps), len(episodes)))
    velocity = np.moveaxis(recording.own_velocity[episodes, :-1], -1, 0).reshape(2, -1)
    around = _survey(jnp.asarray(poses), jnp.asarray(velocity), scene, recording.game.limits(recording.role), shield)
    return np.asarray(around.barriers.boundary[0]).reshape(len(episodes), steps)


@partial(jax.jit, static_argnames=("robot", "shield"))
def _survey(poses, velocity, scene: Scene, robot: Unicycle, shield: Shield) -> Surroundings:
    return survey(shield, robot, poses, scene, velocity=velocity)


def least_barrier(take: Take, points: np.ndarray) -> np.ndarray:
    """min h [m] of all boundaries, with the virtual control point at `points` (2, n) [m], at rest."""
    poses = np.stack([points[0] - take.shield.offset, points[1], np.zeros(points.shape[1])])
    scene = scenes(take.recording, np.full(points.shape[1], take.index))
    still = jnp.zeros((2, points.shape[1]))
    around = _survey(jnp.asarray(poses), still, scene, take.recording.game.robot, take.shield)
    return np.asarray(around.barriers.value[0])


def prediction(pose: np.ndarray, control: np.ndarray, dt: float) -> np.ndarray:
    """(n, 2) where the centre would be over the next second, step by step, if the control (v, ω) were held."""
    count = max(1, round(_AHEAD / dt))
    headings = pose[2] + control[1] * dt * np.arange(count)
    steps = control[0] * dt * np.stack([np.cos(headings), np.sin(headings)], axis=-1)
    return np.concatenate([pose[None, :2], pose[:2] + np.cumsum(steps, axis=0)])
