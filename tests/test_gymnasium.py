"""The Gymnasium environments: their contracts, and the games behind them against independent ones."""

import importlib
import math
import os
import re
import sys

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import MaxAndSkipObservation, RescaleAction, StickyAction

import safepursuit
import scalar_game
from safepursuit import game as rules
from safepursuit.adapters.games import Starts
from safepursuit.adapters.gymnasium import (
    CostTuple,
    PursuitEvasionEnv,
    PursuitEvasionVectorEnv,
    ShieldAction,
    VectorShieldAction,
    record,
)
from safepursuit.agents import Trained, View
from safepursuit.evaluation import metrics, referee
from safepursuit.game import Game
from safepursuit.learn import BarrierNetTrainer
from safepursuit.players import players_of
from safepursuit.runs.configuration import dump
from safepursuit.runs.folder import RunFolder
from safepursuit.shield import Shield
from tiny import CLOSE, TINY, few, moved, outspoken

IDS = ("safepursuit/Pursuit-v0", "safepursuit/Evasion-v0")
HORIZON, GAMES = CLOSE["horizon"], 16


@pytest.fixture(autouse=True)
def no_screen(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


def many(**settings):
    return PursuitEvasionVectorEnv(GAMES, **{"opponent": "flee"} | CLOSE | settings)


def random_actions(steps, games=GAMES, seed=0):
    """Speeds anywhere above half of the limit, turns half as sharp as can be: blind, but on the move."""
    actions = 0.5 * np.random.default_rng(seed).uniform(-1, 1, (steps, games, 2)) + np.array([0.5, 0])
    return actions.astype(np.float32)


def game_of(states, index):
    """One game's state out of many."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[..., index], states)


@pytest.fixture(scope="module")
def played():
    """A hundred steps of many games, with what came in and out of each, and the states before and after."""
    envs = many()
    observations, _ = envs.reset(seed=3)
    steps = []
    for actions in random_actions(100):
        before = jax.tree.map(np.asarray, envs.states)
        found = envs.step(actions)
        steps.append(
            (before, observations, actions, found, *(jax.tree.map(np.asarray, s) for s in (envs.arrived, envs.states)))
        )
        observations = found[0]
    return envs, steps


@pytest.mark.parametrize("name", IDS)
def test_gymnasium_finds_nothing_wrong(name):
    """Neither an error nor, warnings being errors here, a warning."""
    check_env(gymnasium.make(name).unwrapped)


@pytest.mark.parametrize(("name", "role"), [(IDS[0], "pursuer"), (IDS[1], "evader")])
def test_the_ids_make_one_game_or_many(name, role):
    env, envs = gymnasium.make(name, **CLOSE), gymnasium.make_vec(name, num_envs=3, **CLOSE)
    assert isinstance(env.unwrapped, PursuitEvasionEnv)
    assert isinstance(envs, PursuitEvasionVectorEnv)
    assert env.unwrapped.match.role == envs.match.role == role
    assert env.unwrapped.game == envs.game
    assert safepursuit.PursuitEvasionEnv is PursuitEvasionEnv
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert envs.observation_space.shape == (3, *env.observation_space.shape)
    assert envs.reset(seed=0)[0] in envs.observation_space
    assert gymnasium.make(env.spec).unwrapped.game == envs.game


@pytest.mark.wide
def test_a_loop_of_single_games_does_the_same():
    """The same starts, actions and opponents: the same observations, rewards, ends and infos, up to rounding."""
    envs = many()
    observations, _ = envs.reset(seed=5)
    starts, actions = envs.states, random_actions(HORIZON, seed=5)
    found = [envs.step(one) for one in actions]
    seen = set()
    for index in range(GAMES):
        env = PursuitEvasionEnv(opponent="flee", **CLOSE)
        observation, _ = env.reset(seed=0, options={"state": game_of(starts, index)})
        np.testing.assert_allclose(observation, observations[index], atol=1e-6)
        for step in range(HORIZON):
            observation, reward, terminated, truncated, info = env.step(actions[step][index])
            after, rewards, terminations, truncations, infos = found[step]
            assert (terminated, truncated) == (terminations[index], truncations[index])
            assert reward == pytest.approx(rewards[index], abs=1e-5)
            last = infos["final_obs"][index] if terminated or truncated else after[index]
            np.testing.assert_allclose(observation, last, atol=1e-5)
            for name, value in info.items():
                assert value == pytest.approx(infos[name][index], abs=1e-5), name
            if terminated or truncated:
                seen.add("capture" if info["captured"] else "timeout")
                break
        with pytest.raises(ResetNeeded, match="over"):
            env.step(actions[0][index])
    assert seen == {"capture", "timeout"}


def test_the_game_is_that_of_the_scalar_twin(played):
    """The twin shares nothing with the package; it is given the controls, and says where that leads."""
    _, steps = played
    seen = dict.fromkeys(("stopped", "captured", "free"), 0)
    for before, _, actions, (_, _, terminated, _, infos), arrived, _ in steps[:60]:
        for i in range(GAMES):
            one, after = game_of(before, i), game_of(arrived, i)
            discs = [(*one.scene.centre[:, k], one.scene.radius[k]) for k in np.flatnonzero(one.scene.present)]
            twin = scalar_game.Rules(discs, CLOSE["half_extents"], (1.0, 0.3), 2.84, 0.15, 0.5, HORIZON, 0.05, "euler")
            control = (0.5 * (1 + actions[i, 0]), 2.84 * actions[i, 1])
            own, _, separation, captured, _ = scalar_game.step(
                one.pursuer, one.evader, control, after.evader_control, int(one.step), twin
            )
            if 0 < own.depth < 1e-5 or abs(separation - 0.5) < 1e-5:
                continue  # rounding decides
            np.testing.assert_allclose(after.pursuer[:2], own.positions[:, -1], atol=2e-5)
            assert math.remainder(after.pursuer[2] - own.heading, 2 * math.pi) == pytest.approx(0, abs=1e-5)
            assert infos["captured"][i] == terminated[i] == captured
            assert (infos["collision_wall"][i], infos["collision_obstacle"][i]) == (
                own.stopped_by == "wall",
                own.stopped_by == "disc",
            )
            assert infos["cost"][i] == (own.stopped_by != "")
            seen["stopped"] += own.stopped_by != ""
            seen["captured"] += captured
            seen["free"] += not own.stopped_by
    assert min(seen.values()) >= 5, seen


def test_the_observation_is_laid_out_as_documented(played):
    """From the states, by plain trigonometry."""
    _, steps = played
    diagonal = 2 * math.hypot(*CLOSE["half_extents"])
    for before, observations, *_ in steps[::20]:
        for i in range(GAMES):
            one, row = game_of(before, i), observations[i]
            assert row.shape == (16 + 6 * 2,)
            x, y, heading = one.pursuer
            away = one.evader[:2] - one.pursuer[:2]
            bearing, distance = math.atan2(away[1], away[0]) - heading, math.hypot(*away)
            expected = [math.cos(bearing), math.sin(bearing), distance / diagonal, 1 / (1 + distance)]
            turned = one.evader[2] - heading
            expected += [math.cos(turned), math.sin(turned)]
            speed, turn_rate = one.evader_control
            expected += [speed * math.cos(turned), speed * math.sin(turned)]
            expected += [one.pursuer_control[0], one.pursuer_control[1] / 2.84, speed, turn_rate / 2.84]
            centre, reach = math.atan2(-y, -x) - heading, math.hypot(x, y) / (diagonal / 2)
            expected += [reach * math.cos(centre), reach * math.sin(centre), math.cos(heading), math.sin(heading)]
            for k in range(2):
                to_disc = one.scene.centre[:, k] - one.pursuer[:2]
                angle, range_ = math.atan2(to_disc[1], to_disc[0]) - heading, math.hypot(*to_disc)
                gap = max(range_ - one.scene.radius[k] - 0.15, 0)
                expected += [math.cos(angle), math.sin(angle), range_ / diagonal, 1 / (1 + gap), one.scene.radius[k], 1]
            np.testing.assert_allclose(row, expected, atol=1e-5)


def test_a_game_that_ends_starts_anew_in_the_same_step(played):
    envs, steps = played
    observe = jax.jit(rules.observe, static_argnames="game")
    ends, kinds = 0, set()
    for _, _, _, (after, _, terminated, truncated, infos), arrived, states in steps:
        over = terminated | truncated
        assert not (terminated & truncated).any()
        np.testing.assert_array_equal(states.step[over], 0)
        np.testing.assert_array_equal(states.step[~over], arrived.step[~over])
        np.testing.assert_array_equal(truncated, (arrived.step == HORIZON) & ~infos["captured"])
        assert ("final_obs" in infos) == over.any()
        if not over.any():
            continue
        np.testing.assert_array_equal(infos["_final_obs"], over)
        assert [last is not None for last in infos["final_obs"]] == list(over)
        final = observe(arrived, envs.game)
        for i in np.flatnonzero(over):
            np.testing.assert_allclose(infos["final_obs"][i][:16], final.ego[:, i], atol=1e-6)
            assert not np.allclose(infos["final_obs"][i], after[i])
            assert infos["final_info"]["captured"][i] == infos["captured"][i] == terminated[i]
            kinds.add(bool(terminated[i]))
        np.testing.assert_array_equal(infos["final_info"]["_cost"], over)
        ends += over.sum()
    assert ends > 2 * GAMES
    assert kinds == {True, False}


def lost(states, game=3):
    """The states with one evader nowhere."""
    return moved(states, evader={"pose": states.evader.at[0, game].set(np.nan)})


def test_an_invalid_game_ends_without_a_capture_and_is_marked_and_warned_of():
    envs = many()
    actions, results = np.zeros((GAMES, 2)), []
    for spoil in (False, True):
        envs.reset(seed=5)
        if not spoil:
            results.append(envs.step(actions))
            continue
        envs._games.state = lost(envs.states)
        with pytest.warns(RuntimeWarning, match="a game is invalid and over"):
            results.append(envs.step(actions))
    (seen, rewards, over, _, sane), (found, earned, terminated, truncated, infos) = results
    others = np.arange(GAMES) != 3
    assert not sane["invalid"].any()
    assert infos["invalid"].tolist() == (~others).tolist()
    assert terminated[3]
    assert not truncated[3]
    assert not infos["captured"][3]
    assert earned[3] == 0
    assert infos["final_info"]["invalid"][3]
    np.testing.assert_array_equal(infos["final_obs"][3], 0)
    assert np.isfinite(found).all()  # the game goes on from a new start
    np.testing.assert_array_equal(earned[others], rewards[others])
    np.testing.assert_array_equal(terminated[others], over[others])
    np.testing.assert_array_equal(found[others & ~over], seen[others & ~over])


def test_an_invalid_single_game_is_over():
    env = PursuitEvasionEnv(opponent="flee", **CLOSE)
    env.reset(seed=0)
    env._games.state = lost(env.states, 0)
    with pytest.warns(RuntimeWarning, match="invalid"):
        observation, reward, terminated, truncated, info = env.step(np.zeros(2))
    assert (reward, terminated, truncated) == (0, True, False)
    assert (info["invalid"], info["captured"]) == (True, False)
    np.testing.assert_array_equal(observation, 0)
    assert env.observation_space.contains(observation)


def test_no_start_is_used_twice():
    """Those of a roomy game are all different, block after block."""
    starts = Starts(Game(), GAMES, 5)
    every = np.concatenate([np.asarray(starts.take(GAMES).pursuer) for _ in range(25)], axis=1)
    assert np.unique(every, axis=1).shape == every.shape == (3, 25 * GAMES)


def test_starts_are_dealt_in_their_order():
    """At a reset, and to games that end, the first of them first; through several blocks."""
    envs = many()
    envs.reset(seed=5)
    dealt = [np.asarray(envs.states.pursuer)]
    for actions in random_actions(300):
        *_, terminated, truncated, _ = envs.step(actions)
        dealt.append(np.asarray(envs.states.pursuer)[:, terminated | truncated])
    envs.reset()
    dealt.append(np.asarray(envs.states.pursuer))
    every = np.concatenate(dealt, axis=1)
    starts = Starts(envs.game, GAMES, int(np_random(5)[0].integers(2**31)))
    assert every.shape[1] > 2 * starts.block
    expected = [np.asarray(starts.take(1).pursuer) for _ in range(every.shape[1])]
    np.testing.assert_array_equal(every, np.concatenate(expected, axis=1))


def test_the_same_seed_gives_the_same_bits():
    def history(envs, seed):
        found = [envs.reset(seed=seed)[0]]
        for actions in random_actions(50, seed=9):
            after, reward, *_ = envs.step(actions)
            found += [after, reward]
        return np.concatenate([one.ravel() for one in found])

    envs = many()
    once, again, other = history(envs, 4), history(many(), 4), history(envs, 5)
    assert history(envs, 4).tobytes() == once.tobytes() == again.tobytes()
    assert not np.allclose(once, other)


def test_costs_are_those_of_the_referee():
    """Blind driving in a narrow arena, judged step by step by geometry that shares nothing with the game.

    Where a body is within 10 µm of touching, rounding decides, and a robot that was stopped touches when it leaves.
    """
    envs, costs = many(), []
    actions = iter(random_actions(HORIZON, seed=2))

    class Costs(gymnasium.vector.VectorWrapper):
        def step(self, actions):
            found = self.env.step(actions)
            costs.append((found[-1]["cost"], found[-1]["collision_wall"], found[-1]["collision_obstacle"]))
            return found

    recording = record(lambda _: next(actions), Costs(envs), seed=2)
    verdict = metrics.verdict(recording)
    cost, wall, obstacle = np.moveaxis(np.array(costs), 0, -1)  # (kinds, games, time)
    clear, deep = verdict.clearance > 1e-5, verdict.clearance < -1e-5
    assert (cost[clear] == 0).all()
    assert (cost[deep] == 1).all()
    np.testing.assert_array_equal(wall[deep] + obstacle[deep], 1)
    assert clear.sum() > 100
    assert min((verdict.wall & (wall == 1)).sum(), (verdict.obstacle & (obstacle == 1)).sum()) > 5
    complaints = referee.disagreements(
        pursuer=recording.pursuer,
        pursuer_control=recording.pursuer_control,
        evader=recording.evader,
        evader_control=recording.evader_control,
        length=recording.length,
        outcome=recording.outcome,
        clearance=verdict.clearance,
        invalid=verdict.invalid,
        capture_radius=0.5,
        horizon=HORIZON,
        collision_terminates=False,
        dt=0.05,
        integrator="euler",
    )
    assert complaints == {}
    assert set(recording.outcome) == {"capture", "timeout"}


def wild(rng):
    """An agent that sometimes asks for far too much, and sometimes for what is no number."""

    def agent(observations):
        actions = rng.normal(0, 3, (len(observations), 2))
        actions[rng.random(len(actions)) < 0.05] = rng.choice([np.nan, np.inf, -np.inf, 1e30, 1e300])
        return actions

    return agent


def suicidal(observations):
    """At the nearest disc, or else straight on into the wall, at full speed."""
    discs = observations[:, 16:].reshape(len(observations), -1, 6)
    nearest = discs[np.arange(len(discs)), np.argmax(discs[:, :, 3], axis=1)]
    return np.stack([np.ones(len(discs)), np.where(nearest[:, 3] > 0.6, np.sign(nearest[:, 1]), 0)], axis=1)


@pytest.mark.parametrize("role", ["pursuer", "evader"])
@pytest.mark.parametrize("agent", few(["suicidal", "random"]))
def test_no_agent_collides_behind_the_shield(role, agent):
    rng = np.random.default_rng(0)
    drive = suicidal if agent == "suicidal" else wild(rng)
    sound = suicidal if agent == "suicidal" else lambda seen: rng.uniform(-1, 1, (len(seen), 2)) + np.array([0.5, 0])
    chased = {"role": "evader", "opponent": "pure-pursuit", "evader_speed_ratio": 1.0, "horizon": 150}
    settings = chased if role == "evader" else {}
    counts = {}
    for shielded in (False, True):
        envs = many(**settings)
        recording = record(drive if shielded else sound, VectorShieldAction(envs) if shielded else envs, seed=6)
        pair = [(recording.pursuer, recording.pursuer_control), (recording.evader, recording.evader_control)]
        (own, own_control), (other, other_control) = pair if role == "pursuer" else pair[::-1]
        judged = referee.judge(
            own=own,
            own_control=own_control,
            other=other,
            other_control=other_control,
            discs=recording.discs,
            half_extents=np.array(CLOSE["half_extents"]),
            own_radius=0.15,
            other_radius=0.15,
            length=recording.length,
            dt=0.05,
            integrator=recording.game.robot.integrator,
        )
        counts[shielded] = int((judged.wall | judged.obstacle).any(axis=1).sum())
        if shielded and role == "pursuer":
            assert not recording.infeasible.any()
            assert recording.intervened.any()
    assert counts[False] >= 3
    assert counts[True] == 0


def test_the_shield_reports_what_it_did():
    """Straight at a wall in the corner: 0.85 m before it, full speed is still safe; at the wall, none is."""
    env = ShieldAction(PursuitEvasionEnv(opponent="flee", actions="physical", **CLOSE | {"horizon": 150}))
    env.reset(seed=0)
    state = env.unwrapped.state
    scene = state.scene._replace(present=np.zeros_like(state.scene.present))
    state = state._replace(scene=scene).with_robot("pursuer", pose=np.float32([1.5, 1.5, 0]))
    env.reset(options={"state": state.with_robot("evader", pose=np.float32([-2, -1.5, 0]))})
    ahead = np.array([1.0, 0.0], np.float32)
    for step in range(60):
        before = env.unwrapped.state
        _, _, _, _, info = env.step(ahead)
        np.testing.assert_allclose(info["nominal"], (1, 0), atol=1e-6)
        np.testing.assert_allclose(info["control"], env.unwrapped.state.pursuer_control, atol=1e-6)
        changed = np.abs(info["control"] - info["nominal"]).max() > 1e-3
        assert not changed or info["intervened"]
        box = (info["control"] - info["nominal"]) / (0.5, 2.84)
        assert info["correction"] == pytest.approx(math.hypot(*box), abs=1e-5)
        assert info["feasible"] is True
        assert info["cost"] == 0
        if step == 0:
            assert not info["intervened"]
    assert info["intervened"]
    assert before.pursuer[0] <= 2.5 - 0.15
    _, _, _, _, info = env.step(np.array([np.nan, 0.0]))
    np.testing.assert_array_equal(info["nominal"], 0)  # no number: brake
    assert info["control"][0] == pytest.approx(0, abs=1e-6)


def test_the_vector_shield_reports_in_final_info_too():
    envs = VectorShieldAction(many())
    envs.reset(seed=0)
    infos = {}
    while "final_info" not in infos:
        *_, infos = envs.step(np.zeros((GAMES, 2)))
    for name in ("nominal", "control", "correction", "intervened", "feasible"):
        np.testing.assert_array_equal(infos["final_info"][name], infos[name])
        np.testing.assert_array_equal(infos["final_info"][f"_{name}"], infos["_final_obs"])


def test_a_mixture_shares_games_and_episodes():
    mixture = "flee:2,orbit,hide:0.5"
    envs = many(opponent=mixture)
    assert envs.opponents == players_of(mixture, "evader", GAMES)
    env = PursuitEvasionEnv(opponent="flee:3,run", **CLOSE)
    names = [env.reset(seed=0)[1]["opponent"]] + [env.reset()[1]["opponent"] for _ in range(199)]
    assert 120 <= names.count("flee") <= 180
    assert names.count("run") == 200 - names.count("flee")


@pytest.mark.wide
def test_a_trained_run_plays_the_pursuer(tmp_path):
    run = RunFolder.create(tmp_path / "run", dump(TINY), ["test"])
    trainer = BarrierNetTrainer(TINY, run)
    trainer.state = trainer.state._replace(policy=outspoken(trainer.policy))
    trainer.save()
    env = PursuitEvasionEnv("evader", run.path, game=TINY.game)
    _, info = env.reset(seed=0)
    assert info["opponent"] == str(run.path)
    agent = Trained(trainer.policy, TINY.shield)
    drive = jax.jit(lambda states: agent.act(None, jax.random.key(0), View(states, TINY.game, "pursuer"))[0].control)
    for _ in range(5):
        asked = drive(env.states)
        if any(env.step(np.array([1.0, 0.5], np.float32))[2:4]):
            break
        np.testing.assert_allclose(env.state.pursuer_control, np.asarray(asked)[:, 0], atol=1e-6)
    with pytest.raises(ValueError, match="cannot be the evader: it is the run of a pursuer"):
        PursuitEvasionEnv("pursuer", run.path, game=TINY.game)
    with pytest.raises(ValueError, match="another robot"):
        PursuitEvasionEnv("evader", run.path, game=TINY.game, max_speed=0.9)


@pytest.mark.wide
def test_a_faster_evader_stays_within_the_space():
    envs = many(
        opponent="run", opponent_shielded=False, evader_speed_ratio=1.5, min_evader_speed_ratio=0.5, min_obstacles=0
    )
    observations, _ = envs.reset(seed=0)
    fastest = 0.0
    for actions in random_actions(60):
        assert observations in envs.observation_space
        observations, *_ = envs.step(actions)
        fastest = max(fastest, observations[:, 10].max())
        discs = observations[:, 16:].reshape(GAMES, 2, 6)
        assert (discs[discs[:, :, 5] == 0] == 0).all()
    assert fastest > 1


def test_six_values_for_code_that_expects_a_cost():
    for env, action in ((PursuitEvasionEnv(opponent="flee", **CLOSE), np.zeros(2)), (many(), np.zeros((GAMES, 2)))):
        six = CostTuple(env)
        observation, _ = six.reset(seed=0)
        found = six.step(action)
        assert len(found) == 6
        np.testing.assert_array_equal(found[2], found[5]["cost"])
        assert six.action_space is env.action_space
        assert found[0].shape == observation.shape
    other = CostTuple(gymnasium.make("CartPole-v1"))
    other.reset()
    with pytest.raises(KeyError, match="no cost"):
        other.step(0)


def test_pictures_show_where_everything_is():
    env = ShieldAction(PursuitEvasionEnv(opponent="flee", render_mode="rgb_array", **CLOSE))
    env.reset(seed=2)
    for _ in range(5):
        env.step(np.array([-1.0, 0.2], np.float32))
    frame, state = env.render(), env.unwrapped.state
    assert frame.dtype == np.uint8
    assert frame.shape == (480 + 30 + 16, 600 + 16, 3)

    def pixel(x, y):
        return frame[round(38 + (2.0 - y) * 120), round(8 + (2.5 + x) * 120)].astype(int)

    beside = [
        pose[:2] - 0.08 * np.array([math.cos(pose[2]), math.sin(pose[2])]) for pose in (state.pursuer, state.evader)
    ]
    for place, colour in zip(beside, ((31, 95, 168), (209, 115, 26)), strict=True):
        assert np.abs(pixel(*place) - colour).max() < 12
    for k in np.flatnonzero(state.scene.present):
        assert np.abs(pixel(*state.scene.centre[:, k]) - (185, 190, 197)).max() < 12
    envs = many(render_mode="rgb_array")
    envs.reset(seed=0)
    assert len(envs.render()) == GAMES
    with pytest.warns(UserWarning, match="render_mode"):
        assert PursuitEvasionEnv(**CLOSE).render() is None


def test_messages_say_what_to_do():
    for settings, kind, words in (
        ({"opponent": "fle"}, ValueError, "unknown evader 'fle'; known are random"),
        ({"role": "evader", "opponent": "fle"}, ValueError, "named by its run folder"),
        ({"obstacle": 2}, TypeError, "unknown keyword 'obstacle'; did you mean 'obstacles'"),
        ({"obstacles": 17}, ValueError, "between 0 and 16"),
        ({"role": "referee"}, ValueError, "'pursuer' or 'evader'"),
        ({"actions": "both"}, ValueError, "'normalised' or 'physical'"),
        ({"render_mode": "ascii"}, ValueError, "unknown render_mode 'ascii'; known are human, rgb_array"),
    ):
        with pytest.raises(kind, match=words):
            PursuitEvasionEnv(**CLOSE | settings)
    env, envs = PursuitEvasionEnv(opponent="flee", **CLOSE), many()
    for early in (lambda: env.step(np.zeros(2)), lambda: env.state, lambda: envs.step(np.zeros((GAMES, 2)))):
        with pytest.raises(ResetNeeded, match="reset"):
            early()
    env.reset(seed=0)
    envs.reset(seed=0)
    for call, words in (
        (lambda: env.step(np.zeros(3)), "shape"),
        (lambda: env.step(np.array([np.nan, 0])), "ShieldAction brakes"),
        (lambda: envs.step(np.zeros((3, 2))), "shape"),
        (lambda: envs.reset(options={"state": game_of(envs.states, slice(0, 3))}), "16 states of this game"),
        (lambda: envs.reset(options={"state": lost(envs.states)}), "not finite, or a negative radius"),
        (lambda: PursuitEvasionVectorEnv(0), "at least 1"),
        (lambda: PursuitEvasionVectorEnv(1, opponent="flee:2,hide"), "of 1 games none is left for hide"),
        (lambda: PursuitEvasionEnv(horizon=0), "horizon must be at least 1, not 0"),
        (lambda: PursuitEvasionEnv(max_speed=9.0, **CLOSE), "offset"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(TypeError, match="PursuitEvasionEnv"):
        ShieldAction(gymnasium.make("CartPole-v1"))


class Delayed(gymnasium.ActionWrapper):
    """Hands on the action before; its action space is that of the environment."""

    last = np.zeros(2, np.float32)

    def action(self, action):
        before, self.last = self.last, action
        return before


@pytest.mark.parametrize(
    "wrapper",
    [
        Delayed,
        lambda env: StickyAction(env, 0.5),
        lambda env: MaxAndSkipObservation(env, 2),
        lambda env: RescaleAction(env, np.float32(-0.5), np.float32(0.5)),
    ],
)
def test_the_shield_is_the_wrapper_nearest_to_the_environment(wrapper):
    inside = wrapper(PursuitEvasionEnv(opponent="flee", **CLOSE))
    with pytest.raises(ValueError, match=f"nearest to the environment, but {type(inside).__name__} is inside"):
        ShieldAction(inside)
    made = gymnasium.make(IDS[0], opponent="flee", max_episode_steps=9, **CLOSE)
    assert wrapper(ShieldAction(made)).unwrapped is made.unwrapped


def test_there_is_one_shield():
    for shield, env in ((VectorShieldAction, many()), (ShieldAction, PursuitEvasionEnv(opponent="flee", **CLOSE))):
        with pytest.raises(ValueError, match=f"nearest to the environment, but {shield.__name__} is inside"):
            shield(shield(env))


def test_the_shield_refuses_actions_of_another_shape():
    one, several = ShieldAction(PursuitEvasionEnv(opponent="flee", **CLOSE)), VectorShieldAction(many())
    one.reset(seed=0)
    several.reset(seed=0)
    for shape in ((), (1,), (3,), (1, 2)):
        with pytest.raises(ValueError, match=re.escape(f"shape (2,), not {shape}")):
            one.step(np.zeros(shape, np.float32))
    for shape in ((2,), (GAMES, 1), (GAMES, 3), (1, 2)):
        with pytest.raises(ValueError, match=re.escape(f"shape ({GAMES}, 2), not {shape}")):
            several.step(np.zeros(shape, np.float32))


def test_the_default_shield_has_the_margin_that_a_large_arena_needs():
    large = {"half_extents": (700.0, 700.0), "start_distance": (3.0, 100.0), "opponent": "flee"}
    with pytest.raises(ValueError, match="does not cover rounding"):
        ShieldAction(PursuitEvasionEnv(**large), shield=Shield())
    ShieldAction(PursuitEvasionEnv(**large))
    ShieldAction(PursuitEvasionEnv(**CLOSE), shield=Shield())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::UserWarning")  # Gymnasium's report of the worker's error
def test_a_process_forked_after_jax_has_started_is_refused():
    """Instead of waiting for ever."""
    envs = gymnasium.make_vec(
        IDS[0], 1, vectorization_mode="async", vector_kwargs={"context": "fork"}, opponent="flee", **CLOSE
    )
    with pytest.raises(RuntimeError, match=r'forked from .* vector_kwargs=\{"context": "spawn"\}'):
        envs.reset(seed=0)
    envs.close(terminate=True)


@pytest.mark.parametrize(
    ("adapter", "needs", "extra"),
    [
        ("gymnasium", "gymnasium", r"safepursuit\[gym\]"),
        ("pettingzoo", "pettingzoo", r"safepursuit\[gym\]"),
        ("stable_baselines3", "stable_baselines3", "stable-baselines3"),
    ],
)
def test_a_missing_extra_is_named(adapter, needs, extra, monkeypatch):
    name = f"safepursuit.adapters.{adapter}"
    for module in [one for one in sys.modules if one == name or one.startswith(f"{needs}.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, needs, None)
    with pytest.raises(ModuleNotFoundError, match=extra):
        importlib.import_module(name)
