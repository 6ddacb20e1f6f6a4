"""Robots whose wheels limit speed and turn rate together: laws of what is executed, theorems 1 to 3, attacks."""

from dataclasses import asdict, dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inertia import drive, rims
from safepursuit import shield
from safepursuit.evaluation import evaluate
from safepursuit.experiment import TrainConfig
from safepursuit.game import GameState, RobotState, transition
from safepursuit.learn import BarrierNetTrainer
from safepursuit.play import recording
from safepursuit.robot import Budget, Inertial, Unicycle, within_theory
from safepursuit.runs import configuration
from safepursuit.scene import Scene
from safepursuit.shield import Shield
from safepursuit.viewer import matches
from tiny import TINY, outspoken

pytestmark = pytest.mark.usefixtures("float64")

LAWS = settings(deadline=None, max_examples=100)
BASE = 0.5
EULER = Unicycle(wheel_base=BASE)
ARC = replace(EULER, integrator="arc")
RAMP = Inertial(acceleration=2.0, braking=1.7, turn_acceleration=7.0, wheel_base=BASE)
QUICK = Unicycle(max_turn_rate=25.0, wheel_base=0.1)
"""Turns by 1.25 rad in a step, where sines bend."""

command = st.tuples(st.floats(-1, 2), st.floats(-5, 5)).map(np.array)
velocity = st.tuples(st.floats(0, 1), st.floats(-1, 1)).map(
    lambda pair: np.array([pair[0], pair[1] * (1 - pair[0]) * min(2 / BASE, 2.84)])
)
"""What the wheels can do."""

limit = jax.jit(Unicycle.limit, static_argnums=0)
reach = jax.jit(Inertial.reach, static_argnums=0)
to_swing = jax.jit(Unicycle.to_swing, static_argnums=0)
from_swing = jax.jit(Unicycle.from_swing, static_argnums=0)


def can_do(robot, control):
    return rims(robot, np.asarray(control)).max() <= robot.max_speed * (1 + 1e-12)


@LAWS
@given(command)
def test_a_command_is_scaled_into_the_limits_along_its_arc(command):
    boxed, limited = (np.asarray(limit(robot, command)) for robot in (replace(EULER, wheel_base=None), EULER))
    assert can_do(EULER, limited)
    assert abs(boxed[0] * limited[1] - boxed[1] * limited[0]) < 1e-12
    assert (boxed * limited >= 0).all()
    if can_do(EULER, boxed):
        np.testing.assert_allclose(limited, boxed, rtol=0, atol=1e-11)
    else:
        assert rims(EULER, limited).max() == pytest.approx(1, abs=1e-12)  # no more than needed


@LAWS
@given(velocity, command)
def test_motors_reach_what_wheels_can_do_and_stop_is_what_it_was(velocity, command):
    low, high = (np.asarray(end) for end in RAMP.window(jnp.asarray(velocity)))
    reached = np.asarray(reach(RAMP, command, velocity))
    assert (low - 1e-12 <= reached).all()
    assert (reached <= high + 1e-12).all()
    for share in np.linspace(0, 1, 5):  # the ramp
        assert can_do(RAMP, velocity + share * (reached - velocity))
    np.testing.assert_allclose(reach(RAMP, reached, velocity), reached, rtol=0, atol=1e-12)
    stops = [reach(robot, np.zeros(2), velocity) for robot in (RAMP, replace(RAMP, wheel_base=None))]
    np.testing.assert_array_equal(*stops)
    assert (np.abs(stops[0]) <= np.abs(reached) + 1e-12).all()


@settings(deadline=None, max_examples=20)
@given(velocity, command)
def test_a_command_that_is_repeated_is_reached_in_the_end(velocity, command):
    for _ in range(40):
        velocity = np.asarray(reach(RAMP, command, velocity))
    np.testing.assert_allclose(velocity, limit(EULER, command), rtol=0, atol=1e-12)


@LAWS
@given(st.tuples(st.floats(0, 1), st.floats(-0.94, 0.94)).map(np.array))
def test_an_answer_of_the_program_is_scaled_along_its_ray(answer):
    control = np.asarray(from_swing(QUICK, answer))
    back = np.asarray(to_swing(QUICK, control))
    assert can_do(QUICK, control)
    assert abs(answer[0] * back[1] - answer[1] * back[0]) < 1e-12
    assert (np.abs(back) <= np.abs(answer) + 1e-12).all()


# --- theorem 3 at the last moment: beside a wall that the stop only just misses ---


def excess(robot, believed, seed, count=20_000):
    """By how much [m] robots that do what the certificate allows could come too near to a wall: the reach of the sector
    that they drive in and then brake in, beyond the room there is, at most. They start where that of braking at once
    leaves micrometres to centimetres, half of them as fast as their wheels can turn.

    The certificate takes the robot for `believed`.
    """
    rng, parameters, wall = np.random.default_rng(seed), Shield(), 9.0
    speed = rng.uniform(0, 1, count)
    most = np.minimum(2 * (1 - speed) / robot.wheel_base, robot.max_turn_rate)
    turn_rate = most * rng.choice([-1, 1], count) * np.where(rng.random(count) < 0.5, 1, rng.random(count))
    before = np.stack([speed, turn_rate])
    heading = rng.choice([0, np.pi], count) + rng.normal(0, 1, count) * 10 ** rng.uniform(-4, -0.5, count)
    room = sector(robot, heading, before, slower(robot, before)) + 10 ** rng.uniform(-7, -2, count)
    pose = np.stack([0 * heading, wall - robot.radius - parameters.added - room, heading])
    asked = np.stack([rng.choice([1.0, 0.5, 0.0], count), rng.choice([-2.84, 0, 2.84], count)])
    sent = certified(asked, pose, before, believed, parameters)
    return (sector(robot, heading, before, np.asarray(reach(robot, sent, before))) - room).max()


@partial(jax.jit, static_argnums=(3, 4))
def certified(asked, pose, velocity, robot, parameters):
    scene = Scene.of([(8.0, -8.0, 0.1)], half_extents=(9.0, 9.0))
    around = shield.survey(parameters, robot, pose, scene, velocity=velocity)
    return shield.unfiltered(asked, around, robot=robot, governor=parameters).control


def sector(robot, heading, before, after):
    """How far [m] along y a sector reaches that contains a step from velocity `before` to `after` and the stop behind
    it: its length by adding up ramps, its headings as seen on the way."""
    way, turn, low, high, shares = 0.0, 0.0, 0.0, 0.0, np.linspace(0, 1, 101)[:, None]
    while (before != 0).any() or (after != 0).any():
        seen = turn + robot.dt * (shares * before[1] + 0.5 * shares**2 * (after - before)[1])
        low, high = np.minimum(low, seen.min(axis=0)), np.maximum(high, seen.max(axis=0))
        way, turn = way + 0.5 * robot.dt * (before + after)[0], seen[-1]
        before, after = after, slower(robot, after)
    ends = np.maximum(np.sin(heading + low), np.sin(heading + high))
    up = np.floor((heading + high - np.pi / 2) / (2 * np.pi)) > np.floor((heading + low - np.pi / 2) / (2 * np.pi))
    return way * np.maximum(np.where(up | (high - low > np.pi), 1, ends), 0)


def slower(robot, velocity):
    """After a step of braking."""
    turning = np.maximum(np.abs(velocity[1]) - robot.turn_acceleration * robot.dt, 0)
    return np.stack([np.maximum(velocity[0] - robot.braking * robot.dt, 0), np.sign(velocity[1]) * turning])


@dataclass(frozen=True)
class Hasty(Inertial):
    """Unsound: scales towards (0, 0) what the motors reach, as if they could leave out the way there."""

    def reach(self, control, velocity=None):
        reached = replace(RAMP, wheel_base=None).reach(control, velocity)
        return self.wheel_share(reached) * reached


def test_a_certified_command_leaves_room_to_brake():
    for seed, base in enumerate((0.5, 2.0)):
        robot = replace(RAMP, wheel_base=base)
        assert -1e-4 < excess(robot, robot, seed) < 1e-9  # and comes near


def test_the_attack_finds_a_wrong_idea_of_the_wheels():
    assert excess(RAMP, Hasty(**asdict(RAMP)), 0) > 1e-4


@pytest.mark.wide
@pytest.mark.parametrize("robot", [EULER, ARC, RAMP], ids=["euler", "arc", "ramp"])
@pytest.mark.parametrize("budget", [Budget(), Budget(pose=0.02, heading=0.02, delay=2, slip=0.05)], ids=["none", "all"])
def test_no_adversary_makes_it_touch_anything_or_drive_beyond_its_wheels(robot, budget):
    found = drive(robot, Shield(budget=budget))
    assert found.contacts == 0
    assert found.uncertified == 0
    assert found.infeasible == 0
    assert found.moving > 0.5
    assert 0.99 < found.fastest_wheel / (1 + budget.slip) <= 1 + 1e-12


def test_an_error_of_the_velocity_is_refused():
    for budget in (Budget(speed=0.01), Budget(turn_rate=0.01)):
        with pytest.raises(ValueError, match="proved safe for a known velocity only"):
            shield.check(Shield(budget=budget), RAMP, 0.5, (5.0, 5.0))
        with pytest.raises(ValueError, match="proved safe for a known velocity only"):
            certified(np.ones((2, 1)), np.zeros((3, 1)), np.zeros((2, 1)), RAMP, Shield(budget=budget))
        shield.check(Shield(budget=budget), EULER, 0.5, (5.0, 5.0))  # whose velocity is what it was told


def test_what_is_sent_the_wheels_can_do():
    """Whatever a base makes of a command that they cannot do: behind the certificate alone, too."""
    before = np.array([[0.9, 0.5, 0.2, 1.0], [0.4, -2.0, 2.84, 0.0]])
    asked = np.array([1.0, -2.84])[:, None] * np.ones(4)
    sent = np.asarray(certified(asked, np.zeros((3, 4)), before, RAMP, Shield()))
    assert can_do(RAMP, sent)
    np.testing.assert_allclose(reach(RAMP, sent, before), sent, rtol=0, atol=1e-12)
    assert not can_do(RAMP, np.clip(limit(EULER, asked), *RAMP.window(jnp.asarray(before))))


# --- games ---


@pytest.mark.wide
@pytest.mark.parametrize(
    "kind", ["inertial barriernet", "unicycle barriernet", "unicycle cbf-beta", "inertial ppo", "inertial cbf-beta"]
)
def test_a_recorded_game_keeps_within_the_wheels_of_both_robots(kind, tmp_path):
    """Judged from the file alone: controls and velocities against the limits beside them."""
    model, method = kind.split()
    with jax.enable_x64(False):
        config = replace(TINY, evader="flee").with_robot(model)
        game = replace(config.game, robot=replace(config.game.robot, wheel_base=BASE), horizon=60)
        game = replace(game, arena=replace(game.arena, obstacles=3), evader_speed_ratio=1.2)
        config = replace(config, game=game, method=method)
        judged = evaluate(outspoken(BarrierNetTrainer(config).policy, 5.0), config, episodes=100, seed=1)
    recording.save(judged.recording, tmp_path / "games.npz")
    with np.load(tmp_path / "games.npz") as stored:
        found = dict(stored)
    used = []
    for role in ("pursuer", "evader"):
        _, fastest, *_, base, _ = found[f"{role}_limits"]
        assert base == BASE
        for part in (found[f"{role}_control"], found[f"{role}_velocity"]):
            v, turn_rate = part[~np.isnan(part).any(axis=-1)].T
            used.append((np.abs(v) + base / 2 * np.abs(turn_rate)) / fastest)
    assert np.max(np.concatenate(used)) <= 1 + 1e-6
    assert min((one > 0.999).mean() for one in used) > 0.1  # and at their limits
    assert config.promises == (method != "ppo")
    assert judged.result["collision"]["count"] == 0 or method == "ppo"


def test_a_game_executes_what_the_wheels_can_do():
    game = replace(TINY.with_robot("inertial").game, robot=RAMP, evader_speed_ratio=1.2)
    start = GameState(
        tuple(RobotState(jnp.full(3, at), jnp.zeros(2)) for at in (-2.0, 2.0)),
        Scene.of([(0.0, 0.0, 0.3)], half_extents=(3.0, 3.0)),
        jnp.asarray(0),
    )
    asked = jnp.repeat(jax.random.uniform(jax.random.key(0), (50, 2, 2), minval=-4, maxval=4), 10, axis=0)

    def step(state, controls):
        after = transition(state, tuple(controls), game).state
        return after, [robot.control for robot in after.robots]

    executed = jax.lax.scan(step, start, asked)[1]
    for robot, controls in zip(game.robots, executed, strict=True):
        fastest = rims(robot, np.moveaxis(np.asarray(controls), 1, 0)) / robot.max_speed
        assert fastest.max() <= 1 + 1e-12
        assert (fastest.max(axis=0) > 0.99).mean() > 0.05


def test_settings_name_it_and_refuse_what_is_none(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("game:\n  robot:\n    wheel_base: 0.3\n")
    loaded = configuration.load(TrainConfig(), file)
    assert loaded.robot == Unicycle(wheel_base=0.3)
    assert within_theory(loaded.robot)
    with pytest.raises(ValueError, match="robot wheel_base must be positive, not -1"):
        Unicycle(wheel_base=-1.0)
    with pytest.raises(ValueError, match="no limits of wheels"):
        matches.match(loaded.game, [])
