"""Benchmarks measure what they say they measure, and write down what they found."""

import importlib
import itertools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml

from safepursuit.benchmark import clock, competence, latency, situations, suite
from safepursuit.benchmark.clock import Pace
from safepursuit.benchmark.tables import Table, markdown
from safepursuit.cli import main
from safepursuit.game import Game
from tiny import TINY

COUNT = 50
GAMES = 64
ROOT = Path(__file__).parents[1]


@pytest.fixture
def script(monkeypatch):
    """Imports a script of benchmarks/."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module


def test_all_take_turns_there_and_back(script):
    turns, order = script("turns"), []
    calls = {name: lambda name=name: order.append(name) or jnp.zeros(()) for name in "abc"}
    found = turns.alternate(calls, Pace(rounds=4, least=0.0, quick=True))
    assert {name: len(times) for name, times in found.items()} == dict.fromkeys("abc", 4)
    assert "".join(order) == "aabbcc" + "cba" + "abc" + "cba" + "abc"


def test_a_short_call_is_repeated_until_it_has_lasted(script, monkeypatch):
    turns, ticks = script("turns"), itertools.count()
    monkeypatch.setattr(turns.time, "perf_counter", lambda: 0.001 * next(ticks))  # a call takes a millisecond
    calls = []
    turns.alternate({"short": lambda: calls.append(0) or jnp.zeros(())}, Pace(rounds=1, least=0.01, quick=True))
    assert len(calls) == 2 + 10


def test_every_case_and_every_round_is_reported(script):
    turns, said = script("turns"), []
    calls = {("game", 4, ""): lambda: jnp.zeros(()), "shield": lambda: jnp.zeros(())}
    turns.alternate(calls, Pace(rounds=2, least=0.0, quick=True), said.append)
    assert said == ["case 1 of 2 compiles (game, 4)", "case 2 of 2 compiles (shield)", "round 1 of 2", "round 2 of 2"]


def test_median_and_quartiles():
    assert clock.spread([4.0, 1.0, 2.0, 3.0, 5.0], scale=10.0) == (30, 20, 40)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_of_a_power(power, script):
    sizes = [8.0, 16.0, 32.0, 64.0]
    assert script("growth").exponent(sizes, [3 * size**power for size in sizes]) == pytest.approx(power)


@pytest.mark.parametrize("discs", [0, 1, 6, 64])
def test_layouts_have_so_many_discs_and_room_between_them(discs):
    scene = jax.tree.map(np.asarray, situations.layouts(jax.random.key(0), discs, COUNT))
    assert scene.present.sum(axis=0).tolist() == [discs] * COUNT
    assert scene.radius.shape == (max(1, discs), COUNT)
    assert np.all(np.abs(scene.centre) + scene.radius < 10)
    for one, other in zip(*np.triu_indices(discs, 1), strict=True):
        gap = np.hypot(*(scene.centre[:, one] - scene.centre[:, other])) - scene.radius[one] - scene.radius[other]
        assert np.all(gap > 0.69)


def test_there_is_no_room_for_more_discs():
    with pytest.raises(ValueError, match="0 to 64"):
        situations.layouts(jax.random.key(0), 65, COUNT)


def test_robots_stand_close_to_a_boundary_and_clear_of_all():
    radius = 0.15
    scene = situations.layouts(jax.random.key(0), 6, COUNT)
    x, y, heading = np.asarray(situations.close_poses(jax.random.key(1), scene, radius))
    centre = np.asarray(scene.centre)
    discs = np.hypot(x - centre[0], y - centre[1]) - np.asarray(scene.radius)
    clearance = np.minimum(discs.min(axis=0), 10 - np.maximum(np.abs(x), np.abs(y))) - radius
    assert np.all(clearance > 0.0199)
    assert np.median(clearance) < 0.3
    assert np.ptp(heading) > 5


@pytest.mark.wide
def test_the_problems_are_those_of_the_nearest_boundaries(script):
    """Standing still is always allowed, and the farther boundaries only take away from what the nearest one leaves."""
    projection = script("projection")
    given = projection.inputs(GAMES)
    solved = {}
    for count in (6, 24):
        nominal, rows = jax.jit(projection.problems, static_argnames="rows")(given, rows=count)
        assert rows.A.shape == (count, 2, GAMES)
        assert np.all(np.asarray(rows.b) >= 0)
        solved[count] = np.asarray(jax.jit(projection.forward)(nominal, rows))
        assert np.all(np.einsum("rdn,dn->rn", rows.A, solved[count]) <= np.asarray(rows.b) + 1e-5)
    few, many = (
        np.sum(np.asarray(projection.metric())[:, None] * (one - nominal) ** 2, axis=0) for one in solved.values()
    )
    assert np.all(many >= few - 1e-5)
    assert np.any(few > 1e-3)


def test_a_game_that_ends_goes_on_from_the_pool(script):
    pool = situations.states(jax.random.key(0), Game(), 2, GAMES)
    play = script("playing").random_play(Game(horizon=5), pool, steps=12, observed=True)
    begun = pool._replace(step=jnp.arange(GAMES, dtype=jnp.int32) % 5)
    states, seen = play(begun, jax.random.key(1))
    assert np.isfinite(float(seen))
    layouts, now = (np.asarray(one.scene.radius).T.tolist() for one in (pool, states))
    assert all(layout in layouts for layout in now)
    assert now != layouts
    again, _ = play(begun, jax.random.key(2))
    assert not np.array_equal(states.pursuer, again.pursuer)


def test_percentiles_are_those_of_single_calls():
    calls = []
    found = latency.percentiles(lambda state: calls.append(state) or np.zeros(2), "abc", 9)
    assert "".join(calls[-9:]) == "abcabcabc"
    assert 0 < found["p50_us"] <= found["p99_us"] <= found["max_us"]


def test_states_for_the_latency_are_single_games_in_numpy():
    (first, *rest) = latency.close_states(TINY)
    assert len(rest) == latency.STATES - 1
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(first))
    assert first.pursuer.shape == (3,)


@pytest.fixture
def counting(monkeypatch):
    """A benchmark of one part that only counts."""

    def measure(pace, report):
        report("one")
        report("two")
        return {"rounds": pace.rounds}

    def tables(found):
        return [Table("Counted", ("what", "number"), [("rounds", f"{found['rounds']} (0–9)")], "How often.")]

    monkeypatch.setattr(suite, "PARTS", {"counting": suite.Part("counts", measure, tables)})


def test_the_command_writes_down_what_it_found(counting, tmp_path, capsys):
    files = tmp_path / "speed.json", tmp_path / "speed.md"
    assert main(["benchmark", "--quick", "--json", str(files[0]), "--page", str(files[1])]) == 0
    found = json.loads(files[0].read_text(encoding="utf-8"))
    assert found["counting"] == {"rounds": clock.QUICK.rounds}
    assert {"processor", "cores", "commit", "packages", "load_average"} <= set(found["about"])
    page = files[1].read_text(encoding="utf-8")
    assert page.startswith("# Speed\n\nWritten by `safepursuit")
    assert "| rounds | 3 (0–9) |" in page
    shown = capsys.readouterr()
    assert "Counted" in shown.out
    assert "0–9" not in shown.out  # no terminal has room for quartiles
    assert shown.err == "counting: counts\n"  # more than one line of progress in a few seconds is too many


def test_progress_is_a_line_per_part_and_every_few_seconds(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(suite.time, "monotonic", lambda: now[0])
    report = suite.progress_lines(3.0)
    for seconds, text in ((0, "game: steps"), (1, "game: round 1"), (3, "game: round 2"), (4, "latency: one action")):
        now[0] = 100.0 + seconds
        report(text)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == ["game: steps", "game: round 2", "latency: one action"]


def test_what_was_found_before_a_failure_is_kept(counting, monkeypatch, tmp_path):
    def fail(pace, report):
        raise RuntimeError("out of luck")

    parts = suite.PARTS | {"failing": suite.Part("fails", fail, lambda found: [])}
    monkeypatch.setattr(suite, "PARTS", parts)
    files = tmp_path / "speed.json", tmp_path / "speed.md"
    assert main(["benchmark", "--quick", "--json", str(files[0]), "--page", str(files[1])]) == 1
    assert set(json.loads(files[0].read_text(encoding="utf-8"))) == {"about", "counting"}
    assert "| rounds | 3 (0–9) |" in files[1].read_text(encoding="utf-8")


def test_a_part_nobody_knows_is_a_usage_error(counting, capsys):
    assert main(["benchmark", "--only", "countng"]) == 2
    assert "unknown part 'countng' of the benchmark; known are counting" in capsys.readouterr().err


def test_a_folder_that_is_missing_is_noticed_before_anything_is_measured(counting, tmp_path, capsys):
    assert main(["benchmark", "--json", str(tmp_path / "nowhere" / "speed.json")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_a_table_in_markdown():
    table = Table("Title", ("name", "number"), [("one", "1"), ("two", "2")], "Text.")
    assert markdown(table) == "## Title\n\nText.\n\n| name | number |\n|---|---:|\n| one | 1 |\n| two | 2 |"


@pytest.mark.heavy
def test_every_part_measures_something(tmp_path):
    file = tmp_path / "speed.json"
    assert main(["benchmark", "--quick", "--json", str(file), "--page", str(tmp_path / "speed.md")]) == 0
    found = json.loads(file.read_text(encoding="utf-8"))
    assert set(found) == {"about", *suite.PARTS}
    assert all(run["seconds"] < run["whole"] for run in found["competence"]["runs"])


@pytest.mark.heavy
def test_shares_and_growth_are_measured(script):
    growth = script("growth")
    found = suite.run(growth.PARTS, quick=True)
    for row in found["shares"].values():
        whole = sum(value for name, value in row["shares"].items() if "_" in name)
        assert whole == pytest.approx(row["shares"]["rollout"] + row["shares"]["update"])
        assert min(value for name, value in row["shares"].items() if not name.endswith("other")) > 0
    assert all(found["seeds"][method]["speed_up"] > 0 for method in growth.SEED_METHODS)
    for rows in (found["growth"]["games"], found["growth"]["discs"]):
        assert all(row["us"]["median"] > 0 and row["bytes"] > 0 for row in rows)
    assert suite.page(growth.PARTS, found, "Growth", "make").count("\n## ") == 4


@pytest.mark.heavy
def test_methods_are_trained_and_judged_once(script, tmp_path, capsys):
    methods = script("methods")
    cells = [
        cell
        for cell in methods.CELLS
        if (cell.evader, cell.obstacles) == methods.MATRIX and cell.variant.name in ("ppo", "barriernet")
    ]
    budget = methods.Budget(timesteps=1, seeds=(0,), episodes=10, runs=tmp_path)
    methods.work(cells, budget)
    assert capsys.readouterr().out.count("finished") == 2
    found = methods.collected(cells, budget)["cells"]
    assert [set(cell["layers"]) for cell in found] == [set(methods.LAYERS)] * 2
    assert all(one["episodes"] == 10 for cell in found for one in cell["layers"].values())
    written = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.json")}
    methods.work(cells, budget)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.json")} == written


def test_a_shortened_training_is_not_judged_as_if_it_were_whole():
    run = {"seed": 0, "seconds": 1.0, "whole": 2.0, "memory": None, "capture": 0.5, "collisions": 0, "competent": False}
    runs = [run | {"cache": state} for state in ("cold", "warm")]
    verdicts = {
        timesteps: competence.tables({"timesteps": timesteps, "episodes": 9, "runs": runs})[0].rows[0][5]
        for timesteps in (competence.TIMESTEPS, competence.SHORTENED)
    }
    assert list(verdicts.values()) == ["0 of 1", "training shortened"]


def test_the_guard_is_about_ratios_beyond_their_limit(script):
    guard = script("guard")
    assert set(guard.WORK) == set(guard.USUAL)
    assert guard.slower(guard.USUAL) == []
    assert guard.slower(guard.USUAL | {"game": 1.01 * guard.SLACK * guard.USUAL["game"]}) == ["game"]


def test_what_is_timed_until_competence_is_the_quick_configuration():
    settings = yaml.safe_load((ROOT / "configs" / "quick.yaml").read_text(encoding="utf-8"))
    assert settings.pop("timesteps") == competence.TIMESTEPS
    assert settings.pop("evader") == "random"
    words = {f"--{name.replace('_', '-')}": value for name, value in settings.items() if name != "ppo"}
    words |= {f"--ppo.{name}": value for name, value in settings["ppo"].items()}
    assert competence.SETTINGS.split() == [str(word) for pair in words.items() for word in pair]
