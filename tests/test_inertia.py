"""Robots with inertia: motion, the certificate of theorem 3, and drives that attack it, within budgets and beyond."""

from dataclasses import asdict, dataclass, replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

import inertia
from inertia import drive
from safepursuit.agents import Agent, Faults, Imprecise, View
from safepursuit.attack import stress
from safepursuit.barriers import stop_sector
from safepursuit.barriers.stop_sector import WIDEST, Motion, free_way, headings
from safepursuit.evaluation import evaluate
from safepursuit.evaluation.referee import judge, judge_alone
from safepursuit.experiment import TrainConfig
from safepursuit.experiment.run import policy_shapes
from safepursuit.game import Game, GameState, RobotState, transition
from safepursuit.learn import BarrierNetTrainer
from safepursuit.robot import ROBOTS, Budget, Inertial, Unicycle, within_theory
from safepursuit.scene import Scene, boundaries
from safepursuit.shield import Shield, Shielded, filter, survey, unfiltered
from tiny import TINY, outspoken

pytestmark = pytest.mark.usefixtures("float64")

LAWS = settings(deadline=None, max_examples=60)
ROBOT = Inertial(acceleration=2.0, braking=1.7, turn_acceleration=7.0)
AGILE = Inertial(acceleration=5.0, braking=5.0, turn_acceleration=30.0)
SLOW = Inertial(acceleration=0.3, braking=0.3, turn_acceleration=1.0)

speed = st.one_of(st.sampled_from([0.0, 1.0, 0.085, 0.17]), st.floats(0, 1))
turn_rate = st.one_of(st.sampled_from([0.0, 2.84, -2.84, 0.35, -0.7]), st.floats(-2.84, 2.84))
velocity = st.tuples(speed, turn_rate).map(np.array)
command = st.tuples(st.floats(-1, 2), st.floats(-4, 4)).map(np.array)

step = jax.jit(Inertial.step, static_argnums=0)
way = jax.jit(Inertial.way, static_argnums=(0, 3))
reach = jax.jit(Inertial.reach, static_argnums=0)
stopping_way = jax.jit(Inertial.stopping_way, static_argnums=0)
stopping_turn = jax.jit(Inertial.stopping_turn, static_argnums=0)
hull = jax.jit(headings, static_argnums=(0, 1))
to_swing = jax.jit(Inertial.to_swing, static_argnums=0)
from_swing = jax.jit(Inertial.from_swing, static_argnums=0)
swing_box = jax.jit(Inertial.swing_box, static_argnums=0)


def until_rest(robot, velocity):
    """Way and turn of a stop, by adding up its ramps."""
    (v, w), way, turn = velocity, 0.0, 0.0
    while v > 0 or w != 0:
        v_next = max(v - robot.braking * robot.dt, 0)
        w_next = np.sign(w) * max(abs(w) - robot.turn_acceleration * robot.dt, 0)
        way, turn = way + 0.5 * (v + v_next) * robot.dt, turn + 0.5 * (w + w_next) * robot.dt
        v, w = v_next, w_next
    return way, turn


@LAWS
@given(velocity, command, st.floats(-3, 3))
def test_a_step_solves_the_differential_equation(velocity, command, heading):
    after = np.asarray(reach(ROBOT, command, velocity))

    def rate(time, state):
        v, w = velocity + (after - velocity) * time / ROBOT.dt
        return [v * np.cos(state[2]), v * np.sin(state[2]), w]

    expected = solve_ivp(rate, (0, ROBOT.dt), [0.3, -0.2, heading], method="DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    found = np.asarray(step(ROBOT, np.array([0.3, -0.2, heading]), after, velocity))
    np.testing.assert_allclose(found[:2], expected[:2], rtol=0, atol=5e-8)
    np.testing.assert_allclose(np.exp(1j * found[2]), np.exp(1j * expected[2]), rtol=0, atol=1e-12)
    finer = way(ROBOT, np.array([0.3, -0.2, heading]), after, 8, velocity)[:, -1]
    np.testing.assert_allclose(finer, expected[:2], rtol=0, atol=3e-11)


@LAWS
@given(velocity)
def test_way_and_turn_of_a_stop_are_the_sums_of_its_steps(velocity):
    found = stopping_way(ROBOT, velocity[0]), stopping_turn(ROBOT, velocity[1])
    np.testing.assert_allclose(found, until_rest(ROBOT, velocity), rtol=0, atol=1e-12)


@LAWS
@given(
    st.floats(0.3, 5),
    st.floats(0.1, 3),
    st.sampled_from([0.02, 0.05, 0.1]),
    st.lists(st.booleans(), min_size=1, max_size=60),
)
@example(2.5, 3.0, 0.02, [True] * 3)
def test_a_stop_in_single_precision_takes_no_longer_than_its_time(braking, fastest, dt, faster):
    """Step by step in NumPy, after steps of acceleration and braking that leave rounding in the speed."""
    robot = Inertial(max_speed=fastest, acceleration=braking, braking=braking, dt=dt)
    drop, v = np.float32(dt * braking), np.float32(0)
    for more in faster:
        v = np.clip(v + drop if more else v - drop, np.float32(0), np.float32(fastest))
    longest, steps = float(robot.stopping_time(jnp.asarray(v))) / dt, 0
    exact = float(v) / (dt * braking)
    while v > 0:
        v, steps = np.maximum(v - drop, np.float32(0)), steps + 1
    assert steps <= round(longest) <= np.ceil(exact) + 1


@LAWS
@given(velocity, command)
def test_coordinates_of_the_program_count_from_stop_and_can_be_inverted(velocity, command):
    after = np.asarray(reach(ROBOT, command, velocity))
    way, turn = until_rest(ROBOT, velocity)
    longer, further = until_rest(ROBOT, after)
    first_way, first_turn = 0.5 * ROBOT.dt * (velocity + after)
    found = to_swing(ROBOT, after, velocity)
    expected = [(first_way + longer - way) / ROBOT.dt, np.sin(first_turn + further - turn)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(from_swing(ROBOT, found, velocity), after, rtol=0, atol=1e-9)
    low, high = swing_box(ROBOT, jnp.asarray(0.0), velocity)
    assert (low <= np.asarray(found) + 1e-12).all()
    assert (np.asarray(found) <= high + 1e-12).all()
    stop = np.asarray(to_swing(ROBOT, reach(ROBOT, np.zeros(2), velocity), velocity))
    np.testing.assert_allclose(stop, 0, atol=1e-12)


@LAWS
@given(velocity, command, st.sampled_from([0.0, 0.2]), st.floats(-1, 1))
def test_headings_cover_the_step_and_the_stop(velocity, command, error, share):
    budget = Budget(turn_rate=error)
    asked = np.asarray(reach(ROBOT, command, velocity))[1]
    low, high = hull(ROBOT, budget, velocity[1], asked)
    true, step = velocity[1] + share * error, ROBOT.turn_acceleration * ROBOT.dt
    least, most = driven_headings(true, np.clip(asked, true - step, true + step))
    assert low - 1e-12 <= least
    assert most <= high + 1e-12
    if not error:  # and no wider, but for the place at which the heading turns back
        wider = 1e-3 + (ROBOT.turn_acceleration * ROBOT.dt**2 / 8 if velocity[1] * asked < 0 else 0)
        assert low >= least - wider
        assert high <= most + wider


def driven_headings(before, after):
    """Least and greatest heading of a step between two turn rates and of the stop after it, at fifty moments a step."""
    heading, seen = 0.0, [0.0]
    times = np.linspace(0, ROBOT.dt, 50)
    while True:
        seen += list(heading + before * times + 0.5 * (after - before) / ROBOT.dt * times**2)
        heading, before = seen[-1], after
        if after == 0:
            return min(seen), max(seen)
        after = np.sign(after) * max(abs(after) - ROBOT.turn_acceleration * ROBOT.dt, 0)


def test_headings_without_the_turning_point_do_not_cover():
    before, after = 0.17, -0.18
    low, high = _without_turning_point(ROBOT, Budget(), jnp.asarray(before), jnp.asarray(after))
    least, most = driven_headings(before, after)
    assert most > float(high) + 1e-3
    assert least >= float(low) - 1e-12


@jax.jit
def swept(discs, half, low, high):
    pose = jnp.asarray([0.0, 0.0, 0.4])
    scene = Scene(half, discs[:, :2].T, discs[:, 2], discs[:, 2] > 0)
    motion = Motion.of(pose, jnp.zeros(2), boundaries(scene, pose[:2]))
    return free_way(ROBOT, Budget(), 0.0, motion, low, high)


@LAWS
@given(st.floats(-2.5, 0), st.floats(0, 2.5), st.integers(0, 10**6))
def test_the_free_way_is_where_the_swept_body_first_touches(low, high, seed):
    draw = np.random.default_rng(seed)
    discs = np.stack([*draw.uniform(-1.5, 1.5, (2, 3)), draw.uniform(0.02, 0.4, 3)], axis=-1)
    discs[np.hypot(*discs[:, :2].T) < discs[:, 2] + ROBOT.radius + 1e-3] = 9, 9, 1
    half = np.array([1.7, 1.4])
    found = float(swept(discs, half, low, high))
    turns = np.linspace(low, high, 400) if high - low < WIDEST else np.linspace(-np.pi, np.pi, 800)
    lengths = np.linspace(0, 3, 1501)
    x, y = (lengths[:, None] * part(0.4 + turns) for part in (np.cos, np.sin))
    clear = np.minimum(half[0] - np.abs(x), half[1] - np.abs(y)) - ROBOT.radius
    for centre_x, centre_y, radius in discs:
        clear = np.minimum(clear, np.hypot(x - centre_x, y - centre_y) - radius - ROBOT.radius)
    blocked = (clear <= 0).any(axis=1)
    assert found == pytest.approx(lengths[np.argmax(blocked)], abs=6e-3)


@pytest.mark.wide
def test_out_of_the_error_of_its_position_a_robot_leaves_wherever_the_disc_may_be():
    """Bodies that may overlap, each heading by itself: on one that is free, no place of the disc comes nearer."""
    error, radius, distance = 0.05, 0.05, ROBOT.radius + 0.02
    scene = Scene.of([(0.0, radius + distance, radius)], half_extents=(5.0, 5.0))
    heading = jnp.linspace(-jnp.pi, jnp.pi, 2001)
    place = jnp.zeros((2, heading.size))
    motion = Motion.of(jnp.concatenate([place, heading[None]]), place, boundaries(scene, place))
    still = jnp.zeros_like(heading)
    free = np.asarray(free_way(ROBOT, Budget(pose=error), 0.0, motion, still, still)) > 0
    around = np.linspace(0, 2 * np.pi, 721)
    places = np.array([error * np.cos(around), radius + distance + error * np.sin(around)])
    nearing = np.max(np.cos(heading)[:, None] * places[0] + np.sin(heading)[:, None] * places[1], axis=1)
    assert (nearing[free] <= 1e-12).all()
    assert free.mean() == pytest.approx((nearing <= 0).mean(), abs=2e-3)


def test_a_robot_drives_up_to_a_wall_without_the_certificate():
    """The rows brake in time by themselves; the body comes to rest at their standoff."""
    scene, pose, now = Scene.of(half_extents=(3.0, 3.0)), jnp.zeros(3), jnp.zeros(2)
    held = jax.jit(lambda pose, now: filter([1.0, 0.0], pose, scene, robot=ROBOT, velocity=now, gains=1.0))
    fastest = 0.0
    for _ in range(140):
        done = held(pose, now)
        assert not done.governed
        after = reach(ROBOT, done.control, now)
        pose, now = step(ROBOT, pose, after, now), after
        fastest = max(fastest, float(now[0]))
    assert fastest == 1.0
    assert now[0] == 0
    assert 0 <= 3 - ROBOT.radius - pose[0] < 0.12


def test_a_missing_velocity_is_named():
    with pytest.raises(ValueError, match="needs its velocity"):
        filter([1.0, 0.0], [0.0, 0.0, 0.0], Scene.of(half_extents=(3.0, 3.0)), robot=ROBOT)


# --- drives that attack theorem 3 ---

BUDGET = Budget(pose=0.02, heading=0.02, speed=0.05, turn_rate=0.1, delay=2, slip=0.05)


def test_no_adversary_makes_it_touch_anything():
    found = drive(ROBOT, Shield(budget=BUDGET), games=64, steps=80)
    assert found.contacts == 0
    assert found.moving > 0.5
    assert found.infeasible == 0


@pytest.mark.heavy
@pytest.mark.parametrize("name", [name for name in ROBOTS if isinstance(ROBOTS[name](), Inertial)])
@pytest.mark.parametrize(
    "budget",
    [
        Budget(),
        Budget(pose=0.02, heading=0.02, speed=0.05, turn_rate=0.1),
        Budget(delay=3, heading=0.01),
        BUDGET,
        Budget(mover_speed=0.3),
        replace(BUDGET, mover_speed=0.1),
    ],
    ids=["none", "errors", "delay", "all", "movers", "all and movers"],
)
def test_no_adversary_makes_a_preset_touch_anything(name, budget):
    config = TrainConfig().with_robot(name)
    for seed in range(3):
        found = drive(config.game.robot, replace(config.shield, budget=budget), seed=seed, games=512, steps=150)
        assert found.contacts == 0
        assert found.infeasible == 0


@pytest.mark.heavy
@pytest.mark.parametrize("discs", [0, 1, 4, 16])
@pytest.mark.parametrize("turning", [1.0, 10.0, 30.0])
@pytest.mark.parametrize("braking", [0.3, 1.0, 2.5, 5.0])
def test_no_limits_of_acceleration_make_it_touch_anything(braking, turning, discs):
    robot = Inertial(acceleration=0.8 * braking, braking=braking, turn_acceleration=turning)
    assert drive(robot, Shield(), games=512, steps=150, discs=discs).contacts == 0


@dataclass(frozen=True)
class ContinuousStop(Inertial):
    """Unsound: the way of a stop as v²/2a, without the ramp of its last step."""

    def stopping_way(self, v):
        return v**2 / (2 * self.braking)

    def speed_for(self, v_before, way):
        half = 0.5 * self.braking * self.dt
        return jnp.sqrt(half**2 + 2 * self.braking * jnp.maximum(way - 0.5 * self.dt * v_before, 0)) - half


@dataclass(frozen=True)
class NoStep(Inertial):
    """Unsound: the way of a stop without that of the step before it."""

    def way_to_stop(self, v_before, v):
        return self.stopping_way(v)

    def speed_for(self, v_before, way):
        return jnp.sqrt(2 * self.braking * jnp.maximum(way, 0))


UNSOUND = {
    "stop without its ramp": (ContinuousStop(**asdict(ROBOT)), Budget(), Budget()),
    "stop without the step": (NoStep(**asdict(ROBOT)), Budget(), Budget()),
    "position left out": (ROBOT, replace(BUDGET, pose=0.0), BUDGET),
    "heading left out": (ROBOT, Budget(), Budget(heading=0.1)),
    "speed left out": (ROBOT, Budget(), Budget(speed=0.1)),
    "delay off by one": (ROBOT, Budget(delay=1), Budget(delay=2)),
    "slip left out": (ROBOT, Budget(), Budget(slip=0.1)),
    "movers left out": (ROBOT, Budget(), Budget(mover_speed=0.2)),
}


def test_no_theorem_holds_for_another_stop():
    robots = ROBOT, ContinuousStop(**asdict(ROBOT)), NoStep(**asdict(ROBOT))
    assert [within_theory(robot) for robot in robots] == [True, False, False]


@pytest.mark.heavy
@pytest.mark.parametrize("kind", UNSOUND)
def test_an_unsound_variant_is_caught(kind):
    believed, budget, truth = UNSOUND[kind]
    found = drive(ROBOT, Shield(budget=budget), truth, believed=believed, games=512, steps=150)
    assert found.contacts > 0
    assert found.least < -1e-6


def _without_turning_point(robot, budget, before, turn_rate):
    after = 0.5 * robot.dt * (before + turn_rate)
    still = after + robot.stopping_turn(turn_rate)
    return jnp.minimum(0, jnp.minimum(after, still)), jnp.maximum(0, jnp.maximum(after, still))


def _without_full_disc(robot, budget, margin, motion, low, high):
    return free_way(robot, budget, margin, motion, low, jnp.minimum(high, low + 0.99 * WIDEST))


def _without_stop_time(robot, budget, margin, motion, low, high):
    step = replace(budget, mover_speed=0.0, pose=budget.pose + budget.mover_speed * robot.dt)
    return free_way(robot, step, margin, motion, low, high)


@pytest.mark.wide
def test_a_hull_without_the_turning_point_is_caught_beside_a_wall(monkeypatch):
    assert inertia.swing(AGILE, Shield())[0] == 0
    monkeypatch.setattr(stop_sector, "headings", _without_turning_point)
    contacts, least = inertia.swing(AGILE, Shield())
    assert contacts > 0
    assert least < -1e-5


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("name", "variant", "robot", "budget"),
    [
        ("free_way", _without_full_disc, SLOW, Budget()),
        ("free_way", _without_stop_time, ROBOT, Budget(mover_speed=0.3)),
    ],
    ids=["no full disc", "movers without the time of the stop"],
)
def test_an_unsound_certificate_is_caught(name, variant, robot, budget, monkeypatch):
    monkeypatch.setattr(stop_sector, name, variant)
    inertia._roll.clear_cache()
    try:
        found = [drive(robot, Shield(budget=budget), seed=seed, games=512, steps=150) for seed in range(3)]
    finally:
        inertia._roll.clear_cache()
    assert sum(one.contacts for one in found) > 0


# --- the referee ---


def _straight(speeds, clearance):
    """Robot on the x axis that ramps through these speeds and ends `clearance` before a wall."""
    speeds, dt = np.asarray(speeds, float), ROBOT.dt
    way = np.concatenate([[0], np.cumsum(0.5 * dt * (speeds[1:] + speeds[:-1]))])
    poses = np.stack([way, 0 * way, 0 * way], axis=-1)[None]
    both = np.stack([speeds, 0 * speeds], axis=-1)[None]
    half = np.array([way[-1] + ROBOT.radius + clearance, 5.0])
    return poses, both, half


@pytest.mark.parametrize("clearance", [0.01, -0.01])
def test_the_referee_follows_the_ramp(clearance):
    poses, velocity, half = _straight([0.0, 0.1, 0.2, 0.3, 0.2, 0.1, 0.0], clearance)
    far = poses + 50
    verdict = judge(
        own=poses,
        own_control=velocity[:, 1:],
        own_velocity=velocity,
        other=far,
        other_control=velocity[:, 1:],
        other_velocity=velocity,
        discs=np.empty((1, 0, 3)),
        half_extents=half,
        own_radius=ROBOT.radius,
        other_radius=ROBOT.radius,
        length=np.array([len(velocity[0]) - 1]),
        dt=ROBOT.dt,
        integrator="ramp",
    )
    assert verdict.clearance.min() == pytest.approx(clearance, abs=1e-9)
    assert verdict.wall.any() == (clearance < 0)


@pytest.mark.parametrize("boundary", ["disc", "wall", "edge"])
def test_the_referee_has_no_doubt_about_a_robot_that_drives_off_from_beside_a_boundary(boundary):
    gap, radius, dt = 1.4e-6, 0.124, 0.1  # the falsifier's find: a Burger that turns on the spot, then drives away
    normal = np.array([1.0, 0.0])
    heading = np.arccos(0.24)  # of the way and the normal: it leads away, but barely
    start = np.array([radius + gap - 9, 0.0, heading])
    robot = ROBOTS.find("turtlebot3-burger")()
    before, after = np.array([0.0, -2.75]), np.array([0.22, -2.43])
    end = np.asarray(step(robot, start[:, None], after[:, None], before[:, None]))[:, 0]
    discs, edges, half = np.empty((1, 0, 3)), np.empty((1, 0, 4)), np.array([20.0, 20.0])
    at = start[:2] - (radius + gap) * normal
    if boundary == "disc":
        discs = np.array([[[*(at - 0.32 * normal), 0.32]]])
    elif boundary == "edge":
        edges = np.array([[[at[0], -1.0, at[0], 1.0]]])
    else:
        half = np.array([9.0, 9.0])
    verdict = judge_alone(
        own=np.stack([start, end])[None],
        own_control=after[None, None],
        own_velocity=np.stack([before, after])[None],
        discs=discs,
        edges=edges,
        half_extents=half,
        own_radius=radius,
        length=np.array([1]),
        dt=dt,
        integrator="ramp",
    )
    assert not verdict.collided.any()
    assert gap - 1e-7 < verdict.clearance.min() <= gap + 1e-12


# --- presets ---


@pytest.mark.parametrize("name", ROBOTS)
def test_a_preset_has_a_game_of_its_size(name):
    config = TrainConfig().with_robot(name)
    robot, game = config.game.robot, config.game
    assert robot == ROBOTS[name]()
    assert game.capture_radius >= 2 * (robot.radius + robot.max_speed * robot.dt)
    assert game.horizon * robot.dt * robot.max_speed >= game.arena.half_extents[0]
    assert robot.max_speed * robot.dt <= config.shield.offset


def test_the_game_of_the_unicycle_is_the_default_one():
    assert Game.of_robot("unicycle") == Game()
    assert TrainConfig().with_robot("unicycle") == TrainConfig()


def test_two_models_share_a_game_each_with_its_own_limits_and_body():
    game = replace(Game.of_robot("create3"), evader_model="turtlebot3-waffle", capture_radius=0.42)
    scene, rest, full = Scene.of([(4.0, 4.0, 0.1)], half_extents=(5.0, 5.0)), jnp.zeros(2), jnp.asarray([1.0, 0.0])
    before = GameState(
        (RobotState(jnp.zeros(3), rest), RobotState(jnp.asarray([0.43, 0.0, jnp.pi]), rest)), scene, jnp.asarray(0)
    )
    outcome = transition(before, (full, full), game)
    speeds = outcome.state.pursuer_control[0], outcome.state.evader_control[0]
    np.testing.assert_allclose(speeds, [0.9 * 0.05, 2.5 * 0.05])  # in the pursuer's steps
    # Half of that on average for 0.05 s each: 0.43 m − 4.25 mm is beyond 0.178 + 0.238 m.
    assert not outcome.contacts[0].robot
    touching = before.with_robot("evader", pose=jnp.asarray([0.418, 0.0, jnp.pi]))
    assert transition(touching, (full, full), game).contacts[0].robot
    with pytest.raises(ValueError, match="capture must come before contact"):
        replace(game, capture_radius=0.41)
    with pytest.raises(ValueError, match="one has inertia"):
        replace(game, evader_model="unicycle")


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_a_budget_of_no_size_is_refused(value):
    with pytest.raises(ValueError, match="budget pose must"):
        Budget(pose=value)


@pytest.mark.parametrize("budget", [Budget(speed=0.02), Budget(turn_rate=0.05)])
def test_what_is_sent_is_no_more_than_what_was_certified(budget):
    """A robot that is faster than measured would reach more of a larger command. Found by the falsifier: behind the
    certificate alone, 0.09 mm deep."""
    robot, scene = Inertial(acceleration=0.5, braking=0.4, turn_acceleration=2.0), Scene.of(half_extents=(9.0, 9.0))
    pose, measured = jnp.zeros(3), jnp.asarray([0.03, 0.1])
    around = survey(Shield(budget=budget), robot, pose, scene, velocity=measured)
    done = unfiltered(jnp.asarray([1.0, 2.84]), around, robot=robot, governor=Shield(budget=budget))
    assert not done.governed
    np.testing.assert_allclose(done.control, [0.03 + 0.5 * robot.dt, 0.1 + 2.0 * robot.dt], rtol=1e-6)


def test_a_kinematic_robot_has_a_budget_too():
    pose, robot, asked = jnp.asarray([3 - 0.15 - 0.03, 0.0, 0.0]), Unicycle(), jnp.asarray([1.0, 0.0])
    allowed = []
    for budget in (Budget(), Budget(pose=0.01), Budget(pose=0.01, slip=0.5), Budget(pose=0.03)):
        shield = Shield(budget=budget)
        around = survey(shield, robot, pose, Scene.of(half_extents=(3.0, 3.0)))
        allowed.append(float(unfiltered(asked, around, robot=robot, governor=shield).control[0]))
    expected = [0.03 / robot.dt, 0.02 / robot.dt, 0.02 / robot.dt / 1.5, 0.0]
    np.testing.assert_allclose(allowed, expected, atol=1e-3)


# --- stress ---


def test_stress_goes_through_sizes_and_says_which_are_declared():
    config = TrainConfig(shield=Shield(budget=Budget(pose=0.02, delay=2)))
    none, *pose = stress.cases(config, ("pose",))
    delay = stress.cases(config, ("delay",))[1:]
    assert none.changes == {"errors": Faults(delay=2)}
    assert stress.cases(TrainConfig(), ("pose",))[0].changes == {}
    assert (
        [one.changes["errors"].pose for one in pose] == [one.size for one in pose] == sorted(one.size for one in pose)
    )
    assert [one.changes["errors"].delay for one in delay] == [1, 2, 3, 4, 5]
    assert [one.within for one in pose] == [True, True, False, False, False]
    assert [one.within for one in delay] == [False, True, False, False, False]
    assert [case.within for case in stress.cases(config, ("bias", "step"))[1:4]] == [True, True, False]
    assert all(case.within for case in stress.cases(config, ("evader-speed",)))
    with pytest.raises(ValueError, match="unknown imperfection 'wind'"):
        stress.cases(config, ("wind",))


def test_stress_doubles_a_budget_that_is_declared():
    budget = Budget(pose=0.02, delay=2)
    _, one, two = stress.cases(TrainConfig(shield=Shield(budget=budget)), ("budget",))
    assert (one.within, two.within) == (True, False)
    assert (one.changes["errors"], two.changes["errors"]) == (budget, Budget(pose=0.04, delay=4))
    assert "budget" not in {case.imperfection for case in stress.cases(TrainConfig())}
    with pytest.raises(ValueError, match="declares no budget"):
        stress.cases(TrainConfig(), ("budget",))


def test_a_budget_is_suggested_after_a_million_steps_without_a_contact(monkeypatch):
    played = []

    def judged(policy, config, *, seed, **rest):
        share = config.shield.budget.pose / 0.04
        played.append((share, seed))
        touched = share < 0.5 or (share == 0.5 and seed == 2)  # a contact late
        length = np.full(300, 1000)
        return SimpleNamespace(result={"collision": {"count": int(touched)}}, recording=SimpleNamespace(length=length))

    monkeypatch.setattr(stress, "evaluate", judged)
    *_, found = stress.suggest(policy_shapes(TINY).policy, TINY, Budget(pose=0.04, delay=1), episodes=300)
    assert (found.share, found.budget, found.touched) == (0.75, Budget(pose=0.03, delay=1), 0)
    assert found.steps == 1_200_000 >= stress.ENOUGH
    assert played == [(0, 0), (0.25, 0), (0.5, 0), (0.5, 1), (0.5, 2), *((0.75, seed) for seed in range(4))]


@pytest.mark.heavy
def test_with_the_suggested_budget_nothing_is_touched_in_a_million_disturbed_steps():
    config = TrainConfig().with_robot("turtlebot3-burger")
    policy = outspoken(BarrierNetTrainer(replace(config, num_envs=8, devices=1)).policy)
    errors = Budget(pose=0.02, heading=0.02, delay=2)
    *_, found = stress.suggest(policy, config, errors, episodes=1000)
    shield = replace(config.shield, budget=found.budget)
    policy, steps, seed = replace(policy, head=replace(policy.head, shield=shield)), 0, 10_000  # scenarios of its own
    while steps < 1_000_000:
        seed += 1
        judged = evaluate(policy, replace(config, shield=shield), episodes=1000, seed=seed, errors=errors)
        assert judged.result["collision"]["count"] == 0, f"after {steps:,} steps, with {found.share:.0%} of the errors"
        steps += int(judged.recording.length.sum())


def test_weak_brakes_are_those_of_the_robot_in_truth():
    for config in (TrainConfig(), TrainConfig().with_robot("create3")):
        robots = [stress.IMPERFECTIONS["brakes"].changes(size, config)["robot"] for size in (0.8, 0.5, 0.25)]
        assert all(isinstance(robot, Inertial) for robot in robots)
        assert [robot.braking / robots[0].braking for robot in robots] == pytest.approx([1, 0.625, 0.3125])
        assert robots[0].radius == config.game.robot.radius
    built = Unicycle(wheel_base=0.3, min_speed=-0.2)
    weak = stress.IMPERFECTIONS["brakes"].changes(0.5, TrainConfig(game=Game(robot=built)))["robot"]
    assert (weak.wheel_base, weak.min_speed) == (0.3, -0.2)  # its brakes are weak, nothing else


@pytest.mark.wide
def test_a_pursuer_without_inertia_drives_a_robot_that_has_some():
    config = replace(TrainConfig(), num_envs=8, devices=1)
    policy = outspoken(BarrierNetTrainer(config).policy)
    weak = stress.IMPERFECTIONS["brakes"].changes(0.25, config)
    driven = evaluate(policy, config, episodes=8, **weak).recording
    most = weak["robot"].acceleration * config.game.robot.dt
    speeds = np.linalg.norm(np.diff(driven.pursuer[..., :2], axis=1), axis=-1) / config.game.robot.dt
    assert 0 < speeds[:, 0].max() <= 1.01 * most  # from rest, whatever is asked for
    assert np.nanmax(speeds) > 2 * most


# --- errors that no budget has a place for ---


@pytest.fixture
def a_view():
    game = TrainConfig().with_robot("inertial").game
    robots = [RobotState(jnp.full((3, 3), at), jnp.zeros((2, 3))) for at in (0.0, 2.0)]
    return View(GameState(tuple(robots), Scene.of(half_extents=(9.0, 9.0)), jnp.zeros(3, int)), game, "pursuer")


class Echo(Agent):
    """Asks for 0.1 m/s straight on, and keeps what it saw."""

    def act(self, carry, key, view):
        asked = jnp.broadcast_to(jnp.asarray([0.1, 0.0])[:, None], view.own.control.shape)
        return Shielded(*[None] * len(Shielded._fields))._replace(control=asked), view.state.robots


def _seen(faults, view, steps=40, known_delay=None):
    """What an agent with these faults sees, and commands, of a robot that moves 1 cm a step along x."""
    agent, state, seen, commands = Imprecise(Echo(), faults, known_delay=known_delay), view.state, [], []
    carry = agent.initial(state)
    for number in range(steps):
        done, carry = agent.act(carry, jax.random.key(number), replace(view, state=state))
        seen.append(np.asarray(carry.inner[0].pose - state.pursuer))
        commands.append(np.asarray(done.control))
        state = state.with_robot("pursuer", pose=state.pursuer + jnp.asarray([0.01, 0, 0])[:, None])
    return np.stack(seen), np.stack(commands)


def test_a_bias_is_of_its_size_and_stays(a_view):
    seen, _ = _seen(Faults(bias=0.05), a_view, steps=3)
    np.testing.assert_allclose(np.hypot(*seen[0, :2]), 0.05, atol=1e-12)
    np.testing.assert_allclose(seen, np.broadcast_to(seen[0], seen.shape), atol=1e-12)
    assert np.linalg.norm(seen[0, :, 0] - seen[0, :, 1]) > 0.01


@pytest.mark.parametrize(("known", "ahead"), [(3, 0.0125), (1, 0.0025), (0, 0.0), (4, 0.0175)])
def test_commands_come_late_and_are_predicted_as_far_as_the_delay_is_known(a_view, known, ahead):
    """At rest as measured, 0.1 m/s is reached in one step, of 2.5 mm; each further one is of 5 mm."""
    seen, commands = _seen(Faults(delay=3), a_view, steps=6, known_delay=known)
    np.testing.assert_allclose(commands[:, 0], np.repeat([[0.0], [0.1]], 3, axis=0) * np.ones(3), atol=1e-12)
    np.testing.assert_allclose(seen[5, 0], ahead, atol=1e-9)


def test_a_dropped_measurement_is_the_one_before(a_view):
    behind = np.round(-_seen(Faults(dropped=0.3), a_view)[0][:, 0] / 0.01).astype(int)  # steps
    assert (behind[0] == 0).all()
    assert ((behind[1:] == 0) | (behind[1:] == behind[:-1] + 1)).all()
    assert 0.15 < (behind > 0).mean() < 0.45


def test_a_robot_that_slips_goes_further_than_its_wheels(a_view):
    """From rest the motors reach 0.1 m/s; over ground that is a tenth more, and the robot in truth can do it."""
    _, commands = _seen(Faults(slip=0.1), a_view, steps=1)
    truth = a_view.robot.faster(1.1)
    np.testing.assert_allclose(commands[0, 0], 0.11, atol=1e-12)
    np.testing.assert_allclose(reach(truth, commands[0], np.zeros((2, 3))), commands[0], atol=1e-12)
