"""The game against a second, independent one, its laws, and constants worked out by hand."""

import math
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import scalar_game
from reference import body_clearance, central_difference
from safepursuit import game as rules
from safepursuit.game import Game, GameState, Reward, RobotState
from safepursuit.robot import Unicycle
from safepursuit.scene import Arena, Scene
from tiny import few, moved

pytestmark = pytest.mark.usefixtures("float64")

INTEGRATORS = ("euler", "arc")
SMALL = Game(Arena(half_extents=(2.0, 1.6), obstacles=3), evader_speed_ratio=0.8, horizon=50)
DISCS = [(-0.8, 0.5, 0.4), (0.9, -0.4, 0.6)]
"""A third place is left unused: padding."""


def games(integrator):
    return replace(SMALL, robot=Unicycle(integrator=integrator))


@pytest.fixture(scope="module")
def transition():
    """Of both controls, jitted once for each set of rules."""

    def both(state, pursuer_control, evader_control, game):
        return rules.transition(state, (pursuer_control, evader_control), game)

    return jax.jit(both, static_argnames="game")


def one_scene(discs=DISCS, half_extents=SMALL.arena.half_extents, places=3):
    centre, radius, present = np.zeros((2, places)), np.full(places, 0.7), np.zeros(places, bool)
    for k, (x, y, size) in enumerate(discs):
        centre[:, k], radius[k], present[k] = (x, y), size, True
    return Scene(jnp.asarray(half_extents), jnp.asarray(centre), jnp.asarray(radius), jnp.asarray(present))


def states(pursuer, evader, scene=None, step=0):
    """A batch of states from poses (3, n)."""
    pursuer, evader = jnp.asarray(pursuer, float), jnp.asarray(evader, float)
    count = pursuer.shape[1]
    scene = one_scene() if scene is None else scene
    many = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[..., None], (*leaf.shape, count)), scene)
    rest = jnp.zeros((2, count))
    robots = RobotState(pursuer, rest), RobotState(evader, rest)
    return GameState(robots, many, jnp.broadcast_to(jnp.asarray(step, jnp.int32), (count,)))


def one_state(pursuer, evader, **others):
    column = [np.array(pose)[:, None] for pose in (pursuer, evader)]
    return jax.tree.map(lambda leaf: leaf[..., 0], states(*column, **others))


def clear_poses(rng, count, room=np.inf):
    """Poses whose body is clear of everything by 0 to `room` [m]."""
    found = np.zeros((3, 0))
    while found.shape[1] < count:
        pose = rng.uniform(-1, 1, (3, 40 * count)) * np.array([[2.0], [1.6], [math.pi]])
        gap = clearances(pose[:2])
        found = np.concatenate([found, pose[:, (gap >= 0) & (gap <= room)]], axis=1)
    return found[:, :count]


def clearances(points):
    half = np.array(SMALL.arena.half_extents)
    present = np.ones((len(DISCS), 1), bool)
    centre = np.array([[x, y] for x, y, _ in DISCS]).T[:, :, None]
    radius = np.array([[size] for *_, size in DISCS])
    return body_clearance(points, 0.15, centre, radius, present, half)


def random_situations(seed, count):
    """Poses, controls and ages: half of the robots close to something solid, a third close to each other."""
    rng = np.random.default_rng(seed)
    pursuer = np.concatenate([clear_poses(rng, count // 2), clear_poses(rng, count - count // 2, 0.04)], axis=1)
    evader = np.concatenate([clear_poses(rng, count - count // 2, 0.04), clear_poses(rng, count // 2)], axis=1)
    for i in range(0, count, 3):
        angle, distance = rng.uniform(-math.pi, math.pi), rng.uniform(0.25, 0.62)
        there = pursuer[:2, i] + distance * np.array([math.cos(angle), math.sin(angle)])
        if clearances(there[:, None])[0] >= 0:
            evader[:2, i] = there
    controls = [
        np.stack([rng.uniform(-0.2, 1.3, count), rng.uniform(-3.5, 3.5, count)]) * (rng.random(count) < 0.9)
        for _ in range(2)
    ]
    return pursuer, evader, *controls, rng.integers(SMALL.horizon - 3, SMALL.horizon, count)


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.heavy)])
@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_transitions_are_those_of_the_scalar_game(transition, integrator, every):
    """Every fourth of 1,200; all of them with the long proofs."""
    count = 1200
    game = games(integrator)
    pursuer, evader, pursuer_control, evader_control, played = random_situations(5, count)
    outcome = transition(
        states(pursuer, evader)._replace(step=jnp.asarray(played, jnp.int32)),
        jnp.asarray(pursuer_control),
        jnp.asarray(evader_control),
        game,
    )
    twin = scalar_game.Rules(DISCS, (2.0, 1.6), (1.0, 0.8), 2.84, 0.15, 0.5, SMALL.horizon, 0.05, integrator)
    # On the arc both the package's chords and the twin's moments may miss a graze of some 10 µm, and then the robot
    # is somewhere else by up to a chord; such near misses are few and left out of the comparison of flags.
    tolerance, graze = (1e-9, 1e-8) if integrator == "euler" else (6e-5, 2.5e-5)
    seen = dict.fromkeys(("wall", "disc", "captured", "timeout", "compared"), 0)
    for i in range(0, count, every):
        own, other, separation, captured, timeout = scalar_game.step(
            pursuer[:, i], evader[:, i], pursuer_control[:, i], evader_control[:, i], int(played[i]), twin
        )
        if any(0 < robot.depth < graze for robot in (own, other)):
            continue
        seen["compared"] += 1
        for robot, pose, contact in (
            (own, outcome.state.pursuer, outcome.contact("pursuer")),
            (other, outcome.state.evader, outcome.contact("evader")),
        ):
            np.testing.assert_allclose(pose[:2, i], robot.positions[:, -1], atol=tolerance)
            assert abs(math.remainder(float(pose[2, i]) - robot.heading, 2 * math.pi)) < 1e-9
            assert (bool(contact.wall[i]), bool(contact.obstacle[i])) == (
                robot.stopped_by == "wall",
                robot.stopped_by == "disc",
            )
            seen["wall"] += robot.stopped_by == "wall"
            seen["disc"] += robot.stopped_by == "disc"
        # A robot that is stopped rests in the twin and moves evenly to the same place in the package.
        stopped = own.stopped_by or other.stopped_by
        apart = 0.0125 * bool(stopped) + tolerance
        assert abs(float(outcome.separation[i]) - separation) <= apart
        if abs(separation - 0.5) > apart:
            assert bool(outcome.captured[i]) == bool(outcome.terminated[i]) == captured
            assert bool(outcome.truncated[i]) == timeout
        seen["captured"] += captured
        seen["timeout"] += timeout
    assert seen["compared"] >= 1000 / every
    assert min(seen["wall"], seen["disc"], seen["captured"], seen["timeout"]) >= 50 / every, seen


@pytest.mark.parametrize("integrator", few(INTEGRATORS))
def test_a_body_is_never_inside_anything(integrator):
    """300 steps of blind driving: some robots are nearly always pressed against something."""
    game, count = games(integrator), 48
    rng = np.random.default_rng(1)
    start = states(clear_poses(rng, count), clear_poses(rng, count))

    @jax.jit
    def play(state, key):
        def advance(state, key):
            # Drive fast and turn slowly: bodies run into things and slide off along their headings.
            drawn = jax.random.uniform(key, (2, 2, count), minval=jnp.array([0.5, -1.0])[:, None, None])
            outcome = rules.transition(state, (drawn[:, 0], drawn[:, 1]), game)
            return outcome.state, outcome

        return jax.lax.scan(advance, state, jax.random.split(key, 300))[1]

    played = play(start, jax.random.key(0))
    for poses, contact in (
        (played.state.pursuer, played.contact("pursuer")),
        (played.state.evader, played.contact("evader")),
    ):
        points = np.moveaxis(np.asarray(poses), 1, 0)[:2].reshape(2, -1)
        assert clearances(points).min() > -1e-12
        assert np.asarray(contact.wall).mean() > 0.05
        assert np.asarray(contact.obstacle).mean() > 0.01
        assert not np.any(contact.wall & contact.obstacle)
    assert not np.any(played.terminated & played.truncated)
    assert np.array_equal(played.captured, played.terminated)


@pytest.mark.parametrize("integrator", few(INTEGRATORS))
@pytest.mark.parametrize(
    ("pose", "stop", "kind"),
    [
        # Wall at x = 2: the centre can go to 1.85.
        ((1.83, 1.0, 0.0), (1.85, 1.0), "wall"),
        # Disc of 0.6 at (0.9, −0.4): on its axis the centre can go to x = 0.9 − 0.75 = 0.15.
        ((0.12, -0.4, 0.0), (0.15, -0.4), "obstacle"),
        # Pressed against the wall already, heading into it: stays.
        ((1.85, 1.0, 0.0), (1.85, 1.0), "wall"),
        # At the wall, heading away 30° off its normal: free.
        ((1.85, 1.0, -5 * math.pi / 6), (1.85 - 0.05 * math.cos(math.pi / 6), 0.975), None),
        # At the rim, heading across: free.
        ((0.15, -0.4, math.pi / 2), (0.15, -0.35), None),
    ],
)
def test_contact_stops_the_body_at_the_surface_and_names_it(transition, integrator, pose, stop, kind):
    state = one_state(pose, (-1.7, -1.3, 0.0))
    outcome = transition(state, jnp.array([1.0, 0.0]), jnp.zeros(2), games(integrator))
    np.testing.assert_allclose(outcome.state.pursuer, [*stop, pose[2]], atol=1e-12)
    contact = outcome.contact("pursuer")
    assert (bool(contact.wall), bool(contact.obstacle)) == (kind == "wall", kind == "obstacle")
    assert not any(bool(flag) for flag in outcome.contact("evader"))


def test_a_stopped_robot_keeps_its_turn_and_control(transition):
    outcome = transition(one_state((1.85, 1.0, 0.0), (-1.7, -1.3, 0.0)), jnp.array([2.0, 2.0]), jnp.zeros(2), SMALL)
    np.testing.assert_allclose(outcome.state.pursuer, [1.85, 1.0, 0.1], atol=1e-12)
    np.testing.assert_allclose(outcome.state.pursuer_control, [1.0, 2.0])  # as commanded, within the limits


@pytest.mark.parametrize(
    ("pursuer_speed", "evader_speed", "blamed"),
    [(1.0, 0.0, (True, False)), (0.0, 1.0, (False, True)), (1.0, 1.0, (True, True)), (0.0, 0.0, (False, False))],
)
def test_whoever_drives_into_the_other_is_the_culprit(transition, pursuer_speed, evader_speed, blamed):
    """Face to face, 0.31 m apart; bodies touch at 0.30 m. Standing still at 0.31 m touches nothing."""
    state = one_state((-0.155, 1.3, 0.0), (0.155, 1.3, math.pi))
    outcome = transition(state, jnp.array([pursuer_speed, 0.0]), jnp.array([evader_speed, 0.0]), SMALL)
    assert (bool(outcome.contact("pursuer").robot), bool(outcome.contact("evader").robot)) == blamed


@pytest.mark.parametrize("integrator", few(INTEGRATORS))
def test_capture_counts_between_the_samples(transition, integrator):
    """The evader crosses: 0.0499 m off the closest approach at either end, √(0.0499² + 0.499²) = 0.5015 m, but 0.499 m
    in the middle of the step."""
    state = one_state((-0.02495, 1.2, 0.0), (0.02495, 0.701, math.pi))
    game = games(integrator)
    fast = replace(game, evader_speed_ratio=1.0)
    outcome = transition(state, jnp.array([0.998, 0.0]), jnp.array([0.998, 0.0]), fast)
    ends = [np.hypot(*(s.evader[:2] - s.pursuer[:2])) for s in (state, outcome.state)]
    assert min(ends) > 0.501
    np.testing.assert_allclose(outcome.separation, 0.499, atol=1e-12)
    assert bool(outcome.captured)


@pytest.mark.parametrize("integrator", few(INTEGRATORS))
def test_no_capture_through_a_wall_that_stops_the_pursuer(transition, integrator):
    """Pressed against a disc, the evader 0.53 m ahead beyond it: what the pursuer commands does not count, only where
    it is."""
    scene = one_scene([(0.0, 0.0, 0.115)])
    state = one_state((-0.265, 0.0, 0.0), (0.265, 0.0, 0.0), scene=scene)
    outcome = transition(state, jnp.array([1.0, 0.0]), jnp.zeros(2), games(integrator))
    assert bool(outcome.contact("pursuer").obstacle)
    np.testing.assert_allclose(outcome.separation, 0.53, atol=1e-12)
    assert not bool(outcome.captured)


def test_terminated_and_truncated_are_never_both(transition):
    near, far = ((0.0, 1.2, 0.0), (0.45, 1.2, 0.0)), ((0.0, 1.2, 0.0), (1.4, 1.2, 0.0))
    last = SMALL.horizon - 1
    rest = jnp.zeros(2)
    caught = transition(one_state(*near, step=last), rest, rest, SMALL)
    assert (bool(caught.terminated), bool(caught.truncated), bool(caught.captured)) == (True, False, True)
    timed_out = transition(one_state(*far, step=last), rest, rest, SMALL)
    assert (bool(timed_out.terminated), bool(timed_out.truncated), bool(timed_out.captured)) == (False, True, False)
    going_on = transition(one_state(*far, step=last - 1), rest, rest, SMALL)
    assert (bool(going_on.terminated), bool(going_on.truncated)) == (False, False)
    assert int(going_on.state.step) == last


def test_the_rules_may_end_an_episode_at_a_collision(transition):
    state = one_state((1.85, 1.0, 0.0), (-1.7, -1.3, 0.0), step=SMALL.horizon - 1)
    ahead, rest = jnp.array([1.0, 0.0]), jnp.zeros(2)
    strict = replace(SMALL, collision_terminates=True)
    own = transition(state, ahead, rest, strict)
    assert (bool(own.terminated), bool(own.truncated), bool(own.captured)) == (True, False, False)
    lenient = transition(state, ahead, rest, SMALL)
    assert (bool(lenient.terminated), bool(lenient.truncated)) == (False, True)
    # The evader's collisions end nothing.
    swapped = one_state((-1.7, -1.3, 0.0), (1.85, 1.0, 0.0))
    assert not bool(transition(swapped, rest, ahead, strict).terminated)


def test_the_evader_has_its_own_speed_limit(transition):
    outcome = transition(
        one_state((0.0, 1.2, 0.0), (-1.5, -1.0, 0.0)), jnp.array([9.0, -9.0]), jnp.array([9.0, 9.0]), SMALL
    )
    np.testing.assert_allclose(outcome.state.pursuer_control, [1.0, -2.84])
    np.testing.assert_allclose(outcome.state.evader_control, [0.8, 2.84])
    np.testing.assert_allclose(outcome.state.evader[0], -1.5 + 0.8 * 0.05)


def test_an_element_of_a_batch_is_the_element_alone(transition):
    pursuer, evader, pursuer_control, evader_control, _ = random_situations(9, 40)
    many = states(pursuer, evader)
    outcome = transition(many, jnp.asarray(pursuer_control), jnp.asarray(evader_control), SMALL)
    for i in range(0, 40, 7):
        alone = transition(
            jax.tree.map(lambda leaf, i=i: leaf[..., i], many),
            jnp.asarray(pursuer_control[:, i]),
            jnp.asarray(evader_control[:, i]),
            SMALL,
        )
        for one, of_many in zip(jax.tree.leaves(alone), jax.tree.leaves(outcome), strict=True):
            np.testing.assert_allclose(one, of_many[..., i], rtol=0, atol=1e-14)


FREE = np.array([-1.2, -0.7, 0.4, 0.1, 0.9, -2.0, 0.6, 0.9, 0.3, -1.1])
"""Pursuer, evader, and their controls; no wall or disc within reach."""


SPOILED = {
    "the pursuer's speed": lambda batch: batch["controls"][0].__setitem__((0, 1), np.nan),
    "the pursuer's turn rate": lambda batch: batch["controls"][0].__setitem__((1, 1), np.nan),
    "the evader's speed": lambda batch: batch["controls"][1].__setitem__((0, 1), np.inf),
    "the evader's turn rate": lambda batch: batch["controls"][1].__setitem__((1, 1), -np.inf),
    "the pursuer's x": lambda batch: batch["poses"][0].__setitem__((0, 1), np.nan),
    "the pursuer's heading": lambda batch: batch["poses"][0].__setitem__((2, 1), np.inf),
    "the evader's y": lambda batch: batch["poses"][1].__setitem__((1, 1), -np.inf),
    "the evader's heading": lambda batch: batch["poses"][1].__setitem__((2, 1), np.nan),
    "a disc's centre": lambda batch: batch["centre"].__setitem__((0, 0, 1), np.nan),
    "a disc's radius": lambda batch: batch["radius"].__setitem__((1, 1), np.inf),
    "a disc's sign": lambda batch: batch["radius"].__setitem__((1, 1), -0.4),
    "a wall": lambda batch: batch["half_extents"].__setitem__((1, 1), np.nan),
}
"""Numbers of the second of three games."""


@pytest.mark.parametrize("integrator", few(INTEGRATORS))
def test_a_game_that_is_not_finite_is_invalid_and_its_neighbours_do_not_notice(transition, integrator):
    # The third game ends in a capture, the first goes on.
    pursuer, evader = (
        np.array([[-1.5, -1.5, -1.5], [-1.2] * 3, [0.3] * 3]),
        np.array([[1.4, 1.4, -1.1], [1.2] * 3, [2.0] * 3]),
    )
    evader[1, 2] = -1.2
    controls = np.array([[0.7] * 3, [0.5] * 3]), np.array([[0.4] * 3, [-0.3] * 3])
    whole = states(pursuer, evader)
    game = games(integrator)
    expected = transition(whole, *map(jnp.asarray, controls), game)
    assert np.asarray(expected.captured).tolist() == [False, False, True]
    assert not np.any(expected.invalid)
    for name, spoil in SPOILED.items():
        batch = {
            "poses": (pursuer.copy(), evader.copy()),
            "controls": [control.copy() for control in controls],
            **{part: np.array(getattr(whole.scene, part)) for part in ("half_extents", "centre", "radius")},
        }
        spoil(batch)
        state = states(*batch["poses"])
        scene = {part: jnp.asarray(batch[part]) for part in ("half_extents", "centre", "radius")}
        state = state._replace(scene=state.scene._replace(**scene))
        outcome = transition(state, *map(jnp.asarray, batch["controls"]), game)
        flags = (outcome.invalid, outcome.terminated, outcome.captured, outcome.truncated)
        assert [bool(flag[1]) for flag in flags] == [True, True, False, False], name
        for role, sign in (("pursuer", 1), ("evader", -1)):
            earned = rules.reward(state, outcome, game, role)
            assert earned[1] == 0, name
            assert sign * earned[2] > 5, name
        for index in (0, 2):
            for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(outcome), strict=True):
                assert np.array_equal(one[..., index], other[..., index], equal_nan=True), name


def test_padding_of_a_scene_may_hold_anything(transition):
    scene = one_scene()
    scene = scene._replace(centre=scene.centre.at[0, 2].set(jnp.nan), radius=scene.radius.at[2].set(-jnp.inf))
    outcome = transition(one_state((0.0, 1.0, 0.0), (-1.7, -1.3, 0.0), scene=scene), *jnp.ones((2, 2)), SMALL)
    assert not outcome.invalid


@pytest.mark.parametrize("integrator", few(INTEGRATORS))
def test_derivatives_of_a_free_step_are_finite_differences(integrator):
    game, scene = games(integrator), one_scene()

    def after(values):
        rest = jnp.zeros(2)
        state = GameState(
            (RobotState(values[:3], rest), RobotState(values[3:6], rest)), scene, jnp.asarray(0, jnp.int32)
        )
        outcome = rules.transition(state, (values[6:8], values[8:]), game)
        score = rules.reward(state, outcome, game)
        return jnp.concatenate([outcome.state.pursuer, outcome.state.evader, outcome.separation[None], score[None]])

    expected = central_difference(jax.jit(after), FREE)
    pull = jax.jit(lambda values, row: jax.vjp(after, values)[1](row)[0])  # `jacrev` takes longer to compile
    derivative = np.stack([pull(FREE, row) for row in np.eye(len(expected))])
    assert (np.abs(expected).max(axis=0) > 1e-3).all()  # everything matters
    np.testing.assert_allclose(derivative, expected, atol=1e-8)


def test_reward_by_hand(transition):
    weights = Reward(capture=10.0, approach=0.3, time=0.01, collision=0.1)
    game = replace(SMALL, reward=weights)

    def reward(state, pursuer_control):
        outcome = transition(state, jnp.asarray(pursuer_control), jnp.zeros(2), game)
        return float(jax.jit(rules.reward, static_argnames="game")(state, outcome, game))

    # 1 m apart on a line, driving straight at the evader for 0.05 m: 0.3 · 0.05 − 0.01.
    towards = one_state((0.0, 1.2, 0.0), (1.0, 1.2, 0.0))
    assert reward(towards, (1.0, 0.0)) == pytest.approx(0.005)
    # Standing still: only time passes.
    assert reward(towards, (0.0, 0.0)) == pytest.approx(-0.01)
    # Pressed against the wall: no way gained, one collision.
    assert reward(one_state((1.85, 1.0, 0.0), (-1.5, 1.0, 0.0)), (1.0, 0.0)) == pytest.approx(-0.11)
    # 0.53 m → 0.48 m: captured. 10 + 0.3 · 0.05 − 0.01.
    assert reward(one_state((0.0, 1.2, 0.0), (0.53, 1.2, 0.0)), (1.0, 0.0)) == pytest.approx(10.005)


@pytest.fixture(scope="module")
def observe():
    return jax.jit(rules.observe, static_argnames=("game", "role"))


def moving_states(seed, count):
    pursuer, evader, pursuer_control, evader_control, _ = random_situations(seed, count)
    limits = np.array([[1.0], [2.84]])
    return moved(
        states(pursuer, evader),
        pursuer={"control": jnp.asarray(np.clip(pursuer_control, [[0.0], [-2.84]], limits))},
        evader={"control": jnp.asarray(np.clip(evader_control, [[0.0], [-2.84]], limits * [[0.8], [1.0]]))},
    )


@pytest.mark.parametrize("role", ["pursuer", "evader"])
def test_observations_stay_within_one(observe, role):
    seen = observe(moving_states(2, 1200), SMALL, role)
    assert float(jnp.abs(seen.ego).max()) <= 1 + 1e-12
    assert float(jnp.abs(seen.discs).max()) <= 1 + 1e-12
    # Every feature is used: none is constant, and every disc that is there is seen.
    assert np.asarray(seen.ego).std(axis=1).min() > 1e-2
    assert np.asarray(seen.discs)[:, :2].std(axis=(1, 2)).min() > 1e-2
    assert not np.asarray(seen.discs)[:, 2].any()


@pytest.mark.parametrize("role", ["pursuer", "evader"])
def test_turning_the_world_changes_only_what_the_robot_knows_of_the_arena(observe, role):
    state = moving_states(3, 200)
    angle = 0.7
    turn = jnp.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])

    def turned(pose):
        return jnp.concatenate([turn @ pose[:2], pose[2:] + angle])

    scene = state.scene._replace(centre=jnp.einsum("ij,jkn->ikn", turn, state.scene.centre))
    before = observe(state, SMALL, role)
    after = observe(
        moved(state, pursuer={"pose": turned(state.pursuer)}, evader={"pose": turned(state.evader)})._replace(
            scene=scene
        ),
        SMALL,
        role,
    )
    # The arena's centre is the centre of the rotation; only the directions of its axes (the last two) turn.
    np.testing.assert_allclose(after.ego[:-2], before.ego[:-2], atol=1e-12)
    np.testing.assert_allclose(after.discs, before.discs, atol=1e-12)
    assert float(jnp.abs(after.ego[-2:] - before.ego[-2:]).mean()) > 0.1


def test_both_roles_see_the_same_game_from_two_sides(observe):
    """Exchange the robots (at equal limits), and the roles see each other's view."""
    even = replace(SMALL, evader_speed_ratio=1.0)
    state = moving_states(4, 50)
    mirrored = state._replace(robots=state.robots[::-1])
    for own, other in (("pursuer", "evader"), ("evader", "pursuer")):
        for one, two in zip(observe(state, even, own), observe(mirrored, even, other), strict=True):
            np.testing.assert_array_equal(one, two)


def test_an_observation_by_hand(observe):
    """Pursuer at the origin facing +y; evader 3 m to its right, also facing +y, at 0.4 m/s; disc of 0.4 m 1 m ahead."""
    scene = one_scene([(0.0, 1.0, 0.4)], half_extents=(3.0, 4.0), places=1)
    state = one_state((0.0, 0.0, math.pi / 2), (3.0, 0.0, math.pi / 2), scene=scene)
    state = moved(state, pursuer={"control": jnp.array([0.5, 1.42])}, evader={"control": jnp.array([0.4, -2.84])})
    seen = observe(state, replace(SMALL, evader_speed_ratio=1.0), "pursuer")
    bearing, distance = (0.0, -1.0), (3 / 10, 1 / 4)  # to the right; of a diagonal of 10 m, and 1/(1 + 3)
    heading, velocity = (1.0, 0.0), (0.4, 0.0)
    centre, axes = (0.0, 0.0), (0.0, 1.0)
    ego = [*bearing, *distance, *heading, *velocity, 0.5, 0.5, 0.4, -1.0, *centre, *axes]
    np.testing.assert_allclose(seen.ego, ego, atol=1e-12)
    # Straight ahead; 1 m of 10; gap 1 − 0.4 − 0.15 = 0.45.
    np.testing.assert_allclose(seen.discs[:, 0], [1, 0, 0.1, 1 / 1.45, 0.4], atol=1e-12)


@pytest.mark.parametrize(
    "game",
    [Game(), Game(Arena(obstacles=6, half_extents=(6.0, 5.0)), start_distance=(2.0, 4.0), start_clearance=0.4)],
    ids=["default", "six discs"],
)
def test_starts_are_clear_apart_at_rest_and_leave_passages(game):
    count = 256
    start = jax.tree.map(np.asarray, rules.initial(jax.random.key(3), game, count))
    scene = start.scene
    half = np.array(game.arena.half_extents)
    for pose in (start.pursuer, start.evader):
        gap = body_clearance(pose[:2], 0.15, scene.centre, scene.radius, scene.present, half)
        assert gap.min() >= game.start_clearance - 1e-12
        assert np.abs(pose[2]).max() <= math.pi
        assert np.unique(pose, axis=1).shape[1] > 0.9 * count
    distance = np.hypot(*(start.pursuer[:2] - start.evader[:2]))
    low, high = game.start_distance
    assert low <= distance.min()
    assert distance.max() <= high
    assert distance.std() > 0.2 * (high - low) / 2
    assert not start.pursuer_control.any()
    assert not start.evader_control.any()
    assert not start.step.any()
    assert scene.present.sum(axis=0).tolist() == [game.arena.obstacles] * count
    for i in range(game.arena.obstacles):
        to_walls = half[:, None] - np.abs(scene.centre[:, i]) - scene.radius[i]
        assert to_walls.min() >= game.arena.passage - 1e-12
        for j in range(i):
            gap = np.hypot(*(scene.centre[:, i] - scene.centre[:, j])) - scene.radius[i] - scene.radius[j]
            assert gap.min() >= game.arena.passage - 1e-12
    assert scene.radius.min() >= game.arena.radius_range[0]
    assert scene.radius.max() <= game.arena.radius_range[1]


def test_starts_follow_from_the_key_alone():
    draw = partial(rules.initial, game=Game(), count=32)
    one, same, other = draw(jax.random.key(1)), draw(jax.random.key(1)), draw(jax.random.key(2))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(same), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.any(np.asarray(one.pursuer) == np.asarray(other.pursuer))


def test_impossible_layouts_are_refused_in_one_clear_sentence():
    full = Game(Arena(half_extents=(2.0, 2.0), obstacles=16, radius_range=(1.0, 1.0)), start_distance=(1.0, 5.0))
    with pytest.raises(ValueError, match=r"^no layout found for 16 discs of radius 1–1 m .* 4 m × 4 m arena: use "):
        rules.initial(jax.random.key(0), full, 256)
    # Overlap may be allowed and still leave the robots nowhere to start: the same sentence, not a silent overlap.
    with pytest.raises(ValueError, match="no layout found"):
        rules.initial(jax.random.key(0), replace(full, arena=replace(full.arena, allow_overlap=True)), 256)


@pytest.mark.wide
def test_overlap_must_be_allowed():
    arena = Arena(half_extents=(2.0, 2.0), obstacles=5, radius_range=(0.5, 0.5))
    crowded = Game(arena, start_distance=(1.0, 5.0))
    with pytest.raises(ValueError, match="allow_overlap"):
        rules.initial(jax.random.key(0), crowded, 256)
    relaxed = replace(crowded, arena=replace(arena, allow_overlap=True))
    start = jax.tree.map(np.asarray, rules.initial(jax.random.key(0), relaxed, 256))
    centre, radius, present = start.scene.centre, start.scene.radius, start.scene.present
    assert np.hypot(*(centre[:, 0] - centre[:, 1])).min() < 1.0  # two radii
    assert body_clearance(start.pursuer[:2], 0.15, centre, radius, present, (2.0, 2.0)).min() >= 0.25 - 1e-12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"capture_radius": 0.29}, "capture must come before contact"),
        ({"horizon": 0}, "horizon must be at least 1, not 0"),
        ({"evader_speed_ratio": 0.0}, "evader_speed_ratio must be positive"),
        ({"start_distance": (0.4, 3.0)}, "beyond the capture radius"),
        ({"start_distance": (3.0, 2.0)}, "must be a range"),
    ],
)
def test_contradictory_rules_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)
