"""Scenes and poses drawn to attack the safety layer with, and the judge of what it then lets happen."""

import numpy as np

import reference
from safepursuit.scene import Scene

DISCS = 8


def draw_scenes(rng, count, half=4.0):
    """Scenes of 0 to 8 discs anywhere, crowded and overlapping ones too."""
    present = np.arange(DISCS)[:, None] < rng.choice([0, 1, 2, 4, 8], count)
    return Scene(
        np.array([half, 0.75 * half]),
        rng.uniform(-half, half, (2, DISCS, count)).astype(np.float32).astype(float),
        rng.uniform(0.3, 1.0, (DISCS, count)).astype(np.float32).astype(float),
        present,
    )


def clear(scene, position, body=0.15):
    return reference.body_clearance(position, body, *scene[1:4], scene.half_extents)


def draw_poses(rng, scene):
    """Legal poses: half of them anywhere, half of them near or in contact and then mostly headed at the disc."""
    count = scene.radius.shape[1]
    position, heading = np.zeros((2, count)), rng.uniform(-np.pi, np.pi, count)
    missing = np.ones(count, bool)
    while missing.any():
        angle = rng.uniform(-np.pi, np.pi, count)
        k, columns = rng.integers(0, DISCS, count), np.arange(count)
        reach = scene.radius[k, columns] + 0.15 + rng.choice([0, 1e-6, 1e-3, 0.02, 0.1, 0.15, 0.2], count)
        near = scene.centre[:, k, columns] + reach * np.stack([np.cos(angle), np.sin(angle)])
        limit = scene.half_extents[:, None] - 0.15
        anywhere = rng.uniform(-limit, limit, (2, count))
        anywhere[0] = np.where(rng.random(count) < 0.3, limit[0] * rng.choice([-1, 1], count), anywhere[0])
        at_disc = rng.random(count) < 0.5
        candidate = np.where(at_disc, near, anywhere).astype(np.float32).astype(float)
        accept = missing & (clear(scene, candidate) >= 0)
        position = np.where(accept, candidate, position)
        inwards = angle + np.pi + rng.normal(0, 0.7, count)
        heading = np.where(accept & at_disc & (rng.random(count) < 0.7), inwards, heading)
        missing &= ~accept
    return np.stack([*position, heading])


def worst_of_the_step(robot, scene, pose, control):
    """Least clearance [m] of any robot at eight times of a step."""
    return min(
        clear(scene, reference.motion(pose, control, share * robot.dt, robot.integrator)[:2]).min()
        for share in np.linspace(0, 1, 8)
    )
