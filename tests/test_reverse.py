"""Robots that drive backwards: symmetry of their ways, laws of what is executed, theorems 1 to 3, attacks."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
from inertia import drive
from safepursuit import shield
from safepursuit.adapters.onnx import compare, export, write
from safepursuit.adapters.setting import action_space
from safepursuit.barriers import stop_sector
from safepursuit.cli import main
from safepursuit.evaluation import evaluate
from safepursuit.experiment import TrainConfig
from safepursuit.game import GameState, RobotState, transition
from safepursuit.learn import BarrierNetTrainer
from safepursuit.play import recording
from safepursuit.policy import safe_set
from safepursuit.robot import Budget, Inertial, Unicycle, within_theory
from safepursuit.runs import configuration
from safepursuit.scene import Scene
from safepursuit.shield import Backwards, Shield, layer
from safepursuit.viewer import matches
from tiny import TINY, outspoken

pytestmark = pytest.mark.usefixtures("float64")

LAWS = settings(deadline=None, max_examples=100)
EULER = Unicycle(min_speed=-1.0)
ARC = replace(EULER, integrator="arc", min_speed=-0.6)
RAMP = Inertial(acceleration=2.0, braking=1.7, turn_acceleration=7.0, min_speed=-0.7)
ROBOTS = {"euler": EULER, "arc": ARC, "ramp": RAMP}
BUDGETS = {
    "none": Budget(),
    "errors": Budget(pose=0.02, heading=0.02, speed=0.03, turn_rate=0.05, slip=0.05),
    "delay": Budget(pose=0.02, heading=0.02, turn_rate=0.05, delay=2, slip=0.05),
}

command = st.tuples(st.floats(-2, 2), st.floats(-5, 5)).map(np.array)
speed = st.one_of(st.just(0.0), st.floats(-0.7, 1)).map(lambda v: v if abs(v) > 1e-12 else 0.0)
velocity = st.tuples(speed, st.floats(-2.84, 2.84)).map(np.array)

limit = jax.jit(Inertial.limit, static_argnums=0)
reach = jax.jit(Inertial.reach, static_argnums=0)
braked = jax.jit(Inertial.braked, static_argnums=0)
to_swing = jax.jit(Inertial.to_swing, static_argnums=0)
from_swing = jax.jit(Inertial.from_swing, static_argnums=0)
swing_box = jax.jit(Inertial.swing_box, static_argnums=0)


# --- what is executed ---


@pytest.mark.parametrize("name", ROBOTS)
def test_backwards_is_forwards_with_the_other_heading(name):
    """The way at v < 0 is that of a robot that looks the other way, at −v: by definition, and by integration."""
    robot, rng = ROBOTS[name], np.random.default_rng(0)
    pose = jnp.asarray(rng.uniform(-3, 3, (3, 200)))
    before, control = (
        jnp.asarray(np.stack([rng.uniform(-0.6, 0, 200), rng.uniform(-2.8, 2.8, 200)])) for _ in range(2)
    )
    found = np.asarray(robot.way(pose, control, 4, before)[:, -1])
    other = pose + jnp.asarray([0, 0, np.pi])[:, None]
    ahead = [jnp.stack([-one[0], one[1]]) for one in (control, before)]
    np.testing.assert_allclose(found, robot.way(other, ahead[0], 4, ahead[1])[:, -1], rtol=0, atol=1e-12)
    if name != "ramp":
        expected = reference.motion(other, ahead[0], robot.dt, robot.integrator)[:2]
    else:  # midpoints of a thousand pieces
        other, *ahead = (np.asarray(one) for one in (other, *ahead))
        times = (np.arange(1000)[:, None] + 0.5) * robot.dt / 1000
        slope = (ahead[0] - ahead[1]) / robot.dt
        heading = other[2] + ahead[1][1] * times + 0.5 * slope[1] * times**2
        speed = ahead[1][0] + slope[0] * times
        driven = speed * np.stack([np.cos(heading), np.sin(heading)]) * robot.dt / 1000
        expected = other[:2] + driven.sum(axis=1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)
    np.testing.assert_array_equal(robot.turn(control, before)[:5], robot.turn(*map(jnp.asarray, ahead))[:5])


@LAWS
@given(velocity, command)
def test_no_step_has_speeds_of_both_signs_and_stop_is_mirrored(velocity, command):
    reached = np.asarray(reach(RAMP, command, velocity))
    assert reached[0] * velocity[0] >= 0
    assert RAMP.min_speed <= reached[0] <= RAMP.max_speed
    gained = np.abs(reached[0]) - np.abs(velocity[0])
    assert -RAMP.braking * RAMP.dt - 1e-12 <= gained <= RAMP.acceleration * RAMP.dt + 1e-12
    other = np.array([-1, 1])
    stopped = reach(RAMP, np.zeros(2), velocity)
    np.testing.assert_array_equal(stopped, braked(RAMP, velocity))
    np.testing.assert_array_equal(stopped, other * reach(replace(RAMP, min_speed=-1.0), np.zeros(2), other * velocity))
    if velocity[0] == 0:
        assert reached[0] * command[0] >= 0
        assert abs(reached[0]) == pytest.approx(min(abs(command[0]), RAMP.acceleration * RAMP.dt), abs=1e-12)


def test_what_rounding_leaves_of_rest_is_rest():
    for kind in (np.float32, np.float64):
        for left in (1e-7, -1e-7) if kind is np.float32 else (1e-16, -1e-16):
            for asked in (1.0, -1.0):
                at_once = RAMP.reach(jnp.asarray([asked, 0], kind), jnp.asarray([left, 0], kind))[0]
                assert float(at_once) == pytest.approx(asked * RAMP.acceleration * RAMP.dt, rel=1e-5)


@pytest.mark.wide
@settings(deadline=None, max_examples=20)
@given(velocity, command)
def test_a_command_that_is_repeated_is_reached_in_the_end(velocity, command):
    for _ in range(60):
        velocity = np.asarray(reach(RAMP, command, velocity))
    np.testing.assert_allclose(velocity, limit(RAMP, command), rtol=0, atol=1e-12)


@LAWS
@given(velocity, command)
def test_the_coordinates_of_the_program_are_one_to_one(velocity, command):
    reached = np.asarray(reach(RAMP, command, velocity))
    u = np.asarray(to_swing(RAMP, reached, velocity))
    low, high = swing_box(RAMP, jnp.asarray(0.0), velocity)
    assert (low - 1e-12 <= u).all()
    assert (u <= high + 1e-12).all()
    np.testing.assert_allclose(from_swing(RAMP, u, velocity), reached, rtol=0, atol=1e-9)
    np.testing.assert_allclose(to_swing(RAMP, braked(RAMP, velocity), velocity), 0, rtol=0, atol=1e-12)


def test_heads_command_the_whole_range():
    corners = np.array([[-1.0, 1.0, 0.0], [-1.0, 1.0, 0.0]])
    for robot in (EULER, ARC, RAMP):
        control = np.asarray(robot.from_unit_box(jnp.asarray(corners)))
        np.testing.assert_allclose(control[0], [robot.min_speed, 1, 0.5 * (robot.min_speed + 1)], atol=1e-15)
        np.testing.assert_allclose(robot.to_unit_box(jnp.asarray(control)), corners, atol=1e-15)
        assert action_space(robot, False).low[0] == np.float32(robot.min_speed)
    for speed, ends in ((0.05, (0, 0.15)), (-0.05, (-0.15, 0)), (0.0, (-0.1, 0.1))):
        at = jnp.stack([jnp.full(3, speed), jnp.zeros(3)])
        control = RAMP.from_unit_box(jnp.asarray(corners), at)
        np.testing.assert_allclose(control[0, :2], ends, atol=1e-15)
        np.testing.assert_allclose(RAMP.to_unit_box(control, at), corners, atol=1e-12)


@pytest.mark.wide
@pytest.mark.parametrize("onto", ["box", "polygon"])
def test_the_map_onto_the_safe_set_reaches_its_ends_behind(onto):
    """A wall 2 cm behind and none ahead: z₁ = 0 is theorem 1's limit, z₁ = 1 full speed ahead."""
    scene, parameters = Scene.of([(0.0, 0.0, 0.1)], half_extents=(5.0, 5.0)), Shield(margin=1e-9)
    pose = jnp.asarray([-5 + EULER.radius + 0.02, 3.0, 0.0])
    around = shield.survey(parameters, EULER, pose, scene)
    for z, speed in ((0.0, -0.4), (1.0, 1.0)):
        at = jnp.asarray([z, 0.5])
        if onto == "box":
            control = safe_set.box(EULER, around, at)
        else:
            control = safe_set.polygon(EULER, shield.problem(parameters, EULER, around), at)
        np.testing.assert_allclose(control, [speed, 0], atol=1e-6)
        done = shield.adopt(control, control, around, robot=EULER, shield=parameters)
        np.testing.assert_allclose(done.control, control, atol=1e-12)
    backed = shield.guard(jnp.asarray([-1.0, 0.0]), around, robot=EULER, shield=parameters)
    np.testing.assert_allclose(backed.control, [-0.4, 0], atol=1e-6)
    assert backed.governed
    assert backed.intervened
    assert backed.lost_gradient

    def speed(heading, asked):
        at = shield.survey(parameters, EULER, jnp.stack([pose[0], pose[1], heading]), scene)
        return shield.guard(jnp.asarray([asked, 0.0]), at, robot=EULER, shield=parameters).control[0]

    slopes = jax.grad(speed, argnums=(0, 1))(jnp.asarray(0.3), jnp.asarray(-1.0))
    np.testing.assert_allclose(slopes, [-0.4 * np.sin(0.3) / np.cos(0.3) ** 2, 0], atol=1e-6)  # of −0.4/cos θ
    assert not shield.guard(jnp.asarray([-0.3, 0.0]), around, robot=EULER, shield=parameters).intervened


# --- attacks ---


@pytest.mark.parametrize("name", ["euler", "ramp", pytest.param("arc", marks=pytest.mark.wide)])
def test_no_adversary_makes_it_touch_anything(name):
    found = drive(ROBOTS[name], Shield(), games=64, steps=80)
    assert found.contacts == found.uncertified == found.infeasible == 0
    assert found.least < 1e-3
    assert found.backwards > 0.2


@pytest.mark.wide
@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("name", ROBOTS)
def test_no_adversary_makes_it_touch_anything_despite_errors(name, budget):
    found = drive(ROBOTS[name], Shield(budget=BUDGETS[budget]))
    assert found.contacts == found.uncertified == found.infeasible == 0
    assert found.backwards > 0.2


@pytest.mark.heavy
@pytest.mark.parametrize("name", ROBOTS)
def test_no_adversary_makes_it_touch_anything_in_a_million_steps(name, capsys):
    steps = 0
    for seed, budget in enumerate(list(BUDGETS.values()) * 3):
        found = drive(ROBOTS[name], Shield(budget=budget), seed=seed + 1, games=512, steps=250)
        assert found.contacts == found.uncertified == found.infeasible == 0
        steps += found.steps
    assert steps > 1_000_000
    with capsys.disabled():
        print(f"\n{name}: no contact in {steps:,} steps")


@pytest.mark.wide
@pytest.mark.parametrize("name", ROBOTS)
def test_no_adversary_makes_it_touch_a_mover(name):
    found = drive(ROBOTS[name], Shield(budget=Budget(mover_speed=0.3)), discs=3)
    assert found.contacts == found.uncertified == found.infeasible == 0
    assert found.backwards > 0.05


@pytest.mark.wide
@pytest.mark.parametrize("name", ROBOTS)
def test_no_adversary_makes_it_drive_beyond_its_wheels(name):
    budget = Budget(pose=0.02, heading=0.02, delay=2, slip=0.05)
    found = drive(replace(ROBOTS[name], wheel_base=0.5), Shield(budget=budget))
    assert found.contacts == found.uncertified == found.infeasible == 0
    assert found.backwards > 0.2
    assert 0.99 < found.fastest_wheel / (1 + budget.slip) <= 1 + 1e-12


class ThroughRest(Inertial):
    """Motors that pass through rest within a step, as real ones may."""

    def window(self, velocity):
        v, turn_rate = velocity
        step = self.turn_acceleration * self.dt
        low = [v - self.braking * self.dt, turn_rate - step]
        high = [v + self.braking * self.dt, turn_rate + step]
        return self.within_box(jnp.stack(low)), self.within_box(jnp.stack(high))


THROUGH_REST = ThroughRest(acceleration=2.0, braking=2.0, turn_acceleration=7.0, min_speed=-0.7)


@pytest.mark.wide
@pytest.mark.parametrize("budget", ["none", "errors"])
def test_motors_that_pass_through_rest_are_covered(budget):
    believed = replace(RAMP, braking=2.0)
    found = drive(THROUGH_REST, Shield(budget=BUDGETS[budget]), believed=believed)
    assert found.contacts == found.infeasible == 0
    assert found.backwards > 0.2


def looks_ahead_only(survey):
    """Unsound: the limit ahead for both ways."""

    def wrong(*arguments, **more):
        around = survey(*arguments, **more)
        return around._replace(backwards=Backwards(around.speed_limit, around.least_speed))

    return wrong


@pytest.mark.wide
@pytest.mark.parametrize("name", ["euler", "arc"])
def test_the_attack_finds_a_governor_that_looks_only_ahead(name, monkeypatch):
    monkeypatch.setattr(layer, "survey", looks_ahead_only(shield.survey))
    found = drive(replace(ROBOTS[name], radius=0.151), Shield(), games=64, steps=80)
    assert found.contacts > 100


def test_the_attack_finds_a_certificate_that_looks_only_ahead(monkeypatch):
    ahead = property(lambda motion: motion._replace(velocity=motion.velocity * jnp.asarray([-1, 1])[:, None]))
    monkeypatch.setattr(stop_sector.Motion, "backwards", ahead)
    found = drive(replace(RAMP, radius=0.151), Shield(), games=64, steps=80)
    assert found.contacts > 100


@pytest.mark.wide
def test_the_attack_finds_an_error_of_the_speed_left_out():
    found = drive(RAMP, Shield(), Budget(speed=0.2))
    assert found.contacts > 0


def test_a_speed_that_cannot_be_predicted_is_refused():
    both = Shield(budget=Budget(speed=0.01, delay=1))
    with pytest.raises(ValueError, match="with an error of the speed or a delay, not with both"):
        shield.check(both, RAMP, 0.5, (5.0, 5.0))
    for robot in (EULER, ARC, replace(RAMP, min_speed=0.0)):
        shield.check(both, robot, 0.5, (5.0, 5.0))
    for budget in BUDGETS.values():
        shield.check(Shield(budget=budget), RAMP, 0.5, (5.0, 5.0))


# --- games ---


def reversing(model, method, **changes):
    config = replace(TINY, evader="flee").with_robot(model)
    robot = replace(config.game.robot, min_speed=-0.5, **changes)
    game = replace(config.game, robot=robot, horizon=60, arena=replace(config.game.arena, obstacles=3))
    return replace(config, game=game, method=method)


@pytest.mark.wide
@pytest.mark.parametrize(
    "kind", ["inertial barriernet", "unicycle barriernet", "unicycle cbf-beta", "inertial ppo", "inertial cbf-beta"]
)
def test_a_recorded_game_tells_of_the_way_back(kind, tmp_path):
    model, method = kind.split()
    with jax.enable_x64(False):
        config = reversing(model, method)
        config = replace(config, game=replace(config.game, evader_speed_ratio=1.2))
        judged = evaluate(outspoken(BarrierNetTrainer(config).policy, 5.0), config, episodes=60, seed=1)
    recording.save(judged.recording, tmp_path / "games.npz")
    with np.load(tmp_path / "games.npz") as stored:
        found = dict(stored)
    for role, slowest in (("pursuer", -0.5), ("evader", -0.6)):
        assert found[f"{role}_limits"][0] == pytest.approx(slowest)
    speed = found["pursuer_control"][..., 0]
    speed = speed[~np.isnan(speed)]
    assert speed.min() >= -0.5 - 1e-6
    assert (speed < -0.01).mean() > 0.02
    assert config.promises == (method != "ppo")
    assert judged.result["collision"]["count"] == 0 or method == "ppo"


@pytest.mark.wide
def test_a_robot_that_backs_into_a_wall_is_stopped_there():
    """Solid, and a contact, for the Euler step as for the arc; an evader with a limit of its own keeps to it behind."""
    for robot in (EULER, replace(EULER, integrator="arc")):
        game = replace(TINY.game, robot=robot, evader_speed_ratio=1.0)
        start = GameState(
            (
                RobotState(jnp.asarray([-2.84, 0.0, 0.0]), jnp.zeros(2)),
                RobotState(jnp.asarray([1.0, 0.0, 0.0]), jnp.zeros(2), jnp.asarray(0.5)),
            ),
            Scene.of([(0.0, 2.0, 0.3)], half_extents=(3.0, 3.0)),
            jnp.asarray(0),
        )
        asked = jnp.asarray([-1.0, 0.0])
        after = transition(start, (asked, asked), game)
        assert after.contact("pursuer").wall
        np.testing.assert_allclose(after.state.pursuer[:2], [-2.85, 0], atol=1e-9)
        np.testing.assert_allclose(after.state.evader[:2], [1 - 0.5 * robot.dt, 0], atol=1e-9)


@pytest.mark.wide
@pytest.mark.parametrize("kind", ["unicycle barriernet", "inertial barriernet", "inertial cbf-beta", "arc cbf-beta"])
def test_a_file_says_what_the_package_says(kind, tmp_path):
    model, method = kind.split()
    with jax.enable_x64(False):
        arc = {"integrator": "arc"} if model == "arc" else {}
        config = reversing("unicycle" if arc else model, method, **arc)
        policy = outspoken(BarrierNetTrainer(config).policy)
        file = tmp_path / "policy.onnx"
        write(export(policy, config), file)
    passed, result = compare(file, policy, config, count=1400)
    assert passed, result
    assert "[-0.5, 1] m/s" in (tmp_path / "policy.onnx").read_bytes().decode(errors="ignore")


def test_settings_name_it_and_refuse_what_is_none(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("game:\n  robot:\n    min_speed: -0.3\n")
    loaded = configuration.load(TrainConfig(), file)
    assert loaded.robot == Unicycle(min_speed=-0.3)
    assert within_theory(loaded.robot)
    assert loaded.robot.faster(2.0).min_speed == -0.6
    assert Unicycle(min_speed=0.0) == Unicycle()  # and so the same compiled programs
    for slowest in (0.1, -1.1):
        with pytest.raises(ValueError, match="robot min_speed must lie between -1"):
            Unicycle(min_speed=slowest)
    with pytest.raises(ValueError, match="no way to drive backwards"):
        matches.match(loaded.game, [])


@pytest.mark.wide
@pytest.mark.parametrize("model", ["unicycle", "inertial"])
def test_a_training_takes_it_from_the_command_line(model, tmp_path):
    words = ["--robot", model, "--game.robot.min-speed", "-0.4", "--num-envs", "8", "--rollout-length", "8"]
    words += ["--timesteps", "128", "--ppo.minibatches", "2", "--run-dir", str(tmp_path / "run")]
    with jax.enable_x64(False):
        assert main(["train", *words]) in (None, 0)
    loaded = configuration.load(TrainConfig(), tmp_path / "run" / "config.yaml")
    assert loaded.robot.min_speed == -0.4
