"""The maps onto the safe set: nothing outside is ever reached, everything inside is, and contact is no special case.

Collisions are judged by `reference`, polygons by linear programming and by their corners.
"""

from functools import cache, partial
from itertools import combinations
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

import reference
from attack import DISCS, clear, draw_poses, draw_scenes, worst_of_the_step
from safepursuit import shield
from safepursuit.policy import HEADS, PolicyConfig, Situation, beta, safe_set
from safepursuit.policy.beta import Beta
from safepursuit.qp import Halfplanes
from safepursuit.robot import Unicycle
from safepursuit.shield import Shield
from tiny import few

pytestmark = pytest.mark.usefixtures("float64")

INTEGRATORS = ("euler", "arc")
ROBOT = {integrator: Unicycle(integrator=integrator) for integrator in INTEGRATORS}
SHIELD = Shield()
ROBOTS, STEPS, SAMPLES = 650, 10, 8
"""At every step of a closed loop so many points of the unit square are mapped; the first, z₁ = 1, is carried out."""
CORNERS = list(combinations(range(2 * (DISCS + 4) + 4), 2))


# --- never outside ---------------------------------------------------------------------------------------------------


def box(robot, where, z):
    """Theorem 1's box, by itself."""
    return safe_set.box(robot, where.around, z)


def polygon(robot, where, z):
    """Theorem 2's polygon, by itself."""
    return safe_set.polygon(robot, shield.problem(SHIELD, robot, where.around), z)


@cache
def head(onto, robot):
    return HEADS["cbf-beta"].create(jax.random.key(0), 2, PolicyConfig(safe_set=onto), robot, SHIELD)


def executed(robot, where, z):
    """What the head makes of an action: the polygon, then the governor."""
    return head("polygon", robot).execute(Beta(z, z), z, where).control


def outer_box(robot, where, z):
    """The smallest axis-aligned box that contains the polygon: the tempting mistake of theory.md §4."""
    rows = shield.problem(SHIELD, robot, where.around)
    i, j = np.array(CORNERS).T
    a, b = rows.A, rows.b
    determinant = a[i, 0] * a[j, 1] - a[i, 1] * a[j, 0]
    meet = jnp.abs(determinant) > 1e-12
    point = jnp.stack([a[j, 1] * b[i] - a[i, 1] * b[j], a[i, 0] * b[j] - a[j, 0] * b[i]])
    point = point / jnp.where(meet, determinant, 1)  # (2, pairs, n)
    excess = jnp.max(jnp.einsum("rcn,cpn->prn", a, point) - b, axis=1)
    inside = meet & (excess <= 1e-9)
    low = jnp.min(jnp.where(inside, point, jnp.inf), axis=1)
    high = jnp.max(jnp.where(inside, point, -jnp.inf), axis=1)
    return robot.from_swing(low + (high - low) * z)


STEER = {
    "box": box,
    "polygon": polygon,
    "outer box": outer_box,
    "executed": executed,
}


class Record(NamedTuple):
    pose: np.ndarray
    """(3, steps, 1, robots)"""
    control: np.ndarray
    """(2, steps, samples, robots)"""
    excess: np.ndarray
    """By how much the control violates the worst row of theorem 2's program."""


@partial(jax.jit, static_argnames=("steer", "robot"))
def closed_loop(key, pose, scene, steer, robot):
    def turn(pose, key):
        around = shield.survey(SHIELD, robot, pose, scene)
        rows = shield.problem(SHIELD, robot, around)
        z = jnp.clip(1.4 * jax.random.uniform(key, (SAMPLES, 2, pose.shape[-1])) - 0.2, 0, 1)
        z = z.at[0, 0].set(1.0)
        control = jax.vmap(lambda z: STEER[steer](robot, Situation(pose, pose, scene, around), z))(z)
        v, w = control[:, 0], jnp.sin(control[:, 1] * robot.dt)
        excess = jax.lax.map(lambda u: jnp.max(rows.A[:, 0] * u[0] + rows.A[:, 1] * u[1] - rows.b, axis=0), (v, w))
        return robot.step(pose, control[0]), (pose, control, excess)

    return jax.lax.scan(turn, pose, jax.random.split(key, STEPS))[1]


@partial(jax.jit, static_argnames="robot")
def least_barrier(robot, pose, scene):
    return shield.survey(SHIELD, robot, pose, scene).barriers.value.min(0)


@cache
def robots(integrator, count, inside):
    """Legal robots; if `inside`, only such as stand in the safe set of theorem 2."""
    rng = np.random.default_rng(0)
    drawn = 2 * count if inside else count
    scene = draw_scenes(rng, drawn)
    pose = draw_poses(rng, scene)
    if inside:
        chosen = np.flatnonzero(least_barrier(ROBOT[integrator], pose, scene) >= 0)[:count]
        assert len(chosen) == count
        pose = pose[:, chosen]
        scene = scene._replace(**{name: getattr(scene, name)[..., chosen] for name in ("centre", "radius", "present")})
    return scene, pose


def record_of(steer, integrator, *, inside, count):
    scene, pose = robots(integrator, count, inside)
    poses, controls, excess = closed_loop(jax.random.key(1), pose, scene, steer, ROBOT[integrator])
    record = Record(np.asarray(poses).swapaxes(0, 1)[:, :, None], np.moveaxis(np.asarray(controls), 2, 0), excess)
    return scene, record


def least_clearance(integrator, scene, record):
    """The safety check: the least distance [m] of any body, in any step that any sample asked for."""
    assert np.isfinite(record.control).all()
    return worst_of_the_step(ROBOT[integrator], scene, record.pose, record.control)


def assert_within_limits(control):
    v, turn_rate = control
    assert v.min() >= 0
    assert v.max() <= 1
    assert np.abs(turn_rate).max() <= 2.84 * (1 + 1e-12)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_the_box_alone_is_safe_from_every_legal_pose(integrator, tenfold):
    scene, record = record_of("box", integrator, inside=False, count=ROBOTS * tenfold)
    assert len(INTEGRATORS) * record.control[0].size > 1e5 * tenfold
    assert least_clearance(integrator, scene, record) >= -1e-9
    assert_within_limits(record.control)
    # All of the turn rates are there, and speeds that reach the boundary.
    assert np.abs(record.control[1]).max() == pytest.approx(2.84)
    assert (clear(scene, record.pose[:2]) < 1e-3).mean() > 0.05


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_the_polygon_alone_is_safe_for_ever_from_its_safe_set(integrator, tenfold):
    scene, record = record_of("polygon", integrator, inside=True, count=ROBOTS * tenfold)
    assert len(INTEGRATORS) * record.control[0].size > 1e5 * tenfold
    assert least_clearance(integrator, scene, record) >= -1e-9
    assert_within_limits(record.control)
    assert record.excess.max() <= 1e-12
    assert (np.abs(record.excess) < 1e-9).mean() > 0.2  # some row, the box's among them, is often reached


@pytest.mark.parametrize("integrator", few(INTEGRATORS))
def test_actions_of_the_head_are_safe_from_every_legal_pose(integrator, tenfold):
    """In contact, and with the virtual point inside a barrier, too: there the governor completes the polygon."""
    scene, record = record_of("executed", integrator, inside=False, count=400 * tenfold)
    assert least_clearance(integrator, scene, record) >= -1e-9
    assert_within_limits(record.control)
    start = record.pose[:, 0, 0]
    assert (clear(scene, start[:2]) < 1e-7).any()
    value = np.asarray(least_barrier(ROBOT[integrator], start, scene))
    assert (value < -0.01).mean() > 0.05
    # Robots that start in theorem 2's safe set are never governed: all rows of the program hold, as drawn.
    assert record.excess[..., value >= 0].max() <= 1e-12
    assert record.excess[..., value < 0].max() > 1e-3


@pytest.mark.parametrize("integrator", few(INTEGRATORS))
def test_the_smallest_box_around_the_polygon_is_caught(integrator):
    """The control: the check that the polygon passes, on the same kind of robots and samples."""
    scene, record = record_of("outer box", integrator, inside=True, count=400)
    assert least_clearance(integrator, scene, record) < -1e-3
    assert_within_limits(record.control)
    assert record.excess.max() > 1e-3


# --- everything inside -----------------------------------------------------------------------------------------------

STATES = 4_000
WIDE = 1e-6
"""Intervals narrower than this (of v in m/s, of w) count as points: there no inverse is asked for."""


def from_box(robot, surroundings, control):
    """The inverse of `safe_set.box`; z₁ = 0 where only standing still is safe."""
    limit = surroundings.speed_limit
    speed = control[0] * robot.max_speed / jnp.where(limit > 0, limit, 1)
    return 0.5 * (robot.to_unit_box(jnp.stack([speed, control[1]])) + 1)


def from_polygon(robot, rows, control):
    """The inverse of `safe_set.polygon`; 0 along an interval that is a point."""
    v, w = robot.to_swing(control)
    low, high = safe_set.swing_range(rows)
    slowest, fastest = safe_set.speed_range(rows, w)
    return jnp.stack([share(v, slowest, fastest), share(w, low, high)])


def share(value, low, high):
    width = high - low
    return jnp.where(width > 0, (value - low) / jnp.where(width > 0, width, 1), 0)


@partial(jax.jit, static_argnames=("onto", "robot"))
def there_and_back(given, pose, scene, onto, robot):
    """z → control → z and control → z → control of the same numbers, and the widths of the intervals for them."""
    around = shield.survey(SHIELD, robot, pose, scene)
    rows = shield.problem(SHIELD, robot, around)
    if onto == "box":
        forth, back = partial(safe_set.box, robot, around), partial(from_box, robot, around)
    else:
        forth, back = partial(safe_set.polygon, robot, rows), partial(from_polygon, robot, rows)
    low, high = safe_set.swing_range(rows)

    def width(control):
        if onto == "box":
            return around.speed_limit
        slowest, fastest = safe_set.speed_range(rows, jnp.sin(control[1] * robot.dt))
        return jnp.minimum(fastest - slowest, high - low)

    z, control = given
    from_z, from_control = forth(z), back(control)
    return back(from_z), width(from_z), forth(from_control), from_control, width(control), rows, around.speed_limit


@pytest.mark.parametrize("integrator", few(INTEGRATORS))
@pytest.mark.parametrize("onto", ["box", "polygon"])
def test_the_maps_are_bijections_onto_the_safe_set(onto, integrator):
    """Each point of the square comes back, and so does each safe control, drawn without the map: all of them are
    reached, by one point each."""
    robot, rng = ROBOT[integrator], np.random.default_rng(2)
    scene = draw_scenes(rng, STATES)
    pose = draw_poses(rng, scene)
    z = rng.uniform(0, 1, (2, STATES))
    control = np.stack([rng.uniform(0, 1, STATES), rng.uniform(-2.84, 2.84, STATES)])
    back, width, forth, found, control_width, rows, limit = there_and_back((z, control), pose, scene, onto, robot)
    wide = np.asarray(width) > WIDE
    assert wide.mean() > 0.8
    np.testing.assert_allclose(np.asarray(back)[:, wide], z[:, wide], atol=1e-6)
    if onto == "box":
        safe = control[0] <= np.asarray(limit)
    else:
        point = np.stack([control[0], np.sin(control[1] * robot.dt)])
        safe = ((np.asarray(rows.A) * point).sum(1) <= np.asarray(rows.b)).all(0)
    assert 0.3 < safe.mean() < 0.95
    found = np.asarray(found)[:, safe & (np.asarray(control_width) > WIDE)]
    assert found.min() >= -1e-9
    assert found.max() <= 1 + 1e-9
    np.testing.assert_allclose(np.asarray(forth)[:, safe], control[:, safe], atol=1e-6)


# --- the polygon's extent --------------------------------------------------------------------------------------------

POLYGONS, ROWS = 150, 9
SWING_RANGE, SPEED_RANGE = jax.jit(safe_set.swing_range), jax.jit(safe_set.speed_range)


@jax.jit
def program(pose, scene):
    """The rows that hold an arc's control in these scenes."""
    return shield.problem(SHIELD, ROBOT["arc"], shield.survey(SHIELD, ROBOT["arc"], pose, scene))


def draw_polygons(rng):
    """Rows (rows, 2, n) and bounds with 0 inside, the box 0 ≤ v ≤ 1, |w| ≤ 0.14 among them; many degenerate."""
    A, b = rng.normal(size=(ROWS, 2, POLYGONS)), np.abs(rng.normal(0, 0.3, (ROWS, POLYGONS)))
    A[:, 1] *= 3
    kind = rng.integers(0, 6, POLYGONS)
    b[:3, kind == 1] = 0  # in contact
    A[1, :, kind == 2], b[1, kind == 2] = A[0, :, kind == 2], b[0, kind == 2]  # the same row twice
    A[1, :, kind == 3] = -2 * A[0, :, kind == 3]  # antiparallel: a strip
    A[:2, 0, kind == 4] = 0  # nothing said of the speed
    A[2:4, :, kind == 4] = 0  # nothing said at all
    A[:3, 1, kind == 5], b[0, kind == 5] = 0, 0  # nothing said of the turn; standing still only
    sides = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]])
    A = np.concatenate([A, np.repeat(sides[..., None], POLYGONS, 2)])
    return A, np.concatenate([b, np.repeat([[0.0], [1.0], [0.14], [0.14]], POLYGONS, 1)])


def extent(A, b, direction, **fixed):
    """Least and greatest of direction · (v, w) over {A u ≤ b}, by linear programming."""
    ends = []
    for sign in (1, -1):
        exact = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
        found = linprog(sign * np.asarray(direction), A, b, bounds=(None, None), method="highs", options=exact, **fixed)
        assert found.status == 0
        ends.append(sign * found.fun)
    return ends


def test_the_extent_is_that_of_linear_programming():
    rng = np.random.default_rng(3)
    A, b = draw_polygons(rng)
    low, high = SWING_RANGE(Halfplanes(jnp.asarray(A), jnp.asarray(b)))
    low, high = np.asarray(low), np.asarray(high)
    w = low + (high - low) * rng.uniform(0.02, 0.98, POLYGONS)
    found = SPEED_RANGE(Halfplanes(jnp.asarray(A), jnp.asarray(b)), jnp.asarray(w))
    assert (low == high).any()  # a polygon without any width
    assert (low < high).mean() > 0.5
    for k in range(POLYGONS):
        rows = A[..., k], b[:, k]
        np.testing.assert_allclose([low[k], high[k]], extent(*rows, [0, 1]), atol=1e-8)
        if high[k] - low[k] > 1e-9:
            expected = extent(*rows, [1, 0], A_eq=[[0, 1]], b_eq=[w[k]])
            np.testing.assert_allclose([one[k] for one in found], expected, atol=1e-8)


def test_the_extent_is_that_of_the_corners():
    """The program's own rows in crowded scenes: the corners' least and greatest w."""
    rng, count = np.random.default_rng(4), 300
    scene = draw_scenes(rng, count)
    pose = draw_poses(rng, scene)
    rows = program(pose, scene)
    low, high = map(np.asarray, SWING_RANGE(rows))
    points, valid = reference.vertices(np.asarray(rows.A), np.asarray(rows.b))
    w = np.where(valid, points[:, 1], 0)
    # 0 belongs to every polygon; a corner of two nearly parallel rows is not exact to the last digits.
    np.testing.assert_allclose(low, w.min(0), atol=1e-9)
    np.testing.assert_allclose(high, w.max(0), atol=1e-9)


# --- in contact ------------------------------------------------------------------------------------------------------


@partial(jax.jit, static_argnames="onto")
def sensitivities(outputs, noise, pose, scene, onto):
    """Control, log-probability and entropy, and the derivative of their sum with respect to the network's outputs; the
    action is the mode plus noise, so that the control depends on the outputs too."""
    robot = ROBOT["arc"]
    where = Situation.survey(SHIELD, robot, pose, pose, scene)

    def each(outputs):
        distribution = beta.from_outputs(outputs)
        z = jnp.clip(beta.mode(distribution) + noise, 1e-6, 1 - 1e-6)
        speed, turn_rate = head(onto, robot).execute(distribution, z, where).control
        return speed, turn_rate, beta.log_prob(distribution, jax.lax.stop_gradient(z)), beta.entropy(distribution)

    values, pull = jax.vjp(each, outputs)
    return values, pull(jax.tree.map(jnp.ones_like, values))


@pytest.mark.parametrize("onto", few(["polygon", "box"]))
def test_contact_makes_nothing_infinite(onto):
    """Flat against a wall, in a corner, between two discs; facing them, along them and away: intervals shrink to
    points, and everything that is learned from stays a number."""
    scene = draw_scenes(np.random.default_rng(0), 1)._replace(
        centre=np.zeros((2, DISCS, 1)), radius=np.full((DISCS, 1), 0.5), present=np.arange(DISCS)[:, None] < 2
    )
    scene.centre[0, :2, 0] = -0.65, 0.65  # 0.3 m apart: just the robot's width
    places = [(0.0, 0.0), (3.85, 0.5), (3.85, 2.85), (0.0, 2.85)]
    headings = np.concatenate([np.arange(8) * np.pi / 4, [0.1, -0.1, 1.5]])
    pose = np.array([(x, y, heading) for x, y in places for heading in headings]).T
    count = pose.shape[1]
    scene = scene._replace(
        **{name: np.repeat(getattr(scene, name), count, -1) for name in ("centre", "radius", "present")}
    )
    rows = program(pose, scene)
    low, high = SWING_RANGE(rows)
    slowest, fastest = SPEED_RANGE(rows, 0.5 * (low + high))
    assert (np.asarray(fastest == slowest)).sum() > 5
    rng = np.random.default_rng(5)
    for scale in (1.0, 30.0, 1e4):
        outputs, noise = scale * rng.normal(size=(4, count)), rng.normal(0, 0.5, (2, count))
        values, gradients = sensitivities(outputs, noise, pose, scene, onto)
        for leaf in (*values, *gradients):
            assert np.isfinite(leaf).all()
        assert np.asarray(values[0]).min() >= 0
        assert worst_of_the_step(ROBOT["arc"], scene, pose, np.stack(values[:2])) >= -1e-9
