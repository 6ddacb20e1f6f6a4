"""The shield as a whole: any pose, any gains, any nominal control; closed loops that try to crash; its derivatives.

Collisions are judged by `reference`: its own motion, its own distances, the whole step and not only its end.
"""

import re
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import reference
from attack import DISCS, clear, draw_poses, draw_scenes, worst_of_the_step
from safepursuit import qp, shield
from safepursuit.robot import Unicycle
from safepursuit.scene import Scene
from safepursuit.shield import Shield
from tiny import few

pytestmark = pytest.mark.usefixtures("float64")

INTEGRATORS = ("euler", "arc")
SHIELD = Shield()
ROBOT = {integrator: Unicycle(integrator=integrator) for integrator in INTEGRATORS}
ROWS = DISCS + 4
ROBOTS, STEPS = 100, 400
"""In each closed loop; 160,000 robot-steps in the four of them, and ten times as many with the long proofs."""
STATES = 4_000


@partial(jax.jit, static_argnames="robot")
def governor(control, pose, scene, robot):
    return shield.govern(control, shield.survey(SHIELD, robot, pose, scene))[:2]


@partial(jax.jit, static_argnames=("robot", "parameters"))
def filtered(nominal, pose, scene, gains, robot, parameters=SHIELD):
    return shield.filter(nominal, pose, scene, robot=robot, shield=parameters, gains=gains)


@partial(jax.jit, static_argnames=("robot", "parameters"))
def program(pose, scene, gains, robot, parameters=SHIELD):
    """The rows, and the barriers' values; gains in the scene's order."""
    around = shield.survey(parameters, robot, pose, scene)
    gains = jnp.take_along_axis(gains, around.barriers.boundary, axis=0)
    return shield.problem(parameters, robot, around, gains), around.barriers.value


# --- the closed loop, against an adversary ---------------------------------------------------------------------------


def adversary(key, pose, scene, robot):
    """At the nearest surface at full speed; around it, leaning in; hard turns; or numbers that are none."""
    count = pose.shape[1]
    keys = jax.random.split(key, 4)
    away = pose[:2, None] - scene.centre
    gap = jnp.where(scene.present, jnp.sqrt((away**2).sum(0)) - scene.radius, jnp.inf)
    nearest = jnp.argmin(gap, axis=0)
    disc = -jnp.take_along_axis(away, nearest[None, None], axis=1)[:, 0]
    half_x, half_y = scene.half_extents
    walls = jnp.stack([half_x - pose[0], half_x + pose[0], half_y - pose[1], half_y + pose[1]])
    wall = jnp.asarray([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]], pose.dtype)[:, jnp.argmin(walls, axis=0)]
    towards = jnp.where(gap.min(0) < walls.min(0) + 0.5, disc, wall)
    bearing = jnp.arctan2(towards[1], towards[0]) - pose[2]
    mode = jax.random.categorical(keys[0], jnp.log(jnp.asarray([0.4, 0.2, 0.2, 0.15, 0.05])), shape=(count,))
    bearing = bearing + jnp.where(mode == 1, 1.4, jnp.where(mode == 2, -1.4, 0))
    bearing = jnp.mod(bearing + jnp.pi, 2 * jnp.pi) - jnp.pi
    hard = robot.max_turn_rate * jnp.where(jax.random.bernoulli(keys[1], shape=(count,)), 1.0, -1.0)
    turn = jnp.where(mode == 3, hard, bearing / robot.dt)
    silly = jnp.asarray([jnp.nan, jnp.inf, -jnp.inf, 1e30, -1e30, 50.0], pose.dtype)
    silly = silly[jax.random.randint(keys[2], (2, count), 0, 6)]
    nominal = jnp.where(mode == 4, silly, jnp.stack([jnp.full(count, robot.max_speed, pose.dtype), turn]))
    gains = jnp.clip(1.4 * jax.random.uniform(keys[3], (ROWS, count), pose.dtype) - 0.2, 0, 1)
    return nominal, gains


class Record(NamedTuple):
    """What happened in a closed loop, (steps, …, robots), and one pose more."""

    pose: np.ndarray
    control: np.ndarray
    feasible: np.ndarray
    governed: np.ndarray
    value: np.ndarray
    """The least barrier h of each robot before each step [m]."""


@partial(jax.jit, static_argnames=("robot", "steps"))
def closed_loop(key, pose, scene, robot, steps, guarded):
    """The adversary at the wheel, with the shield or without."""

    def turn(pose, key):
        nominal, gains = adversary(key, pose, scene, robot)
        shielded = shield.filter(nominal, pose, scene, robot=robot, shield=SHIELD, gains=gains)
        value = shield.survey(SHIELD, robot, pose, scene).barriers.value.min(0)
        control = jnp.where(guarded, shielded.control, robot.limit(jnp.nan_to_num(nominal)))
        record = Record(pose, control, shielded.feasible, shielded.governed, value)
        return robot.step(pose, control), record

    final, record = jax.lax.scan(turn, pose, jax.random.split(key, steps))
    return record._replace(pose=jnp.concatenate([record.pose, final[None]]))


@cache
def run(integrator, dtype, robots=ROBOTS, *, guarded=True):
    """The scenes, and the record of 400 steps of these robots, computed in `dtype` and promoted to float64."""
    rng = np.random.default_rng(0)
    scene = draw_scenes(rng, robots)
    start = draw_poses(rng, scene)
    with jax.enable_x64(dtype == np.float64):
        typed = jax.tree.map(lambda part: jnp.asarray(part if part.dtype == bool else part.astype(dtype)), scene)
        pose = jnp.asarray(start.astype(dtype))
        record = closed_loop(jax.random.key(0), pose, typed, ROBOT[integrator], STEPS, guarded)
        assert record.pose.dtype == record.control.dtype == dtype
        record = Record(*map(np.asarray, record))
    return scene, record._replace(pose=record.pose.astype(float), control=record.control.astype(float))


def clearances_of_the_run(integrator, scene, record):
    """Least clearance in each step: on the segment between recorded poses, or on the arc from pose and control."""
    steps = []
    for before, after, control in zip(record.pose[:-1, :2], record.pose[1:, :2], record.control, strict=True):
        if integrator == "euler":
            steps.append(reference.segment_clearance(before, after, 0.15, *scene[1:4], scene.half_extents))
            continue
        pose = record.pose[len(steps)]
        points = [reference.motion(pose, control, share * 0.05, integrator)[:2] for share in np.linspace(0, 1, 7)]
        steps.append(np.min([clear(scene, point) for point in (*points, after)], axis=0))
    return np.array(steps)


@pytest.mark.parametrize("dtype", few([np.float32, np.float64]))
@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_adversary_never_touches_anything(integrator, dtype, tenfold):
    """No contact and no infeasible program in any robot-step, for either motion in either precision."""
    scene, record = run(integrator, dtype, ROBOTS * tenfold)
    clearance = clearances_of_the_run(integrator, scene, record)
    assert clearance.size == ROBOTS * tenfold * STEPS
    assert clearance.min() >= -1e-9
    assert record.feasible.all()
    assert np.isfinite(record.control).all()
    v, turn_rate = np.moveaxis(record.control, 1, 0)
    assert v.min() >= 0
    assert v.max() <= 1.0
    assert np.abs(turn_rate).max() <= 2.84 * (1 + 1e-6)
    # It did try: many steps at the very edge of the safe set, and the robots were not simply stopped.
    assert (record.value < 1e-3).mean() > 0.2
    assert (clearance < 0.02).any(0).mean() > 0.4
    assert (v > 0.5).mean() > 0.2


@pytest.mark.parametrize("dtype", few([np.float32, np.float64]))
@pytest.mark.parametrize("integrator", few(INTEGRATORS))
def test_safe_set_is_kept_and_the_governor_idle_in_it(integrator, dtype, tenfold):
    """Theorem 2 and the composition: who starts with h ≥ 0 keeps it (to rounding) and is never governed."""
    _, record = run(integrator, dtype, ROBOTS * tenfold)
    inside = record.value[0] >= 0
    assert 0.5 < inside.mean() < 1
    assert record.value[:, inside].min() >= (-1e-12 if dtype == np.float64 else -2e-5)
    assert not record.governed[:, inside].any()
    assert record.governed[:, ~inside].any()


@pytest.mark.wide
def test_adversary_without_the_shield_crashes():
    """The control group: the same driver, only held to the actuator limits."""
    scene, record = run("euler", np.float64, guarded=False)
    crashed = (clearances_of_the_run("euler", scene, record) < -1e-3).any(0)
    assert crashed.mean() > 0.9


# --- one step, from anywhere, with anything --------------------------------------------------------------------------


def draw_states(rng, count):
    """Scenes, legal poses, gains in [0, 1] and nominal controls of every kind, numbers that are none included."""
    scene = draw_scenes(rng, count)
    pose = draw_poses(rng, scene)
    gains = np.clip(rng.uniform(-0.2, 1.2, (ROWS, count)), 0, 1)
    nominal = np.stack([rng.uniform(-0.5, 1.5, count), rng.uniform(-4, 4, count)])
    wild = rng.choice([np.nan, np.inf, -np.inf, 1e300, -1e300, 1e6, 0.0], (2, count))
    nominal = np.where(rng.random((2, count)) < 0.2, wild, nominal)
    return nominal, pose, scene, gains


@pytest.mark.parametrize("integrator", few(INTEGRATORS))
def test_every_output_is_safe_finite_feasible_and_within_limits(integrator):
    robot = ROBOT[integrator]
    nominal, pose, scene, gains = draw_states(np.random.default_rng(1), STATES)
    result = filtered(nominal, pose, scene, gains, robot)
    for part in (result.control, result.nominal, result.clearance, result.residual):
        assert np.isfinite(part).all()
    control = np.asarray(result.control)
    assert np.asarray(result.feasible).all()
    assert 0 <= control[0].min() <= control[0].max() <= robot.max_speed
    assert np.abs(control[1]).max() <= robot.max_turn_rate
    assert worst_of_the_step(robot, scene, pose, control) >= -1e-9
    np.testing.assert_allclose(result.clearance, clear(scene, pose[:2]), atol=1e-12)
    assert 0.1 < np.asarray(result.intervened).mean() < 0.9
    assert np.asarray(result.governed).any()


@pytest.mark.parametrize("integrator", few(INTEGRATORS))
def test_standing_still_is_always_in_the_program(integrator):
    _, pose, scene, gains = draw_states(np.random.default_rng(2), STATES)
    rows, value = program(pose, scene, gains, ROBOT[integrator])
    assert rows.b.shape == (2 * ROWS + 4, STATES)
    assert np.asarray(rows.b).min() >= 0
    assert (np.asarray(value).min(0) < 0).any()  # also from poses outside the safe set of theorem 2


@pytest.mark.parametrize("integrator", few(INTEGRATORS))
def test_safe_nominal_is_not_touched(integrator):
    robot = ROBOT[integrator]
    nominal, pose, scene, gains = draw_states(np.random.default_rng(3), STATES)
    rows, value = program(pose, scene, gains, robot)
    A, b = np.asarray(rows.A), np.asarray(rows.b)
    in_limits = (nominal[0] >= 0) & (nominal[0] <= 1) & (np.abs(nominal[1]) <= robot.max_turn_rate)
    asked = np.where(in_limits, nominal, 0)
    asked[1] = np.sin(asked[1] * robot.dt)
    safe = in_limits & ((A * asked).sum(1) <= b - 1e-12).all(0) & (np.asarray(value) >= 0).all(0)
    assert safe.sum() > 100
    result = filtered(nominal, pose, scene, gains, robot)
    np.testing.assert_allclose(np.asarray(result.control)[:, safe], nominal[:, safe], rtol=1e-14, atol=1e-15)
    for flag in (result.intervened, result.governed, result.lost_gradient):
        assert not np.asarray(flag)[safe].any()
    assert np.asarray(result.correction)[safe].max() < 1e-14


@pytest.mark.parametrize("integrator", few(INTEGRATORS))
def test_output_is_the_nearest_safe_control(integrator):
    """In the displacement of the virtual control point, by brute force over all active sets of the program."""
    robot = ROBOT[integrator]
    nominal, pose, scene, gains = (part for part in draw_states(np.random.default_rng(4), STATES))
    first = 1000
    rows, _ = program(pose, scene, gains, robot)
    A, b = np.asarray(rows.A)[..., :first], np.asarray(rows.b)[..., :first]
    nominal = np.clip(np.nan_to_num(nominal), -2.8, 2.8)  # where w = sin(ωΔ) needs no continuation
    weights = np.array([[robot.dt**2], [SHIELD.offset**2]]) * np.ones(first)
    asked = np.stack([nominal[0, :first], np.sin(nominal[1, :first] * robot.dt)])
    expected, feasible = reference.project(asked, A, b, weights)
    assert feasible.all()
    result = filtered(nominal, pose, scene, gains, robot)
    control = np.asarray(result.control)[:, :first]
    free = ~np.asarray(result.governed)[:first]
    assert free.mean() > 0.8
    swing = np.sin(control[1] * robot.dt)
    np.testing.assert_allclose(np.stack([control[0], swing])[:, free], expected[:, free], atol=1e-9)
    changed = (np.abs(asked - expected) > 1e-9).any(0)
    np.testing.assert_array_equal((np.asarray(result.lost_gradient)[:first] & free)[changed & free], True)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("component", range(3))
def test_unknown_pose_brakes(component, bad):
    nominal, pose, scene, gains = draw_states(np.random.default_rng(5), STATES)
    nominal[:, 0], pose[component, 0] = (1.0, 0.5), bad
    result = filtered(nominal, pose, scene, gains, ROBOT["euler"])
    np.testing.assert_array_equal(np.asarray(result.control)[:, 0], 0)
    assert result.intervened[0]
    assert not result.feasible[0]
    assert not result.clearance[0] >= 0 or component == 2  # what the clearance of a place is, no heading changes
    assert np.isfinite(result.control).all()  # and the others of the batch are not affected
    assert np.asarray(result.feasible)[1:].all()


def test_gains_that_are_no_numbers_are_survived():
    """A network gone wrong: the control is still finite, within limits and safe."""
    nominal, pose, scene, gains = draw_states(np.random.default_rng(15), STATES)
    gains = np.where(np.random.default_rng(16).random(gains.shape) < 0.2, np.nan, gains)
    result = filtered(nominal, pose, scene, gains, ROBOT["arc"])
    control = np.asarray(result.control)
    np.testing.assert_array_equal(np.asarray(result.feasible), np.isfinite(gains).all(axis=0))
    assert np.isfinite(control).all()
    assert (np.abs(ROBOT["arc"].to_unit_box(jnp.asarray(control))) <= 1 + 1e-12).all()
    assert worst_of_the_step(ROBOT["arc"], scene, pose, control) >= -1e-9


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nominal_that_is_no_number_counts_as_braking(bad):
    nominal, pose, scene, gains = draw_states(np.random.default_rng(6), STATES)
    nominal[:, 0] = (bad, 1.0)
    nominal[:, 1] = (1.0, bad)
    result = filtered(nominal, pose, scene, gains, ROBOT["euler"])
    np.testing.assert_array_equal(np.asarray(result.nominal)[:, :2], 0)
    np.testing.assert_allclose(np.asarray(result.control)[:, :2], 0, atol=1e-15)


@pytest.mark.parametrize("integrator", few(INTEGRATORS))
def test_governor_alone_keeps_the_body_clear_among_many_boundaries(integrator, tenfold):
    """Theorem 1 as the shield applies it: 100,000 poses; the turn rate stays, the speed only falls."""
    robot, rng, count = ROBOT[integrator], np.random.default_rng(7), 25_000 * tenfold
    scene = draw_scenes(rng, count)
    pose = draw_poses(rng, scene)
    for _ in range(4):
        pose[2] = rng.uniform(-np.pi, np.pi, count)
        v = np.where(rng.random(count) < 0.7, robot.max_speed, rng.uniform(0, robot.max_speed, count))
        turn_rate = robot.max_turn_rate * rng.choice([-1, 1, 0.3], count)
        asked = np.stack([v, turn_rate])
        control, governed = governor(asked, pose, scene, robot)
        control, governed = np.asarray(control), np.asarray(governed)
        assert worst_of_the_step(robot, scene, pose, control) >= -1e-9
        np.testing.assert_array_equal(control[1], turn_rate)
        np.testing.assert_array_equal(control[0] < v, governed)
        assert (control[0] <= v).all()
        assert 0.05 < governed.mean() < 0.95
        far = clear(scene, pose[:2]) > robot.max_speed * robot.dt + 1e-4
        assert not governed[far].any()


def test_governor_alone_is_enough_whatever_the_program_returned(monkeypatch):
    """Safety does not rest on the solver: with one that returns its input, nothing is touched either."""
    asked = []

    def idle(nominal, build, ingredients, weights, box):
        asked.append(build)
        nothing = jnp.zeros_like(qp.join(qp.sides(box), build(ingredients)).b)
        return qp.Projection(nominal, nothing > 0, nothing, jnp.zeros_like(nominal[0]))

    monkeypatch.setattr(qp, "project_onto", idle)
    nominal, pose, scene, gains = draw_states(np.random.default_rng(8), STATES)
    result = jax.jit(partial(shield.filter, robot=ROBOT["arc"], shield=SHIELD))(nominal, pose, scene, gains=gains)
    assert len(asked) == 1  # traced anew, with the idle solver
    assert worst_of_the_step(ROBOT["arc"], scene, pose, np.asarray(result.control)) >= -1e-9
    assert np.asarray(result.governed).mean() > 0.05


AHEAD = ((0.0, 0.0, 0.0), (1.0, 0.0))
"""A pose in the middle of everything, and full speed ahead."""


def alone(discs=(), pose=AHEAD[0], nominal=AHEAD[1], half_extents=(4.0, 3.0), present=None):
    """One robot among these discs (x, y, radius)."""
    table = np.array([*discs, *[(9.0, 9.0, 0.5)] * (DISCS - len(discs))]).T[..., None]
    there = np.arange(DISCS)[:, None] < len(discs)
    scene = Scene(np.array(half_extents)[:, None], table[:2], table[2], there)
    gains = np.ones((ROWS, 1))
    columns = (np.array(one)[:, None] for one in (nominal, pose))
    return jax.tree.map(lambda leaf: np.asarray(leaf)[..., 0], filtered(*columns, scene, gains, ROBOT["euler"]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", range(3))
def test_a_disc_that_is_not_finite_means_stop(column, bad):
    disc = [1.0, 0.5, 0.3]
    assert alone([disc]).feasible
    disc[column] = bad
    result = alone([(-1.0, 0.0, 0.2), disc])
    np.testing.assert_array_equal(result.control, 0)
    assert not result.feasible
    assert not result.clearance >= 0
    assert result.governed
    assert result.intervened


def test_a_disc_of_negative_radius_and_walls_that_are_not_finite_mean_stop():
    for result in (
        alone([(1.0, 0.5, -0.3)]),
        alone(half_extents=(np.nan, 3.0)),
        alone(half_extents=(4.0, np.inf)),
        alone(half_extents=(-np.inf, 3.0)),
    ):
        np.testing.assert_array_equal(result.control, 0)
        assert not result.feasible
        assert not result.clearance >= 0
    assert alone([(1.0, 0.5, 0.0)]).feasible  # a point is a disc


def test_one_bad_disc_does_not_change_the_others_of_the_batch():
    nominal, pose, scene, gains = draw_states(np.random.default_rng(21), STATES)
    expected = filtered(nominal, pose, scene, gains, ROBOT["euler"])
    bad = np.arange(STATES) % 7 == 0
    spoilt = scene._replace(
        radius=np.where(bad & (np.arange(DISCS) == 2)[:, None], np.nan, scene.radius),
        present=scene.present | (bad & (np.arange(DISCS) == 2)[:, None]),
    )
    found = filtered(nominal, pose, spoilt, gains, ROBOT["euler"])
    assert not np.asarray(found.feasible)[bad].any()
    np.testing.assert_array_equal(np.asarray(found.control)[:, bad], 0)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(one)[..., ~bad], np.asarray(other)[..., ~bad])


def test_a_scene_that_can_be_looked_at_is_refused():
    flags = np.ones(1, bool)
    for radius, half in ((np.nan, 4.0), (-0.1, 4.0), (0.3, np.inf)):
        scene = Scene(np.array([half, 3.0]), np.array([[1.0], [0.5]]), np.array([radius]), flags)
        with pytest.raises(ValueError, match="must be finite, and no radius negative"):
            shield.filter([1.0, 0.0], [0.0, 0.0, 0.0], scene)


@pytest.mark.parametrize("heading", [0.0, 0.7, np.pi / 2, np.pi, -2.5])
@pytest.mark.parametrize(
    ("discs", "pose", "clearance"),
    [
        ([(0.5, 0.0, 0.4)], (0.0, 0.0), -0.05),  # 0.5 − 0.4 − 0.15
        ([], (4.1, 0.0), -0.25),  # the wall at 4 m: −0.1 − 0.15
        ([], (3.9, 0.0), -0.05),
        ([(0.001, 0.0, 0.4)], (0.0, 0.0), -0.549),
    ],
)
def test_who_overlaps_something_moves_outwards_only_and_without_a_guarantee(discs, pose, clearance, heading):
    for turn_rate in (-2.84, 0.0, 2.84):
        result = alone(discs, (*pose, heading), (1.0, turn_rate))
        assert not result.feasible
        assert result.clearance == pytest.approx(clearance, abs=1e-12)
        after = reference.motion(np.array([*pose, heading]), result.control, 0.05, "euler")
        # Both kinds of surface lie at larger x.
        assert after[0] <= pose[0] + 1e-12
        assert result.control[0] == (1 if abs(heading) == np.pi else result.control[0])


def test_who_stands_on_the_centre_of_a_disc_stands_still():
    for heading in np.linspace(-3, 3, 7):
        result = alone([(2.0, 1.0, 0.3), (0.5, 0.25, 0.4)], (0.5, 0.25, heading))
        assert result.control[0] == 0
        assert not result.feasible
        assert result.clearance == pytest.approx(-0.55)


def test_touching_is_not_overlapping():
    """To within the margin, which is there for what the last step was rounded by."""
    for gap, expected in ((1e-6, True), (0.0, True), (-0.9e-5, True), (-1.1e-5, False)):
        assert bool(alone([(0.55 + gap, 0.0, 0.4)]).feasible) == expected, gap


def test_headings_of_many_turns_are_not_believed():
    near = alone(pose=(3.0, 0.0, 0.3))
    turned = alone(pose=(3.0, 0.0, 0.3 + 1591 * 2 * np.pi))
    assert turned.feasible
    np.testing.assert_allclose(turned.control, near.control, atol=1e-9)
    for heading in (1.1e4, -1.1e4, 1e30, -1e300):
        result = alone(pose=(0.0, 0.0, heading))
        np.testing.assert_array_equal(result.control, 0)
        assert not result.feasible


@pytest.mark.wide
@pytest.mark.parametrize("kind", few([jnp.float16, jnp.bfloat16]))
def test_half_precision_is_computed_in_single(kind):
    """The answer is that of the same numbers in single precision: what half precision is too coarse for."""
    with jax.enable_x64(False):
        scene = Scene.of([(0.9, 0.1, 0.4)], half_extents=(4.0, 3.0))
        half = [jnp.asarray(one, kind) for one in ([1.0, 0.4], [0.3, 0.05, 0.1])]
        found = shield.filter(*half, scene, gains=jnp.asarray(0.3, kind))
        expected = shield.filter(*(one.astype(jnp.float32) for one in half), scene, gains=float(jnp.asarray(0.3, kind)))
        assert found.control.dtype == jnp.float32
        assert found.intervened
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
        around = shield.survey(SHIELD, ROBOT["euler"], half[1], scene)
        assert around.speed_limit.dtype == jnp.float32
        assert shield.guard(half[0], around, robot=ROBOT["euler"], shield=SHIELD).control.dtype == jnp.float32


@pytest.mark.parametrize("filler", [0.0, 1e6, np.nan])
def test_absent_discs_have_no_effect(filler):
    """Whatever stands in the padding, the answers are the same, flags included."""
    nominal, pose, scene, gains = draw_states(np.random.default_rng(14), STATES)
    scene = scene._replace(present=scene.present & (np.arange(DISCS)[:, None] < DISCS - 1))
    filled = scene._replace(
        centre=np.where(scene.present, scene.centre, filler), radius=np.where(scene.present, scene.radius, filler)
    )
    for computed, expected in zip(
        filtered(nominal, pose, filled, gains, ROBOT["arc"]),
        filtered(nominal, pose, scene, gains, ROBOT["arc"]),
        strict=True,
    ):
        np.testing.assert_allclose(computed, expected, rtol=1e-12, atol=1e-12)


# --- the other robot -------------------------------------------------------------------------------------------------


def test_row_for_the_other_robot_bounds_the_own_approach():
    robot, rng, count = ROBOT["arc"], np.random.default_rng(9), STATES
    parameters = Shield(robot_barrier=True, robot_gain=0.5, min_separation=0.35)
    scene, pose = draw_scenes(rng, count), np.zeros((3, count))
    pose = draw_poses(rng, scene)
    nominal = np.stack([np.ones(count), rng.uniform(-3, 3, count)])
    distance, bearing = rng.uniform(0.2, 1, count), pose[2] + rng.normal(0, 0.5, count)
    other = np.stack([*(pose[:2] + distance * np.stack([np.cos(bearing), np.sin(bearing)])), np.zeros(count)])
    guarded = jax.jit(lambda *a: shield.filter(*a[:3], robot=robot, shield=parameters, gains=1.0, opponent=a[3]))
    result = guarded(nominal, pose, scene, other)
    control, active = np.asarray(result.control), np.asarray(result.active)
    assert active.shape == (ROWS + 1, count)
    assert 0.1 < active[-1].mean() < 0.9
    assert np.asarray(result.feasible).all()
    after = reference.motion(pose, control, robot.dt, robot.integrator)
    bound = distance - parameters.robot_gain * np.maximum(distance - parameters.min_separation, 0)
    assert (np.hypot(*(after - other)[:2]) - bound).min() >= -1e-9
    lost = guarded(nominal, pose, scene, np.full_like(other, np.nan))  # an opponent whose pose is unknown
    np.testing.assert_array_equal(lost.control, 0)
    assert not np.any(lost.feasible)


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"gain": 0.0}, r"gain must lie in \(0, 1\], not 0\.0"),
        ({"gain": 1.1}, r"gain must lie in \(0, 1\], not 1\.1"),
        ({"robot_gain": -1.0}, r"robot_gain must lie in \(0, 1\], not -1\.0"),
        ({"offset": 0.0}, r"offset must be positive, not 0\.0"),
        ({"margin": -1e-6}, r"margin must not be negative, but is -1e-06"),
        ({"inflation": -0.1}, r"inflation must not be negative, but is -0\.1"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        Shield(**parameters)


def test_parameters_that_break_a_theorem_or_forbid_capture_are_refused():
    with pytest.raises(ValueError, match=r"0\.1 m per step, more than the shield's offset of 0\.05 m"):
        shield.check(Shield(offset=0.05), Unicycle(dt=0.1), 0.5, (10.0, 10.0))
    blocking = {"robot_barrier": True, "robot_gain": 0.05}
    with pytest.raises(ValueError, match="forbids capture"):
        shield.check(Shield(**blocking), Unicycle(), 0.5, (10.0, 10.0))
    for accepted in (Shield(offset=0.05), Shield(**blocking, allow_blocking=True), Shield(robot_gain=0.05)):
        assert shield.check(accepted, Unicycle(), 0.5, (10.0, 10.0)) is None


@pytest.mark.parametrize(
    ("margin", "half", "dtype", "needed"),
    [
        (0.0, 10.0, "float32", "7.2e-06"),
        (1e-5, 15.0, "float32", "1.1e-05"),
        (1e-5, 700.0, "float32", "0.0005"),
        (0.0, 10.0, "float64", "1.3e-14"),
    ],
)
def test_a_margin_below_rounding_is_refused_with_the_one_it_takes(margin, half, dtype, needed):
    with pytest.raises(ValueError, match=f"does not cover rounding .* it takes {needed}[^0-9]"):
        shield.check(Shield(margin=margin), Unicycle(), 0.5, (half, half), dtype)
    shield.check(Shield(margin=float(needed)), Unicycle(), 0.5, (half, half), dtype)


def least_clearance(parameters, half, disc, headings, speeds, steps):
    """Of robots that drive on in single precision where a disc's rim is, each with one speed: at every step [m]."""
    robot, body = Unicycle(), 0.15 + parameters.inflation
    bearing = np.linspace(-np.pi, np.pi, headings.size, endpoint=False)
    away = disc[2] + body + 1.3 * parameters.margin
    place = np.array(disc[:2])[:, None] + away * np.stack([np.cos(bearing), np.sin(bearing)])
    pose = jnp.asarray(np.stack([*place, bearing + headings]), jnp.float32)
    nominal = jnp.asarray(np.stack([speeds, np.zeros_like(speeds)]), jnp.float32)
    scene = Scene(
        *(jnp.asarray(part, jnp.float32) for part in ([half] * 2, [[disc[0]], [disc[1]]], [disc[2]])), np.ones(1, bool)
    )

    def step(pose, _):
        safe = shield.filter(nominal, pose, scene, robot=robot, shield=parameters)
        after = robot.step(pose, safe.control)
        return after, after[:2]

    _, way = jax.jit(lambda pose: jax.lax.scan(step, pose, length=steps))(pose)
    x, y = np.moveaxis(np.asarray(way, np.float64), 1, 0)
    centre = np.asarray(scene.centre, np.float64)[:, 0]
    return np.hypot(x - centre[0], y - centre[1]) - np.float64(scene.radius[0]) - 0.15


@pytest.mark.wide
@pytest.mark.parametrize(
    ("half", "disc", "slowest"), [(10.0, (8.1, 8.2, 0.6), -5.5), (5000.0, (2000.0, 2000.0, 1500.0), -3.0)]
)
def test_rounding_of_the_positions_moves_no_robot_through_the_margin(half, disc, slowest):
    """Step by step a slow robot is rounded towards the disc, along which or away from which it believes to drive."""
    rng = np.random.default_rng(19)
    headings = np.arccos(rng.uniform(0, 0.5, 4000) ** 2) * rng.choice([-1, 1], 4000)
    speeds = 10 ** rng.uniform(slowest, 0, 4000)
    parameters = shield.fitting(Unicycle(), (half, half), "float32")
    assert least_clearance(parameters, half, disc, headings, speeds, 200).min() >= parameters.margin / 4


@pytest.mark.wide
def test_inflation_keeps_a_distance_and_counts_as_no_contact():
    headings, speeds = np.random.default_rng(20).uniform(-np.pi, np.pi, 4000), np.ones(4000)
    kept = least_clearance(Shield(inflation=0.2), 10.0, (1.0, 2.0, 0.6), headings, speeds, 100)
    assert 0.2 <= kept.min() < 0.2 + 1e-3
    pose = np.array([0.0, 2.0, 0.0])  # 0.25 m before the disc
    done = shield.filter(
        [1.0, 0.0], pose, Scene.of([(1.0, 2.0, 0.6)], half_extents=(9.0, 9.0)), shield=Shield(inflation=0.2)
    )
    np.testing.assert_allclose(done.clearance, 0.25, atol=1e-12)
    assert done.control[0] <= 0.05 / 0.05


SCENE = Scene.of([(1.0, 1.0, 0.3), (2.0, -1.0, 0.4)], half_extents=(3.0, 3.0))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"pose": [0, 0]},
            "a nominal control is (2, …) and a pose (3, …) with the same batch axes, not (2,) and (2,).",
        ),
        ({"nominal": [1, 0, 0]}, "with the same batch axes, not (3,) and (3,)."),
        ({"pose": np.zeros((3, 4))}, "with the same batch axes, not (2,) and (3, 4)."),
        ({"opponent": [1, 1]}, "with the same batch axes, not (2,) and (3,) and (2,)."),
        ({"gains": np.ones(5)}, "gains are one number or one per boundary, (6,), not (5,)."),
        ({"gains": np.ones((6, 2))}, "gains are one number or one per boundary, (6,), not (6, 2)."),
    ],
)
def test_shapes_that_do_not_go_together_are_refused(given, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        jax.eval_shape(lambda: shield.filter(**{"nominal": [1, 0], "pose": [0, 0, 0], "scene": SCENE, **given}))


@pytest.mark.wide
def test_gains_that_are_none_are_infeasible_and_beyond_the_range_they_count_as_its_end():
    near = {"nominal": [1, 0], "pose": [0.5, 1.0, 0.0], "scene": SCENE}
    for gains in (np.nan, np.full(6, np.nan), [0.5, 0.5, 0.5, 0.5, 0.5, np.nan]):
        found = shield.filter(**near, gains=gains)
        assert not found.feasible
        assert np.isfinite(found.control).all()
    for gains, end in ((-0.3, 0.0), (1.7, 1.0), (-np.inf, 0.0)):
        for given in (gains, np.full(6, gains)):
            found, expected = (shield.filter(**near, gains=one) for one in (given, end))
            assert found.feasible
            np.testing.assert_array_equal(found.control, expected.control)


def test_single_and_double_precision_go_together():
    pose, nominal = np.array([0.5, 1.0, 0.0]), np.array([1.0, 0.3])
    expected = shield.filter(nominal, pose, SCENE)
    assert expected.intervened
    for kinds in ((np.float32, np.float64), (np.float64, np.float32)):
        found = shield.filter(nominal.astype(kinds[0]), pose.astype(kinds[1]), SCENE)
        np.testing.assert_allclose(found.control, expected.control, atol=1e-6)


def test_whole_numbers_and_lists_are_numbers():
    parameters = Shield(robot_barrier=True)
    near = {"pose": [0, 1, 0], "opponent": [-1, 1, 0], "gains": [0] * 6}
    found = jax.jit(lambda: shield.filter([1, 0], scene=SCENE, shield=parameters, **near))()
    floats = {name: np.array(values, float) for name, values in near.items()}
    expected = jax.jit(partial(shield.filter, scene=SCENE, shield=parameters))(np.array([1.0, 0.0]), **floats)
    assert expected.intervened
    for computed, one in zip(found, expected, strict=True):
        np.testing.assert_array_equal(computed, one)


@pytest.mark.wide
def test_one_scene_serves_a_batch_of_poses():
    """The same as a scene for each pose; and one gain per boundary the same as these gains for each pose."""
    rng, batch = np.random.default_rng(17), (4, 7)
    nominal, pose = rng.uniform(-1, 2, (2, *batch)), rng.uniform(-2.9, 2.9, (3, *batch))
    gains = rng.uniform(0, 0.1, 6)

    def repeated(array):
        return jnp.broadcast_to(array.reshape(*array.shape, *(1 for _ in batch)), (*array.shape, *batch))

    shielded = jax.jit(shield.filter)
    found = shielded(nominal, pose, SCENE, gains=gains)
    each = shielded(nominal, pose, jax.tree.map(repeated, SCENE), gains=repeated(jnp.asarray(gains)))
    assert 0.1 < np.asarray(each.intervened).mean() < 0.9
    for computed, expected in zip(found, each, strict=True):
        np.testing.assert_array_equal(computed, expected)


# --- batches and derivatives -----------------------------------------------------------------------------------------

GRADIENT_STATES = 400


def control_of(nominal, pose, scene, gains, robot):
    return shield.filter(nominal, pose, scene, robot=robot, shield=SHIELD, gains=gains).control


SCENE_AXES = Scene(None, -1, -1, -1)
ALONE = {
    name: jax.jit(
        jax.vmap(transform(control_of), in_axes=(-1, -1, SCENE_AXES, -1, None), out_axes=-1), static_argnums=4
    )
    for name, transform in {
        "value": lambda function: function,
        "forward": partial(jax.jacfwd, argnums=(0, 1, 3)),
        "reverse": partial(jax.jacrev, argnums=(0, 1, 3)),
    }.items()
}


def draw_gradient_states(seed):
    rng = np.random.default_rng(seed)
    scene = draw_scenes(rng, GRADIENT_STATES)
    pose = draw_poses(rng, scene)
    gains = rng.uniform(0.02, 0.3, (ROWS, GRADIENT_STATES))  # small ones, so that barriers hold at a distance
    nominal = np.stack([rng.uniform(-0.2, 1.3, GRADIENT_STATES), rng.uniform(-3.5, 3.5, GRADIENT_STATES)])
    return nominal, pose, scene, gains


@pytest.mark.wide
def test_batch_is_the_same_as_one_by_one():
    nominal, pose, scene, gains = draw_gradient_states(10)
    batch = filtered(nominal, pose, scene, gains, ROBOT["arc"]).control
    alone = ALONE["value"](nominal, pose, scene, gains, ROBOT["arc"])
    np.testing.assert_allclose(alone, batch, rtol=0, atol=1e-13)


def differences(function, x, step=1e-6):
    """Forward and backward differences of a batched function with respect to each component: (2, len(x), batch)."""
    middle = function(x)
    columns = []
    for k in range(len(x)):
        shift = np.zeros_like(x)
        shift[k] = step
        columns.append([(function(x + shift) - middle) / step, (middle - function(x - shift)) / step])
    columns = np.array(columns)
    return columns[:, 0].swapaxes(0, 1), columns[:, 1].swapaxes(0, 1)


@pytest.mark.wide
@pytest.mark.parametrize("integrator", few(INTEGRATORS))
def test_derivatives_are_those_of_finite_differences(integrator):
    """In nominal control, pose and gains, forward and reverse, wherever the two one-sided differences agree."""
    robot = ROBOT[integrator]
    nominal, pose, scene, gains = draw_gradient_states(11)

    def value(nominal=nominal, pose=pose, gains=gains):
        return np.asarray(filtered(nominal, pose, scene, gains, robot).control)

    sides = [
        differences(lambda x: value(nominal=x), nominal),
        differences(lambda x: value(pose=x), pose),
        differences(lambda x: value(gains=x), gains),
    ]
    expected = [0.5 * (ahead + behind) for ahead, behind in sides]
    smooth = np.all(
        [
            (np.abs(ahead - behind) < 1e-3 * (1 + np.abs(mean))).all((0, 1))
            for (ahead, behind), mean in zip(sides, expected, strict=True)
        ],
        axis=0,
    )
    assert smooth.mean() > 0.8
    for mode in ("forward", "reverse") if integrator == "euler" else ("reverse",):  # compiling is what takes time
        for computed, difference in zip(ALONE[mode](nominal, pose, scene, gains, robot), expected, strict=True):
            assert np.isfinite(computed).all()
            scale = np.maximum(1, np.abs(difference).max((0, 1)))
            assert (np.abs(computed - difference) / scale)[..., smooth].max() < 1e-6
    # All kinds of answers were among them.
    result = filtered(nominal, pose, scene, gains, robot)
    rank = np.linalg.matrix_rank(expected[0].transpose(2, 0, 1), tol=1e-3)
    governed = np.asarray(result.governed)
    assert (smooth & governed).sum() >= 10
    for wanted in range(3):
        assert (smooth & ~governed & (rank == wanted)).sum() >= 20
    assert (np.abs(expected[2]).max((0, 1)) > 1e-3)[smooth].sum() >= 20


@pytest.mark.wide
def test_jacobian_is_the_identity_where_nothing_interferes():
    nominal, pose, scene, gains = draw_gradient_states(12)
    free = ~np.asarray(filtered(nominal, pose, scene, gains, ROBOT["euler"]).lost_gradient)
    assert free.sum() > 50
    with_nominal, with_pose, with_gains = ALONE["reverse"](nominal, pose, scene, gains, ROBOT["euler"])
    np.testing.assert_allclose(
        np.asarray(with_nominal)[..., free], np.eye(2)[..., None] * np.ones(free.sum()), atol=1e-14
    )
    np.testing.assert_array_equal(np.asarray(with_pose)[..., free], 0)
    np.testing.assert_array_equal(np.asarray(with_gains)[..., free], 0)


@jax.jit
def distance_and_gradient(nominal, pose, scene, gains):
    robot = ROBOT["euler"]

    def total(nominal):
        shielded = shield.filter(nominal, pose, scene, robot=robot, shield=SHIELD, gains=gains)
        each = shield.distance(SHIELD, robot, shielded)
        return each.sum(), (each, shielded.governed)

    (_, (each, governed)), gradient = jax.value_and_grad(total, has_aux=True)(nominal)
    return each, governed, gradient


def test_distance_has_the_derivative_of_the_distance_to_the_safe_set():
    """The projection is held constant in the derivative; finite differences let it move: they agree all the same."""
    nominal, pose, scene, gains = draw_gradient_states(13)
    _, governed, gradient = map(np.asarray, distance_and_gradient(nominal, pose, scene, gains))
    expected = np.zeros((2, GRADIENT_STATES))
    for k in range(2):
        shift = np.zeros((2, 1))
        shift[k] = 1e-6
        ends = (distance_and_gradient(nominal + sign * shift, pose, scene, gains)[0] for sign in (1, -1))
        expected[k] = np.subtract(*map(np.asarray, ends)) / 2e-6
    np.testing.assert_allclose(gradient[:, ~governed], expected[:, ~governed], rtol=1e-6, atol=1e-6)
    assert (np.abs(expected[:, ~governed]).max(0) > 0.01).sum() > 50


def test_distance_is_one_at_twice_full_speed_in_the_open():
    scene = Scene(np.array([9.0, 9.0]), np.zeros((2, DISCS, GRADIENT_STATES)), *np.zeros((2, DISCS, GRADIENT_STATES)))
    scene = scene._replace(present=np.zeros((DISCS, GRADIENT_STATES), bool))
    nominal = np.array([[2.0], [0.0]]) * np.ones(GRADIENT_STATES)
    each, _, _ = distance_and_gradient(nominal, np.zeros((3, GRADIENT_STATES)), scene, np.ones((ROWS, GRADIENT_STATES)))
    np.testing.assert_allclose(each, 1, rtol=1e-12)
