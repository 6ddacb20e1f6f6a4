"""The exported file: its compiler against JAX, its projection against `qp`, and the whole against the package, against
the definition of the safe speed, and against anything that may come in."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import helper

from safepursuit import qp, shield
from safepursuit.adapters.onnx import checking, compare, describing, export, latency, projection, session, write
from safepursuit.adapters.onnx.arrays import Tensor, expanded
from safepursuit.adapters.onnx.controller import (
    CONSTRAINTS,
    EDGES,
    LIMITS,
    MOVERS,
    NOTHING,
    WALLS,
    WATCHDOG,
    Measured,
    observed,
)
from safepursuit.adapters.onnx.graph import Graph
from safepursuit.adapters.onnx.lowering import lower
from safepursuit.adapters.onnx.states import KINDS, draw
from safepursuit.agents import predicted
from safepursuit.cli import export as command_line
from safepursuit.cli import main
from safepursuit.game import Game, GameState, RobotState, observe
from safepursuit.geometry import length, unit
from safepursuit.learn import BarrierNetTrainer
from safepursuit.policy import HEADS, PolicyConfig
from safepursuit.qp import Halfplanes
from safepursuit.robot import Budget, Unicycle
from safepursuit.runs import configuration
from safepursuit.runs.folder import RunFolder
from safepursuit.scene import Arena, Movers, Scene, Way, Ways
from safepursuit.shield import fitting
from tiny import TINY, aimed, few, outspoken

ROOT = Path(__file__).parents[1]
METHODS = [*HEADS, "cbf-beta box", "barriernet arc", "barriernet fixed gains", "barriernet robot barrier"]
ROBOTS = {
    "inertial": ("inertial", Budget()),
    "burger": ("turtlebot3-burger", Budget(pose=0.01, heading=0.01, delay=2)),
    "jackal": ("jackal", Budget(0.01, 0.01, 0.02, 0.02, 3, 0.02)),
    "movers": ("create3", Budget(mover_speed=0.2)),
}
"""Robots with inertia, and what is declared."""
ROOMS = {
    "among": ("discs", "rays", "turtlebot3-burger", Budget(pose=0.01, delay=2)),
    "lab": ("lab", "rays", "unicycle", Budget()),
    "people": ("lab-people", "discs", "create3", Budget(mover_speed=0.1)),
    "corridor": ("corridor", "rays", "unicycle", Budget(pose=0.01)),
}
"""Scene, sensor, robot and what is declared: files that take edges, movers and the shortest way."""
ROWS = {"among": {"edges": 3, "movers": 2}}
"""What a file takes where it is not what the training has."""
AMONG = [f"{method} {room}" for method in ("barriernet", "cbf-beta", "ppo-filter") for room in ROOMS]
MOVING = [f"{method} {robot}" for method in ("barriernet", "cbf-beta") for robot in ROBOTS]
WHEELS = ["barriernet wheels", "barriernet inertial wheels", "cbf-beta wheels", "cbf-beta inertial wheels"]
UNSAFE = {"ppo", "ppo-lagrangian"}


def configured(name):
    """A tiny configuration of a method, in an arena with room for everything."""
    if name.endswith(" wheels"):
        config = configured(name.removesuffix(" wheels"))
        return replace(config, game=replace(config.game, robot=replace(config.robot, wheel_base=0.5)))
    method, *variant = name.split(" ", 1)
    kind = "".join(variant)
    policy = PolicyConfig(
        hidden=(8,),
        disc_width=4,
        learned_gains=kind != "fixed gains",
        safe_set="box" if kind == "box" else "polygon",
    )
    if kind in ROOMS:
        scene, sensor, model, budget = ROOMS[kind]
        config = replace(TINY.with_robot(model), method=method, policy=policy)
        game = replace(config.game, arena=Arena(scene=scene), sensor=sensor)
        margin = fitting(game.robot, game.arena.half_extents).margin
        return replace(config, game=game, shield=replace(config.shield, margin=margin, budget=budget))
    if kind in ROBOTS:
        model, budget = ROBOTS[kind]
        config = replace(TINY.with_robot(model), method=method, policy=policy)
        arena = replace(config.game.arena, obstacles=3)
        return replace(config, game=replace(config.game, arena=arena), shield=replace(config.shield, budget=budget))
    game = Game(
        Arena(half_extents=(6.0, 4.0), obstacles=3), robot=Unicycle(integrator="arc" if kind == "arc" else "euler")
    )
    shield = replace(TINY.shield, robot_barrier=kind == "robot barrier", robot_gain=1.0)
    return replace(TINY, method=method, game=game, policy=policy, shield=shield)


@cache
def outspoken_policy(name):
    """In single precision, whichever test asks first."""
    with jax.enable_x64(False):
        return outspoken(BarrierNetTrainer(configured(name)).policy)


@pytest.fixture
def double_precision():
    """For one test; files are compared in single precision as well."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The file of a method, made once."""
    folder = tmp_path_factory.mktemp("exported")

    @cache
    def make(name):
        file = folder / f"{name}.onnx"
        write(export(outspoken_policy(name), configured(name), **ROWS.get(name.split(" ", 1)[-1], {})), file)
        return file

    return make


@pytest.fixture(scope="module")
def ahead(tmp_path_factory):
    """The file of a method whose network asks for 0.25 m/s straight ahead, made once."""
    folder = tmp_path_factory.mktemp("ahead")

    @cache
    def make(name):
        config, file = configured(name), folder / f"{name}.onnx"
        policy = aimed(BarrierNetTrainer(config).policy, np.float32([-0.5, 0]))
        write(export(policy, config, **ROWS.get(name.split(" ", 1)[-1], {})), file)
        return file

    return make


OPENED = cache(session)


def run(file, inputs):
    opened = OPENED(file)
    names = [output.name for output in opened.get_outputs()]
    return dict(zip(names, opened.run(None, inputs), strict=True))


# The compiler.


def compiled(function, *samples):
    """What the graph of a function of one sample gives for a batch; the samples come last."""
    dtype = samples[0].dtype
    with jax.enable_x64(True):
        program = jax.make_jaxpr(function)(*(jnp.asarray(sample[..., 0]) for sample in samples))
        names = [f"x{number}" for number in range(len(samples))]
        graph = Graph("size")
        shapes = [sample.shape[:-1] for sample in samples]
        inputs = [
            Tensor(name, shape, shape, sample.dtype) for name, shape, sample in zip(names, shapes, samples, strict=True)
        ]
        outputs = [expanded(graph, array) for array in lower(graph, program, inputs)]
    information = [helper.make_tensor_value_info("size", onnx.TensorProto.DOUBLE, ["N"])] + [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), [*shape, "N"])
        for name, shape in zip(names, shapes, strict=True)
    ]
    results = [
        (
            output.name,
            helper.make_tensor_value_info(
                f"y{number}", helper.np_dtype_to_tensor_dtype(output.dtype), [*output.shape, "N"]
            ),
        )
        for number, output in enumerate(outputs)
    ]
    model = graph.model(information, results, "test", {})
    opened = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = dict(zip(names, samples, strict=True)) | {"size": np.zeros(samples[0].shape[-1])}
    used = {one.name for one in opened.get_inputs()}
    return opened.run(None, {name: value for name, value in feed.items() if name in used})


TABLE = np.asarray([[0.0, 1.0, 2.0], [3.0, 3.0, 3.0]])
OPERATIONS = {
    "arithmetic": lambda x, y: x + 2 * y - x / (1 + y**2) + x**3 + jnp.abs(-y) ** 0.5,
    "functions": lambda x, y: jnp.sin(x) + jnp.cos(y) + jnp.tanh(x) + jnp.exp(-(y**2)) + jax.nn.sigmoid(x),
    "arc sine": lambda x, y: jnp.arcsin(jnp.clip(x, -0.99, 0.99)),
    "soft plus": lambda x, y: jax.nn.softplus(20 * x),
    "exponential less one": lambda x, y: jnp.expm1(1e-6 * x),
    "logarithm of one more": lambda x, y: jnp.log1p(1e-9 * jnp.abs(x)),
    "comparisons": lambda x, y: jnp.stack(
        [x < y, x <= y, x > y, x >= y, x == y, x != y, ~(x < y), (x < 0) & (y < 0) | (x > 1)]
    ),
    "choice": lambda x, y: jnp.where(x > 0, y, -1.0),
    "clipping": lambda x, y: jnp.clip(x, -0.3, 0.7) + jnp.minimum(jnp.maximum(x, y), 0.5),
    "numbers": lambda x, y: (x[0, 1] + y[1, 2]) * x,
    "rows": lambda x, y: x[0] * y[1] + x[1, 0],
    "pieces": lambda x, y: jnp.concatenate([x[:, 1:], y[:, :1]], axis=1)[:, ::1],
    "stacks": lambda x, y: jnp.stack([x, y, jnp.ones_like(x)], axis=1)[:, 1],
    "stack and take apart": lambda x, y: jnp.stack([x[0], y[0]])[1] + jnp.stack([x[0], y[1]], axis=1)[:, 0],
    "constants in between": lambda x, y: jnp.concatenate([x, jnp.asarray(TABLE), y]),
    "pairs": lambda x, y: x[0][:, None] * y[1] - x[1][:, None] * y[0][:, None].T,
    "least and greatest": lambda x, y: jnp.min(x, axis=1) - jnp.max(y, axis=1) + jnp.max(x),
    "sums": lambda x, y: jnp.sum(x, axis=0)[None] + jnp.sum(jnp.broadcast_to(y[:, :1], (2, 3)), axis=1)[:, None],
    "all and any": lambda x, y: jnp.stack([jnp.all(x > -1, axis=0), jnp.any(y > 1, axis=0)]),
    "written into": lambda x, y: (
        x.at[:, 1:].add(y[:, :2]).at[:1].set(y[1:]) + jnp.zeros((2, 3)).at[:, 2:].set(y[:, :1])
    ),
    "transposed": lambda x, y: x.T + 1,
    "transposed where alike": lambda x, y: jnp.broadcast_to(x[:, 0][:, None], (2, 3)).T + y[:, :1].T,
    "batched": lambda x, y: jax.vmap(lambda a: jnp.max(a * y, axis=1))(x[0]),
    "reshaped": lambda x, y: x.reshape(6) + y.reshape(3, 2).reshape(6),
    "repeated": lambda x, y: jnp.broadcast_to(x[:, 0][:, None], (2, 4)).reshape(8),
    "weights": lambda x, y: (
        jnp.tensordot(jnp.asarray(TABLE), x.T, axes=1) + jnp.tensordot(jnp.asarray(TABLE).T, x, axes=1)[:2, :2]
    ),
    "weights of a vector": lambda x, y: jnp.tensordot(jnp.asarray(TABLE), y[0], axes=1),
    "chosen": lambda x, y: jax.lax.dynamic_slice(y[0], (jax.lax.argmin(x[0], 0, jnp.int32),), (1,)),
    "length": lambda x, y: jnp.sqrt(jnp.where(x[0] ** 2 + x[1] ** 2 > 0, x[0] ** 2 + x[1] ** 2, 1)),
    "calls": lambda x, y: jax.jit(lambda a: a + 1)(jax.lax.stop_gradient(x)),
    "types": lambda x, y: (x > 0).astype(jnp.int32) + x.astype(jnp.int32),
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_a_graph_computes_what_jax_computes(name):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 2, 3, 5))
    x[:, 0, 0] = y[0, 0, 0] = 0
    (found,) = compiled(OPERATIONS[name], x, y)
    with jax.enable_x64(True):
        expected = jax.vmap(OPERATIONS[name], in_axes=-1, out_axes=-1)(x, y)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)


def test_lengths_and_directions_take_one_node_and_are_zero_at_zero():
    vectors = np.array([[3.0, 0.0, 1e-8, -5.0], [4.0, 0.0, 0.0, 12.0]])
    np.testing.assert_allclose(compiled(length, vectors)[0], [5, 0, 1e-8, 13])
    np.testing.assert_allclose(compiled(unit, vectors)[0], [[0.6, 0, 1, -5 / 13], [0.8, 0, 0, 12 / 13]])


def test_what_there_is_no_rule_for_is_refused():
    functions = [jnp.cumsum, jnp.fft.fft, lambda x: x[::2], lambda x: x.at[np.array([0, 2])].set(0.0)]
    for function in functions:
        with pytest.raises(NotImplementedError, match="no rule"):
            compiled(function, np.ones((4, 2)))


# The projection.

PROJECT = jax.jit(qp.project)
CLOSED = jax.jit(jax.vmap(projection.project, in_axes=-1, out_axes=-1))


def problems(rng, count, rows=12):
    """Polygons about the origin: b ≥ 0; some rows padding, repeated, parallel, or through the origin."""
    A = rng.normal(size=(rows, 2, count)) * np.exp(rng.uniform(-2, 1, (rows, 1, count)))
    b = np.abs(rng.normal(size=(rows, count))) * np.hypot(A[:, 0], A[:, 1])
    A[1], b[1] = A[0], b[0] * rng.uniform(0.5, 1.5, count)
    A[2], b[2] = -A[3], b[3]
    A[4], b[4] = 3 * A[5], 3 * b[5]
    A[6] *= rng.random(count) < 0.5
    b[7:9] *= rng.random((2, count)) < 0.5
    return 3 * rng.normal(size=(2, count)), A, b, np.exp(rng.uniform(-1, 1, (2, count)))


@pytest.mark.usefixtures("double_precision")
def test_the_closed_form_is_the_projection():
    nominal, A, b, weights = problems(np.random.default_rng(1), 20_000)
    exact = PROJECT(nominal, Halfplanes(A, b), weights)
    found = CLOSED(nominal, Halfplanes(A, b), weights)
    assert float(jnp.max(exact.violation)) == 0
    np.testing.assert_allclose(found.u, exact.u, atol=2e-7)
    np.testing.assert_array_equal(found.violation, 0)
    # It names every row that holds the point, and more only where rows coincide or meet.
    held = np.asarray(exact.multipliers) > 1e-6
    touched = np.abs(np.einsum("rcn,cn->rn", A, np.asarray(found.u)) - b) <= 1e-6 * (1 + np.abs(b))
    assert not (np.asarray(found.active) & ~touched).any()
    assert (np.asarray(found.active) | ~held).any(axis=0).all()
    assert ((np.asarray(found.active) & held).any(axis=0) | ~held.any(axis=0)).mean() > 0.99


@pytest.mark.usefixtures("double_precision")
def test_a_row_of_padding_holds_nothing():
    """(−1.5, −0.2) = 1.65 (−1, 0) + 0.25 (0.6, −0.8): two rows hold the origin, where a row of zeros is met as well."""
    A = np.array([[-1.0, 0.0], [0.6, -0.8], [0.0, 0.0], [1.0, 0.0]])[..., None]
    found = CLOSED(np.array([[-1.5], [-0.2]]), Halfplanes(A, np.zeros((4, 1))), np.ones((2, 1)))
    assert found.active[:, 0].tolist() == [True, True, False, False]


@pytest.mark.usefixtures("double_precision")
def test_the_closed_form_brakes_where_nothing_satisfies_all_rows():
    A = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])[..., None]
    found = CLOSED(np.array([[0.3], [0.2]]), Halfplanes(A, np.array([[-1.0], [-1.0], [1.0]])), np.ones((2, 1)))
    np.testing.assert_array_equal(found.u, 0)
    assert np.isinf(found.violation)


# The file.


@pytest.mark.parametrize(
    "name", few(["barriernet burger", "barriernet among", "barriernet", "barriernet lab", "cbf-beta", "ppo", *WHEELS])
)
def test_a_file_says_what_the_package_says(exported, name):
    passed, result = compare(exported(name), outspoken_policy(name), configured(name), count=700)
    assert passed, result


@pytest.mark.wide
def test_a_file_takes_the_commands_on_their_way(exported):
    """The oldest is executed first: other commands, or in another order, are another state; and the card says so."""
    config, file = configured("barriernet burger"), exported("barriernet burger")
    inputs, kind = draw(config.game, 3, 70, 0, delay=2)
    found = run(file, inputs)["safe_control"]
    for other in (inputs["pending"][:, ::-1], np.zeros_like(inputs["pending"])):
        moved = np.abs(run(file, inputs | {"pending": np.ascontiguousarray(other)})["safe_control"] - found).max(axis=1)
        assert (moved[kind == "open"] > 1e-6).mean() > 0.5
    about = session(file).get_modelmeta().custom_metadata_map
    assert json.loads(about["units"])["pending"] in about["model_card"]
    assert json.loads(about["budget"])["delay"] == 2
    assert json.loads(about["limits"])["braking"] == 2.5
    assert "delay 2 steps" in about["model_card"]
    assert "theorem 3" in about["model_card"]


@pytest.mark.wide
@pytest.mark.parametrize("name", WHEELS)
def test_a_file_asks_no_more_of_the_wheels_than_they_can_do(exported, name):
    config, file = configured(name), exported(name)
    inputs, kind = draw(config.game, 3, 700, 0)
    inputs = {one: values[kind != "extreme"] for one, values in inputs.items()}
    most = 4 * (1 - inputs["control"][:, 0])  # rad/s, of wheels that drive as fast as that
    inputs["control"][:, 1] = np.clip(inputs["control"][:, 1], -most, most)
    found = run(file, inputs)
    v, turn_rate = found["safe_control"].T
    assert np.max(np.abs(v) + 0.25 * np.abs(turn_rate)) <= 1 + 1e-12
    assert name.startswith("cbf-beta") or (found["active"] == LIMITS + 4).any()
    assert "no wheel is faster than 1 m/s" in session(file).get_modelmeta().custom_metadata_map["model_card"]


def test_a_velocity_far_beyond_the_limits_is_no_measurement(exported):
    config = configured("barriernet burger")
    inputs = situated((0.0, 0.0, 0.0), []) | {"pending": np.zeros((1, 2, 2))}
    inputs["half_extents"] = np.array([config.game.arena.half_extents])
    for speed, trusted in ((0.3, True), (0.5, False), (-0.5, False)):
        inputs["control"] = np.array([[speed, 0.0]])
        assert (run(exported("barriernet burger"), inputs)["active"][0] != WATCHDOG) == trusted


@pytest.mark.heavy
@pytest.mark.parametrize("name", [*METHODS, *MOVING, *AMONG, *WHEELS])
def test_every_method_says_what_the_package_says_on_ten_thousand_states(exported, name, capsys):
    passed, result = compare(exported(name), outspoken_policy(name), configured(name))
    with capsys.disabled():
        shown = {
            output: f"double {one['double']['largest']:.1e}, single {one['single']['largest']:.1e} "
            f"({one['single']['beyond_tolerance']} beyond, {one['single'].get('unexplained', 0)} not by rounding)"
            for output, one in result["outputs"].items()
        }
        print(f"\n{name}: {shown}")
    assert passed, result
    assert result["outputs"]["active"]["double"]["beyond_tolerance"] < 0.01 * result["states"]
    # Single precision is its own, and leaves no more than kinks.
    assert result["outputs"]["safe_control"]["single"]["beyond_tolerance"] < 0.02 * result["states"]


def test_the_states_are_of_all_kinds():
    inputs, kind = draw(Game(), 2, 700, 0)
    assert set(kind) == set(KINDS)
    clearance = np.hypot(*(inputs["discs"][:, 0, :2] - inputs["pose"][:, :2]).T) - inputs["discs"][:, 0, 2] - 0.15
    assert (np.abs(clearance[kind == "contact"]) < 1e-9).sum() > 20
    assert (clearance[kind == "overlapping"] < -1e-3).sum() > 20
    assert np.all(~(inputs["discs"][kind == "empty"][..., 2] > 0))
    assert np.all(inputs["discs"][kind == "crowded"][..., 2] > 0)
    assert not all(np.all(np.isfinite(inputs[name][kind == "extreme"])) for name in ("pose", "control"))
    again, _ = draw(Game(), 2, 700, 0)
    assert all(np.array_equal(inputs[name], again[name], equal_nan=True) for name in inputs)


def safe_speed(robot, pose, discs, half_extents):
    """Theorem 1 by its definition for the Euler step: the largest speed that keeps the body clear for one step."""
    ahead = np.array([np.cos(pose[2]), np.sin(pose[2])])
    surfaces = [(half_extents[0] - pose[0], -ahead[0]), (half_extents[0] + pose[0], ahead[0])]
    surfaces += [(half_extents[1] - pose[1], -ahead[1]), (half_extents[1] + pose[1], ahead[1])]
    for x, y, radius in discs:
        if radius > 0:
            away = pose[:2] - (x, y)
            distance = np.hypot(*away)
            surfaces.append((distance - radius, away @ ahead / distance if distance > 0 else 0.0))
    bounds = [max(distance - robot.radius, 0) / (robot.dt * -towards) for distance, towards in surfaces if towards < 0]
    return min([robot.max_speed, *bounds])


@pytest.mark.parametrize("name", ["barriernet", "cbf-beta", "ppo"])
def test_nothing_that_comes_in_leads_beyond_the_limits_or_the_clamp(exported, name):
    config = configured(name)
    robot = config.game.robot
    inputs, _ = draw(config.game, 3, 3500, 1)
    found = run(exported(name), inputs)
    v, turn_rate = found["safe_control"].T
    assert np.all((v >= 0) & (v <= robot.max_speed) & (np.abs(turn_rate) <= robot.max_turn_rate))
    doubted = found["active"] == WATCHDOG
    assert 100 < doubted.sum() < 500
    assert np.all(found["safe_control"][doubted] == 0)
    assert not found["feasible"][doubted].any()
    assert all(np.isfinite(found[one]).all() for one in ("safe_control", "nominal_control", "clearance"))
    np.testing.assert_array_equal(found["feasible"][~doubted], found["clearance"][~doubted] >= -config.shield.margin)
    assert 100 < (~found["feasible"][~doubted]).sum() < 1000
    asked = np.abs(found["safe_control"] - found["nominal_control"]).max(axis=1)
    free = found["active"] == NOTHING
    assert free.sum() > 100
    assert asked[free].max() <= (config.game.robot.max_turn_rate * 1e-3 if name == "cbf-beta" else 1e-9)
    flat = np.concatenate([inputs[one].reshape(3500, -1) for one in inputs if one != "discs"], axis=1)
    assert np.all(doubted[~np.isfinite(flat).all(axis=1)])
    if name not in UNSAFE:
        for i in np.flatnonzero(~doubted):
            bound = safe_speed(robot, inputs["pose"][i], inputs["discs"][i], inputs["half_extents"][i])
            assert v[i] <= bound + 1e-12, i


def clear_of_what_stands(pose, half_extents, discs, edges=(), movers=(), **_):
    """Distance [m] of a centre from walls, discs and edges, in a file that takes movers."""
    assert len(movers) > 0
    here = shapely.Point(pose[:2])
    walls = min(*(half_extents - pose[:2]), *(half_extents + pose[:2]))
    round_ones = [here.distance(shapely.Point(x, y)) - radius for x, y, radius in discs if radius > 0]
    return min(walls, *round_ones, *(here.distance(shapely.LineString([one[:2], one[2:]])) for one in edges))


ANYTHING = st.floats(width=64, allow_nan=True, allow_infinity=True)
AT_ONCE = 32


@pytest.mark.parametrize("name", few(["barriernet", "barriernet lab", "barriernet corridor"]))
@given(st.lists(ANYTHING, min_size=4, max_size=20), st.integers(0, 2**32 - 1))
@example([0.0, 1.0, 1.0, 1.0], 961875)
@settings(deadline=None, max_examples=-(-int(os.environ.get("FUZZ", 800)) // AT_ONCE))
def test_any_numbers_at_all_give_a_control_within_the_limits(exported, name, numbers, seed):
    config = configured(name)
    shapes = {one.name: tuple(one.shape[1:]) for one in OPENED(exported(name)).get_inputs()}
    rng = np.random.default_rng(seed)
    # Each row is of a few of the numbers, so that not every one of many inputs holds one that is none.
    palettes = rng.choice(numbers, (AT_ONCE, 4))
    inputs = {
        one: np.take_along_axis(palettes, rng.integers(0, 4, (AT_ONCE, math.prod(shape))), axis=1).reshape(
            AT_ONCE, *shape
        )
        for one, shape in shapes.items()
    }
    found = run(exported(name), inputs)
    (v, turn_rate), feasible, clearance = found["safe_control"].T, found["feasible"], found["clearance"]
    assert np.isfinite(found["nominal_control"]).all()
    for i in np.flatnonzero(feasible & (clearance < -config.shield.margin)):
        stands = {one: values[i] for one, values in inputs.items()}  # a mover may touch it, nothing else
        assert clear_of_what_stands(**stands) >= config.game.robot.radius - config.shield.margin
    assert (v >= 0).all()
    assert (v <= config.game.robot.max_speed).all()
    assert (np.abs(turn_rate) <= config.game.robot.max_turn_rate).all()
    assert (feasible | (clearance < 0) | ((v == 0) & (turn_rate == 0))).all()


@pytest.mark.wide
@pytest.mark.parametrize(
    ("things", "number"),
    [
        ({"edges": [(-2.0, 1.0, -2.0, 2.0), (0.44, -1.0, 0.44, 1.0)]}, EDGES + 1),
        ({"movers": [(0.6, 0.0, 0.16, 0.0, 0.0, 0.0)]}, MOVERS),
    ],
)
def test_the_edge_or_mover_dead_ahead_is_named(ahead, things, number):
    """At 0.055 m/s, a quarter of its speed, 30 cm before the body: within the way that it needs to be in time."""
    inputs = surrounded((0.3, 0.0, 0.0), **things)
    inputs["control"][0, 0] = 0.1
    found = run(ahead("barriernet among"), inputs)
    assert found["active"][0] == number


DEAD_AHEAD = {
    # Discs and the x of a robot of radius 0.15 m that looks along x; what holds it.
    "disc": ([(3.55, 0.0, 0.4)], 3.0, 0),
    "disc in the second row": ([(-2.0, 1.0, 0.4), (3.55, 0.0, 0.4)], 3.0, 1),
    "disc, 1 cm": ([(3.56, 0.0, 0.4)], 3.0, 0),
    "wall": ([], 5.85, WALLS),
    "wall, 1 cm": ([], 5.84, WALLS),
}


@pytest.mark.parametrize("where", DEAD_AHEAD)
@pytest.mark.parametrize(
    "name", few(["barriernet", "barriernet fixed gains", "cbf-beta", "cbf-beta box", "ppo-filter"])
)
def test_the_boundary_dead_ahead_is_named(ahead, name, where):
    """At 0.25 m/s: full speed ahead of a quarter of the box, within the actuator limits."""
    discs, x, number = DEAD_AHEAD[where]
    found = run(ahead(name), situated((x, 0.0, 0.0), discs))
    v = found["safe_control"][0, 0]
    nominal = found["nominal_control"][0]
    assert 0.2 < nominal[0] < 1
    assert v < nominal[0] - 0.04
    assert found["active"][0] == number
    assert found["feasible"][0]
    if "cbf" not in name:
        scene = Scene.of(discs or [(99.0, 0.0, 0.1)], half_extents=(6.0, 4.0))
        said = np.flatnonzero(shield.filter(nominal, [x, 0.0, 0.0], scene, gains=0.5).active)
        assert said.tolist() == [number - WALLS + len(scene.radius) if number >= WALLS else number]


def test_who_is_inside_something_has_no_guarantee(exported):
    inside = run(exported("barriernet"), situated((3.0, 0.0, 0.0), [(3.5, 0.0, 0.4)]))
    assert inside["clearance"][0] == pytest.approx(-0.05)
    assert not inside["feasible"][0]
    assert inside["safe_control"][0, 0] == 0
    beyond = run(exported("ppo"), situated((6.1, 0.0, 0.0), []))
    assert beyond["clearance"][0] == pytest.approx(-0.25)
    assert not beyond["feasible"][0]
    on_top = run(exported("barriernet"), situated((3.0, 0.0, 0.0), [(3.0, 0.0, 0.4)]))
    assert on_top["clearance"][0] == pytest.approx(-0.55)
    assert not on_top["feasible"][0]
    assert on_top["safe_control"][0, 0] == 0


AMONG_INPUTS = {
    "pending": np.zeros((1, 2, 2)),
    "edges": np.full((1, 3, 4), np.nan),
    "movers": np.full((1, 2, 6), np.nan),
    "ways": np.array([[[-4.0, -2.0, 5.0], [-4.0, -2.0, 5.0]]]),
}
"""What the file "among" takes besides: no edges, no movers, the opponent in sight."""


def surrounded(pose, edges=(), movers=(), discs=()):
    """The inputs of one sample of the file "among"."""
    inputs = situated(pose, discs, rows=2) | {name: values.copy() for name, values in AMONG_INPUTS.items()}
    inputs["edges"][0, : len(edges)] = np.reshape(edges, (-1, 4))
    inputs["movers"][0, : len(movers)] = np.reshape(movers, (-1, 6))
    return inputs


def test_a_file_takes_edges_movers_and_the_way(exported):
    """One that is near is what clearance counts from, wherever its row is; padding is none; and the policy heads for
    where the way leads, which the safety layer does not use."""
    config, file = configured("barriernet among"), exported("barriernet among")
    radius = config.game.robot.radius
    there, away = (0.5, -1.0, 0.5, 1.0), (-2.0, -1.0, -2.0, 1.0)
    none = run(file, surrounded((0.0, 0.0, 0.0)))["clearance"][0]
    assert none == pytest.approx(4 - radius)
    for edges in ([there], [away, there], [there, (0.0, 0.0, 0.0, 0.0), away], [there[2:] + there[:2]]):
        assert run(file, surrounded((0.0, 0.0, 0.0), edges))["clearance"][0] == pytest.approx(0.5 - radius)
    mover = (0.0, 0.7, 0.2, 0.1, 0.0, 0.3)
    for movers in ([mover], [(3.0, 3.0, 0.2, 0.0, 0.0, 0.1), mover]):
        assert run(file, surrounded((0.0, 0.0, 0.0), [there], movers))["clearance"][0] == pytest.approx(0.5 - radius)
        assert run(file, surrounded((0.0, 0.0, 0.0), (), movers))["clearance"][0] == pytest.approx(0.5 - radius)
    inputs = surrounded((0.0, 0.0, 0.0), [there])
    before, inputs["ways"][0] = run(file, inputs), (0.0, 3.0, 9.0)
    after = run(file, inputs)
    assert np.abs(after["nominal_control"] - before["nominal_control"]).max() > 1e-3
    assert after["clearance"] == before["clearance"]


def test_the_file_of_a_room_says_what_it_takes(exported):
    opened = session(exported("barriernet among"))
    about = opened.get_modelmeta().custom_metadata_map
    inputs = {one.name: one.shape[1:] for one in opened.get_inputs()}
    assert {name: inputs[name] for name in ("edges", "movers", "ways")} == {
        "edges": [3, 4],
        "movers": [2, 6],
        "ways": [2, 3],
    }
    assert (about["discs"], about["edges"], about["movers"]) == ("2", "3", "2")
    assert {*inputs, *(one.name for one in opened.get_outputs())} == set(json.loads(about["units"]))
    assert {str(MOVERS), str(EDGES)} <= set(json.loads(about["constraints"]))
    assert "3 rows for edges" in about["model_card"]


@pytest.mark.wide
@pytest.mark.parametrize("name", ["barriernet among", "barriernet people"])
def test_a_policy_observes_what_the_sensor_sees_in_a_scene_of_the_same_things(name):
    """Velocities of movers too, and the way that is given in place of the straight one."""
    game, corner, met = configured(name).game, jnp.asarray([0.5, 2.0]), jnp.asarray([0.5, -2.0])
    inputs = surrounded((-1.0, 0.5, 0.3), [(0.5, -1.0, 0.5, 1.0)], [(0.0, 0.7, 0.2, 0.3, -0.1, 0.4)])
    inputs["control"][0], inputs["ways"][0] = (0.1, 0.4), ((*corner, 6.0), (*met, 5.0))
    measured = Measured(**{one: jnp.asarray(values[0].T) for one, values in inputs.items() if one != "pending"})
    scene = Scene.of(
        [(0.0, 0.7, 0.2)],
        half_extents=(6.0, 4.0),
        segments=[((0.5, -1.0), (0.5, 1.0))],
        movers=Movers(jnp.asarray([[0.3], [-0.1]]), jnp.asarray([0.4])),
    )._replace(
        room=Ways(*(Way(first, jnp.asarray(far), jnp.asarray(False)) for first, far in ((corner, 6.0), (met, 5.0))))
    )
    robots = (
        RobotState(jnp.asarray(inputs[pose][0]), jnp.asarray(inputs[control][0]))
        for pose, control in (("pose", "control"), ("opponent_pose", "opponent_control"))
    )
    seen = observe(GameState(tuple(robots), scene, jnp.asarray(0)), game)
    found = observed(game, measured, "pursuer")
    np.testing.assert_allclose(found.ego, seen.ego, atol=1e-6)
    np.testing.assert_allclose(found.discs[:, found.present], seen.discs, atol=1e-6)
    assert game.sensor == "discs" or np.abs(found.ego[jnp.array([15, 18])] - np.array([1 / 7, 1 / 6])).max() < 1e-6


@pytest.mark.wide
def test_a_sensor_that_sees_no_way_is_not_asked_for_it(exported):
    assert {"edges", "movers"} <= {one.name for one in session(exported("barriernet people")).get_inputs()}
    assert "ways" not in {one.name for one in session(exported("barriernet people")).get_inputs()}


@pytest.mark.wide
@pytest.mark.parametrize("room", ["among", "people", "corridor"])
@pytest.mark.usefixtures("double_precision")
def test_the_safety_layer_of_a_file_is_that_of_a_scene_of_the_same_things(ahead, room):
    """`Scene.of` and `shield.filter` alone, which know nothing of inputs, rows and padding."""
    config, file = configured(f"ppo-filter {room}"), ahead(f"ppo-filter {room}")
    robot, taken = config.game.robot, {one.name: one.shape for one in OPENED(file).get_inputs()}
    filtered = jax.jit(
        lambda nominal, pose, scene, velocity: shield.filter(
            nominal, pose, scene, robot=robot, shield=config.shield, velocity=velocity
        )
    )
    rng, held = np.random.default_rng(3), set()
    for _ in range(60):
        pose = np.append(rng.uniform(-1, 1, 2), rng.uniform(-3, 3))
        velocity = np.array([rng.uniform(0, robot.max_speed), rng.uniform(-1, 1) * robot.max_turn_rate])
        edges = rng.uniform(-2, 2, (2, 4))
        mover = np.array([*rng.uniform(-2, 2, 2), 0.2, 0.1, -0.1, rng.uniform(0.15, 0.6)])
        disc = np.array([*rng.uniform(-2, 2, 2), 0.3])
        inputs = {name: np.full((1, *shape[1:]), np.nan) for name, shape in taken.items()}
        rows = {"discs": disc[None], "edges": edges, "movers": mover[None]}
        for name, values in rows.items():
            inputs[name][0, : len(values)] = values
        inputs |= {"pose": pose[None], "control": velocity[None], "opponent_pose": np.array([[4.0, 4.0, 0.0]])}
        inputs |= {"opponent_control": np.zeros((1, 2)), "half_extents": np.array([[6.0, 6.0]])}
        inputs |= {name: np.zeros((1, *taken[name][1:])) for name in ("pending", "ways") if name in taken}
        found = {name: values[0] for name, values in run(file, inputs).items()}
        if "pending" in taken:
            for _ in range(2):
                pose, velocity = (
                    np.asarray(one) for one in predicted(robot, jnp.asarray(pose), jnp.asarray(velocity), jnp.zeros(2))
                )
        scene = Scene.of(
            [disc.tolist(), mover[:3].tolist()],
            half_extents=(6.0, 6.0),
            segments=list(edges.reshape(2, 2, 2)),
            movers=Movers(jnp.asarray(mover[3:5, None]), jnp.asarray(mover[5:])),
        )
        done = filtered(found["nominal_control"], pose, scene, velocity)
        np.testing.assert_allclose(found["safe_control"], done.control, atol=1e-9)
        np.testing.assert_allclose(found["clearance"], done.clearance, atol=1e-12)
        assert found["feasible"] == done.feasible
        names = np.array([0, MOVERS, *range(WALLS, WALLS + 4), EDGES, EDGES + 1])
        if np.any(done.active):
            assert found["active"] in names[np.flatnonzero(done.active)]
        held.add(int(found["active"]))
    assert len(held) > 3


@pytest.mark.wide
@pytest.mark.parametrize("name", ["barriernet lab", "cbf-beta lab"])
def test_no_control_of_a_file_leads_into_an_edge(exported, name):
    """By shapely, along the whole of an Euler step, wherever the body is clear."""
    config = configured(name)
    robot = config.game.robot
    inputs, _ = draw(config.game, 1, 3500, 1, edges=14, ways=True)
    found = run(exported(name), inputs)
    safe = found["feasible"] & (found["clearance"] >= 0)
    assert safe.sum() > 1000
    pose, edges = inputs["pose"][safe], inputs["edges"][safe]
    ahead = np.stack([np.cos(pose[:, 2]), np.sin(pose[:, 2])], axis=1)
    driven = (found["safe_control"][safe, :1] * robot.dt) * ahead
    ways = shapely.linestrings(np.stack([pose[:, :2], pose[:, :2] + driven], axis=1))
    walls = shapely.linestrings(np.nan_to_num(edges).reshape(-1, 14, 2, 2))
    padding = np.isnan(edges).all(axis=2) | (np.abs(edges).sum(axis=2) == 0)

    def gap(body):
        with np.errstate(divide="ignore"):  # within GEOS, at edges of no length
            return np.where(padding, np.inf, shapely.distance(body[:, None], walls)).min(axis=1) - robot.radius

    np.testing.assert_array_less(-1e-12, gap(shapely.points(pose[:, :2])))  # what it calls clear is clear
    assert gap(ways).min() >= -1e-12
    assert (gap(ways) < 0.01).sum() > 100


NAN, INF = float("nan"), float("inf")
NO_MEASUREMENTS = {
    "a disc without x": {"discs": (NAN, 1.0, 0.3)},
    "a disc without y": {"discs": (1.0, NAN, 0.3)},
    "a disc without radius": {"discs": (1.0, 1.0, NAN)},
    "a disc without end": {"discs": (1.0, 1.0, INF)},
    "a disc nowhere": {"discs": (-INF, 1.0, 0.3)},
    "a negative radius": {"discs": (1.0, 1.0, -0.3)},
    "no room": {"half_extents": (0.0, 0.0)},
    "no room in one direction": {"half_extents": (6.0, 0.15)},
    "negative walls": {"half_extents": (-6.0, 4.0)},
    "no walls": {"half_extents": (INF, 4.0)},
    "many turns": {"pose": (0.0, 0.0, 1.1e4)},
    "a heading of nothing": {"pose": (0.0, 0.0, NAN)},
}


@pytest.mark.parametrize("what", NO_MEASUREMENTS)
@pytest.mark.parametrize("name", few(["barriernet", "cbf-beta", "ppo"]))
def test_what_is_no_measurement_makes_it_stand_still(exported, name, what):
    inputs = situated((0.0, 0.0, 0.0), [(-3.0, 1.0, 0.3)])
    assert run(exported(name), inputs)["feasible"][0]
    for one, value in NO_MEASUREMENTS[what].items():
        inputs[one][(0, 1) if one == "discs" else 0] = value
    found = run(exported(name), inputs)
    assert found["active"][0] == WATCHDOG
    assert not found["feasible"][0]
    for one in ("safe_control", "nominal_control", "clearance"):
        np.testing.assert_array_equal(found[one][0], 0)


NO_SURROUNDINGS = {
    "an edge without a beginning": {"edges": (NAN, NAN, 2.0, 1.0)},
    "an edge without one number": {"edges": (2.0, 1.0, 2.0, NAN)},
    "an edge without end": {"edges": (2.0, 1.0, INF, 1.0)},
    "an edge beyond everything": {"edges": (2.0, 1.0, 2e6, 1.0)},
    "a mover without radius": {"movers": (2.0, 1.0, NAN, 0.0, 0.0, 0.1)},
    "a mover without bound": {"movers": (2.0, 1.0, 0.2, 0.0, 0.0, NAN)},
    "a mover of a negative bound": {"movers": (2.0, 1.0, 0.2, 0.0, 0.0, -0.1)},
    "a mover of a negative radius": {"movers": (2.0, 1.0, -0.2, 0.0, 0.0, 0.1)},
    "no way": {"ways": (NAN, NAN, NAN)},
    "a way of negative length": {"ways": (1.0, 1.0, -1.0)},
}


@pytest.mark.parametrize("what", NO_SURROUNDINGS)
def test_surroundings_that_are_half_known_make_it_stand_still(exported, what):
    inputs = surrounded((0.0, 0.0, 0.0), [(2.0, -1.0, 2.0, 1.0)], [(-2.0, 0.0, 0.2, 0.1, 0.0, 0.2)])
    assert run(exported("barriernet among"), inputs)["feasible"][0]
    for one, value in NO_SURROUNDINGS[what].items():
        inputs[one][0, 1] = value
    found = run(exported("barriernet among"), inputs)
    assert found["active"][0] == WATCHDOG
    assert not found["feasible"][0]
    for one in ("safe_control", "nominal_control", "clearance"):
        np.testing.assert_array_equal(found[one][0], 0)


THROUGH = {
    "beside": (0.05, -1.0, 0.05, 1.0),
    "through the centre": (-1.0, 0.0, 1.0, 0.0),
    "that ends at the centre": (0.0, 0.0, 1.0, 0.0),
    "of no length, at the centre": (1e-300, 0.0, 1e-300, 0.0),
    "of no length, in the body": (0.05, 0.05, 0.05, 0.05),
    "of no length, at the control point": (0.1, 0.0, 0.1, 0.0),
}


@pytest.mark.parametrize("what", THROUGH)
def test_an_edge_in_the_body_leaves_no_guarantee(exported, what):
    """The robot stands at the origin: no way in, and numbers all the same."""
    for heading in (0.0, 1.0, 3.0):
        found = run(exported("barriernet among"), surrounded((0.0, 0.0, heading), [THROUGH[what]]))
        assert not found["feasible"][0]
        assert found["clearance"][0] < 0
        assert all(np.isfinite(values).all() for values in found.values())
        if "centre" in what:
            assert found["safe_control"][0, 0] == 0


@pytest.mark.wide
def test_a_point_is_an_edge_of_no_length(exported):
    """As a disc of no radius at the same place."""
    for x in (0.2, 0.5, 1.0):
        edge = run(exported("barriernet among"), surrounded((0.0, 0.0, 0.0), [(x, 0.0, x, 0.0)]))
        disc = run(exported("barriernet among"), surrounded((0.0, 0.0, 0.0), discs=[(x, 0.0, 0.0)]))
        assert edge["clearance"][0] == pytest.approx(x - 0.124)
        assert edge["feasible"][0]
        np.testing.assert_allclose(edge["clearance"], disc["clearance"])


def test_rows_of_nan_and_of_zeros_are_padding_and_points_are_discs(exported):
    pose = (0.0, 0.0, 0.0)
    padded = situated(pose, [(-3.0, 1.0, 0.3)])
    zeros = situated(pose, [(-3.0, 1.0, 0.3), (0.0, 0.0, 0.0)])
    for (name, one), other in zip(
        run(exported("barriernet"), padded).items(), run(exported("barriernet"), zeros).values(), strict=True
    ):
        np.testing.assert_array_equal(one, other, err_msg=name)
    point = run(exported("barriernet"), situated(pose, [(0.2, 0.0, 0.0)]))
    assert point["clearance"][0] == pytest.approx(0.05)


def situated(pose, discs, opponent=(-4.0, -2.0, 1.0), rows=3):
    """The inputs of one sample, at rest, in the arena of `configured`."""
    table = np.full((1, rows, 3), np.nan)
    table[0, : len(discs)] = np.array(discs).reshape(-1, 3)
    return {
        "pose": np.array([pose]),
        "control": np.zeros((1, 2)),
        "opponent_pose": np.array([opponent]),
        "opponent_control": np.zeros((1, 2)),
        "discs": table,
        "half_extents": np.array([[6.0, 4.0]]),
    }


def tampered(file, output, op, folder):
    """A copy of the file in which this operator stands before an output."""
    model = onnx.load(file)
    (last,) = (node for node in model.graph.node if node.output[0] == output)
    last.op_type = op
    target = folder / f"{op}.onnx"
    onnx.save(model, target)
    return target


@pytest.mark.parametrize(("output", "op"), [("feasible", "Not"), ("active", "Neg")])
def test_a_verdict_that_is_another_without_a_tie_fails_the_comparison(exported, tmp_path, output, op):
    policy, config = outspoken_policy("ppo"), configured("ppo")
    passed, result = compare(exported("ppo"), policy, config, count=70)
    assert passed
    assert result["verdicts"] == {one: {"different": 0, "ties": 0} for one in ("active", "feasible")}
    passed, result = compare(tampered(exported("ppo"), output, op, tmp_path), policy, config, count=70)
    assert not passed
    assert result["verdicts"][output]["different"] > 50
    assert result["verdicts"][output]["ties"] <= 2
    assert result["outputs"]["safe_control"]["double"]["largest"] < 1e-9
    assert f"{output} is another in" in command_line.differences(result)


def test_ties_are_what_rounding_decides():
    """The body 10 µm, the margin, inside a wall: feasible or not; 11 µm inside it is not."""
    config = configured("ppo")
    policy = aimed(BarrierNetTrainer(config).policy, np.float32([-2, 0]))
    inputs = {
        name: np.concatenate([situated((5.85 + depth, 0.0, 0.0), [])[name] for depth in (1e-5, 1.1e-5)])
        for name in situated((0, 0, 0), [])
    }
    found = {"active": np.full(2, LIMITS)}  # it asks to drive backwards
    for said in (True, False):
        claimed = found | {"feasible": np.full(2, said)}
        ties = checking.ties(policy, config, inputs, np.arange(2), claimed, seed=0)
        assert ties["feasible"].tolist() == [True, not said]
        assert ties["active"].all()


def test_a_sample_alone_gets_the_same_answer_as_in_a_batch(exported):
    inputs, kind = draw(configured("barriernet").game, 3, 70, 2)
    together = run(exported("barriernet"), inputs)
    for i in range(70):
        alone = run(exported("barriernet"), {name: values[i : i + 1] for name, values in inputs.items()})
        for name in ("safe_control", "nominal_control", "feasible"):  # where constraints meet, either may be named
            np.testing.assert_allclose(alone[name][0], together[name][i], atol=1e-12, err_msg=f"{name}, {kind[i]}")


def test_more_discs_than_the_file_takes_are_refused_and_fewer_too(exported):
    inputs, _ = draw(configured("ppo").game, 2, 7, 0)
    with pytest.raises(Exception, match="invalid dimensions"):
        run(exported("ppo"), inputs)


def test_the_file_says_what_it_is(exported):
    config = configured("barriernet")
    about = session(exported("barriernet")).get_modelmeta().custom_metadata_map
    assert about["format"] == describing.FORMAT
    assert float(about["dt"]) == config.game.robot.dt
    assert json.loads(about["limits"])["max_turn_rate"] == config.game.robot.max_turn_rate
    assert json.loads(about["constraints"])[str(WATCHDOG)] == CONSTRAINTS[WATCHDOG]
    opened = session(exported("barriernet"))
    named = {one.name for one in [*opened.get_inputs(), *opened.get_outputs()]}
    assert named == set(json.loads(about["units"]))
    assert "theorem 1" in about["model_card"]
    assert "no safety layer" in session(exported("ppo")).get_modelmeta().custom_metadata_map["model_card"]
    assert about["config_sha256"] != describing.fingerprint(configured("ppo"))


def test_latency_is_of_single_calls(exported):
    times = latency(exported("ppo"), calls=50)
    assert times["batch"] == times["threads"] == 1
    assert 1 < times["p50_us"] <= times["p99_us"] <= times["max_us"]


def test_what_cannot_be_exported_is_refused(tmp_path, exported):
    policy, config = outspoken_policy("ppo"), configured("ppo")
    with pytest.raises(ValueError, match="finite"):
        export(outspoken(policy, scale=np.nan), config)
    for rows, said in (
        ({"discs": 100}, "99 discs"),
        ({"edges": 401}, "400 edges, not 401"),
        ({"movers": -1}, "movers"),
    ):
        with pytest.raises(ValueError, match=said):
            export(policy, config, **rows)
    with pytest.raises(ValueError, match="trained without movers, which its sensor 'discs' shows"):
        export(policy, config, movers=1)
    with pytest.raises(FileExistsError, match="already exists"):
        write(onnx.load(exported("ppo")), exported("ppo"))
    (tmp_path / "text.onnx").write_text("no")
    with pytest.raises(ValueError, match="onnxruntime can run"):
        session(tmp_path / "text.onnx")
    with pytest.raises(ValueError, match="does not exist"):
        session(tmp_path / "nothing.onnx")
    foreign = onnx.load(exported("ppo"))
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(ValueError, match="no exported policy"):
        session(tmp_path / "foreign.onnx")
    with pytest.raises(ValueError, match="export it again"):
        compare(exported("ppo"), outspoken(policy, seed=1), config)


def test_a_file_that_computes_something_else_does_not_pass(tmp_path, exported):
    """The last layer's weights, moved a little."""
    model = onnx.load(exported("ppo"))
    shape = outspoken_policy("ppo").head.layer.weight.shape
    (weights,) = [one for one in model.graph.initializer if tuple(one.dims) == shape]
    weights.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weights) + 1e-3, weights.name))
    onnx.save(model, tmp_path / "changed.onnx")
    passed, result = compare(tmp_path / "changed.onnx", outspoken_policy("ppo"), configured("ppo"), count=70)
    assert not passed
    assert result["outputs"]["nominal_control"]["double"]["largest"] > 1e-4


# The commands and the example.


@pytest.fixture(scope="module")
def a_run(tmp_path_factory):
    """A run folder with the first checkpoint of an untrained policy."""
    folder, config = tmp_path_factory.mktemp("run") / "tiny", configured("ppo")
    BarrierNetTrainer(config, RunFolder.create(folder, configuration.dump(config), ["test"])).save()
    return folder


def test_the_commands(a_run, tmp_path, capsys):
    file, figures = tmp_path / "pursuer.onnx", tmp_path / "figures.json"
    assert main(["export", str(a_run), "--out", str(file)]) == 0
    assert "check-export" in capsys.readouterr().out
    assert main(["check-export", str(file), str(a_run), "--json", str(figures)]) == 0
    assert "single call on one thread" in capsys.readouterr().out
    result = json.loads(figures.read_text(encoding="utf-8"))
    assert result["passed"]
    assert result["states"] == 10_000
    assert result["latency"]["calls"] == 10_000
    assert main(["export", str(a_run), "--out", str(file)]) == 2
    assert "already exists" in capsys.readouterr().err
    assert main(["export", str(a_run), "--out", str(tmp_path / "no" / "where.onnx")]) == 2
    assert main(["check-export", str(tmp_path / "none.onnx"), str(a_run)]) == 2
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.wide
def test_a_run_in_a_room_is_exported_with_its_walls(tmp_path, capsys):
    config, run, file = configured("ppo-filter lab"), tmp_path / "lab", tmp_path / "lab.onnx"
    BarrierNetTrainer(config, RunFolder.create(run, configuration.dump(config), ["test"])).save()
    assert main(["export", str(run), "--out", str(file), "--edges", "20"]) == 0
    assert main(["check-export", str(file), str(run)]) == 0
    assert "20 rows for edges" in session(file).get_modelmeta().custom_metadata_map["model_card"]
    assert main(["export", str(run), "--out", str(tmp_path / "more.onnx"), "--edges", "1000"]) == 2
    assert "a file takes 0 to 400 edges, not 1000." in capsys.readouterr().err


@pytest.mark.wide
def test_without_the_extra_the_commands_say_what_to_install(a_run, tmp_path, capsys, monkeypatch):
    for module in [one for one in sys.modules if one.startswith("safepursuit.adapters.onnx")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delattr("safepursuit.adapters.onnx", raising=False)
    assert main(["export", str(a_run), "--out", str(tmp_path / "pursuer.onnx")]) == 1
    assert "pip install 'safepursuit[export]'" in capsys.readouterr().err


@pytest.mark.wide
def test_the_example_needs_numpy_and_onnxruntime_alone(exported):
    example = ROOT / "examples" / "onnx_numpy.py"
    assert len(example.read_text(encoding="utf-8").splitlines()) <= 60
    blocked = "import sys, runpy; sys.modules.update(jax=None, safepursuit=None, onnx=None); sys.argv = sys.argv[1:]; "
    command = [sys.executable, "-c", f"{blocked}runpy.run_path({str(example)!r})", "", str(exported("barriernet"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "closest to the disc" in done.stdout
    clearance = float(done.stdout.split("closest to the disc: ")[1].split()[0])
    assert clearance >= 0
