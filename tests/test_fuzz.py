"""Whatever is typed or damaged ends in a sentence: no traceback, no hang, nothing silently wrong.

A few hundred cases by default; `make fuzz` sets FUZZ to as many per surface as are wanted. What once failed is an
explicit example.
"""

import contextlib
import io
import json
import math
import os
import warnings
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from safepursuit import cli, shield
from safepursuit.adapters.gymnasium import PursuitEvasionEnv
from safepursuit.compare import cells
from safepursuit.experiment import TrainConfig, create_run, load_run
from safepursuit.game import Game
from safepursuit.learn import BarrierNetTrainer
from safepursuit.play import recording as recordings
from safepursuit.runs import checkpoint, configuration
from safepursuit.scene import Arena, Scene
from test_attack import GUARDED, drawn
from tiny import CLOSE, TINY

CASES = int(os.environ.get("FUZZ", "0"))


def fuzz(few):
    """Hypothesis' settings of a surface: `few` cases in the everyday tests, FUZZ of them where it is set."""
    return settings(
        max_examples=CASES or few,
        deadline=None,
        derandomize=not CASES,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


# --- command line ------------------------------------------------------------------------------------------------

TYPED = (
    "--run-dir --timesteps --seed --seeds --config --obstacles --method --evader --json --out --episodes --suite "
    "--help --debug --version --plugin --budget.pose --game.robot.dt --robot inertial --scene --sensor --dry-run "
    "0 -1 1e400 nan inf 0..3 9..0 , -- - --- = --seed= -h barriernet ppo random flee:2,hide all x/y [red] :smile: "
    "' \" {} %s ../.. /dev/null ${oc.env:HOME} é 💥"
)
WORDS = [*cli.COMMANDS, *TYPED.split(" "), "", " ", "\x00", "--" + "a" * 300, "9" * 400]


@pytest.fixture
def harmless(monkeypatch, tmp_path):
    """Commands that are parsed, and then do nothing."""
    for kind in cli.COMMANDS.values():
        monkeypatch.setattr(kind, "run", lambda self, console: None)
    monkeypatch.chdir(tmp_path)


@fuzz(5)
@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=8), max_size=6))
@example(["train", "--config", "\x00"])
@example(["train", "--plugin", "\x00"])
@example(["evaluate", "\x00"])
@example(["train", "--from", "é" * 300])
@example(["train", "--obstacles", "9" * 5000])
def test_any_words_on_the_command_line(harmless, words):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = cli.main(words)
        except Exception:
            assert "--debug" in words  # which shows where an error comes from
            return
    said = err.getvalue()
    assert status in (0, 1, 2)
    assert "Traceback" not in said
    assert "internal error" not in said, said
    assert bool(said.strip()) >= (status != 0)
    assert said.count("\n") <= 3


# --- configuration -----------------------------------------------------------------------------------------------

WHOLE = configuration.dump(TrainConfig())
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10), st.sampled_from(["${seed}", "???"])
)


def nested(inner):
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)


VALUES = st.recursive(SCALARS, nested, max_leaves=5)
NUMBERS = st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-30, 1e30, -1e30, 1e5, 3.14, np.nan, np.inf, -np.inf])


def check_text(text):
    try:
        found = configuration.parse(TrainConfig(), text, "fuzz.yaml")
    except TypeCheckError:  # while tests run, types refuse some values first
        return None
    except ValueError as refused:
        return check_sentence(str(refused))
    again = configuration.parse(TrainConfig(), configuration.dump(found), "again")
    assert again == found  # what is accepted is a configuration that can be stored
    for _, value in configuration.numbers(found):
        assert not isinstance(value, float) or not np.isnan(value)
    return None


def check_sentence(said):
    assert 0 < len(said) < 1000
    assert "Traceback" not in said


@fuzz(20)
@given(st.data())
def test_a_configuration_with_anything_in_the_place_of_a_value(data):
    tree = json.loads(json.dumps(_container(WHOLE)))
    node = tree
    while True:
        key = data.draw(st.sampled_from(sorted(node)))
        if not isinstance(node[key], dict) or data.draw(st.integers(0, 3)) == 0:
            break
        node = node[key]
    node[key] = data.draw(VALUES)
    check_text(json.dumps(tree))  # JSON is YAML


def _container(text):
    from omegaconf import OmegaConf

    return OmegaConf.to_container(OmegaConf.create(text))


@fuzz(20)
@given(st.integers(0, len(WHOLE) - 1), st.text(max_size=4), st.integers(0, 8))
def test_a_configuration_with_characters_replaced(place, by, cut):
    check_text(WHOLE[:place] + by + WHOLE[place + cut :])


@fuzz(20)
@given(st.text(max_size=60))
@example("? ")
@example("[" * 500)
@example("a: &a [*a]")
@example("seed: 1e999")
@example("game: {robot: {}, robot_model: []}")
@example("game: {capture_radius: 1" + 400 * "0" + "}")
@example("num_envs: 2000000000\nevader: flee,hide")
@example("!!python/name:os.system ''")
def test_any_text_as_a_configuration(text):
    check_text(text)


# --- recordings and evaluations ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A recording, as bytes."""
    from safepursuit.attack.drive import attempt, judged, recording

    driven, plan, _ = attempt(drawn(GUARDED, 64), GUARDED)
    file = tmp_path_factory.mktemp("recordings") / "whole.npz"
    recordings.save(recordings.take(recording(plan, driven, judged(plan, driven, GUARDED), GUARDED), [0, 1]), file)
    return file


@fuzz(15)
@given(st.data())
def test_a_recording_with_bytes_replaced(recorded, data):
    content = bytearray(recorded.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    file = recorded.with_name("damaged.npz")
    file.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found, scenario = recordings.load(file)
        except ValueError as refused:
            return check_sentence(str(refused))
    assert len(found.length) == len(scenario) == 2
    return None


@fuzz(20)
@given(st.dictionaries(st.text(max_size=6), VALUES, max_size=4) | VALUES)
def test_any_json_as_a_cell_of_a_comparison(tmp_path_factory, content):
    file = _cell(tmp_path_factory)
    file.write_text(json.dumps(content))
    with contextlib.suppress(ValueError):
        cells.read(file)


def _cell(factory) -> Path:
    return factory.getbasetemp() / "cell.json"


# --- scenes ------------------------------------------------------------------------------------------------------

POINT = st.lists(st.floats(-9, 9).map(lambda x: round(x, 1)) | SCALARS, min_size=1, max_size=3)
CORNERS = st.lists(POINT, max_size=6) | VALUES
SHAPES = st.dictionaries(st.sampled_from(["disc", "polygon", "box", "segment", "x"]), CORNERS | POINT, max_size=2)
SCENES = st.fixed_dictionaries(
    {"walls": CORNERS | st.just([[-8, -8], [8, -8], [8, 8], [-8, 8]])},
    optional={
        "shapes": st.lists(SHAPES, max_size=3) | VALUES,
        "random": st.dictionaries(st.sampled_from(["discs", "radius", "x"]), VALUES, max_size=2),
        "start": st.dictionaries(st.sampled_from(["pursuer", "evader", "x"]), CORNERS, max_size=2),
        "map": VALUES,
    },
)


@fuzz(20)
@given(SCENES | VALUES | st.text(max_size=30))
@example({"walls": [[0, 0], [1e-300, 0], [0, 1e-300]]})
def test_any_scene_file(tmp_path_factory, content):
    """A room that has a place for both robots, or a sentence."""
    check_room(tmp_path_factory.getbasetemp() / "room.yaml", content)


def check_room(file, content):
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    try:
        (room,) = Game(Arena(scene=str(file))).arena.rooms
    except ValueError as refused:
        return check_sentence(str(refused))
    assert room is not None
    for role in ("pursuer", "evader"):
        places, spacing = room.places(role, 0.15)
        assert places.size > 0
        assert np.isfinite(places).all()
        assert spacing > 0
    return None


GEOMETRIES = st.fixed_dictionaries(
    {"type": st.sampled_from(["Polygon", "MultiPolygon", "LineString", "Point", "GeometryCollection"]) | VALUES},
    optional={"coordinates": CORNERS | st.lists(CORNERS, max_size=3) | POINT, "geometries": VALUES},
)
FEATURES = st.fixed_dictionaries(
    {"type": st.just("Feature") | VALUES},
    optional={"geometry": GEOMETRIES | VALUES, "properties": st.fixed_dictionaries({"radius": VALUES}) | VALUES},
)
OUTLINE = {"type": "Polygon", "coordinates": [[[-8, -8], [8, -8], [8, 8], [-8, 8], [-8, -8]]]}


@fuzz(20)
@given(st.lists(FEATURES, max_size=4) | VALUES, st.booleans())
@example(
    [{"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 1]}, "properties": {"radius": True}}], True
)
def test_any_plan(tmp_path_factory, features, outlined):
    if isinstance(features, list) and outlined:
        features = [{"type": "Feature", "geometry": OUTLINE, "properties": {}}, *features]
    content = {"type": "FeatureCollection", "features": features}
    check_room(tmp_path_factory.getbasetemp() / "plan.geojson", content)


ODD = st.sampled_from(["0", "-3", "1e400", "nan", "5", "7.5", "1e-320", "3px", "40%", ""])
NUMBER = ODD | st.integers(-9, 9).map(str)
POINTS = st.lists(NUMBER, max_size=12).map(" ".join)
WORDS = st.sampled_from([*"MmLlHhVvCcSsQqTtAaZz", "0", "1", "-4", "6", "9.5", ",", "1e9"])
PATHS = st.lists(WORDS, max_size=30).map(" ".join)
TRANSFORMS = st.sampled_from(["scale(2)", "rotate(30 1 1)", "matrix(1 0 0)", "skewX(90)", "scale(0)", "", "none"])
ATTRIBUTES = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("x", "y", "width", "height", "cx", "cy", "r", "rx", "ry", "x1", "y1", "x2", "y2"), NUMBER),
        "d": PATHS,
        "points": POINTS,
        "transform": TRANSFORMS,
        "style": st.sampled_from(["display:none", "fill:red", ";;"]),
    },
)
DRAWN = st.sampled_from(["path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "g", "use", "text"])
ELEMENTS = st.lists(st.tuples(DRAWN, ATTRIBUTES, st.booleans()), max_size=5)


@fuzz(20)
@given(ELEMENTS, st.sampled_from([0.01, 1, 1e3, 0, math.nan, "1"]), st.booleans())
def test_any_drawing(tmp_path_factory, elements, scale, outlined):
    folder = tmp_path_factory.getbasetemp()
    svg = Element("svg", xmlns="http://www.w3.org/2000/svg")
    if outlined:
        SubElement(svg, "rect", x="-8", y="-8", width="16", height="16")
    parent = svg
    for kind, attributes, within in elements:
        drawn = SubElement(parent, kind, attributes)
        parent = drawn if within else parent
    (folder / "plan.svg").write_bytes(tostring(svg))
    check_room(folder / "drawn.yaml", {"map": {"file": "plan.svg", "scale": scale}})


# --- checkpoints -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A run with one checkpoint, which waits for no writer, its files and the bytes of its parameters."""
    run = create_run(tmp_path_factory.mktemp("fuzz") / "run", TINY, ["a", "test"])
    BarrierNetTrainer(TINY, run).save()
    files = [file for file in sorted(run.path.rglob("*")) if file.is_file()]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(checkpoint, "_PATIENCE", 0.0)
        yield run, files, parameters(run)


def parameters(run):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(load_run(run).policy) if hasattr(leaf, "dtype")]


@pytest.mark.wide
@fuzz(10)
@given(st.data())
def test_a_run_with_bytes_replaced(stored, data):
    """The same policy, or a sentence, or a warning."""
    run, files, expected = stored
    file = data.draw(st.sampled_from(files))
    whole = file.read_bytes()
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content)))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    file.write_bytes(content)
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            found = parameters(run)
    except ValueError as refused:
        return check_sentence(str(refused))
    finally:
        file.write_bytes(whole)
    assert found == expected or told
    return None


# --- environments ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def env():
    return PursuitEvasionEnv(opponent="flee", **CLOSE)


@pytest.mark.wide
@fuzz(20)
@given(st.lists(st.floats(width=32) | NUMBERS, max_size=3), st.integers(0, 3))
def test_any_action_in_an_environment(env, action, seed):
    """An observation of its space and a finite reward, or a sentence; the game goes on after a sentence."""
    env.reset(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numbers beyond single precision
        try:
            seen, reward, *_ = env.step(np.array(action))
        except ValueError as refused:
            check_sentence(str(refused))
            assert len(action) != 2 or not np.isfinite(np.asarray(action, np.float32)).all()
            seen, reward, *_ = env.step(np.zeros(2))
    assert env.observation_space.contains(seen)
    assert np.isfinite(reward)


# --- the shield --------------------------------------------------------------------------------------------------


@fuzz(20)
@given(
    st.lists(NUMBERS, min_size=2, max_size=2),
    st.lists(NUMBERS, min_size=3, max_size=3),
    st.lists(NUMBERS, min_size=9, max_size=9),
    st.lists(NUMBERS, min_size=7, max_size=7),
    st.lists(st.booleans(), min_size=3, max_size=3),
)
def test_the_shield_on_any_numbers(nominal, pose, discs, gains, present):
    """A control within the limits, always; stop where a number that matters is none; never feasible then."""
    table = jnp.asarray(discs, jnp.float32).reshape(3, 3)
    done = _filtered(jnp.asarray(nominal), jnp.asarray(pose), table, jnp.asarray(present), jnp.asarray(gains))
    control = np.asarray(done.control)
    assert np.isfinite(control).all()
    assert 0 <= control[0] <= 1.0
    assert abs(control[1]) <= 2.84 + 1e-6
    sound = np.isfinite(pose).all() and abs(pose[2]) <= shield.MAX_HEADING
    for there, row in zip(present, np.asarray(table), strict=True):
        sound &= not there or bool(np.isfinite(row).all() and row[2] >= 0)
    if not sound:
        assert not done.feasible
        assert (control == 0).all()


@jax.jit
def _filtered(nominal, pose, table, present, gains):
    scene = Scene(jnp.asarray([3.0, 2.0]), table[:, :2].T, table[:, 2], present)
    return shield.filter(nominal, pose, scene, gains=gains)
