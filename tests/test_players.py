"""Scripted players: a contract for all of them, and what each promises."""

import inspect
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from safepursuit import game as rules
from safepursuit import players, shield
from safepursuit.game import Game
from safepursuit.geometry import interception_time
from safepursuit.players import EVADERS, PURSUERS, Player, Sight, course, evaders, pursuers, rollout_mpc
from safepursuit.players.player import steer
from safepursuit.robot import Unicycle
from safepursuit.scene import Arena, Scene
from safepursuit.shield import Shield

EVERYONE = {**{f"evader {name}": one for name, one in EVADERS.items()}} | {
    f"pursuer {name}": one for name, one in PURSUERS.items()
}
ROBOT = Unicycle(max_speed=0.8)
ARENA = Arena(half_extents=(4.0, 3.0), obstacles=3, radius_range=(0.3, 0.6))


def sights(count, seed=0):
    """Any two poses in any layout: robots beside, upon and inside things, and upon each other."""
    start = rules.initial(jax.random.key(seed), Game(ARENA, start_distance=(1.0, 5.0)), count)
    rng = np.random.default_rng(seed)
    pose = rng.uniform(-1, 1, (2, 3, count)) * np.array([4.0, 3.0, math.pi])[None, :, None]
    pose[1, :2, : count // 10] = pose[0, :2, : count // 10]
    pose[0, :2, -4:] = np.array([[4.0, -4.0, 4.0, 0.0], [3.0, -3.0, 0.0, 3.0]])
    control = rng.uniform([[0.0], [-2.84]], [[0.8], [2.84]], (2, count))
    own, other, control = (jnp.asarray(part, jnp.float32) for part in (pose[0], pose[1], control))
    return Sight(own, other, control, start.scene)


@pytest.fixture(scope="module")
def everyones_controls():
    """What each player does in the same 1,000 situations."""
    count = 1000
    keys, seen = jax.random.split(jax.random.key(1), count), sights(count)
    return {name: np.asarray(jax.jit(partial(one, robot=ROBOT))(keys, seen)) for name, one in EVERYONE.items()}


@pytest.mark.parametrize("name", EVERYONE)
def test_controls_are_finite_and_within_the_limits(everyones_controls, name):
    v, turn_rate = everyones_controls[name]
    assert np.isfinite([v, turn_rate]).all()
    assert v.min() >= 0
    assert v.max() <= 0.8 + 1e-6
    assert np.abs(turn_rate).max() <= 2.84 + 1e-6
    assert v.std() > 0.05  # it looks where it is
    assert turn_rate.std() > 0.05


@pytest.mark.parametrize("name", EVERYONE)
def test_a_player_has_a_summary_and_is_a_player(name):
    known = PURSUERS if EVERYONE[name] in PURSUERS.values() else EVADERS
    text = known.summary(next(one for one, player in known.items() if player is EVERYONE[name]))
    assert len(text) > 10
    assert text.endswith(".")
    assert isinstance(EVERYONE[name], Player)


def test_every_player_that_is_written_is_registered():
    written = {
        one
        for module in (evaders, pursuers, rollout_mpc)
        for name, one in inspect.getmembers(module, inspect.isfunction)
        if one.__module__ == module.__name__ and not name.startswith("_")
    }
    assert written == {*EVADERS.values(), *PURSUERS.values()}
    assert len(written) == len(EVADERS) + len(PURSUERS)
    assert set(players.__all__) >= {"EVADERS", "PURSUERS"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.heavy) if "mpc-" in name else name for name in EVERYONE]
)
def test_one_game_alone_and_in_a_batch(everyones_controls, name):
    """Each game has its own key: what happens in it does not depend on the games beside it."""
    keys, seen = jax.random.split(jax.random.key(1), 1000), sights(1000)
    act = jax.jit(partial(EVERYONE[name], robot=ROBOT))
    for i in (0, 17, 999):
        alone = act(keys[i], jax.tree.map(lambda leaf, i=i: leaf[..., i], seen))
        np.testing.assert_allclose(alone, everyones_controls[name][:, i], atol=1e-5)


def test_the_random_evader_is_uniform_and_independent(everyones_controls):
    v, turn_rate = everyones_controls["evader random"]
    assert stats.kstest(v, "uniform", (0, 0.8)).pvalue > 0.01
    assert stats.kstest(turn_rate, "uniform", (-2.84, 2 * 2.84)).pvalue > 0.01
    assert abs(np.corrcoef(v, turn_rate)[0, 1]) < 0.1
    assert abs(np.corrcoef(v[1:], v[:-1])[0, 1]) < 0.1
    # One key for all games draws for each game too.
    shared = EVADERS["random"](jax.random.key(5), sights(1000), ROBOT)
    assert stats.kstest(np.asarray(shared[0]), "uniform", (0, 0.8)).pvalue > 0.01
    assert not np.allclose(shared[0], v)


def test_steering_by_hand():
    """Heading +x. Straight ahead: full speed, no turn. To the left: no speed, full turn. A 60° error: half speed. A
    small error is turned away within the step: 0.05 rad in 0.05 s."""
    courses = [(1.0, 0.0), (0.0, 2.0), (-1.0, -0.1), (0.5, -math.sqrt(0.75)), (math.cos(0.05), math.sin(0.05))]
    expected = [(0.8, 0.0), (0.0, 2.84), (0.0, -2.84), (0.4, -2.84), (0.8 * math.cos(0.05), 1.0)]
    own = jnp.zeros((3, len(courses)))
    control = steer(ROBOT, own, jnp.asarray(courses).T)
    np.testing.assert_allclose(control, np.array(expected).T, atol=1e-5)


def empty(half_extents=(4.0, 3.0)):
    nothing = jnp.zeros(1)
    return Scene(jnp.asarray(half_extents), jnp.zeros((2, 1)), nothing, jnp.zeros(1, bool))


def test_the_way_around_a_disc_is_its_tangent():
    """From (−2, y) to (2, 0), a disc of 0.5 m at the origin: radius, body and berth make a rim of 0.75 m."""
    scene = Scene(jnp.array([4.0, 3.0]), jnp.zeros((2, 1)), jnp.array([0.5]), jnp.array([True]))

    def angle(own, target=(2.0, 0.0)):
        x, y = course.around_discs(jnp.array(own), jnp.array(target), scene, ROBOT)
        return math.atan2(y, x)

    opening = math.asin((0.5 + 0.15 + 0.1) / 2)
    assert abs(angle((-2.0, 0.0))) == pytest.approx(opening, abs=1e-5)
    # From above the line the short way is above the disc, from below it below.
    assert angle((-2.0, 0.1)) == pytest.approx(math.atan2(-0.1, 2) + math.asin(0.75 / math.hypot(2, 0.1)), abs=1e-5)
    assert angle((-2.0, -0.1)) == pytest.approx(math.atan2(0.1, 2) - math.asin(0.75 / math.hypot(2, 0.1)), abs=1e-5)
    # Nothing in the way: the disc is beside, behind, or beyond the target.
    assert angle((-2.0, 2.0), (2.0, 2.0)) == pytest.approx(0, abs=1e-6)
    assert angle((1.0, 0.0), (3.0, 0.0)) == pytest.approx(0, abs=1e-6)
    assert angle((-2.0, 0.0), (-1.0, 0.0)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("gap", "velocity", "speed", "expected"),
    [
        ((3.0, 0.0), (0.0, 0.0), 1.0, 3.0),  # it stands
        ((3.0, 0.0), (-0.5, 0.0), 1.0, 2.0),  # towards each other: 3/1.5
        ((3.0, 0.0), (0.5, 0.0), 1.0, 6.0),  # a stern chase: 3/0.5
        ((3.0, 0.0), (0.0, 0.8), 1.0, 5.0),  # 3-4-5: the pursuer covers 5 m, the evader 4 m across
        ((3.0, 0.0), (-1.0, 0.0), 1.0, 1.5),  # equal speeds, head on
        ((3.0, 0.0), (1.0, 0.0), 1.0, 9.0),  # equal speeds, running away: never, so the longest time
        ((3.0, 0.0), (2.0, 0.0), 1.0, 9.0),  # faster and away: never
        ((3.0, 0.0), (-2.0, 0.0), 1.0, 1.0),  # faster, towards us: 3/3
    ],
)
def test_the_time_of_interception_by_hand(gap, velocity, speed, expected):
    found = interception_time(jnp.array(gap), jnp.array(velocity), speed, 9.0)
    assert float(found) == pytest.approx(expected, abs=1e-5)


def test_flee_runs_straight_away_in_the_open_and_along_walls_near_them():
    def course(own, opponent):
        """The direction it turns to, from many small turns."""
        pose = jnp.asarray(own)
        for _ in range(60):
            control = EVADERS["flee"](
                jax.random.key(0), Sight(pose, jnp.asarray(opponent), jnp.zeros(2), empty()), ROBOT
            )
            pose = pose.at[2].add(control[1] * ROBOT.dt)
        return float(jnp.cos(pose[2])), float(jnp.sin(pose[2]))

    # Open field, pursuer to the west and south-west.
    np.testing.assert_allclose(course((0.0, 0.0, 3.0), (-1.0, 0.0, 0.0)), (1, 0), atol=1e-3)
    np.testing.assert_allclose(course((0.0, 0.0, 1.0), (-1.0, -1.0, 0.0)), (0.5**0.5, 0.5**0.5), atol=1e-3)
    # At the eastern wall, the pursuer to the west and slightly north: southwards, not into the wall.
    east, north = course((3.8, 0.0, 0.0), (2.5, 0.3, 0.0))
    assert east < 0.1
    assert north < -0.5
    # In the corner it does not stop dead: it has somewhere to go.
    assert math.hypot(*course((3.7, 2.7, 0.0), (2.5, 1.5, 0.0))) == pytest.approx(1, abs=1e-5)


@pytest.fixture(scope="module")
def chases():
    """Pure pursuit under the shield in the default game: capture flags of 64 episodes against each evader."""
    game, safety, half = Game(), Shield(), 64
    count = 2 * half
    fleeing = jnp.arange(count) >= half

    @jax.jit
    def play(states, key):
        def advance(carry, key):
            state, caught = carry
            hunted = Sight(state.evader, state.pursuer, state.pursuer_control, state.scene)
            hunting = Sight(state.pursuer, state.evader, state.evader_control, state.scene)
            fled = EVADERS["flee"](key, hunted, game.evader)
            strayed = EVADERS["random"](key, hunted, game.evader)
            asked = PURSUERS["pure-pursuit"](key, hunting, game.robot)
            filtered = [
                shield.filter(control, pose, state.scene, robot=robot, shield=safety, gains=1.0).control
                for control, pose, robot in (
                    (asked, state.pursuer, game.robot),
                    (jnp.where(fleeing, fled, strayed), state.evader, game.evader),
                )
            ]
            outcome = rules.transition(state, tuple(filtered), game)
            hit = rules.collided(outcome.contact("pursuer")) | rules.collided(outcome.contact("evader"))
            return (outcome.state, caught | outcome.captured), hit & ~caught

        keys = jax.random.split(key, game.horizon)
        (_, caught), hits = jax.lax.scan(advance, (states, jnp.zeros(count, bool)), keys)
        return caught, hits

    caught, hits = play(rules.initial(jax.random.key(11), game, count), jax.random.key(12))
    return np.asarray(caught[:half]), np.asarray(caught[half:]), np.asarray(hits)


@pytest.mark.wide
def test_pure_pursuit_catches_the_random_evader(chases):
    random, _, hits = chases
    assert random.mean() >= 0.97
    assert not hits.any()


def test_fleeing_helps_more_than_wandering(chases):
    random, flee, _ = chases
    assert flee.mean() < random.mean() - 0.2
