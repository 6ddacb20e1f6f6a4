"""Evaluations: paired scenarios, complete recordings, honest figures."""

import json
import math
from dataclasses import replace

import equinox as eqx
import jax
import numpy as np
import pytest

from reference import body_clearance, motion
from safepursuit import game as rules
from safepursuit.agents import LAYERS
from safepursuit.compare import cells
from safepursuit.evaluation import episodes, evaluate, evaluation, metrics, scenarios
from safepursuit.evaluation.referee import Verdict
from safepursuit.experiment import TrainConfig
from safepursuit.game import SENSORS, Game
from safepursuit.learn import BarrierNetTrainer
from safepursuit.learn.rollout import fresh_starts
from safepursuit.play import recording as recordings
from safepursuit.play.recording import Recording
from safepursuit.players import players_of
from safepursuit.policy import NotFiniteError, build_policy
from safepursuit.robot import Unicycle
from safepursuit.runs.folder import write_json
from safepursuit.scene import Arena
from tiny import TINY, aimed

HORIZON, EPISODES = 150, 300
GAME = Game(Arena(half_extents=(4.0, 3.0), radius_range=(0.3, 0.8)), horizon=HORIZON, start_distance=(1.0, 6.0))
CONFIG = replace(TINY, game=GAME)


def reckless(config=CONFIG):
    """A network that asks for full speed and a slight turn, whatever it sees."""
    policy = build_policy(jax.random.key(0), config.method, config.policy, config.game, config.shield)
    return aimed(policy, (1.0, 0.05))


@pytest.fixture(scope="module")
def judged():
    """The same network on the same scenarios, behind each of the safety layers."""
    return {name: evaluate(reckless(), CONFIG, episodes=EPISODES, layer=name) for name in LAYERS}


# --- safe and unsafe controllers ---------------------------------------------------------------------------------


def test_a_reckless_network_without_a_safety_layer_is_found_unsafe(judged):
    result = judged["off"].result
    assert result["collision"]["rate"] > 0.5
    assert result["collision"]["by"]["wall"] > 40
    assert result["collision"]["by"]["obstacle"] > 20
    assert result["min_clearance"] < -0.04
    assert result["intervention_rate"] == 0
    assert result["mean_correction"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("layer", ["as-trained", "filter", "governor"])
def test_the_same_network_behind_a_safety_layer_never_collides(judged, layer):
    """More than 50,000 steps in all, most of them nose to a wall or disc."""
    result = judged[layer].result
    assert result["collision"]["count"] == 0
    assert result["collision"]["by"] == {"wall": 0, "obstacle": 0, "robot": 0}
    assert 0 <= result["min_clearance"] < 0.01
    assert result["infeasible_rate"] == 0
    assert result["intervention_rate"] > 0.3
    assert sum(judged[name].result["steps"] for name in LAYERS if name != "off") > 50_000


def test_the_governor_only_brakes(judged):
    recording = judged["governor"].recording
    played = ~np.isnan(recording.pursuer_control[..., 0])
    v, turn_rate = np.moveaxis(recording.pursuer_control[played], -1, 0)
    np.testing.assert_allclose(turn_rate, 0.05 * 2.84, rtol=1e-5)
    assert v.min() >= 0
    assert v.max() == 1
    assert (v < 1).mean() > 0.3


def test_scenarios_are_the_same_for_every_policy_and_opponent(judged):
    for layer in LAYERS:
        for name in ("pursuer", "evader"):
            starts = [getattr(judged[one].recording, name)[:, 0] for one in ("off", layer)]
            np.testing.assert_array_equal(*starts)
        np.testing.assert_array_equal(judged["off"].recording.discs, judged[layer].recording.discs)
    # The random evader plays the same hand, as long as the shield leaves it alone: at the first step, nearly always.
    first = [judged[one].recording.evader_control[:, 0] for one in ("off", "as-trained")]
    np.testing.assert_array_equal(*first)


# --- recordings --------------------------------------------------------------------------------------------------


def follows(recording, integrator):
    """Largest distance of a recorded pose from where the recorded control leads from the pose before, for both."""
    played = ~np.isnan(recording.pursuer_control[..., 0])
    worst = 0.0
    for poses, controls in (
        (recording.pursuer, recording.pursuer_control),
        (recording.evader, recording.evader_control),
    ):
        before, after = poses[:, :-1][played].T, poses[:, 1:][played].T
        expected = motion(before, controls[played].T, 0.05, integrator)
        turned = np.abs(np.angle(np.exp(1j * (expected[2] - after[2]))))
        worst = max(worst, np.abs(expected[:2] - after[:2]).max(), turned.max())
    return worst


def test_recorded_poses_follow_from_recorded_controls(judged):
    assert follows(judged["as-trained"].recording, "euler") < 5e-6  # float32
    assert follows(judged["as-trained"].recording, "arc") > 1e-4


@pytest.mark.wide
def test_on_the_exact_arc_too():
    robot = Unicycle(integrator="arc")
    config = replace(CONFIG, game=replace(GAME, robot=robot))
    found = evaluate(reckless(config), config, episodes=50)
    assert follows(found.recording, "arc") < 5e-6
    assert follows(found.recording, "euler") > 1e-4
    assert found.result["collision"]["count"] == 0
    assert found.result["min_clearance"] >= 0


def test_without_a_safety_layer_solid_things_stop_the_robot_and_the_referee_still_sees_it(judged):
    """In the recording no body is ever inside anything: what the referee counts is the attempt."""
    recording, found = judged["off"].recording, judged["off"].verdict
    discs = np.moveaxis(recording.discs, 0, -1)  # (discs, 3, episodes)
    for time in range(0, HORIZON + 1, 10):
        point = recording.pursuer[:, time, :2].T
        still = ~np.isnan(point[0])
        gap = body_clearance(
            point[:, still],
            0.15,
            np.moveaxis(discs[:, :2], 0, 1)[..., still],
            discs[:, 2, still],
            np.ones((2, still.sum()), bool),
            GAME.arena.half_extents,
        )
        assert gap.min() > -5e-6
    assert np.nanmin(found.clearance) < -0.04


def test_what_is_past_an_episodes_end_is_empty(judged):
    for layer in LAYERS:
        recording = judged[layer].recording
        assert len(set(recording.length)) > 5
        for episode, length in enumerate(recording.length):
            for name in ("pursuer", "evader"):
                known = ~np.isnan(getattr(recording, name)[episode]).any(axis=-1)
                assert known.tolist() == [time <= length for time in range(HORIZON + 1)]
            for name in ("pursuer_control", "evader_control", "nominal"):
                known = ~np.isnan(getattr(recording, name)[episode]).any(axis=-1)
                assert known.tolist() == [time < length for time in range(HORIZON)]
            for name in ("intervened", "infeasible", "lost_gradient"):
                assert not getattr(recording, name)[episode, length:].any()


def test_outcomes_are_what_the_poses_show(judged):
    recording = judged["as-trained"].recording
    ends = recording.pursuer[np.arange(EPISODES), recording.length, :2]
    others = recording.evader[np.arange(EPISODES), recording.length, :2]
    apart = np.hypot(*(ends - others).T)
    captured = recording.outcome == "capture"
    assert set(recording.outcome) == {"capture", "timeout"}
    assert (apart[captured] < 0.5 + 0.1).all()  # within a step of it at the end of it
    assert (apart[~captured] > 0.5).all()
    assert (recording.length[~captured] == HORIZON).all()
    assert (recording.length[captured] <= HORIZON).all()
    assert captured.sum() > 20


@pytest.mark.wide
def test_a_collision_ends_an_episode_where_the_rules_say_so():
    """Without discs, too: there are only walls to hit, and the places of discs are empty."""
    strict = replace(CONFIG, game=replace(GAME, collision_terminates=True))
    found = evaluate(reckless(), strict, episodes=100, obstacles=0, layer="off")
    recording = found.recording
    assert found.result["obstacles"] == 0
    assert recording.discs.shape == (100, 1, 3)
    assert np.isnan(recording.discs).all()
    assert found.result["collision"]["by"]["obstacle"] == 0
    collided = recording.outcome == "collision"
    assert 30 < collided.sum() < 100
    # Each ended at its first and only collision, which the referee saw too.
    hits = (found.verdict.wall | found.verdict.obstacle).sum(axis=1)
    assert (hits[collided] == 1).all()
    assert (hits[recording.outcome == "timeout"] == 0).all()
    last = recording.length[collided] - 1
    at_the_end = (found.verdict.wall | found.verdict.obstacle)[np.flatnonzero(collided), last]
    assert at_the_end.all()


def test_the_recording_file_is_complete(judged, tmp_path):
    """Every field of the contract, to be judged by other code: shapes, kinds, units."""
    recording = judged["as-trained"].recording
    file = tmp_path / "recording.data"
    recordings.save(recording, file)
    with np.load(file, allow_pickle=False) as stored:
        found = dict(stored)
    shapes = {
        "pursuer": (EPISODES, HORIZON + 1, 3),
        "evader": (EPISODES, HORIZON + 1, 3),
        "pursuer_control": (EPISODES, HORIZON, 2),
        "evader_control": (EPISODES, HORIZON, 2),
        "pursuer_nominal": (EPISODES, HORIZON, 2),
        "discs": (EPISODES, 2, 3),
        "half_extents": (2,),
        "robot_radius": (),
        "capture_radius": (),
        "dt": (),
        "integrator": (),
        "length": (EPISODES,),
        "outcome": (EPISODES,),
        "pursuer_velocity": (EPISODES, HORIZON + 1, 2),
        "evader_velocity": (EPISODES, HORIZON + 1, 2),
        "pursuer_limits": (8,),
        "evader_limits": (8,),
        "edges": (EPISODES, 4, 4),
        "movers": (EPISODES, HORIZON + 1, 0, 3),
        # Beyond the contract: what the safety layer did, which scenarios these are, and the rules.
        "intervened": (EPISODES, HORIZON),
        "infeasible": (EPISODES, HORIZON),
        "lost_gradient": (EPISODES, HORIZON),
        "active": (EPISODES, HORIZON, 2 + 4),
        "correction": (EPISODES, HORIZON),
        "scenario": (EPISODES,),
        "role": (),
        "game": (),
    }
    assert {name: array.shape for name, array in found.items()} == shapes
    kinds = dict.fromkeys(("integrator", "outcome", "role", "game"), "U") | dict.fromkeys(("length", "scenario"), "i")
    kinds |= dict.fromkeys(("intervened", "infeasible", "lost_gradient", "active"), "b")
    for name in shapes:
        kind = kinds.get(name, "f")
        assert found[name].dtype.kind == kind
        assert kind != "f" or found[name].dtype == np.float64
    constants = [float(found[name]) for name in ("robot_radius", "capture_radius", "dt")]
    assert constants == [0.15, 0.5, 0.05]
    assert str(found["integrator"]) == "euler"
    at_once = [np.inf] * 3
    np.testing.assert_array_equal(found["pursuer_limits"], [0, 1, 2.84, *at_once, np.nan, 0.15])
    assert found["half_extents"].tolist() == [4.0, 3.0]
    np.testing.assert_array_equal(found["pursuer"], recording.pursuer)
    np.testing.assert_allclose(np.nanmax(found["pursuer_nominal"][..., 0]), 1.0)


def test_a_recording_survives_its_file(judged, tmp_path):
    recording = judged["as-trained"].recording
    chosen = [5, 2, 270]
    recordings.save(recordings.take(recording, chosen), tmp_path / "some.npz", scenario=chosen)
    found, scenario = recordings.load(tmp_path / "some.npz")
    assert scenario.tolist() == chosen
    assert found.game == recording.game == GAME
    for name in ("pursuer", "evader_control", "intervened", "correction", "discs", "length", "outcome"):
        np.testing.assert_array_equal(getattr(found, name), getattr(recording, name)[chosen])
    # A part of the episodes is judged as the whole was.
    assert metrics.verdict(found).clearance.shape == (3, HORIZON)
    np.testing.assert_array_equal(metrics.verdict(found).clearance, judged["as-trained"].verdict.clearance[chosen])


def test_whatever_is_no_recording_is_called_that(judged, tmp_path):
    """Damage anywhere in the file either does nothing or is named; other files are refused."""
    file = tmp_path / "some.npz"
    recordings.save(recordings.take(judged["as-trained"].recording, [5, 2]), file)
    whole, broken = file.read_bytes(), 0
    intact, _ = recordings.load(file)
    for at in range(0, len(whole), len(whole) // 150):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            found, _ = recordings.load(file)
        except ValueError as error:
            broken += str(error).startswith(f"{file} is not a recording of this version: ")
        else:
            np.testing.assert_array_equal(found.pursuer, intact.pursuer)
            broken += 1
    assert broken >= 150
    file.write_bytes(whole)
    with np.load(file) as stored:
        arrays = dict(stored)
    np.savez(tmp_path / "shorter.npz", **arrays | {"length": arrays["length"][:1]})
    np.savez(tmp_path / "less.npz", **{name: array for name, array in arrays.items() if name != "game"})
    np.savez(tmp_path / "scalar.npz", **arrays | {"outcome": np.float64(1)})
    np.savez(tmp_path / "another_game.npz", **arrays | {"game": np.asarray("horizon: never")})
    with (tmp_path / "array.npz").open("wb") as stream:
        np.save(stream, np.zeros(3))
    (tmp_path / "text.npz").write_text("nothing")
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "folder.npz").mkdir()
    others = [one for one in tmp_path.iterdir() if one != file]
    assert len(others) == 9
    for other in [*others, tmp_path / "missing.npz"]:
        with pytest.raises(ValueError, match=rf"{other} is not a recording of this version: .+\.$"):
            recordings.load(other)


# --- opponents ---------------------------------------------------------------------------------------------------


@pytest.mark.wide
def test_a_mixture_is_judged_evader_by_evader(judged):
    """Whoever plays in episode i plays as if it were alone in all of them."""
    mixed = evaluate(reckless(), CONFIG, episodes=40, evader="random:2,run")
    alone = {"random": judged["as-trained"], "run": evaluate(reckless(), CONFIG, episodes=40, evader="run")}
    names = players_of("random:2,run", "evader", 40)
    for index, name in enumerate(names):
        for field in ("pursuer", "evader", "evader_control"):
            one, other = (getattr(found.recording, field)[index] for found in (mixed, alone[name]))
            np.testing.assert_allclose(one, other, atol=1e-5)
    found = mixed.result["by_evader"]
    assert {name: part["episodes"] for name, part in found.items()} == {"random": 27, "run": 13}
    total = sum(part["capture"]["rate"] * part["episodes"] for part in found.values())
    assert total == pytest.approx(40 * mixed.result["capture"]["rate"])
    assert mixed.result["evader"] == "random:2,run"
    assert "by_evader" not in alone["run"].result


@pytest.mark.wide
def test_a_scripted_pursuer_is_judged_like_a_policy():
    found = evaluate("pure-pursuit", CONFIG, episodes=100)
    assert found.result["method"] == "pure-pursuit"
    assert found.result["capture"]["rate"] > 0.9
    assert found.result["collision"]["count"] == 0
    assert found.result["zero_gradient_share"] == 0
    bare = evaluate("pure-pursuit", CONFIG, episodes=100, layer="off")
    assert bare.result["intervention_rate"] == 0
    assert bare.result["collision"]["count"] > 0  # it has no regard for discs
    with pytest.raises(ValueError, match="unknown pursuer 'cat'; known are pure-pursuit"):
        evaluate("cat", CONFIG, episodes=4)


# --- scenarios ---------------------------------------------------------------------------------------------------


def test_the_first_scenarios_are_the_same_however_many_are_drawn():
    """In the tiny arena a fifth of all layouts finds no place: what replaces them must not depend on the number."""
    few, many = (scenarios.draw("standard", TINY.game, 3, count) for count in (10, 64))
    for one, two in zip(jax.tree.leaves(few.states), jax.tree.leaves(many.states), strict=True):
        np.testing.assert_array_equal(one, two[..., :10])
    np.testing.assert_array_equal(jax.random.key_data(few.evader_keys), jax.random.key_data(many.evader_keys)[:10])
    # Some were replaced: the test is about something.
    assert np.unique(np.asarray(many.states.pursuer), axis=1).shape[1] < 64


def test_seeds_choose_scenarios_and_training_never_sees_them():
    draws = {seed: np.asarray(scenarios.draw("standard", TINY.game, seed, 64).states.pursuer) for seed in range(3)}
    assert not np.isin(draws[0], draws[1]).any()
    for seed in range(3):
        config = replace(TINY, seed=seed)
        seen = [np.asarray(BarrierNetTrainer(config).state.games.state.pursuer)]
        seen += [np.asarray(fresh_starts(jax.random.key(seed), config).pursuer)]
        seen += [np.asarray(rules.initial(jax.random.key(seed), TINY.game, 64).pursuer)]
        for drawn in draws.values():
            assert not np.isin(drawn[0], np.concatenate(seen, axis=1)[0]).any()


@pytest.fixture(scope="module")
def suites():
    """64 scenarios of every suite, in the default game."""
    return {name: scenarios.draw(name, Game(), 0, 64) for name in scenarios.SUITES}


@pytest.mark.wide
@pytest.mark.parametrize("name", scenarios.SUITES)
def test_every_suite_is_fixed_fair_and_of_its_own(suites, name):
    drawn = suites[name]
    few = scenarios.draw(name, Game(), 0, 7)
    for one, two in zip(jax.tree.leaves(few.states), jax.tree.leaves(drawn.states), strict=True):
        np.testing.assert_array_equal(one, two[..., :7])
    np.testing.assert_array_equal(jax.random.key_data(few.evader_keys), jax.random.key_data(drawn.evader_keys)[:7])
    state, game = jax.tree.map(np.asarray, drawn.states), drawn.game
    scene = state.scene
    for pose in (state.pursuer, state.evader):
        free = body_clearance(pose[:2], 0.15, scene.centre, scene.radius, scene.present, scene.half_extents)
        assert free.min() >= game.start_clearance - 1e-5
    distance = np.hypot(*(state.pursuer - state.evader)[:2])
    nearest = 3 if name != "rooms" else 1  # a small room has no two places 3 m apart
    assert distance.min() >= nearest - 1e-5
    assert distance.max() <= 15 + 1e-5
    for other, found in suites.items():
        if other != name:
            assert not np.isin(state.pursuer[0], found.states.pursuer[0]).any()


@pytest.mark.wide
def test_suites_hold_what_they_promise(suites):
    present = {name: np.asarray(drawn.states.scene.present).sum(0) for name, drawn in suites.items()}
    assert present["dense"].min() == 8
    assert present["dense"].max() == 16
    assert set(present["dense"]) == set(range(8, 17))
    assert set(present["standard"]) == {2}
    radius = np.asarray(suites["unseen-radii"].states.scene.radius)
    assert radius.min() >= 1
    assert radius.max() > 1.4
    assert suites["fast-evader"].game.evader.max_speed == pytest.approx(1.2)
    # In `orbit` the line of sight crosses the disc behind which the evader stands, and it heads along its rim.
    state = jax.tree.map(np.asarray, suites["orbit"].states)
    centre, radius = state.scene.centre[:, 0], state.scene.radius[0]
    from_disc, from_pursuer = state.evader[:2] - centre, state.evader[:2] - state.pursuer[:2]
    sideways = from_disc[0] * from_pursuer[1] - from_disc[1] * from_pursuer[0]
    assert (np.abs(sideways) / np.hypot(*from_pursuer)).max() < 1e-4
    assert (np.hypot(*from_disc) - radius).max() < 0.5
    heading = np.stack([np.cos(state.evader[2]), np.sin(state.evader[2])])
    assert np.abs((heading * from_disc).sum(0)).max() < 1e-4


def test_the_default_rules_are_those_of_a_comparison_whatever_the_training_had(monkeypatch):
    class EnoughError(Exception):
        """Raised in place of playing: what was drawn is all that matters here."""

    def drawn(rules):
        def record(own, opponents, scenarios, role):
            raise EnoughError(scenarios)

        monkeypatch.setattr(evaluation, "record", record)
        with pytest.raises(EnoughError) as caught:
            evaluate(reckless(), CONFIG, episodes=7, rules=rules)
        return caught.value.args[0]

    assert drawn("as-trained").game == GAME
    default = drawn("default")
    assert default.game == Game()
    np.testing.assert_array_equal(default.states.pursuer, scenarios.draw("standard", Game(), 0, 7).states.pursuer)


@pytest.mark.wide
def test_a_suite_may_bring_its_opponent_and_its_discs():
    result = evaluate(reckless(), CONFIG, episodes=4, suite="calibration", evader=None).result
    assert (result["evader"], result["suite"], result["suite_version"]) == ("random", "calibration", 1)
    with pytest.raises(ValueError, match="sets the number of discs itself"):
        evaluate(reckless(), CONFIG, episodes=4, suite="dense", obstacles=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"suite": "hard"}, "unknown suite 'hard'; known are standard"),
        ({"evader": "cat"}, "unknown evader 'cat'; known are random, run, flee"),
        ({"episodes": 0}, "number of episodes must be at least 1"),
        ({"obstacles": 17}, "between 0 and 16"),
    ],
)
def test_what_is_unknown_or_impossible_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        evaluate(reckless(), CONFIG, **({"episodes": 4} | changes))


def test_a_policy_that_is_not_finite_is_refused_and_its_first_such_array_named():
    sick = eqx.tree_at(lambda one: one.actor.layers[0].bias, reckless(), replace_fn=lambda bias: bias.at[0].set(np.nan))
    sick = eqx.tree_at(lambda one: one.head.layer.bias, sick, replace_fn=lambda bias: bias.at[1].set(-np.inf))
    with pytest.raises(NotFiniteError, match=r"^policy\.actor\.layers\[0\]\.bias holds numbers .* 1 more array"):
        evaluate(sick, CONFIG, episodes=4)


def test_a_control_that_is_not_finite_is_no_capture_but_an_invalid_episode(judged):
    """Every parameter is finite, but not the turn rate that the network asks for: 2.84 rad/s times 3e38."""
    config, games = replace(CONFIG, method="ppo"), 20
    found = evaluate(aimed(reckless(config), (1.0, 3e38)), config, episodes=games)
    assert set(found.recording.outcome) == {"invalid"}
    assert set(found.recording.length) == {1}
    assert found.verdict.invalid.sum() == games
    result = found.result
    assert (result["invalid"], result["capture"]["rate"], result["collision"]["count"]) == (games, 0, 0)
    assert (result["contradictions"], result["min_clearance"]) == (0, None)
    assert "20 were invalid" in str(found)
    assert judged["off"].result["invalid"] == 0
    kept = cells.outcomes(found.recording, found.verdict)
    assert np.isnan(kept.clearance).all()
    assert not kept.captured.any()
    json.dumps(result, allow_nan=False)


# --- figures -----------------------------------------------------------------------------------------------------


def test_the_figures_are_those_of_the_contract(judged, tmp_path):
    result = judged["as-trained"].result
    keys = "method suite evader episodes steps seed deterministic capture collision capture_time min_clearance"
    keys += " intervention_rate mean_correction infeasible_rate zero_gradient_share"
    assert set(result) >= set(keys.split())
    assert set(result["capture"]) == {"rate", "low", "high"}
    assert set(result["collision"]) == {"count", "rate", "low", "high", "by"}
    assert set(result["collision"]["by"]) == {"wall", "obstacle", "robot"}
    assert set(result["capture_time"]) == {"mean", "median", "restricted_mean"}
    assert (result["method"], result["suite"], result["evader"]) == ("barriernet", "standard", "random")
    assert (result["episodes"], result["seed"], result["deterministic"]) == (EPISODES, 0, True)
    assert result["steps"] == judged["as-trained"].recording.length.sum()
    write_json(tmp_path / "result.json", result)  # refuses what JSON cannot say
    assert json.loads((tmp_path / "result.json").read_text()) == result


@pytest.mark.parametrize(
    ("count", "total", "wilson", "exact"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, methods 3 and 5.
        (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
        (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
        (0, 20, (0.0000, 0.1611), (0.0000, 0.1684)),
        (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
        # 0 of 1,000: 1 − 0.025^(1/1000) = 0.003682.
        (0, 1000, (0.0, 0.0038), (0.0, 0.003682)),
    ],
)
def test_intervals_are_the_published_ones(count, total, wilson, exact):
    for method, (low, high) in (("wilson", wilson), ("exact", exact)):
        found = metrics.rate(count, total, method)
        assert found["rate"] == count / total
        assert found["low"] == pytest.approx(low, abs=6e-5)
        assert found["high"] == pytest.approx(high, abs=6e-5)


def by_hand():
    """Four episodes of at most ten steps of 0.05 s: captured after 4 and after 8 steps, timed out twice. The second
    collided with a disc on its way, the fourth with two walls."""
    length = np.array([4, 8, 10, 10])
    past = np.arange(10) >= length[:, None]
    flags = np.zeros((4, 10), bool)
    some = flags.copy()
    some[0, :2] = some[3, 5:] = True  # 7 of 32 steps
    wall, obstacle = flags.copy(), flags.copy()
    wall[3, [2, 7]] = obstacle[1, 3] = True
    poses = np.zeros((4, 11, 3))
    recording = Recording(
        pursuer=poses,
        evader=poses,
        pursuer_control=np.zeros((4, 10, 2)),
        evader_control=np.zeros((4, 10, 2)),
        nominal=np.zeros((4, 10, 2)),
        intervened=some,
        correction=np.where(past, np.nan, 0.25),
        infeasible=flags,
        lost_gradient=some,
        active=np.zeros((4, 10, 5), bool),
        discs=np.full((4, 1, 3), np.nan),
        edges=np.empty((4, 0, 4)),
        movers=np.empty((4, 11, 0, 3)),
        length=length,
        outcome=np.array(["capture", "capture", "timeout", "timeout"]),
        game=replace(GAME, horizon=10),
    )
    clearance = np.where(past, np.nan, 0.3)
    clearance[1, 3] = -0.02
    judged = Verdict(wall=wall, obstacle=obstacle, robot=flags, clearance=clearance, invalid=flags, touched=flags)
    return recording, judged


def test_figures_by_hand():
    found = metrics.figures(*by_hand())
    assert (found["episodes"], found["steps"]) == (4, 32)
    assert found["capture"]["rate"] == 0.5
    assert found["capture_without_collision"]["rate"] == 0.25
    assert found["collision"]["count"] == 2
    assert found["collision"]["rate"] == 0.5
    # Two of four: Wilson [0.1500, 0.8500], Clopper–Pearson [0.0676, 0.9324].
    for name, low in (("capture", 0.15), ("collision", 0.0676)):
        assert found[name]["low"] == pytest.approx(low, abs=5e-5)
        assert found[name]["high"] == pytest.approx(1 - low, abs=5e-5)
    assert found["collision"]["by"] == {"wall": 1, "obstacle": 1, "robot": 0}  # episodes, not steps
    # 0.2 s and 0.4 s; without capture the full 0.5 s count.
    assert found["capture_time"]["mean"] == pytest.approx(0.3)
    assert found["capture_time"]["median"] == pytest.approx(0.3)
    assert found["capture_time"]["restricted_mean"] == pytest.approx((0.2 + 0.4 + 0.5 + 0.5) / 4)
    assert found["min_clearance"] == -0.02
    assert found["intervention_rate"] == found["zero_gradient_share"] == 7 / 32
    assert found["mean_correction"] == pytest.approx(0.25)
    assert found["infeasible_rate"] == 0


def test_without_a_capture_there_is_no_capture_time():
    recording, verdict = by_hand()
    nobody = replace(recording, outcome=np.array(["timeout", "collision", "timeout", "timeout"]))
    found = metrics.figures(nobody, verdict)
    assert found["capture_time"]["mean"] is None
    assert found["capture_time"]["median"] is None
    # Ending early by a collision is no merit.
    assert found["capture_time"]["restricted_mean"] == pytest.approx(0.5)
    assert math.isclose(found["capture"]["high"], metrics.rate(0, 4, "wilson")["high"])


@pytest.mark.wide
def test_episodes_beyond_a_chunk_are_the_same_ones(judged, monkeypatch):
    """Played in two pieces or all at once."""
    whole = judged["off"].recording
    monkeypatch.setattr(episodes, "_CHUNK", EPISODES // 2)
    pieces = evaluate(reckless(), CONFIG, episodes=EPISODES, layer="off").recording
    for name in ("pursuer", "evader", "pursuer_control", "length", "outcome", "intervened", "discs"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(pieces, name))


def test_default_rules_keep_robot_and_sensor(monkeypatch):
    monkeypatch.setitem(SENSORS, "other", SENSORS["discs"])
    config = TrainConfig().with_robot("create3")
    config = replace(config, game=replace(config.game, sensor="other", horizon=7))
    found = evaluation.game_of(config, "default")
    assert (found.robot_model, found.sensor, found.horizon) == ("create3", "other", 600)
    assert evaluation.game_of(config, "as-trained") == config.game
