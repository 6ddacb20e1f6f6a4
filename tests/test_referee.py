"""The referee finds every planted collision, at any place in a step, and none where there is none.

Its closed forms are held against the definition: positions at many moments of each step, from `reference.motion`.
"""

import math

import numpy as np
import pytest

from reference import body_clearance, motion
from safepursuit.evaluation.referee import TOLERANCE, Verdict, judge, separation

INTEGRATORS = ("euler", "arc")
HALF = (3.0, 2.0)
RADIUS, DT = 0.15, 0.05
FAR = (2.5, -1.5, 0.0)


def verdict(poses, controls, discs=(), others=(FAR,), other_controls=((0.0, 0.0),), integrator="euler", **changes):
    """Judge one-step episodes: as many as there are poses, or other robots."""
    count = max(len(poses), len(others))

    def wide(rows):
        return np.broadcast_to(np.asarray(rows, float), (count, len(rows[0])))[:, None]

    own, own_control, other, other_control = (wide(rows) for rows in (poses, controls, others, other_controls))
    table = np.broadcast_to(np.array(discs, float).reshape(-1, 3), (count, len(discs), 3))
    arguments = {
        "own": np.concatenate([own, own], axis=1),  # what follows a step is not looked at
        "own_control": own_control,
        "other": np.concatenate([other, other], axis=1),
        "other_control": other_control,
        "discs": table,
        "half_extents": np.array(HALF),
        "own_radius": RADIUS,
        "other_radius": RADIUS,
        "length": np.ones(count, int),
        "dt": DT,
        "integrator": integrator,
    }
    return judge(**(arguments | changes))


def kinds(found: Verdict, index=0):
    return tuple(bool(getattr(found, kind)[index, 0]) for kind in ("wall", "obstacle", "robot"))


# --- planted collisions ------------------------------------------------------------------------------------------

DISC = (0.0, 0.0, 0.5)
LIMIT = 0.65
"""Least distance of the centres of robot and disc."""


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize(
    ("pose", "control", "expected", "clearance"),
    [
        # Head on at full speed, 3 cm before the rim: 2 cm too far.
        ((-LIMIT - 0.03, 0.0, 0.0), (1.0, 0.0), (False, True, False), -0.02),
        # Stops 1 cm short.
        ((-LIMIT - 0.06, 0.0, 0.0), (1.0, 0.0), (False, False, False), 0.01),
        # Grazing between two samples: both ends lie outside, √(0.64995² + 0.025²) > 0.65, the middle 50 µm inside.
        ((-0.025, LIMIT - 5e-5, 0.0), (1.0, 0.0), (False, True, False), -5e-5),
        # The same 50 µm outside.
        ((-0.025, LIMIT + 5e-5, 0.0), (1.0, 0.0), (False, False, False), 5e-5),
        # Touching, to within the tolerance, is no collision.
        ((-LIMIT - 0.05, 0.0, 0.0), (1.0, 0.0), (False, False, False), 0.0),
        # Already inside, standing still.
        ((0.3, 0.3, 0.0), (0.0, 0.0), (False, True, False), math.hypot(0.3, 0.3) - LIMIT),
        # The wall at x = 3 ends the centre's way at 2.85.
        ((2.84, 1.0, 0.0), (1.0, 0.0), (True, False, False), -0.04),
        ((2.79, 1.0, 0.0), (1.0, 0.0), (False, False, False), 0.01),
        # Obliquely into the wall at y = 2, at 30°: 0.025 m nearer.
        ((1.0, 1.84, math.pi / 6), (1.0, 0.0), (True, False, False), 1.85 - 1.84 - 0.025),
        # Corner: away from one wall, into the other.
        ((2.849, 1.849, -math.pi / 4), (1.0, 0.0), (True, False, False), 0.001 - 0.05 * math.sqrt(0.5)),
    ],
)
def test_straight_collisions_by_hand(integrator, pose, control, expected, clearance):
    found = verdict([pose], [control], [DISC], integrator=integrator)
    assert kinds(found) == expected
    assert found.clearance[0, 0] == pytest.approx(clearance, abs=1e-9)
    assert found.collided.tolist() == [any(expected)]


def test_a_disc_in_the_corner_of_two_walls_and_both_kinds_at_once():
    """Between a disc and a wall 0.32 m apart fits a body of 0.30 m; 1.5 cm to the side it touches one, and at an angle
    both."""
    disc = (0.0, 2.0 - 0.32 - 0.5, 0.5)
    middle = 2.0 - 0.16
    poses = [(-0.025, middle, 0.0), (-0.025, middle - 0.015, 0.0), (-0.025, middle + 0.015, 0.0)]
    found = verdict(poses, [(1.0, 0.0)], [disc])
    assert [kinds(found, i) for i in range(3)] == [
        (False, False, False),
        (False, True, False),
        (True, False, False),
    ]
    tight = (0.0, 2.0 - 0.29 - 0.5, 0.5)
    assert kinds(verdict([(0.0, 2.0 - 0.145, 0.0)], [(0.0, 0.0)], [tight])) == (True, True, False)


def test_an_arc_that_bulges_into_a_disc_between_its_ends():
    """Driving past a disc on a left turn about a point beyond it: the arc's sagitta v²... at its middle is
    R(1 − cos(ωΔ/2)) = 0.352 · (1 − cos 0.071) = 0.89 mm; the disc reaches half of it."""
    v, turn_rate = 1.0, 2.84
    circle = v / turn_rate
    half = turn_rate * DT / 2
    sagitta = circle * (1 - math.cos(half))
    # Start so that the arc's middle lies on the x axis, heading +y there; the bulge points to +x.
    start = (circle * (math.cos(-half) - 1), circle * math.sin(-half), math.pi / 2 - half)
    end = motion(np.array(start)[:, None], np.array([[v], [turn_rate]]), DT, "arc")[:, 0]
    assert start[0] == pytest.approx(end[0]) == pytest.approx(-sagitta)
    for reach, hit in ((0.5 * sagitta, True), (-0.5 * sagitta, False)):
        disc = (LIMIT - reach, 0.0, 0.5)
        # The straight line between the ends stays clear of it.
        assert disc[0] - start[0] > LIMIT
        found = verdict([start], [(v, turn_rate)], [disc], integrator="arc")
        assert kinds(found) == (False, hit, False)
        assert found.clearance[0, 0] == pytest.approx(-reach, abs=1e-6)


def test_an_arc_that_reaches_past_a_wall_between_its_ends():
    """The same bulge, towards the wall at x = 3: both ends 0.5 mm short of it, the middle 0.39 mm past it."""
    v, turn_rate = 1.0, 2.84
    circle, half = v / turn_rate, 2.84 * DT / 2
    sagitta = circle * (1 - math.cos(half))
    for short, hit in ((0.0005, True), (0.0010, False)):
        x = 3.0 - RADIUS - short
        start = (x, 0.3, math.pi / 2 - half)
        found = verdict([start], [(v, turn_rate)], integrator="arc")
        assert kinds(found) == (hit, False, False)
        assert found.clearance[0, 0] == pytest.approx(short - sagitta, abs=1e-9)
        # On the straight line of an Euler step the body would not have touched.
        aside = (x, 0.3, math.pi / 2)
        assert kinds(verdict([aside], [(v, turn_rate)])) == (False, False, False)


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize(
    ("own", "own_speed", "other", "other_speed", "guilty"),
    [
        # Face to face, 1 cm apart: whoever drives.
        ((0.0, 0.0, 0.0), 1.0, (0.31, 0.0, math.pi), 0.0, (True, False)),
        ((0.0, 0.0, 0.0), 0.0, (0.31, 0.0, math.pi), 1.0, (False, True)),
        ((0.0, 0.0, 0.0), 1.0, (0.31, 0.0, math.pi), 1.0, (True, True)),
        # Running away, and hit from behind.
        ((0.0, 0.0, math.pi), 0.5, (0.31, 0.0, math.pi), 1.0, (False, True)),
        # Crossing within the step: 0.05 m aside at both ends, 0.29 m apart in the middle.
        ((-0.025, 0.0, 0.0), 1.0, (0.025, 0.29, math.pi), 1.0, (True, True)),
        # Passing by at 0.31 m.
        ((-0.025, 0.0, 0.0), 1.0, (0.025, 0.31, math.pi), 1.0, (False, False)),
    ],
)
def test_robots_that_meet_and_who_is_to_blame(integrator, own, own_speed, other, other_speed, guilty):
    controls = [(own_speed, 0.0)], [(other_speed, 0.0)]
    judged = verdict([own], controls[0], (), [other], controls[1], integrator)
    judged_other = verdict([other], controls[1], (), [own], controls[0], integrator)
    assert (kinds(judged), kinds(judged_other)) == tuple((False, False, blame) for blame in guilty)


def test_nothing_counts_after_the_end_and_padding_is_no_disc():
    pose = (-LIMIT - 0.03, 0.0, 0.0)
    steps = 4
    own = np.full((1, steps + 1, 3), np.nan)
    own[0, :3] = pose
    control = np.full((1, steps, 2), np.nan)
    control[0, :2] = (1.0, 0.0)
    nowhere = np.full((1, steps + 1, 3), np.nan)
    nowhere[0, :3] = FAR
    still = np.where(np.isnan(control), np.nan, 0.0)
    arguments = {"other": nowhere, "other_control": still, "half_extents": np.array(HALF)}
    arguments |= {"own_radius": RADIUS, "other_radius": RADIUS, "dt": DT, "integrator": "euler"}
    arguments |= {"length": np.array([2])}
    padding = np.full((1, 2, 3), np.nan)
    with np.errstate(invalid="raise"):
        free = judge(own=own, own_control=control, discs=padding, **arguments)
    assert not free.collided.any()
    padding[0, 1] = DISC
    hit = judge(own=own, own_control=control, discs=padding, **arguments)
    assert hit.obstacle.tolist() == [[True, True, False, False]]
    assert np.isnan(hit.clearance).tolist() == [[False, False, True, True]]


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["own_control", "other_control", "own", "other", "discs"])
def test_a_step_that_is_not_finite_is_invalid_and_neither_clear_nor_a_collision(where, bad, integrator):
    """Three steps of which the second is spoilt; a disc spoils all. The episode beside it stays what it is."""
    arguments = {
        "own": np.zeros((2, 4, 3)),
        "own_control": np.zeros((2, 3, 2)),
        "other": np.tile(FAR, (2, 4, 1)),
        "other_control": np.zeros((2, 3, 2)),
        "discs": np.array([[[1.0, 0.0, 0.2]], [[1.0, 0.0, 0.2]]]),
    }
    rest = {"half_extents": np.array(HALF), "own_radius": RADIUS, "other_radius": RADIUS, "dt": DT}
    rest |= {"length": np.array([3, 2]), "integrator": integrator}
    arguments[where][(0, 0, 2) if where == "discs" else (0, 1, 0)] = bad
    found = judge(**arguments, **rest)
    # A pose belongs to the step before it, too.
    steps = {"own": [True, True, False], "other": [True, True, False], "discs": [True] * 3}.get(
        where, [False, True, False]
    )
    assert found.invalid.tolist() == [steps, [False] * 3]
    assert np.isnan(found.clearance).tolist() == [steps, [False, False, True]]
    assert not (found.wall | found.obstacle | found.robot)[found.invalid].any()


def test_a_disc_of_negative_radius_is_no_disc_to_be_clear_of():
    found = verdict([(0.0, 0.0, 0.0)], [(0.0, 0.0)], [(1.0, 0.0, -0.4)])
    assert found.invalid.all()
    assert np.isnan(found.clearance).all()


def test_an_integrator_it_does_not_know_is_refused():
    with pytest.raises(ValueError, match="unknown integrator 'rk4'"):
        verdict([FAR], [(0.0, 0.0)], integrator="rk4")


# --- a hundred thousand steps ------------------------------------------------------------------------------------

STEPS = 130_000
DISCS = [(0.0, 0.0, 0.5), (-1.6, 0.9, 0.3), (1.5, -1.1, 0.4)]
MOMENTS = 33
DIP = 2.5e-6


def random_steps(seed):
    """Steps of all kinds: full speed, standing still, hardly turning, close to walls and discs and far from them."""
    rng = np.random.default_rng(seed)
    poses = rng.uniform(-1, 1, (STEPS, 3)) * [2.9, 1.9, math.pi]
    controls = np.stack([rng.uniform(0, 1, STEPS), rng.uniform(-2.84, 2.84, STEPS)], axis=1)
    controls[::3, 0] = 1.0
    controls[::5, 1] = 0.0
    controls[1::5, 1] = 2.84 * np.sign(controls[1::5, 1])
    controls[::11, 0] = 0.0
    controls[::13, 1] = 10.0 ** rng.uniform(-9, -3, len(controls[::13]))
    return poses, controls


def sampled_clearances(poses, controls, integrator):
    """Least clearance from walls, and from discs, over many moments of each step."""
    wall = disc = np.full(len(poses), np.inf)
    centre = np.array([[x, y] for x, y, _ in DISCS]).T[:, :, None]
    radius = np.array([[size] for *_, size in DISCS])
    present, absent = np.ones((3, 1), bool), np.zeros((3, 1), bool)
    for time in np.linspace(0, DT, MOMENTS):
        point = motion(poses.T, controls.T, time, integrator)[:2]
        wall = np.minimum(wall, body_clearance(point, RADIUS, centre, radius, absent, HALF))
        disc = np.minimum(disc, body_clearance(point, RADIUS, centre, radius, present, (1e9, 1e9)))
    return wall, disc


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_closed_forms_agree_with_many_moments_of_each_step(integrator):
    """The least over a continuum is below the least over 33 moments, by the dip between two of them at most: half a
    piece, 0.8 mm, squared, times half of both curvatures, 1/0.25 m of the disc (up to 0.2 m inside) and 1/0.35 m of the
    arc: 2.2 µm."""
    poses, controls = random_steps(1)
    found = verdict(poses, controls, DISCS, integrator=integrator)
    wall, disc = sampled_clearances(poses, controls, integrator)
    sampled = np.minimum(wall, disc)
    difference = sampled - found.clearance[:, 0]
    assert difference.min() > -2e-9
    assert difference[sampled > -0.2].max() < DIP
    # Each kind is reported where that kind was entered, and nowhere else: no false alarm in 100,000 safe steps.
    for kind, clearance in (("wall", wall), ("obstacle", disc)):
        reported = getattr(found, kind)[:, 0]
        assert not reported[clearance > DIP].any()
        assert reported[clearance < -DIP].all()
        assert reported.sum() > 2000
    assert (sampled > DIP).sum() > 100_000
    assert TOLERANCE < 1e-8


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_meetings_agree_with_many_moments_of_each_step(integrator):
    rng = np.random.default_rng(2)
    count = 30_000
    own, own_control = (part[:count] for part in random_steps(3))
    _, other_control = (part[:count] for part in random_steps(4))
    angle, distance = rng.uniform(-math.pi, math.pi, count), rng.uniform(0.2, 0.5, count)
    other = np.stack(
        [
            own[:, 0] + distance * np.cos(angle),
            own[:, 1] + distance * np.sin(angle),
            rng.uniform(-math.pi, math.pi, count),
        ],
        axis=1,
    )
    found = verdict(own, own_control, (), other, other_control, integrator)
    least = np.full(count, np.inf)
    for time in np.linspace(0, DT, 65):
        gap = [motion(p.T, u.T, time, integrator)[:2] for p, u in ((own, own_control), (other, other_control))]
        least = np.minimum(least, np.hypot(*(gap[0] - gap[1])))
    along = motion(own.T, own_control.T, DT, integrator)[:2] - own[:, :2].T
    towards = (along * (other - own)[:, :2].T).sum(0)
    touching, reported = least < 0.3, found.robot[:, 0]
    clear_cut = (np.abs(least - 0.3) > 3e-5) & ((np.abs(towards) > 1e-9) | (own_control[:, 0] == 0))
    assert np.array_equal(reported[clear_cut], (touching & (towards > 0))[clear_cut])
    assert reported.sum() > 1000
    assert clear_cut.mean() > 0.95


def test_separation_is_the_least_distance_between_recorded_poses():
    """They cross: 1 m apart at both ends, 0 in between; then stand 3 m apart."""
    own = np.array([[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]])
    other = np.array([[[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [4.0, 0.0, 0.0]]])
    np.testing.assert_allclose(separation(own, other), [[0.0, 0.0]], atol=1e-12)
    other[0, 1:] = [[1.0, 3.0, 0.0], [1.0, 3.0, 0.0]]
    np.testing.assert_allclose(separation(own, other)[0, 1], 3.0)
