"""Shortest ways in rooms, against shapely and Dijkstra; generated rooms and lists of rooms; players among walls."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import shapely
from scipy.sparse.csgraph import dijkstra

from safepursuit.agents import Agent, Scripted
from safepursuit.compare.contenders import refuse_another_game
from safepursuit.evaluation import scenarios
from safepursuit.experiment import TrainConfig
from safepursuit.game import Game, initial, observe
from safepursuit.game.sensors import ways
from safepursuit.play import play
from safepursuit.players import PURSUERS
from safepursuit.scene import Arena, Edges, RoomError, Scene, draw_scene, gallery, way
from safepursuit.scene.generated import KINDS
from safepursuit.scene.reading import generate, parse, read
from safepursuit.scene.sight import blocked
from safepursuit.shield import Shield, guard, survey
from tiny import few

RADIUS = 0.15
ROOMS = [name for name in gallery() if len(rooms := parse(read(name))) == 1 and not rooms[0].movers]
"""Those of the gallery that are one room in which nothing moves."""

LISTED = "rooms: [" + ", ".join(ROOMS) + "]\n"


def listed(tmp_path, text=LISTED):
    file = tmp_path / "list.yaml"
    file.write_text(text, encoding="utf-8")
    return str(file)


@pytest.mark.wide
def test_what_blocks_a_way_is_what_comes_too_near_by_shapely(tenfold):
    """An edge or a disc nearer to the straight way than the berth, and than the way's ends are to it."""
    rng = np.random.default_rng(0)
    count, berth = 3000 * tenfold, 0.3
    start, end, own, target, centre = rng.uniform(-1.5, 1.5, (5, 2, count))
    start[:, ::7], centre[:, ::5] = target[:, ::7] + 1e-3, own[:, ::5] + 0.2
    size = rng.uniform(0.05, 0.5, count)
    disc = np.arange(count) % 2 == 0
    there = np.ones((1, count), bool)
    scene = Scene(
        np.full((2, count), 9.0),
        centre[:, None],
        size[None],
        disc[None],
        Edges(start[:, None], end[:, None], there, there),
    )
    with jax.enable_x64(True):
        found = np.asarray(jax.jit(partial(blocked, berth=berth, discs=1))(scene, own, target))
    way_, wall = (
        shapely.linestrings(np.stack([own, target]).transpose(2, 0, 1)),
        shapely.linestrings(np.stack([start, end]).transpose(2, 0, 1)),
    )
    ends = shapely.points(np.stack([own, target]).transpose(0, 2, 1))
    round_ = shapely.points(centre.T)
    expected = shapely.distance(way_, wall) < np.minimum(berth, shapely.distance(ends, wall).min(axis=0)) * 0.999
    expected |= shapely.crosses(way_, wall)
    expected |= disc & (
        shapely.distance(way_, round_) < np.minimum(berth + size, shapely.distance(ends, round_).min(axis=0)) * 0.999
    )
    np.testing.assert_array_equal(found, expected)
    assert 0.2 < found.mean() < 0.9


@pytest.mark.parametrize(
    "name", ["lab", pytest.param("maze", marks=pytest.mark.wide), pytest.param("office", marks=pytest.mark.heavy)]
)
def test_ways_are_as_long_as_those_of_a_visibility_graph(name):
    """By shapely and Dijkstra, in the region where the body is clear: no shorter, and longer only by the berth."""
    game = Game(Arena(scene=name))
    (room,) = game.arena.rooms
    starts = initial(jax.random.key(0), game, 40)
    own, target = np.asarray(starts.pursuer[:2], float), np.asarray(starts.evader[:2], float)
    found = jax.jit(partial(way, radius=RADIUS))(starts.scene, starts.pursuer[:2], starts.evader[:2])
    region = shapely.Polygon(room.outline).buffer(-RADIUS, join_style="mitre")
    solid = [shapely.Polygon(one) for one in room.polygons] + [shapely.LineString(one) for one in room.segments]
    solid += [shapely.Point(x, y).buffer(radius) for x, y, radius in room.discs]
    region = region.difference(shapely.union_all([one.buffer(RADIUS, quad_segs=3) for one in solid]))
    nodes = np.concatenate([shapely.get_coordinates(region), own.T, target.T])
    first, second = np.triu_indices(len(nodes), 1)
    region = region.buffer(1e-6)
    shapely.prepare(region)
    lines = shapely.linestrings(np.stack([nodes[first], nodes[second]], axis=1))
    graph = np.zeros((len(nodes), len(nodes)))
    seen = shapely.covers(region, lines)
    graph[first[seen], second[seen]] = np.maximum(shapely.length(lines[seen]), 1e-9)
    expected = dijkstra(graph, directed=False, indices=range(-80, -40))[:, -40:].diagonal()
    excess = np.asarray(found.length) - expected
    assert np.isfinite(expected).all()
    assert excess.min() > -0.02  # chords of the graph's rims
    assert excess.max() < 0.8
    assert np.median(excess) < 0.25
    assert (~np.asarray(found.straight)).sum() > 10


class Still(Agent):
    """A robot that stands."""

    def act(self, carry, key, view):
        around = survey(Shield(), view.robot, view.own.pose, view.state.scene, None, view.own.control)
        return guard(jnp.zeros_like(view.own.control), around, robot=view.robot, shield=Shield()), carry


@pytest.mark.parametrize(
    "names",
    [
        pytest.param([name for name in PURSUERS if name != "mpc"], marks=pytest.mark.wide),
        pytest.param(["mpc"], marks=pytest.mark.heavy),
    ],
    ids=str,
)
def test_every_pursuer_finds_its_way_to_an_evader_that_stands(names, tmp_path, tenfold):
    game = Game(Arena(scene=listed(tmp_path)))
    each = 12 * tenfold
    start = initial(jax.random.key(3), game, each * len(names))
    assert len(np.unique(start.scene.room.number)) == len(ROOMS)
    agents = Scripted([name for name in names for _ in range(each)], Shield()), Still()
    keep = lambda caught, step: (caught | step.outcome.captured, None)  # noqa: E731
    run = jax.jit(lambda start: play(agents, start, keys, game, keep, ledger=jnp.zeros(each * len(names), bool))[1])
    keys = jax.random.split(jax.random.key(4), game.horizon)
    caught = np.asarray(run(start)).reshape(len(names), each)
    assert caught.all(), dict(zip(names, (~caught).sum(axis=1), strict=True))


@pytest.mark.parametrize("kind", few(KINDS))
def test_generated_rooms_are_sound_and_follow_from_their_seed(kind):
    for seed in range(3):
        content = generate(kind, seed)
        assert content == generate(kind, seed)
        assert content != generate(kind, seed + 1)


def test_a_list_of_rooms_draws_all_of_them_and_starts_are_clear(tmp_path):
    scene = listed(tmp_path, "rooms: [lab, {generate: maze, number: 2, seed: 5}]\n")
    game = Game(Arena(scene=scene))
    assert [room.name for room in game.arena.rooms] == ["lab", "maze 5", "maze 6"]
    assert game.arena.layout is None
    start = initial(jax.random.key(1), game, 64)
    number = np.asarray(start.scene.room.number)
    assert set(number) == {0, 1, 2}
    for role in ("pursuer", "evader"):
        for place, which in zip(np.asarray(start.robot(role).pose[:2], float).T, number, strict=True):
            assert game.arena.rooms[which].free(game.start_reach - 1e-4).covers(shapely.Point(place))
    again = Game(Arena(scene=scene, room=game.arena.room))
    assert again == game


def test_random_discs_of_a_list_are_those_of_each_room(tmp_path):
    (tmp_path / "one.yaml").write_text(
        "walls: [[0, 0], [6, 0], [6, 4], [0, 4]]\nshapes: [{disc: [1, 1, 0.2]}]\n"
        "random: {discs: 2, radius: [0.1, 0.2]}\n",
        encoding="utf-8",
    )
    arena = Arena(scene=listed(tmp_path, "rooms: [one.yaml, maze]\n"))
    draw = jax.jit(jax.vmap(partial(draw_scene, arena=arena), out_axes=-1))
    scenes, success = draw(jax.random.split(jax.random.key(0), 32))
    assert success.all()
    present = np.asarray(scenes.present).sum(axis=0)
    np.testing.assert_array_equal(present, np.where(np.asarray(scenes.room.number) == 0, 3, 0))


BROKEN = {
    "rooms: []": "rooms must be a list of rooms",
    "rooms: [castle]": "castle does not exist",
    "rooms: [{generate: castle}]": "must generate one of room, office, warehouse, maze, not 'castle'",
    "rooms: [{generate: maze, number: 0}]": "number of room 1 of the list must be a whole number from 1 to 200, not 0",
    "rooms: [{generate: maze, sed: 1}]": "unknown key 'sed' in room 1 of the list; did you mean 'seed'?",
    "rooms: [random-rooms]": "random-rooms is a list of rooms itself",
    "rooms: [lab]\nwalls: [[0, 0], [6, 0], [6, 4]]": "unknown key 'walls' in a list of rooms",
    "rooms: [{generate: maze, number: 150}, {generate: maze, number: 150}]": "it lists more than 200 rooms",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_list_is_one_sentence(text, tmp_path):
    with pytest.raises(RoomError) as caught:
        Arena(scene=listed(tmp_path, text))
    assert BROKEN[text] in str(caught.value)
    assert str(caught.value).count("\n") == 0


def test_the_suite_of_rooms_has_none_that_is_trained_in():
    game = scenarios.SUITES["rooms"].game(Game())
    seen, unseen = (
        {one.outline.tobytes() + b"".join(part.tobytes() for part in (*one.polygons, *one.segments)) for one in rooms}
        for rooms in (Arena(scene="random-rooms").rooms, game.arena.rooms)
    )
    assert len(seen) == 32
    assert len(unseen) == 21
    assert not seen & unseen


@pytest.mark.wide
def test_what_rays_show_does_not_depend_on_where_the_room_is_or_on_what_is_beyond_it(tmp_path):
    """The same room 3 m to the left and 2 m higher, in a list with a larger one."""
    here = (
        "walls: [[0, 0], [6, 0], [6, 4], [0, 4]]\nshapes: [{segment: [[3, 0], [3, 2.5]]}, {box: [1, 3, 1, 0.4, 20]}]\n"
    )
    there = here.replace("[0, 0], [6, 0], [6, 4], [0, 4]", "[-3, 2], [3, 2], [3, 6], [-3, 6]")
    there = there.replace("[3, 0], [3, 2.5]", "[0, 2], [0, 4.5]").replace("[1, 3, 1,", "[-2, 5, 1,")
    for name, text in (("here", here), ("there", there)):
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    games = [Game(Arena(scene=str(tmp_path / "here.yaml")), sensor="rays")]
    start = initial(jax.random.key(0), games[0], 16)
    games.append(Game(Arena(scene=listed(tmp_path, "rooms: [there.yaml, warehouse]\n")), sensor="rays"))
    other = initial(jax.random.key(1), games[1], 64)
    where = np.flatnonzero(np.asarray(other.scene.room.number) == 0)[:16]
    assert len(where) == 16
    scene = jax.tree.map(lambda leaf: leaf[..., where], other.scene)
    shift = jnp.array([-3.0, 2.0, 0.0])[:, None]
    moved = start._replace(scene=scene)
    for role in ("pursuer", "evader"):
        moved = moved.with_robot(role, pose=start.robot(role).pose + shift)
    seen = [jax.jit(partial(observe, game=game))(state).ego for game, state in zip(games, (start, moved), strict=True)]
    np.testing.assert_allclose(*seen, atol=2e-4)
    straight = jax.jit(partial(way, radius=RADIUS))(start.scene, start.pursuer[:2], start.evader[:2]).straight
    assert 0 < np.asarray(straight).sum() < 16


@pytest.mark.wide
@pytest.mark.parametrize("role", ["pursuer", "evader"])
def test_an_opponent_is_met_where_a_march_finds_it(role):
    """Both at constant velocity, the robot's of any direction; walls by shapely."""
    game = Game(Arena(scene="office"), sensor="rays", evader_speed_ratio=0.8)
    state = initial(jax.random.key(3), game, 24)
    speeds = np.random.default_rng(3).uniform(0, 1, 24)
    opponent = "evader" if role == "pursuer" else "pursuer"
    fastest = game.limits(role).max_speed
    control = jnp.asarray([speeds * game.limits(opponent).max_speed, np.zeros(24)])
    state = state.with_robot(opponent, control=control)
    found = jax.jit(partial(ways, game=game, role=role))(state)
    own, pose = (np.asarray(state.robot(one).pose, float) for one in (role, opponent))
    there = jax.jit(partial(way, radius=RADIUS))(state.scene, own[:2], pose[:2])
    walls = surfaces_of(one_of(state.scene, 0))
    times = np.arange(0, 6.0005, 1e-3)
    kinds = set()
    for k in range(24):
        ahead, speed = np.array([np.cos(pose[2, k]), np.sin(pose[2, k])]), float(control[0, k])
        hit = shapely.LineString([pose[:2, k], pose[:2, k] + 30 * ahead]).intersection(walls)
        free = shapely.Point(pose[:2, k]).distance(hit) - RADIUS
        if there.straight[k]:
            apart = np.linalg.norm(own[:2, k] - pose[:2, k] - speed * times[:, None] * ahead, axis=1)
            time = times[np.argmax(apart <= fastest * times)] if np.any(apart <= fastest * times) else 6.0
        else:
            time = min(float(there.length[k]) / fastest, 6.0)
        met = pose[:2, k] + min(speed * time, max(free, 0)) * ahead
        expected = jax.tree.map(
            np.asarray, way(one_of(state.scene, k), jnp.asarray(own[:2, k]), jnp.asarray(met), RADIUS)
        )
        assert float(found.meeting.length[k]) == pytest.approx(float(expected.length), abs=5e-3)
        kinds |= {(bool(there.straight[k]), speed * time > free)}
    assert len(kinds) == 4


def surfaces_of(scene):
    """What a ray may hit in a room: the edges and the rims of the discs (shapely)."""
    start, end = (np.asarray(part)[:, np.asarray(scene.edges.present)] for part in (scene.edges.start, scene.edges.end))
    discs = zip(np.asarray(scene.centre).T, np.asarray(scene.radius), np.asarray(scene.present), strict=True)
    rims = [shapely.Point(centre).buffer(radius, quad_segs=256).exterior for centre, radius, there in discs if there]
    return shapely.union_all([*shapely.linestrings(np.stack([start.T, end.T], axis=1)), *rims])


def one_of(scene, k):
    return jax.tree.map(lambda leaf: leaf[..., k] if leaf.ndim and leaf.shape[-1] == 24 else leaf, scene)


@pytest.mark.wide
def test_runs_of_any_room_can_be_compared():
    refuse_another_game(TrainConfig(game=Game(Arena(scene="lab"), sensor="rays")), "a run")
    with pytest.raises(ValueError, match="half_extents"):
        refuse_another_game(TrainConfig(game=Game(Arena(half_extents=(4.0, 4.0)))), "a run")
