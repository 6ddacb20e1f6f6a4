"""Movers: scripts from scene files, the game among them, the referee, what is observed, and passive safety."""

import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import shapely

from movers import drive
from safepursuit import shield as safety
from safepursuit.evaluation.evaluation import check_sensor, evaluate
from safepursuit.evaluation.referee import judge_alone
from safepursuit.experiment import TrainConfig
from safepursuit.game import Game, initial, observe, transition
from safepursuit.policy.policy import build_policy
from safepursuit.robot import Inertial, Unicycle
from safepursuit.scene import Arena, Movers, Scene, gallery
from safepursuit.shield import Shield
from tiny import TINY, few

INERTIAL = Inertial(acceleration=2.0, braking=1.7, turn_acceleration=7.0)
SQUARE = "walls: [[0, 0], [6, 0], [6, 4], [0, 4]]\nshapes: [{disc: [3, 2, 0.3]}]\n"


def _one(entry):
    return SQUARE + "movers: [{" + entry + "}]"


BROKEN = {
    "no list": (SQUARE + "movers: 3", "movers must be a list"),
    "wrong key": (_one("disc: [1, 1, 0.2], sped: 0.3, script: wander"), "'sped' in mover 1; did you mean 'speed'?"),
    "no speed": (_one("disc: [1, 1, 0.2], script: wander"), "mover 1 lacks its speed"),
    "too fast": (_one("disc: [1, 1, 0.2], speed: -1, script: wander"), "must be from 0 to 10 m/s, not -1"),
    "unknown script": (_one("disc: [1, 1, 0.2], speed: 0.3, script: run"), "takes a script of cross, loop, wander"),
    "no points": (_one("disc: [1, 1, 0.2], speed: 0.3, script: cross"), "mover 1 needs the points to which it goes"),
    "in a wall": (
        _one("disc: [0.1, 1, 0.2], speed: 0.3, script: wander"),
        "(wander) runs into something near (0.10, 1",
    ),
    "through a disc": (
        _one("disc: [1, 2, 0.2], speed: 0.3, script: cross, to: [[5, 2]]"),
        "mover 1 (cross) runs into something near (",
    ),
    "no radius": (_one("disc: [1, 1, 0], speed: 0.3, script: wander"), "takes a positive radius, not 0"),
    "too many": (_one("disc: [1, 1, 0.1], speed: 0.3, script: wander, count: 101"), "a whole number from 1 to 100"),
    "no track": (_one("radius: 0.2, speed: 0.3, script: none.csv"), "none.csv of mover 1 cannot be read: No such file"),
    "broken track": (_one("radius: 0.2, speed: 0.3, script: broken.csv"), "line 2 must be three numbers t, x, y"),
    "fast track": (_one("radius: 0.2, speed: 0.3, script: fast.csv"), "0.5 m/s fast at t = 0 s, faster than its bound"),
    "random discs": (
        _one("disc: [1, 1, 0.2], speed: 0.3, script: wander") + "\nrandom: {discs: 1}",
        "random discs would stand in the way of its movers",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_is_one_sentence(fault, tmp_path):
    text, sentence = BROKEN[fault]
    (tmp_path / "fast.csv").write_text("t,x,y\n0,1,1\n2,2,1\n", encoding="utf-8")
    (tmp_path / "broken.csv").write_text("t,x,y\n0,1\n2,2,1\n", encoding="utf-8")
    file = tmp_path / "lab.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        Arena(scene=str(file))
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


# --- scripts ---

SCRIPTS = """
movers:
  - {disc: [1, 1, 0.2], speed: 0.5, script: cross, to: [[5, 1]]}
  - {disc: [1, 3.3, 0.2], speed: 0.4, script: loop, to: [[5, 3.3], [5, 0.6], [1, 0.6]]}
  - {disc: [1, 2, 0.15], speed: 0.5, script: wander, count: 3}
  - {disc: [4.5, 2.8, 0.1], speed: 0.3, script: chase}
  - {radius: 0.1, speed: 0.45, script: walk.csv}
"""
STEPS, GAMES = 400, 8


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A game among all kinds of movers, the robots at rest, and the centres (time, 2, movers, games)."""
    folder = tmp_path_factory.mktemp("scene")
    (folder / "walk.csv").write_text("t,x,y\n5,1,1\n7,1.8,1\n8,1.8,1.4\n", encoding="utf-8")
    (folder / "lab.yaml").write_text(SQUARE + SCRIPTS, encoding="utf-8")
    game = Game(Arena(scene=str(folder / "lab.yaml")), sensor="rays")
    start = initial(jax.random.key(3), game, GAMES)
    rest = jnp.zeros((2, GAMES))

    @jax.jit
    def stand(state):
        def one(state, _):
            after = transition(state, (rest, rest), game)
            return after.state, (after.state.scene.centre, jnp.stack([jnp.stack(one) for one in after.contacts]))

        return jax.lax.scan(one, state, length=STEPS)

    end, (centres, contacts) = stand(start)
    centres = np.concatenate([np.asarray(start.scene.centre)[None], np.asarray(centres)])[:, :, 1:]
    return game, start, end, centres, np.asarray(contacts)


def test_scripts_keep_to_their_ways_and_bounds(played):
    game, _start, end, centres, _contacts = played
    made = game.arena.layout
    bound = np.array([0.5, 0.4, 0.5, 0.5, 0.5, 0.3, 0.45])
    way = np.hypot(*np.moveaxis(np.diff(centres, axis=0), 1, 0)) / game.robot.dt
    assert (way <= bound[:, None] * (1 + 1e-6)).all()  # in float64, from what was recorded
    assert (np.quantile(way[:, :5], 0.5, axis=(0, 2)) > 0.95 * bound[:5]).all()
    np.testing.assert_allclose(np.asarray(end.scene.movers.velocity), np.diff(centres, axis=0)[-1] / 0.05, atol=1e-4)
    for mover, radius in enumerate([0.2, 0.2, 0.15, 0.15, 0.15]):
        region = made.free(radius).buffer(1e-3)
        assert shapely.contains_xy(region, *np.moveaxis(centres[:, :, mover], 1, 0)).all()
    cross, loop = centres[:, :, 0], centres[:, :, 1]
    np.testing.assert_allclose(cross[:, 1], 1, atol=1e-5)
    assert cross[:, 0].min() < 1.05
    assert cross[:, 0].max() > 4.9
    side = np.minimum(np.abs(loop[:, 0] - 1), np.abs(loop[:, 0] - 5))
    assert np.minimum(side, np.minimum(np.abs(loop[:, 1] - 3.3), np.abs(loop[:, 1] - 0.6))).max() < 1e-4
    walk = centres[:, :, 6, 0]
    times = 5 + 0.05 * np.arange(STEPS + 1)
    for axis, wanted in enumerate(([1, 1.8, 1.8], [1, 1, 1.4])):
        np.testing.assert_allclose(walk[:, axis], np.interp(times, [5, 7, 8], wanted), atol=1e-4)
    wander = centres[:, :, 2:5]
    assert np.ptp(wander[200], axis=-1).min() > 0.5  # other ways in other games


def test_one_that_chases_stops_at_the_robot_which_is_no_collision_at_rest(played):
    game, start, _end, centres, contacts = played
    away = centres[:, :, 5] - np.asarray(start.pursuer)[:2]
    gap = np.hypot(away[:, 0], away[:, 1]) - 0.1 - game.robot.radius
    assert gap.min() > -1e-4
    assert (gap[-1] < 1e-3).any()
    region = game.arena.layout.free(0.1).buffer(1e-3)
    assert shapely.contains_xy(region, *np.moveaxis(centres[:, :, 5], 1, 0)).all()
    assert not contacts.any()


def test_rays_tell_how_fast_what_they_hit_comes_nearer(played):
    """A ray that ends on a mover's rim closes with the mover's velocity against it, any other not at all."""
    game, _, state, *_ = played
    still = state.with_robot("pursuer", control=jnp.zeros((2, GAMES)))
    seen = np.asarray(jax.jit(lambda state: observe(state, game).ego)(still), float)
    ranges, closing = 1 / seen[-64:-32] - 1 + game.robot.radius, seen[-32:] * game.robot.max_speed
    centre, velocity = (np.asarray(one, float) for one in (state.scene.centre[:, -7:], state.scene.movers.velocity))
    place, heading = np.asarray(state.pursuer[:2], float), np.asarray(state.pursuer[2], float)
    found = 0
    for ray in range(32):
        angle = heading + 2 * np.pi * ray / 32
        ahead = np.stack([np.cos(angle), np.sin(angle)])
        ends = shapely.points((place + ranges[ray] * ahead).T)
        on = np.stack([shapely.distance(ends, shapely.points(one.T)) for one in np.moveaxis(centre, 1, 0)])
        on = np.abs(on - np.asarray(state.scene.radius)[-7:]) < 1e-4
        assert (on.sum(axis=0) <= 1).all()
        wanted = -np.sum(on * np.einsum("img,ig->mg", velocity, ahead), axis=0)
        np.testing.assert_allclose(closing[ray], wanted, atol=1e-5)
        found += on.sum()
    assert found > 20


def test_starts_and_streams_follow_from_the_key(played):
    game, start, *_ = played
    again = initial(jax.random.key(3), game, GAMES)
    np.testing.assert_array_equal(again.scene.centre, start.scene.centre)
    other = initial(jax.random.key(4), game, GAMES)
    assert (np.asarray(other.scene.movers.seed) != np.asarray(start.scene.movers.seed)).all()


# --- the referee ---

SAMPLES = 5_000


@pytest.mark.parametrize("integrator", ["euler", "arc", "ramp"])
def test_the_referee_sees_what_dense_sampling_sees(integrator):
    """Against 5,000 moments of each step, the motion integrated by sums of midpoints."""
    rng = np.random.default_rng(0)
    count, dt, radius, size = 150, 0.05, 0.15, 0.2
    own = rng.uniform(-1, 1, (count, 2, 3))
    before, after = (np.stack([rng.uniform(0, 2, count), rng.uniform(-4, 4, count)], axis=-1) for _ in range(2))
    before[:40] = after[:40] = 0
    moments = (np.arange(SAMPLES) + 0.5) / SAMPLES
    share = moments if integrator == "ramp" else np.ones_like(moments)
    speed, turning = ((1 - share) * b[:, None] + share * a[:, None] for b, a in zip(before.T, after.T, strict=True))
    turned = np.cumsum(turning, axis=1) * dt / SAMPLES if integrator != "euler" else np.zeros_like(turning)
    heading = own[:, 0, 2, None] + turned - (0.5 * turning * dt / SAMPLES if integrator != "euler" else 0)
    way = np.cumsum(speed * np.stack([np.cos(heading), np.sin(heading)]), axis=-1) * dt / SAMPLES
    place = own[:, 0, :2].T[..., None] + way
    angle, share = rng.uniform(-np.pi, np.pi, count), rng.uniform(0.8, 1.2, count)
    meet = place[..., SAMPLES // 2] + share * (radius + size) * np.stack([np.cos(angle), np.sin(angle)])
    begin, end = meet + rng.uniform(-0.05, 0.05, (2, count)), meet + rng.uniform(-0.05, 0.05, (2, count))
    mover = begin[..., None] + (moments + 0.5 / SAMPLES) * (end - begin)[..., None]
    least = np.hypot(*(place - mover)).min(axis=1) - radius - size
    tracks = np.stack([np.stack([*one, np.full(count, size)], axis=-1) for one in (begin, end)], axis=1)[:, :, None]
    far = np.full((count, 1, 3), np.nan)
    found = judge_alone(
        own=own,
        own_control=after[:, None],
        discs=far,
        movers=tracks,
        half_extents=np.array([9.0, 9.0]),
        own_radius=radius,
        length=np.ones(count, int),
        dt=dt,
        integrator=integrator,
        own_velocity=np.stack([before, after], axis=1),
    )
    moves = (after[:, 0] > 0) | ((before[:, 0] > 0) & (integrator == "ramp"))
    near = moves & (found.clearance[:, 0] < 1)
    assert near.sum() > 100
    difference = least[near] - found.clearance[near, 0]
    assert difference.min() > -1e-6  # the samples are up to 4e-5 m apart
    assert difference.max() < 4e-5
    apart = np.abs(least) > 4e-5
    np.testing.assert_array_equal(found.obstacle[apart, 0], (moves & (least < 0))[apart])
    np.testing.assert_array_equal(found.touched[apart, 0], (~moves & (least < 0))[apart])
    assert found.touched.any()


@pytest.mark.parametrize("integrator", few(["euler", "arc"]))
def test_the_game_and_the_referee_count_the_same_contacts(played, integrator):
    """One step of many robots, half of them close to a mover; where the clearance is not within rounding."""
    game, _, state, *_ = played
    game = replace(game, robot=Unicycle(integrator=integrator), sensor="discs")
    many, rng = 128, np.random.default_rng(1)
    state = jax.tree.map(lambda part: jnp.tile(part, many), state)
    games = GAMES * many
    at, radius = np.asarray(state.scene.centre, float), np.asarray(state.scene.radius, float)
    which = rng.integers(1, 8, games)
    angle = rng.uniform(-np.pi, np.pi, games)
    gap = 0.15 + radius[which, np.arange(games)] + rng.uniform(-0.02, 0.08, games)
    place = at[:, which, np.arange(games)] + gap * np.stack([np.cos(angle), np.sin(angle)])
    pose = jnp.asarray(np.stack([*place, rng.uniform(-np.pi, np.pi, games)]), jnp.float32)
    control = jnp.asarray(np.stack([rng.choice([0, 0.3, 1], games), rng.uniform(-2.8, 2.8, games)]), jnp.float32)
    state = state.with_robot("pursuer", pose=pose)
    after = jax.jit(lambda state: transition(state, (control, 0 * control), game))(state)
    ends = [np.asarray(one, float).transpose(2, 1, 0) for one in (state.scene.centre, after.state.scene.centre)]
    tracks = np.stack([np.concatenate([one, radius.T[..., None]], axis=-1) for one in ends], axis=1)
    edges = np.concatenate([np.asarray(part, float) for part in state.scene.edges[:2]]).transpose(2, 1, 0)
    own = np.stack([np.asarray(one.pursuer, float).T for one in (state, after.state)], axis=1)
    found = judge_alone(
        own=own,
        own_control=np.asarray(control, float).T[:, None],
        discs=np.full((games, 1, 3), np.nan),
        movers=tracks,
        edges=edges,
        half_extents=np.array([9.0, 9.0]),
        own_radius=0.15,
        length=np.ones(games, int),
        dt=0.05,
        integrator=integrator,
    )
    hit = np.asarray(after.contacts[0].obstacle | after.contacts[0].wall)
    sure = np.abs(found.clearance[:, 0]) > 1e-4
    np.testing.assert_array_equal(hit[sure], (found.obstacle | found.wall)[sure, 0])
    assert 0.1 < hit.mean() < 0.9


# --- passive safety ---


@pytest.mark.parametrize("robot", [Unicycle(), INERTIAL], ids=["kinematic", "with inertia"])
def test_nothing_touches_a_robot_that_moves(robot):
    found = drive(robot, Shield(margin=2e-5))
    assert found.contacts == 0
    assert found.infeasible == 0
    assert found.moving > 0.2 * found.steps
    assert found.touched > 0  # they do come


@pytest.mark.wide
def test_a_scene_without_batch_axes_holds_for_a_batch_of_poses():
    pose = jnp.asarray([[0.0, 0.3, -1.0], [0.0, 0.1, 0.4], [0.0, 1.0, 3.0]])
    velocity = jnp.asarray([[1.0, 0.2, 0.0], [0.0, 1.0, -2.0]])
    movers = Movers(jnp.zeros((2, 1)), jnp.asarray([0.5]))
    scene = Scene.of([(-2.0, 1.0, 0.3), (0.9, 0.1, 0.2)], half_extents=(4.0, 3.0), movers=movers)
    found = safety.filter(velocity, pose, scene, robot=INERTIAL, velocity=velocity)
    for one in range(3):
        alone = safety.filter(velocity[:, one], pose[:, one], scene, robot=INERTIAL, velocity=velocity[:, one])
        np.testing.assert_allclose(found.control[:, one], alone.control, atol=1e-5)
    assert found.intervened[0]  # it would be free to go on, were the disc not a mover
    still = safety.filter(velocity, pose, scene._replace(movers=None), robot=INERTIAL, velocity=velocity)
    assert not still.intervened[0]
    slowing = scene._replace(movers=Movers(movers.velocity, jnp.asarray([-0.5])))
    np.testing.assert_array_equal(safety.filter(velocity, pose, slowing, robot=INERTIAL, velocity=velocity).control, 0)


def _extrapolated(scene, time):
    """Unsound: a mover goes on as it does."""
    count = len(scene.movers.speed)
    return scene._replace(centre=scene.centre.at[:, -count:].add(scene.movers.velocity * time))


UNSOUND = {
    "inflation without the time of the stop": (
        safety.surroundings,
        "until_rest",
        lambda robot, budget, velocity: robot.dt,
    ),
    "a mover that turns at the worst moment": (Scene, "reached", _extrapolated),
}


@pytest.mark.parametrize("kind", UNSOUND)
def test_an_unsound_variant_is_caught(kind, monkeypatch):
    monkeypatch.setattr(*UNSOUND[kind])
    found = drive(INERTIAL, Shield(margin=2e-5), fresh=True)
    assert found.contacts > 0
    assert found.least < -1e-3


# --- evaluations ---


@pytest.mark.heavy
def test_the_suite_is_judged_and_recorded():
    config = replace(TrainConfig(), game=replace(Game(), horizon=200))
    kept = evaluate("lead-intercept", config, suite="moving", episodes=24)
    assert kept.result["collision"]["count"] == 0
    assert kept.result["contradictions"] == 0
    recorded = kept.recording.movers
    assert recorded.shape == (24, 201, 8, 3)
    free = evaluate("lead-intercept", config, suite="moving", episodes=24, layer="off")
    assert free.result["collision"]["by"]["obstacle"] > 0
    assert free.result["contradictions"] == 0


def test_a_policy_that_cannot_see_velocities_is_refused_with_a_sentence(played):
    game = replace(played[0], sensor="discs")
    policy = build_policy(jax.random.key(0), "ppo", TINY.policy, TINY.game, TINY.shield)
    with pytest.raises(ValueError, match="this pursuer does not take what this game shows"):
        check_sensor({"this pursuer": policy}, game)
    check_sensor({"this pursuer": policy}, TINY.game)


@pytest.mark.parametrize("name", ["corridor", "lab-people"])
def test_gallery_has_rooms_with_movers(name):
    assert gallery()[name]
    assert Arena(scene=name).layout.movers
