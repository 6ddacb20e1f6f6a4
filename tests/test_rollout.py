"""Rollouts: nothing is lost, mixed up or counted twice between the game and the learner."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from safepursuit import game as rules
from safepursuit.learn.gae import gae
from safepursuit.learn.health import rollout_metrics
from safepursuit.learn.lagrangian import Multiplier
from safepursuit.learn.rollout import collect, fresh_starts, join_games
from safepursuit.learn.update import as_batch
from safepursuit.policy import HEADS, build_policy
from tiny import GAMES, HORIZON, STEPS, TINY, aimed, evader_control, moved

ROLLOUTS = 6


def policy_of(config):
    return build_policy(jax.random.key(0), config.method, config.policy, config.game, config.shield)


def fresh_games(config):
    """All games at step 0."""
    return join_games(jax.random.key(1), config)._replace(
        state=rules.initial(jax.random.key(1), config.game, config.num_envs)
    )


@pytest.fixture(scope="module")
def played():
    """Six rollouts in a row, their starts, and the games after each, as NumPy arrays."""
    policy, games = policy_of(TINY), fresh_games(TINY)
    before, rollouts, starts = [games], [], []
    for number in range(ROLLOUTS):
        starts.append(fresh_starts(jax.random.fold_in(jax.random.key(2), number), TINY))
        games, rollout = collect(policy, games, starts[-1], jax.random.fold_in(jax.random.key(3), number), TINY)
        rollouts.append(rollout)
        before.append(games)
    return policy, *(jax.tree.map(np.asarray, part) for part in (before, rollouts, starts))


def over(rollout):
    return rollout.terminated | rollout.truncated


def test_the_tiny_games_show_what_is_tested_here(played):
    _, _, rollouts, _ = played
    captured, truncated = (sum(getattr(one, name).sum() for one in rollouts) for name in ("captured", "truncated"))
    assert captured >= 3
    assert truncated >= 3


def test_shapes_and_first_observations(played):
    policy, before, rollouts, _ = played
    for games, rollout in zip(before[:-1], rollouts, strict=True):
        assert rollout.action.shape == (STEPS, 2, GAMES)
        assert rollout.observation.ego.shape == (STEPS, 16, GAMES)
        np.testing.assert_array_equal(rollout.situation.pose[0], games.state.pursuer)
        np.testing.assert_array_equal(rollout.situation.opponent[0], games.state.evader)
        seen = rules.observe(jax.tree.map(jnp.asarray, games.state), TINY.game)
        np.testing.assert_allclose(rollout.observation.ego[0], seen.ego, atol=1e-6)
        np.testing.assert_allclose(rollout.value[0], policy.value(seen), atol=1e-5)


def test_the_log_probability_is_that_of_the_stored_action(played):
    policy, _, rollouts, _ = played

    @jax.jit
    def again(rollout):
        def one(observation, where, action):
            distribution = policy.head.distribution(policy.features(observation), where)
            return policy.head.log_prob(distribution, action)

        return jax.vmap(one)(rollout.observation, rollout.situation, rollout.action)

    for rollout in rollouts[:2]:
        rollout = jax.tree.map(jnp.asarray, rollout)
        np.testing.assert_allclose(again(rollout), rollout.log_prob, atol=1e-4)


def test_a_game_that_ends_goes_on_from_the_next_start(played):
    _, before, rollouts, starts = played
    for rollout, pool, after in zip(rollouts, starts, before[1:], strict=True):
        used = 0
        for step in range(STEPS):
            for game in range(GAMES):
                if step + 1 < STEPS:
                    following = rollout.situation.pose[step + 1, :, game], rollout.situation.opponent[step + 1, :, game]
                    centre = rollout.situation.scene.centre[step + 1, ..., game]
                else:
                    following = after.state.pursuer[:, game], after.state.evader[:, game]
                    centre = after.state.scene.centre[..., game]
                if over(rollout)[step, game]:
                    np.testing.assert_array_equal(following[0], pool.pursuer[:, used])
                    np.testing.assert_array_equal(following[1], pool.evader[:, used])
                    np.testing.assert_array_equal(centre, pool.scene.centre[..., used])
                    used += 1
                else:  # it moved on by at most a step
                    moved = following[0][:2] - rollout.situation.pose[step, :2, game]
                    assert np.hypot(*moved) <= 0.05 + 1e-6
        assert used == over(rollout).sum()


def test_episodes_are_added_up_across_rollouts(played):
    _, before, rollouts, _ = played
    total, length = np.zeros(GAMES), np.zeros(GAMES, int)
    ended = 0
    for rollout, after in zip(rollouts, before[1:], strict=True):
        for step in range(STEPS):
            total += rollout.reward[step]
            length += 1
            done = over(rollout)[step]
            np.testing.assert_allclose(rollout.final_return[step], np.where(done, total, 0), atol=1e-4)
            np.testing.assert_array_equal(rollout.final_length[step], np.where(done, length, 0))
            assert (length[rollout.truncated[step]] == HORIZON).all()
            total[done], length[done] = 0, 0
            ended += done.sum()
        np.testing.assert_allclose(after.episode_return, total, atol=1e-4)
        np.testing.assert_array_equal(after.episode_steps, length)
        np.testing.assert_array_equal(after.state.step, length)
    assert ended > ROLLOUTS


def test_inside_an_episode_the_next_value_is_the_next_steps_value(played):
    _, _, rollouts, _ = played
    for rollout in rollouts:
        inside = ~over(rollout)[:-1]
        np.testing.assert_allclose(rollout.next_value[:-1][inside], rollout.value[1:][inside], atol=1e-5)


def test_at_a_time_out_the_next_value_is_that_of_the_true_last_observation():
    """The same games without a time-out simply go on: there the next step's value is recorded. The value after the
    time-out must be that one, not the first of the next episode."""
    policy, games = policy_of(TINY), fresh_games(TINY)
    starts = fresh_starts(jax.random.key(2), TINY)
    ages = jnp.asarray([HORIZON - 1 - k for k in range(GAMES)], jnp.int32)
    cut, whole = (
        collect(policy, games._replace(state=games.state._replace(step=age)), starts, jax.random.key(3), TINY)[1]
        for age in (ages, ages - 1000)
    )
    assert not np.any(whole.truncated)
    compared = 0
    for game in range(GAMES):
        end = int(np.argmax(over(cut)[:, game]))
        if cut.truncated[end, game] and end + 1 < STEPS:
            assert float(cut.next_value[end, game]) == pytest.approx(float(whole.value[end + 1, game]), abs=1e-5)
            assert abs(float(cut.value[end + 1, game]) - float(cut.next_value[end, game])) > 1e-3
            compared += 1
    assert compared >= 2


def test_the_same_key_plays_the_same_games(played):
    policy, before, rollouts, starts = played
    arguments = jax.tree.map(jnp.asarray, (before[0], starts[0]))
    _, again = collect(policy, *arguments, jax.random.fold_in(jax.random.key(3), 0), TINY)
    for one, two in zip(jax.tree.leaves(again), jax.tree.leaves(rollouts[0]), strict=True):
        np.testing.assert_array_equal(one, two)
    _, other = collect(policy, *arguments, jax.random.key(99), TINY)
    assert not np.any(np.asarray(other.action) == rollouts[0].action)


def test_noise_differs_between_games_and_steps(played):
    _, _, rollouts, _ = played
    actions = np.concatenate([rollout.action for rollout in rollouts])
    assert len(np.unique(actions)) > 0.99 * actions.size
    assert abs(np.corrcoef(actions[1:, 0].ravel(), actions[:-1, 0].ravel())[0, 1]) < 0.3


def test_games_join_at_random_ages():
    many = replace(TINY, num_envs=64)
    games = join_games(jax.random.key(0), many)
    age = np.asarray(games.state.step)
    assert set(age) == set(range(HORIZON))
    assert not np.asarray(games.episode_return).any()
    assert not np.asarray(games.episode_steps).any()


def test_an_unshielded_evader_does_as_its_script_says():
    state = fresh_games(TINY).state
    # Nose to the wall: the script of `random` knows no walls, the shield does.
    wall = moved(state, evader={"pose": jnp.broadcast_to(jnp.array([[2.84], [0.0], [0.0]]), (3, GAMES))})
    act = jax.jit(evader_control, static_argnums=(0, 3, 4))
    free, held = (act(TINY.lineup, jax.random.key(0), wall, TINY.game, shield) for shield in (None, TINY.shield))
    assert (np.asarray(free[0]) > 0.02).any()
    assert (np.asarray(held[0]) < 1e-3).all()
    np.testing.assert_allclose(free[1], held[1], atol=0.5)


def test_metrics_are_those_of_a_loop_over_the_rollout(played):
    _, _, rollouts, _ = played
    for rollout in rollouts:
        found = {name: float(value) for name, value in rollout_metrics(rollout, 0.05).items()}
        returns, lengths, times = [], [], []
        counts = dict.fromkeys(("wall", "obstacle", "robot", "any"), 0)
        for step in range(STEPS):
            for game in range(GAMES):
                kinds = [kind for kind in ("wall", "obstacle", "robot") if getattr(rollout.contact, kind)[step, game]]
                for kind in kinds:
                    counts[kind] += 1
                counts["any"] += bool(kinds)
                if over(rollout)[step, game]:
                    returns.append(rollout.final_return[step, game])
                    lengths.append(rollout.final_length[step, game])
                    if rollout.captured[step, game]:
                        times.append(0.05 * rollout.final_length[step, game])
        assert found["pursuit/episodes"] == len(returns)
        none = {"nan_ok": True, "rel": 1e-4}
        rate = len(times) / len(returns) if returns else np.nan
        assert found["pursuit/capture_rate"] == pytest.approx(rate, **none)
        for name, values in (("capture_time", times), ("return", returns), ("episode_length", lengths)):
            assert found[f"pursuit/{name}"] == pytest.approx(np.mean(values) if values else np.nan, **none)
        assert found["safety/collisions"] == counts["any"]
        for kind in ("wall", "obstacle", "robot"):
            assert found[f"safety/collisions_{kind}"] == counts[kind]
        assert found["safety/min_clearance"] == pytest.approx(rollout.clearance.min())
        assert found["qp/intervention_rate"] == pytest.approx(rollout.intervened.mean(), abs=1e-6)
        assert found["qp/infeasible_rate"] == pytest.approx(1 - rollout.feasible.mean(), abs=1e-6)


def test_rates_without_an_episode_are_not_numbers(played):
    _, _, rollouts, _ = played
    nothing = np.zeros_like(rollouts[0].terminated)
    quiet = rollouts[0]._replace(terminated=nothing, truncated=nothing, captured=nothing)
    found = rollout_metrics(quiet, 0.05)
    for name in ("capture_rate", "capture_time", "return", "episode_length"):
        assert np.isnan(found[f"pursuit/{name}"])
    assert float(found["pursuit/episodes"]) == 0


# --- collisions ------------------------------------------------------------------------------------------------------

HARD = {"barriernet", "cbf-beta", "ppo-shielded"}
"""Methods whose every action passes a safety layer in training."""


@pytest.mark.parametrize("method", HEADS)
def test_collisions_end_training_episodes_where_they_can_happen(method):
    config = replace(TINY, method=method)
    assert HEADS[method].hard == (method in HARD)
    assert config.rules.collision_terminates == (method not in HARD)
    assert not replace(config, end_on_collision=False).rules.collision_terminates
    strict = replace(TINY.game, collision_terminates=True)
    for asked in (True, False):  # the game's own rule holds for all
        assert replace(config, game=strict, end_on_collision=asked).rules == strict
    assert replace(config.rules, collision_terminates=False) == config.game


def crash(end_on_collision):
    """A constrained policy that drives straight on, from half a metre to a metre before the eastern wall, the evader
    behind it: two rollouts in a row."""
    config = replace(TINY, method="ppo-lagrangian", end_on_collision=end_on_collision)
    policy = aimed(policy_of(config), (1.0, 0.0))
    games = fresh_games(config)
    x = jnp.asarray([2.3, 2.5, 2.7, 2.84])
    pursuer = jnp.stack([x, jnp.zeros(GAMES), jnp.zeros(GAMES)])
    state = moved(games.state, pursuer={"pose": pursuer}, evader={"pose": jnp.stack([x - 2, *jnp.zeros((2, GAMES))])})
    scene = state.scene._replace(present=jnp.zeros_like(state.scene.present))
    games, rollouts = games._replace(state=state._replace(scene=scene)), []
    for number in range(2):
        starts = fresh_starts(jax.random.fold_in(jax.random.key(2), number), config)
        games, rollout = collect(policy, games, starts, jax.random.fold_in(jax.random.key(3), number), config)
        rollouts.append(rollout)
    parts = ("terminated", "truncated", "captured", "cost", "final_cost", "contact")
    joined = {part: jax.tree.map(lambda *a: np.concatenate(a), *(getattr(r, part) for r in rollouts)) for part in parts}
    return SimpleNamespace(**joined, rollouts=rollouts, games=games)


@pytest.fixture(scope="module")
def crashes():
    return {ends: crash(ends) for ends in (True, False)}


@pytest.mark.parametrize("ends", [True, False])
def test_a_collision_costs_one_and_may_end_the_episode(crashes, ends):
    record = crashes[ends]
    hit = record.contact.wall | record.contact.obstacle | record.contact.robot
    assert hit[:STEPS].any(axis=0)[1:].all()  # all but the furthest reach the wall in the first rollout
    np.testing.assert_array_equal(record.cost, hit)
    np.testing.assert_array_equal(record.terminated, (record.captured | hit) if ends else record.captured)
    # Costs are added up from an episode's start to its end, over rollouts too.
    total, highest = np.zeros(GAMES), 0
    for step in range(2 * STEPS):
        total += hit[step]
        done = record.terminated[step] | record.truncated[step]
        np.testing.assert_array_equal(record.final_cost[step], np.where(done, total, 0))
        highest = max(highest, record.final_cost[step].max())
        total[done] = 0
    np.testing.assert_array_equal(record.games.episode_cost, total)
    assert highest == 1 if ends else highest > 1


def test_metrics_count_the_cost_of_episodes(crashes):
    for record in crashes.values():
        for rollout in record.rollouts:
            over_here = np.asarray(rollout.terminated | rollout.truncated)
            expected = np.asarray(rollout.final_cost)[over_here].mean() if over_here.any() else np.nan
            found = float(rollout_metrics(rollout, 0.05)["safety/episode_cost"])
            assert found == pytest.approx(expected, nan_ok=True)


def test_the_cost_critic_is_asked_about_the_same_observations_as_the_critic(crashes):
    for rollout in crashes[False].rollouts:
        inside = ~np.asarray(rollout.terminated | rollout.truncated)[:-1]
        now, following = np.asarray(rollout.cost_value), np.asarray(rollout.next_cost_value)
        np.testing.assert_allclose(following[:-1][inside], now[1:][inside], atol=1e-5)
        assert np.abs(now - np.asarray(rollout.value)).max() > 1e-3


def test_methods_without_a_limit_have_no_cost_critic(played):
    policy, _, rollouts, _ = played
    assert policy.cost_critic is None
    assert rollouts[0].cost_value is None
    assert rollouts[0].next_cost_value is None


@pytest.mark.parametrize("multiplier", [0.0, 0.7, 20.0])
def test_the_advantage_under_a_limit_is_that_of_reward_less_weighted_cost(crashes, multiplier):
    """Estimation is linear: as if r − λc had been the reward and V − λV_c its value, up to the scale of 1 + λ."""
    rollout, config = crashes[False].rollouts[0], TINY.ppo
    batch = as_batch(rollout, config, Multiplier(jnp.asarray(multiplier), ()))
    direct, costs = (
        gae(*signals, rollout.terminated, rollout.truncated, discount=config.discount, trace=config.trace)
        for signals in (
            (
                rollout.reward - multiplier * rollout.cost,
                rollout.value - multiplier * rollout.cost_value,
                rollout.next_value - multiplier * rollout.next_cost_value,
            ),
            (rollout.cost, rollout.cost_value, rollout.next_cost_value),
        )
    )
    np.testing.assert_allclose((1 + multiplier) * batch.advantage, direct.advantage, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(batch.cost_target, costs.target, atol=1e-5)
    np.testing.assert_array_equal(batch.target, as_batch(rollout, config).target)
