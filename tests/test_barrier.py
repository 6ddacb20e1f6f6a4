"""Theorems 1 and 2 of docs/theory.md by brute force: 100,000 states each, the worst controls, both motions.

States are drawn on purpose where the bounds bind (three in ten exactly on the boundary of the safe set); controls are
corners of the safe set. What happens during the step is computed by `reference`, which shares no code with the package.
The same attack must find the holes of variants that are known to be unsound, or it would prove nothing.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

import reference
from safepursuit.barriers import Barriers, control_point, governor, separation
from safepursuit.robot import Unicycle

pytestmark = pytest.mark.usefixtures("float64")

INTEGRATORS = ("euler", "arc")
INSTANTS = np.linspace(0, 1, 9)[1:]
"""When the body is looked at, as shares of the step."""

# (robot, offset of the virtual control point [m]), with max_speed · dt ≤ offset; the first has equality.
CASES = [
    ({}, 0.05),
    ({}, 0.1),
    ({}, 0.3),
    ({"radius": 0.4, "max_speed": 0.5}, 0.15),
    ({"max_turn_rate": 5.0, "dt": 0.2}, 0.2),
    ({"max_turn_rate": 6.0, "dt": 0.25, "max_speed": 2.0, "radius": 0.05}, 0.6),
]
STATES = 17_000
"""In each case; more than a million in all among the long proofs."""


class Boundaries(NamedTuple):
    """One disc or one straight wall for each state."""

    is_wall: np.ndarray
    centre: np.ndarray
    """Of the disc, or a point on the wall [m]."""
    radius: np.ndarray
    inward: np.ndarray
    """Unit normal of the wall."""

    def distance(self, point):
        return np.where(
            self.is_wall,
            reference.distance_to_line(point, self.centre, self.inward),
            reference.distance_to_disc(point, self.centre, self.radius),
        )

    def normal(self, point):
        away = np.where(self.is_wall, self.inward, point - self.centre)
        return away / np.hypot(*away)

    def at_distance(self, distance, angle):
        """A point this far from the surface, in the direction `angle` from a disc's centre (walls: anywhere)."""
        out = np.where(self.is_wall, self.inward, np.stack([np.cos(angle), np.sin(angle)]))
        return self.centre + (distance + np.where(self.is_wall, 0, self.radius)) * out

    def select(self, which):
        return Boundaries(*(part[..., which] for part in self))


class Findings(NamedTuple):
    """What an attack found."""

    clearance: float
    """Least clearance of the body during the steps [m]."""
    decrease: float
    """Least h⁺ − (1 − γ)h [m]."""
    value: float
    """Least h⁺ [m]."""
    states: int


def random_boundaries(rng, count):
    angle = rng.uniform(-np.pi, np.pi, count)
    return Boundaries(
        rng.random(count) < 0.25,
        rng.uniform(-10, 10, (2, count)),
        np.exp(rng.uniform(np.log(0.05), np.log(3), count)),
        np.stack([np.cos(angle), np.sin(angle)]),
    )


def facing_and_side(normal, heading):
    c, s = np.cos(heading), np.sin(heading)
    return normal[0] * c + normal[1] * s, normal[1] * c - normal[0] * s


def random_headings(rng, normal):
    """Half of them anywhere, the others straight at, along or away from the boundary, or a little off."""
    count = normal.shape[1]
    relative = rng.choice([np.pi, np.pi / 2, -np.pi / 2, 0], count) + rng.choice([0, 1e-3, -1e-3, 0.1, -0.1], count)
    anywhere = rng.uniform(-np.pi, np.pi, count)
    return np.where(rng.random(count) < 0.5, anywhere, np.arctan2(normal[1], normal[0]) + relative)


def barriers(value, facing, side):
    """As the package finds them, of walls."""
    return Barriers(value, facing, side, jnp.full_like(value, jnp.inf), jnp.zeros(value.shape, int))


def standoff(robot, offset, around):
    """What the package asks the virtual control point to keep from each surface [m]."""
    return np.asarray(control_point.standoff(robot, offset, jnp.where(around.is_wall, jnp.inf, around.radius)))


def worst_clearance(robot, around, pose, control):
    """Least clearance of the body over the instants of the step."""
    return min(
        (around.distance(reference.motion(pose, control, share * robot.dt, robot.integrator)[:2]) - robot.radius).min()
        for share in INSTANTS
    )


def corners_of_the_safe_set(rng, robot, A, b, slowest=0.0):
    """Controls (v, w): a corner extreme in a random direction, and for three in ten a mixture of two of them. v is no
    lower than `slowest`."""
    swing = np.sin(robot.max_swing)
    count = b.shape[-1]
    sides = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]])[..., None] * np.ones(count)
    limits = np.stack([-slowest * np.ones(count), *(np.ones(count) * one for one in (robot.max_speed, swing, swing))])
    points, valid = reference.vertices(np.concatenate([A, sides]), np.concatenate([b, limits]))
    assert valid.any(0).all()

    def extreme():
        angle = rng.uniform(-np.pi, np.pi, count)
        reach = np.cos(angle) * points[:, 0] / robot.max_speed + np.sin(angle) * points[:, 1] / swing
        best = np.argmax(np.where(valid, reach, -np.inf), axis=0)
        return points[best, :, np.arange(count)].T

    one, other = extreme(), extreme()
    share = np.where(rng.random(count) < 0.3, rng.random(count), 1)
    v, w = share * one + (1 - share) * other
    return np.clip(v, slowest, robot.max_speed), np.clip(w, -swing, swing)


def safe_states(rng, robot, offset, count):
    """Poses in the safe set of theorem 2, each with its boundary and h; a third with h = 0, others in contact."""
    around = random_boundaries(rng, 3 * count)
    bearing = rng.uniform(-np.pi, np.pi, 3 * count)
    q = around.at_distance(0, bearing)
    heading = random_headings(rng, around.normal(q))
    ahead = offset * np.stack([np.cos(heading), np.sin(heading)])
    kind = rng.random(3 * count)
    room = np.where(kind < 0.6, 0, rng.exponential(2 * robot.max_speed * robot.dt, 3 * count))
    by_barrier = around.at_distance(standoff(robot, offset, around) + room, bearing) - ahead
    by_body = around.at_distance(robot.radius + room, bearing)
    position = np.where(kind < 0.15, by_body, by_barrier)
    value = around.distance(position + ahead) - standoff(robot, offset, around)
    legal = np.flatnonzero((around.distance(position) - robot.radius >= -1e-12) & (value >= -1e-12))[:count]
    assert len(legal) == count
    return np.stack([*position, heading])[:, legal], around.select(legal), value[legal]


def attack_rows(robot, offset, count, seed):
    """Theorem 2: from states of the safe set, take corners of the rows' safe set."""
    rng = np.random.default_rng(seed)
    pose, around, value = safe_states(rng, robot, offset, count)
    ahead = np.stack([np.cos(pose[2]), np.sin(pose[2])])
    facing, side = facing_and_side(around.normal(pose[:2] + offset * ahead), pose[2])
    gain = rng.choice([0.0, 0.05, 0.2, 0.5, 1.0, -1.0], value.shape)
    gain = np.where(gain < 0, rng.random(value.shape), gain)
    rows = control_point.control_point_rows(
        robot, offset, barriers(*(jnp.asarray(part)[None] for part in (value, facing, side))), jnp.asarray(gain)[None]
    )
    A, b = np.asarray(rows.A), np.asarray(rows.b)
    assert b.min() >= 0  # standing still is allowed, always
    v, w = corners_of_the_safe_set(rng, robot, A, b, lowest_speed(robot, around, pose) if robot.reverses else 0.0)
    control = np.stack([v, np.arcsin(w) / robot.dt])
    if robot.wheel_base is not None:  # the same answer of the program, as the wheels can do it
        control = np.asarray(robot.from_swing(jnp.stack([v, w])))
    after = reference.motion(pose, control, robot.dt, robot.integrator)
    q = after[:2] + offset * np.stack([np.cos(after[2]), np.sin(after[2])])
    following = around.distance(q) - standoff(robot, offset, around)
    assert (value < 1e-9).mean() > 0.3
    assert (np.abs(np.arcsin(w)) > 0.999 * robot.max_swing).mean() > 0.3
    assert (v > 0.999 * robot.max_speed).mean() > 0.1
    return Findings(
        worst_clearance(robot, around, pose, control),
        (following - (1 - gain) * np.maximum(value, 0)).min(),
        following.min(),
        value.size,
    )


def lowest_speed(robot, around, pose):
    """Of theorem 1, [m/s]: the limit of a robot that looks the other way, with the other sign."""
    facing, side = facing_and_side(around.normal(pose[:2]), pose[2] + np.pi)
    slack = around.distance(pose[:2]) - robot.radius
    swing = governor.governor_swing(robot, jnp.full(slack.shape, robot.max_turn_rate))
    speed = governor.governed_speed(robot, *(jnp.asarray(part)[None] for part in (facing, side, slack)), swing)
    return np.maximum(-np.asarray(speed), robot.min_speed)


def attack_governor(robot, count, seed):
    """Theorem 1: from any clear pose, any turn rate, with the greatest speed that the governor allows."""
    rng = np.random.default_rng(seed)
    around = random_boundaries(rng, count)
    slack = np.where(rng.random(count) < 0.3, 0, rng.exponential(robot.max_speed * robot.dt, count))
    position = around.at_distance(robot.radius + slack, rng.uniform(-np.pi, np.pi, count))
    normal = around.normal(position)
    pose = np.stack([*position, random_headings(rng, normal)])
    facing, side = facing_and_side(normal, pose[2])
    turn_rate = (
        robot.max_turn_rate * rng.choice([-1, 1], count) * np.where(rng.random(count) < 0.7, 1, rng.random(count))
    )
    slack = around.distance(position) - robot.radius
    swing = governor.governor_swing(robot, jnp.asarray(turn_rate))
    speed = governor.governed_speed(robot, *(jnp.asarray(part)[None] for part in (facing, side, slack)), swing)
    speed = np.asarray(speed)
    assert speed.min() >= 0
    assert speed.max() <= robot.max_speed
    assert (speed > 0).mean() > 0.2
    assert (speed < robot.max_speed).mean() > 0.15
    return Findings(worst_clearance(robot, around, pose, np.stack([speed, turn_rate])), np.nan, np.nan, count)


def robot_of(parameters, integrator):
    return Unicycle(**parameters, integrator=integrator)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_rows_keep_body_and_safe_set(integrator, tenfold):
    """Theorem 2: the whole body stays clear for the whole step, and h⁺ ≥ (1 − γ)h ≥ 0."""
    states = 0
    for seed, (parameters, offset) in enumerate(CASES):
        found = attack_rows(robot_of(parameters, integrator), offset, STATES * tenfold, seed)
        assert found.clearance >= -1e-9
        assert found.decrease >= -1e-9
        assert found.value >= -1e-9
        # The attack reaches what it attacks: some bodies touch, some barriers fall as fast as they may.
        assert found.clearance < 1e-4
        assert found.decrease < 1e-9
        states += found.states
    assert states >= 100_000 * tenfold


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_governor_keeps_the_body_clear(integrator, tenfold):
    """Theorem 1: from every legal pose, for every turn rate."""
    states = 0
    for seed, (parameters, _) in enumerate(CASES):
        found = attack_governor(robot_of(parameters, integrator), STATES * tenfold, seed)
        assert found.clearance >= -1e-9
        assert found.clearance < 1e-9
        states += found.states
    assert states >= 100_000 * tenfold


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_rows_keep_body_and_safe_set_of_a_robot_with_wheels(integrator):
    """Theorem 2 for answers of the program that the wheels cannot do, scaled as the shield scales them."""
    for seed, base in enumerate((0.1, 0.5, 3.0)):
        robot = Unicycle(max_turn_rate=12.0, integrator=integrator, wheel_base=base)
        found = attack_rows(robot, 0.1, STATES, seed)
        assert found.clearance >= -1e-9
        assert found.decrease >= -1e-9
        assert found.value >= -1e-9
        assert found.clearance < 1e-4
        assert found.decrease < 1e-9


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_rows_keep_body_and_safe_set_of_a_robot_that_reverses(integrator, tenfold):
    """Theorem 2 with theorem 1's limit behind as a side of the box."""
    for seed, (slowest, turn_rate) in enumerate(((-1.0, 2.84), (-0.3, 12.0), (-1.0, 25.0))):
        robot = Unicycle(max_turn_rate=turn_rate, integrator=integrator, min_speed=slowest)
        found = attack_rows(robot, 0.1, STATES * tenfold, seed)
        assert found.clearance >= -1e-9
        assert found.decrease >= -1e-9
        assert found.value >= -1e-9
        assert found.clearance < 1e-4
        assert found.decrease < 1e-9


# --- the attack finds the holes of unsound variants ------------------------------------------------------------------


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_attack_finds_that_guarding_the_control_point_alone_lets_the_body_touch(integrator, monkeypatch):
    """ρ_q = R + r, the textbook choice, cuts corners by millimetres in a single step."""
    monkeypatch.setattr(control_point, "standoff", lambda robot, offset, radius: jnp.full_like(radius, robot.radius))
    found = attack_rows(Unicycle(integrator=integrator), 0.1, 20_000, 0)
    assert found.clearance < -2e-3


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_attack_finds_that_the_turn_term_is_needed(integrator, monkeypatch):
    """Without κ|w| the barrier falls below its bound by fractions of a millimetre."""
    monkeypatch.setattr(control_point, "turn_slope", lambda robot: 0.0)
    found = attack_rows(Unicycle(integrator=integrator), 0.1, 100_000, 0)
    assert found.decrease < -2e-4
    assert found.value < -2e-4


@dataclass(frozen=True)
class TurnsFirst(Unicycle):
    """Unsound: keeps the turn of the program's answer, and as much of the speed as the wheels can do with it."""

    def from_swing(self, speed_and_swing, velocity=None):
        v, turn_rate = Unicycle(max_turn_rate=self.max_turn_rate).from_swing(speed_and_swing)
        most = jnp.maximum(self.max_speed - 0.5 * self.wheel_base * jnp.abs(turn_rate), 0)
        return jnp.stack([jnp.minimum(v, most), turn_rate])


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_attack_finds_that_wheels_must_not_turn_first(integrator):
    found = attack_rows(TurnsFirst(max_turn_rate=12.0, integrator=integrator, wheel_base=0.5), 0.1, STATES, 0)
    assert found.decrease < -1e-4
    assert found.value < -1e-4


def test_attack_finds_that_an_arc_backwards_needs_a_slope_of_its_own(monkeypatch):
    """The slope for v ≥ 0 alone takes an arc backwards for a way along the heading."""
    monkeypatch.setattr(control_point, "_bends_behind", lambda robot: False)
    found = attack_rows(Unicycle(integrator="arc", min_speed=-1.0), 0.1, 100_000, 0)
    assert found.decrease < -2e-3
    assert found.value < -2e-3


def test_attack_finds_that_no_row_keeps_the_body_clear_behind(monkeypatch):
    monkeypatch.setattr("test_barrier.lowest_speed", lambda robot, around, pose: robot.min_speed)
    assert attack_rows(Unicycle(min_speed=-1.0), 0.1, 20_000, 0).clearance < -1e-2


def test_attack_finds_that_the_arc_needs_the_governors_swing(monkeypatch):
    """ψ = 0 ignores that the arc bends towards the boundary: millimetres of contact."""
    monkeypatch.setattr(governor, "governor_swing", lambda robot, turn_rate: jnp.zeros_like(turn_rate))
    assert attack_governor(Unicycle(integrator="arc"), 20_000, 0).clearance < -2e-3


def test_attack_finds_that_the_offset_must_not_be_outrun():
    """Theorem 2 needs max_speed · dt ≤ offset; at four times that the body overtakes its carrot."""
    assert attack_rows(Unicycle(max_speed=4.0), 0.05, 20_000, 0).clearance < -2e-3


# --- what else the theorems say --------------------------------------------------------------------------------------


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_governor_is_idle_on_the_safe_set_of_the_rows(integrator):
    """From a pose with h ≥ 0 the governor allows full speed, whatever the turn rate."""
    for seed, (parameters, offset) in enumerate(CASES):
        robot = robot_of(parameters, integrator)
        pose, around, _ = safe_states(np.random.default_rng(seed), robot, offset, STATES)
        facing, side = facing_and_side(around.normal(pose[:2]), pose[2])
        slack = around.distance(pose[:2]) - robot.radius
        for turn_rate in (0.0, robot.max_turn_rate):
            swing = governor.governor_swing(robot, jnp.full(slack.shape, turn_rate))
            speed = governor.governed_speed(robot, *(jnp.asarray(part)[None] for part in (facing, side, slack)), swing)
            # In contact the bound is a quotient of two numbers of rounding size.
            assert np.asarray(speed)[slack > 1e-6].min() >= robot.max_speed * (1 - 1e-6)


@pytest.mark.parametrize("swing", [0.0, 0.071, 0.7, 1.5])
def test_approach_is_the_most_that_any_allowed_direction_heads_in(swing):
    """By trying directions of motion between −ψ and ψ off the heading."""
    beta = np.linspace(-np.pi, np.pi, 721)
    directions = np.linspace(-swing, swing, 4001)[:, None]
    expected = np.maximum(0, -np.cos(beta + directions)).max(0)
    share = np.asarray(governor.approach(jnp.cos(beta), jnp.sin(beta), swing))
    np.testing.assert_allclose(share, expected, atol=1e-6)
    assert (share - expected).min() > -1e-12


def test_governor_stops_exactly_at_a_wall():
    """Not more than needed: head on and cut down, the straight step ends in contact."""
    robot = Unicycle()
    slack = np.linspace(0, robot.max_speed * robot.dt, 50)
    speed = governor.governed_speed(
        robot, -jnp.ones((1, 50)), jnp.zeros((1, 50)), jnp.asarray(slack)[None], jnp.zeros(50)
    )
    np.testing.assert_allclose(np.asarray(speed) * robot.dt, slack, atol=1e-15)


def test_padding_bounds_nothing():
    """A boundary with a zero normal leaves governor and rows without effect."""
    robot, nothing = Unicycle(), jnp.zeros((1, 3))
    speed = governor.governed_speed(robot, nothing, nothing, jnp.full((1, 3), 1e3), jnp.full(3, 0.07))
    np.testing.assert_array_equal(speed, robot.max_speed)
    rows = control_point.control_point_rows(
        robot, 0.1, barriers(jnp.full((1, 3), 1e3), nothing, nothing), jnp.ones((1, 3))
    )
    np.testing.assert_array_equal(rows.A, 0)
    assert np.asarray(rows.b).min() >= 0


def test_rows_facing_the_boundary_have_no_turn_error():
    """Straight at it, the two rows of a boundary coincide and any turn is free: no deadlock in contact."""
    rows = control_point.control_point_rows(
        Unicycle(), 0.1, barriers(jnp.zeros((1,)), -jnp.ones((1,)), jnp.zeros((1,))), jnp.ones((1,))
    )
    np.testing.assert_array_equal(rows.A[0], rows.A[1])
    assert rows.A[0, 1] == 0
    assert rows.A[0, 0] > 0


# --- the other robot -------------------------------------------------------------------------------------------------


def attack_robot_row(robot, gain, count, seed, other_speed=0.0):
    """Least D⁺ − bound over a step at the greatest speed the row allows, the other robot fleeing or closing in."""
    rng = np.random.default_rng(seed)
    minimum = 0.35
    distance = np.where(rng.random(count) < 0.3, minimum, rng.uniform(0.05, 2, count))
    angle = rng.uniform(-np.pi, np.pi, count)
    normal = np.stack([np.cos(angle), np.sin(angle)])
    pose = np.stack([*(distance * normal), random_headings(rng, normal)])
    facing, side = facing_and_side(normal, pose[2])
    row = separation.robot_row(robot, *(jnp.asarray(part) for part in (facing, side, distance - minimum)), gain)
    A, b = np.asarray(row.A)[0], np.asarray(row.b)[0]
    assert b.min() >= 0
    np.testing.assert_array_equal(A[1], 0)
    assert A[0].min() >= 0
    speed = np.minimum(robot.max_speed, np.where(A[0] > 0, b / np.where(A[0] > 0, A[0], 1), np.inf))
    control = np.stack([speed, robot.max_turn_rate * rng.choice([-1, 0, 1], count)])
    bound = distance - gain * np.maximum(distance - minimum, 0)
    assert (speed < robot.max_speed).mean() > 0.15
    worst = np.inf
    for share in INSTANTS:
        point = reference.motion(pose, control, share * robot.dt, robot.integrator)[:2]
        other = other_speed * share * robot.dt * normal  # towards where I was
        worst = min(worst, (np.hypot(*(point - other)) - bound).min())
    return worst


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("gain", [0.05, 0.5, 1.0])
def test_robot_row_bounds_the_own_approach(integrator, gain):
    """D⁺ ≥ D − γ max(0, D − D_min) while the other stands; less at most by its own motion if it comes."""
    robot = Unicycle(integrator=integrator)
    assert -1e-9 <= attack_robot_row(robot, gain, 50_000, 0) < 1e-6
    moving = attack_robot_row(robot, gain, 50_000, 1, other_speed=1.0)
    assert -robot.dt - 1e-9 <= moving < -0.9 * robot.dt


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_two_robots_that_share_the_gain_keep_their_distance(integrator):
    """Each with γ/2: D⁺ ≥ D_min + (1 − γ)(D − D_min)."""
    robot, rng, count, gain, minimum = Unicycle(integrator=integrator), np.random.default_rng(2), 50_000, 1.0, 0.35
    distance = minimum + np.where(rng.random(count) < 0.3, 0, rng.uniform(0, 0.3, count))
    angle = rng.uniform(-np.pi, np.pi, count)
    normal = np.stack([np.cos(angle), np.sin(angle)])
    poses, controls = [], []
    for sign in (1, -1):
        pose = np.stack([*(0.5 * sign * distance * normal), random_headings(rng, sign * normal)])
        facing, side = facing_and_side(sign * normal, pose[2])
        row = separation.robot_row(robot, *(jnp.asarray(x) for x in (facing, side, distance - minimum)), 0.5 * gain)
        A, b = np.asarray(row.A)[0, 0], np.asarray(row.b)[0]
        speed = np.minimum(robot.max_speed, np.where(A > 0, b / np.where(A > 0, A, 1), np.inf))
        poses.append(pose)
        controls.append(np.stack([speed, robot.max_turn_rate * rng.choice([-1, 0, 1], count)]))
    for share in INSTANTS:
        one, other = (
            reference.motion(pose, control, share * robot.dt, integrator)[:2]
            for pose, control in zip(poses, controls, strict=True)
        )
        assert (np.hypot(*(one - other)) - (minimum + (1 - gain) * (distance - minimum))).min() >= -1e-9


def test_gain_that_forbids_capture_is_refused():
    with pytest.raises(
        ValueError, match=r"gain of 0\.05 forbids capture \(closing speed at most 0\.15 m/s.*at least 0\.333"
    ):
        separation.check_robot_gain(Unicycle(), gain=0.05, min_separation=0.35, capture_radius=0.5)
    with pytest.raises(ValueError, match=r"keeps 0\.5 m, not less than the capture radius of 0\.5 m"):
        separation.check_robot_gain(Unicycle(), gain=1.0, min_separation=0.5, capture_radius=0.5)


@pytest.mark.parametrize("gain", [1 / 3, 0.34, 0.5, 1.0])
def test_accepted_gain_never_slows_a_pursuer_before_capture(gain):
    robot = Unicycle()
    separation.check_robot_gain(robot, gain, min_separation=0.35, capture_radius=0.5)
    distance = jnp.linspace(0.5, 5, 1000)
    row = separation.robot_row(robot, -jnp.ones(1000), jnp.zeros(1000), distance - 0.35, gain)
    assert (row.A[0, 0] * robot.max_speed <= row.b[0] + 1e-12).all()
