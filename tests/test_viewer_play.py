"""The game in the page: its rules against the package's, its policy against ONNX Runtime in Python.

The screenshots stay in build/viewer/.
"""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from browser import PROGRAM
from safepursuit.cli import main
from safepursuit.experiment.run import Learned
from safepursuit.game import Game, GameState, RobotState, transition
from safepursuit.game.state import collided
from safepursuit.policy import build_policy
from safepursuit.robot import ROBOTS
from safepursuit.runs import checkpoint, configuration
from safepursuit.runs.folder import RunFolder, RunFolderError
from safepursuit.scene import Scene
from safepursuit.viewer.matches import Model, match
from safepursuit.viewer.packing import page
from tiny import TINY, outspoken

pytest.importorskip("onnxruntime")
needs_browser = pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine")

SHOTS = Path(__file__).parents[1] / "build" / "viewer"
STEPS = 400
"""20 s."""
RATIO = 1.2
PLAYED = replace(TINY.game, horizon=STEPS, capture_radius=0.31)
"""Capture as late as the rules allow, for long matches."""
NAME = "</script><b>\u202eevil"


@pytest.fixture(scope="module")
def model():
    from safepursuit.adapters.onnx import export

    policy = build_policy(jax.random.key(2), TINY.method, TINY.policy, TINY.game, TINY.shield)
    return export(outspoken(policy), TINY, discs=3).SerializeToString()


@pytest.fixture(scope="module")
def file(model, tmp_path_factory):
    out = tmp_path_factory.mktemp("play") / "play.html"
    out.write_text(
        page("play", match(PLAYED, [Model(NAME, model, 3, 0, clear) for clear in (True, False)])), encoding="utf-8"
    )
    return out


def trace(tab, start, controls, shielded):
    words = f"{json.dumps(start)}, {RATIO}, {json.dumps(controls)}, {json.dumps(shielded)}"
    return tab.ask(f"safepursuit.script({words})")


def of_page(states, half):
    """States of the page as one batch of the package's."""
    discs = np.array([state["discs"] for state in states], float).transpose(2, 1, 0)
    there = jnp.ones(discs.shape[1:], bool)
    scene = Scene(jnp.asarray(half, float), jnp.asarray(discs[:2]), jnp.asarray(discs[2]), there)

    def robot(role):
        values = ([state[role][name] for state in states] for name in ("pose", "control"))
        return RobotState(*(jnp.asarray(np.array(one, float).T) for one in values))

    return GameState((robot("pursuer"), robot("evader")), scene, jnp.asarray([state["step"] for state in states]))


@pytest.mark.wide
@needs_browser
def test_twenty_seconds_in_the_page_are_those_of_the_package(file, tab, model):
    """The evader runs in curves, and into things; the policy's answers are those of ONNX Runtime at every state."""
    import onnxruntime

    tab.visit(file)
    game = replace(PLAYED, evader_speed_ratio=RATIO)
    start = {"pursuer": [-2.4, -2.2, 0.4], "evader": [2.0, 1.8, 2.0], "discs": [[0.0, 0.0, 0.5], [1.6, -1.2, 0.4]]}
    time = np.arange(STEPS)
    controls = np.stack([0.6 + 0.6 * np.sin(time / 30), 2.6 * np.sin(time / 17)], axis=1).tolist()
    played = trace(tab, start, controls, True)
    assert tab.troubles == []
    assert {address.split(":")[0] for address in tab.requests} <= {"file", "data", "blob"}

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    with jax.enable_x64(True):
        step = jax.jit(lambda state, controls: transition(state, controls, game))
        ours, contacts = of_page([played[0]["before"]], game.arena.half_extents), 0
        for one, control in zip(played, controls, strict=False):
            before, after = one["before"], one["outcome"]["state"]
            inputs = {
                "pose": before["pursuer"]["pose"],
                "control": before["pursuer"]["control"],
                "opponent_pose": before["evader"]["pose"],
                "opponent_control": before["evader"]["control"],
                "discs": [*start["discs"], [np.nan] * 3],
                "half_extents": game.arena.half_extents,
            }
            safe, nominal, active, _, clearance = session.run(
                None, {name: np.asarray(values, float)[None] for name, values in inputs.items()}
            )
            np.testing.assert_allclose(one["command"]["safe"], safe[0], atol=1e-4)
            np.testing.assert_allclose(one["command"]["nominal"], nominal[0], atol=1e-4)
            assert one["command"]["active"] == active[0]
            assert one["command"]["clearance"] == pytest.approx(clearance[0], abs=1e-6)
            # The package's own game goes on by itself: differences may not grow.
            outcome = step(ours, tuple(jnp.asarray(one)[:, None] for one in (one["command"]["safe"], control)))
            ours = outcome.state
            for role in ("pursuer", "evader"):
                np.testing.assert_allclose(after[role]["pose"], ours.robot(role).pose[:, 0], atol=1e-4)
                assert one["outcome"]["contacts"][role] == bool(collided(outcome.contact(role)))
            assert one["outcome"]["captured"] == bool(outcome.captured)
            assert not one["outcome"]["contacts"]["pursuer"]
            contacts += one["outcome"]["contacts"]["evader"]
    assert len(played) == STEPS or played[-1]["outcome"]["captured"]
    assert contacts > 0  # the evader's, which shows that things are solid


@needs_browser
def test_without_its_layer_the_network_drives_alone(file, tab):
    tab.visit(file)
    for one in trace(tab, START, [[0.0, 0.0]] * 5, False):
        nominal = np.clip(one["command"]["nominal"], [0, -2.84], [1, 2.84])
        np.testing.assert_allclose(one["outcome"]["state"]["pursuer"]["control"], nominal, atol=1e-9)


@needs_browser
def test_the_page_fits_and_can_be_played_with_keys(file, tab):
    tab.visit(file)
    assert tab.ask("document.querySelector('#method').options.length") == 2
    assert tab.ask("document.querySelector('#method').options[0].text") == NAME
    tab.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowUp")
    tab.until("safepursuit.match.state.step > 3 || safepursuit.match.over")
    tab.call("Input.dispatchKeyEvent", type="keyUp", key="ArrowUp")
    for width, _, _ in tab.looks(SHOTS, "play"):
        assert tab.ask("document.documentElement.scrollWidth") <= width
    tab.press("Enter")
    assert tab.ask("safepursuit.match.state.step") == 0
    assert tab.troubles == []


DISCS = "safepursuit.match.state.discs"
START = {"pursuer": [-2.4, -2.2, 0.4], "evader": [2.0, 1.8, 2.0], "discs": [[0.0, 0.0, 0.5], [1.0, -1.6, 0.4]]}


def pixels(tab, x, y):
    """A place of the arena in the window [CSS pixels]."""
    return tab.ask(f"""(() => {{
      const box = document.querySelector('#arena').getBoundingClientRect();
      const [left, top] = safepursuit.view.at({x}, {y});
      return [box.left + left, box.top + top];
    }})()""")


@needs_browser
@pytest.mark.parametrize(("hand", "width"), [("touch", 390), ("drag", 1280)])
def test_the_arena_is_edited_by_hand(file, tab, hand, width):
    """Dragged, added, removed; and the discs stay for the next game, until another arena is asked for."""
    tab.visit(file, width)
    tab.ask(f"safepursuit.place({json.dumps(START)})")

    def move(*places):
        getattr(tab, hand)(*(pixels(tab, *place) for place in places))
        return tab.ask(DISCS)

    found = move((0.2, 0.1), (0.5, 0.3), (0.7, -0.5))
    np.testing.assert_allclose(found[0], [0.5, -0.6, 0.5], atol=0.02)  # by as much as the hand
    assert tab.ask("safepursuit.match.phase") == "ready"
    assert move((1.0, -1.6)) == found  # nothing is added or removed by a tap
    tab.ask("document.querySelector('#edit').click()")
    assert move((2.0, 1.3)) == found  # too near the evader
    assert "0.5 m" in tab.ask("document.querySelector('#said').textContent")
    added = move((-1.5, 1.5))
    np.testing.assert_allclose(added, [*found, [-1.5, 1.5, 0.4]], atol=0.02)
    assert move((-1.5, 1.5)) == found
    for _ in range(4):
        tab.ask("document.querySelector('#add').click()")
    assert len(tab.ask(DISCS)) == 3  # as many as the policy takes
    tab.ask("document.querySelector('#remove').click()")
    assert tab.ask(DISCS) == found
    tab.press("e", "Enter")
    assert tab.ask(DISCS) == found
    inward = [(0.5, -0.6), (0.5, -2.0), (0.5, -3.2)]
    assert move(*inward) == found[1:]  # out of the arena
    tab.ask("document.querySelector('#shuffle').click()")
    assert len(tab.ask(DISCS)) == 2
    move((-2.9, -2.9))  # drives there
    tab.until("safepursuit.match.phase !== 'ready'")
    assert tab.troubles == []


@needs_browser
def test_speed_method_and_layer_change_the_game_and_the_score(file, tab):
    tab.visit(file)
    tab.ask("localStorage.clear()")
    text = "document.querySelector('#{}').textContent"

    def choose(name, value):
        tab.ask(f"""(() => {{
          const list = document.querySelector('#{name}');
          list.value = '{value}';
          list.dispatchEvent(new Event('change'));
        }})()""")

    choose("level", "0.8")
    assert tab.ask("safepursuit.match.game.evader.limits.max_speed") == pytest.approx(0.8)
    assert tab.ask(text.format("best")) == "–"
    tab.ask("safepursuit.place({pursuer: [0, 0, 0], evader: [0.45, 0, Math.PI], discs: []})")
    tab.call("Input.dispatchKeyEvent", type="keyDown", key="w")  # right into the pursuer, which cannot drive backwards
    tab.until("safepursuit.match.over")
    tab.call("Input.dispatchKeyEvent", type="keyUp", key="w")
    assert tab.ask(text.format("caught")) == "1"
    best = tab.ask(text.format("best"))
    assert best == f"{tab.ask('safepursuit.match.time'):.1f} s"
    choose("level", "1.5")
    assert tab.ask(text.format("best")) == "–"
    choose("level", "0.8")
    assert tab.ask(text.format("best")) == best
    assert "keeps it clear" in tab.ask(text.format("promise"))
    tab.press("l")
    assert tab.ask(text.format("shield")) == "Safety layer off"
    assert "nothing keeps it clear" in tab.ask(text.format("promise"))
    assert tab.ask(text.format("best")) == "–"
    tab.press("l")
    choose("method", "1")
    tab.until("safepursuit.match.phase === 'ready'")
    assert "promises nothing" in tab.ask(text.format("promise"))
    assert tab.troubles == []


@pytest.mark.heavy
@needs_browser
@pytest.mark.parametrize("model_name", ["e-puck2", "inertial"])
def test_other_robots_move_as_in_the_package(model_name, file, tab):
    """Arcs, and ramps of speed, from hard corners: right into a disc and a wall."""
    tab.visit(file)
    robot = ROBOTS.find(model_name)()
    game = Game.of_robot(model_name)
    half = game.arena.half_extents
    limits = {name: getattr(robot, name) for name in ("radius", "max_speed", "max_turn_rate", "dt", "integrator")}
    if robot.has_inertia:
        limits |= {name: getattr(robot, name) for name in ("acceleration", "braking", "turn_acceleration")}
    size = game.arena.radius_range[0]
    away = half[0] - 4 * robot.radius
    start = {
        "pursuer": {"pose": [-away, 0.0, 0.1], "control": [0.0, 0.0]},
        "evader": {"pose": [away, 0.0, 0.4], "control": [0.0, 0.0]},
        "discs": [[-away + 4 * robot.radius + size, 0.0, size]],
        "step": 0,
    }
    count = 60
    turn = 0.2 * robot.max_turn_rate * np.sin(np.arange(count) / 9)
    controls = np.stack([np.full(count, 2 * robot.max_speed), turn], axis=1)
    rules = {"half": half, "captureRadius": game.capture_radius, "horizon": 600}
    program = f"""
    (() => {{
      const robot = safepursuit.robot({json.dumps(limits)});
      const game = {{pursuer: robot, evader: robot, ...{json.dumps(rules)}}};
      let state = {json.dumps(start)};
      return {json.dumps(controls.tolist())}.map(control => {{
        const before = state;
        const outcome = safepursuit.transition(state, {{pursuer: control, evader: [control[0], -control[1]]}}, game);
        state = outcome.state;
        return {{before, ...outcome}};
      }});
    }})()"""
    found = tab.ask(program)
    with jax.enable_x64(True):
        both = jnp.asarray(controls.T), jnp.asarray((controls * [1, -1]).T)
        outcome = jax.jit(partial(transition, game=game))(of_page([one["before"] for one in found], half), both)
        for role in ("pursuer", "evader"):
            ours = outcome.state.robot(role)
            for name in ("pose", "control"):
                theirs = np.array([one["state"][role][name] for one in found]).T
                np.testing.assert_allclose(theirs, getattr(ours, name), atol=1e-9)
            contacts = [one["contacts"][role] for one in found]
            np.testing.assert_array_equal(contacts, collided(outcome.contact(role)))
            assert any(contacts)
            assert not all(contacts)


@needs_browser
def test_a_damaged_policy_is_told_in_the_page(tab, model, tmp_path):
    broken = tmp_path / "broken.html"
    broken.write_text(page("play", match(TINY.game, [Model("x", model[:500], 3, 0, True)])), encoding="utf-8")
    tab.visit(broken)
    assert "cannot be run" in tab.ask("document.querySelector('.trouble').textContent")


@pytest.mark.wide
@needs_browser
def test_the_packed_pursuer_plays_beside_runs(tab, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # where the zoo is unpacked
    run = RunFolder.create(tmp_path / "mine", configuration.dump(TINY), ["safepursuit"])
    policy = build_policy(jax.random.key(2), TINY.method, TINY.policy, TINY.game, TINY.shield)
    checkpoint.save(run, 0, Learned(policy), best=True)
    file = tmp_path / "play.html"
    assert main(["play", "zoo:pursuer", str(run.path), "--out", str(file)]) == 0
    assert file.stat().st_size < 15e6
    tab.visit(file)
    names = "[...document.querySelector('#method').options].map(one => one.text)"
    assert tab.ask(names) == ["barriernet (zoo:pursuer)", "barriernet (mine)"]
    for which in (0, 1):
        tab.ask(f"document.querySelector('#method').value = {which}, safepursuit.choose()")
        start = {"pursuer": [0, 0, 0], "evader": [4, 0, 0], "discs": []}
        assert len(trace(tab, start, [[0.0, 0.0]] * 3, True)) == 3
    assert tab.troubles == []


def test_without_a_name_the_packed_pursuer_plays(monkeypatch, capsys):
    def open_run(name):
        raise RunFolderError(f"{name} was asked for.")

    monkeypatch.setattr("safepursuit.cli.play.open_run", open_run)
    assert main(["play"]) == 2
    assert "zoo:pursuer was asked for" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["nowhere"], "does not exist"),
        (["zoo:nobody"], "the zoo has no 'nobody'"),
        (["zoo:evader"], "cannot be the pursuer"),
        (["x", "--out", "y.pdf"], "ends in .html"),
    ],
)
def test_wrong_calls_are_told(words, complaint, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["play", *words]) == 2
    assert complaint in capsys.readouterr().err
