"""Edges of any shape: distances and first hits against shapely, theorems 1 to 3 among them, and drives."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from rooms import ROOMS, drive
from safepursuit.barriers import stop_sector
from safepursuit.barriers.control_point import standoff
from safepursuit.barriers.stop_sector import WIDEST, Motion, free_way
from safepursuit.evaluation.referee import judge_alone
from safepursuit.game import motion
from safepursuit.game.sensors import first_hits
from safepursuit.geometry import ray_segment_hit
from safepursuit.robot import Budget, Inertial, Unicycle
from safepursuit.scene import FAR, Edges, Scene, boundaries, enclosed
from safepursuit.shield import Shield, filter, survey
from tiny import few

pytestmark = pytest.mark.usefixtures("float64")

HALF = np.array([6.0, 6.0])
ROBOT, INERTIAL = Unicycle(), Inertial(acceleration=2.0, braking=1.7, turn_acceleration=7.0)
seen, inside = jax.jit(boundaries), jax.jit(enclosed)
DISCS, WALL = [(3.0, 3.0, 0.8), (-4.0, 1.0, 0.5)], ((1.0, 3.0), (2.0, 5.0))
L_ROOM = [(-2, -2), (2, -2), (2, 0), (0, 0), (0, 2), (-2, 2)]

SHAPES = Scene.of(DISCS, half_extents=(6.0, 6.0), polygons=[L_ROOM], segments=[WALL])


def random_edges(rng, edges, count):
    """Segments, among them points, axis-parallel, tiny and equal ones."""
    start = rng.uniform(-4, 4, (2, edges, count))
    along = rng.uniform(-3, 3, (2, edges, count)) * rng.choice([1, 1, 1, 1e-6], (edges, count))
    along *= rng.choice([1, 1, 1, 0], (2, edges, count))
    return start, start + along


def scene_of(start, end):
    edges, batch = start.shape[1], start.shape[2:]
    nothing = np.zeros((1, *batch))
    there = np.ones((edges, *batch), bool)
    return Scene(HALF, np.zeros((2, 1, *batch)), nothing, nothing > 0, Edges(start, end, there, ~there))


def lines(start, end):
    return shapely.linestrings(np.moveaxis(np.stack([start, end]), (0, 1), (-2, -1)))


def cases(rng, count):
    """Edges and points, some of which are on an edge, at an end of it or in line with it."""
    start, end = random_edges(rng, 1, count)
    share = rng.choice([-0.7, 0, 0.4, 1, 1.6], count)
    point = np.where(rng.random(count) < 0.2, (start + share * (end - start))[:, 0], rng.uniform(-5, 5, (2, count)))
    return start, end, point


def test_distances_and_normals_are_those_of_shapely(tenfold):
    start, end, point = cases(np.random.default_rng(0), 4_000 * tenfold)
    around = seen(scene_of(start, end), point)
    line, place = lines(start, end)[0], shapely.points(point.T)
    expected = shapely.distance(line, place)
    np.testing.assert_allclose(around.distance[-1], expected, rtol=0, atol=1e-9)
    nearest = shapely.get_coordinates(shapely.shortest_line(place, line)).reshape(-1, 2, 2)
    away = (nearest[:, 0] - nearest[:, 1]).T
    apart = expected > 1e-6
    np.testing.assert_allclose((np.asarray(around.normal)[:, -1] * expected - away)[:, apart], 0, atol=1e-9)
    assert (expected == 0).sum() > 100


def test_first_hits_are_those_of_shapely(tenfold):
    """Along a ray to a segment, and to all points within a radius of it; grazing rays may go either way."""
    rng = np.random.default_rng(1)
    count = 2_000 * tenfold
    start, end, point = cases(rng, count)
    angle = rng.choice([0, np.pi / 2, np.nan], count)
    angle = np.where(np.isnan(angle), rng.uniform(-np.pi, np.pi, count), angle)
    ray, radius = np.stack([np.cos(angle), np.sin(angle)]), rng.choice([0, 0.15, 0.6], count)
    found = np.asarray(jax.jit(ray_segment_hit)(start[:, 0] - point, end[:, 0] - point, ray, radius))
    line, place = lines(start, end)[0], shapely.points(point.T)
    outside = shapely.distance(line, place) > radius + 1e-9
    far = np.where(np.isfinite(found), found, 20)
    gap = shapely.distance(line, lines(point, point + far * ray))  # nothing is nearer than the rim before the hit
    length = np.hypot(*(end - start)[:, 0])
    assert (gap - radius)[outside].min() > -1e-9
    meets = outside & np.isfinite(found)
    at = shapely.distance(line, shapely.points((point + np.where(meets, found, 0) * ray).T))
    assert np.abs(at - radius)[meets & (length > 0)].max() < 1e-9
    assert meets.sum() > count / 50


@pytest.mark.parametrize("filler", [0.0, np.nan, np.inf])
def test_padding_is_inert_and_what_is_not_finite_is_noticed(filler):
    """More absent edges change nothing; a present one that is not finite is at no distance."""
    scene = Scene.of(half_extents=(4.0, 3.0), polygons=[L_ROOM])
    point = np.array([-1.0, -1.0])
    more = [np.concatenate([part, np.full((2, 2), filler)], axis=1) for part in scene.edges[:2]]
    there = np.concatenate([scene.edges.present, [False, False]])
    more, there = [jnp.asarray(part) for part in more], jnp.asarray(there)
    padded = scene._replace(edges=Edges(*more, there, there))
    around, plain = seen(padded, point), seen(scene, point)
    np.testing.assert_array_equal(around.distance[:-2], plain.distance)
    np.testing.assert_array_equal(around.distance[-2:], FAR)
    gradient = jax.jit(jax.grad(lambda point: jnp.sum(jnp.minimum(boundaries(padded, point).distance, 5))))(point)
    assert np.isfinite(gradient).all()
    broken = scene._replace(edges=Edges(*more, ~there | there, there))
    np.testing.assert_array_equal(np.isfinite(seen(broken, point).distance[-2:]), np.isfinite(filler))


def test_inside_of_a_polygon_in_either_direction():
    rng = np.random.default_rng(2)
    point = rng.uniform(-3, 3, (2, 4000))
    expected = shapely.contains_xy(shapely.Polygon(L_ROOM), *point)
    for corners in (L_ROOM, L_ROOM[::-1]):
        scene = Scene.of(half_extents=(6.0, 6.0), polygons=[corners], segments=[((-3, 1), (3, 1.1))])
        np.testing.assert_array_equal(inside(scene, point), expected)


@pytest.mark.parametrize("scene", [SHAPES, SHAPES._replace(edges=None)], ids=["edges", "discs"])
def test_rays_see_what_shapely_does(scene):
    rng = np.random.default_rng(7)
    point = rng.uniform(-5.9, 5.9, (2, 40))
    solid = [shapely.Point(x, y).buffer(radius, quad_segs=512) for x, y, radius in DISCS]
    solid += [] if scene.edges is None else [shapely.LinearRing(L_ROOM), shapely.LineString(WALL)]
    point = point[:, shapely.distance(shapely.union_all(solid), shapely.points(point.T)) > 0]
    angle = rng.uniform(-np.pi, np.pi, (7, point.shape[1]))
    rays = np.stack([np.cos(angle), np.sin(angle)])
    every = jax.tree.map(lambda part: jnp.broadcast_to(part[..., None], (*part.shape, point.shape[1])), scene)
    found = np.asarray(jax.jit(first_hits)(every, jnp.asarray(point), jnp.asarray(rays)))
    things = shapely.union_all([*solid, shapely.box(-6, -6, 6, 6).exterior])
    for game, place in enumerate(shapely.points(point.T)):
        for ray in range(7):
            far = point[:, game] + 20 * rays[:, ray, game]
            hit = shapely.distance(place, shapely.LineString([place, far]).intersection(things))
            assert found[ray, game] == pytest.approx(hit, abs=1e-5)  # single precision, discs of chords


# --- theorems 1 and 2 (theory.md §2.6) ---


@pytest.mark.parametrize("integrator", ["euler", "arc"])
def test_the_carrot_keeps_the_body_clear_of_anything_and_a_flat_standoff_does_not(integrator, tenfold):
    """Lemma of §2.6 by sampling: p clear, q beyond the standoff, every way in between clear; with the standoff of a
    wall the body cuts the end of a segment."""
    rng = np.random.default_rng(3)
    robot, offset, count = Unicycle(integrator=integrator), 0.1, 40_000 * tenfold
    start, end = np.zeros((2, count)), np.stack([rng.uniform(0.02, 0.5, count), np.zeros(count)])
    place, angle = rng.uniform(-0.5, 0.8, (2, count)), rng.uniform(-np.pi, np.pi, count)
    line, ahead = lines(start, end), np.stack([np.cos(angle), np.sin(angle)])
    clear = shapely.distance(line, shapely.points(place.T)) >= robot.radius
    carrot = shapely.distance(line, shapely.points((place + offset * ahead).T))
    turn = np.zeros(count) if integrator == "euler" else rng.choice([-0.5, 0.5], count) * robot.max_swing
    bent = np.stack([np.cos(angle + turn), np.sin(angle + turn)])
    way = shapely.distance(line, lines(place, place + offset * bent))
    needed = float(standoff(robot, offset, jnp.zeros(1))[0])
    assert way[clear & (carrot >= needed)].min() >= robot.radius - 1e-9
    flat = float(standoff(robot, offset, jnp.full(1, jnp.inf))[0])
    assert way[clear & (carrot >= flat)].min() < robot.radius - 1e-3


@partial(jax.jit, static_argnames=("robot",))
def filtered(nominal, pose, scene, robot, gain):
    held = filter(nominal, pose, scene, robot=robot, gains=gain)
    return held, robot.step(pose, held.control)


@pytest.mark.parametrize("integrator", ["euler", "arc"])
def test_the_safe_set_is_never_left_and_the_governor_is_idle(integrator, tenfold):
    """Theorem 2 and the proposition, among random edges: feasible, h ≥ 0 after the step, governor idle, body clear."""
    rng = np.random.default_rng(4)
    robot, count = Unicycle(integrator=integrator), 4_000 * tenfold
    scene = scene_of(*random_edges(rng, 3, count))
    pose = np.concatenate([rng.uniform(-4, 4, (2, count)), rng.uniform(-np.pi, np.pi, (1, count))])
    start, end = (np.asarray(part) for part in scene.edges[:2])
    # Close to an edge: half of the poses are put at a random distance from one.
    foot = start[:, 0] + rng.uniform(-0.2, 1.2, count) * (end - start)[:, 0]
    close = foot + rng.uniform(0.16, 0.4, count) * np.stack([np.cos(pose[2] + 2.5), np.sin(pose[2] + 2.5)])
    pose[:2] = np.where(rng.random(count) < 0.5, close, pose[:2])
    pose = jnp.asarray(pose)
    shield = Shield(margin=0.0)
    look = jax.jit(partial(survey, shield, robot))
    around = look(pose, scene)
    safe = (np.asarray(around.barriers.value).min(axis=0) >= 0) & (np.asarray(around.clearance) >= 0)
    nominal = jnp.asarray([rng.uniform(0, 1, count), rng.uniform(-2.84, 2.84, count)])
    held, after = filtered(nominal, pose, jax.tree.map(jnp.asarray, scene), robot, 1.0)
    after_around = look(after, scene)
    assert np.asarray(held.feasible)[safe].all()
    assert np.asarray(around.speed_limit)[safe].min() >= robot.max_speed - 1e-9
    assert np.asarray(after_around.barriers.value).min(axis=0)[safe].min() > -1e-5
    legal = np.asarray(around.clearance) >= 0
    assert safe.sum() > count / 4
    gap = referee(np.stack([pose, after], -1), held.control, scene, integrator).clearance[:, 0]
    assert gap[legal].min() > -1e-9
    assert gap[legal].min() < 0.05


def referee(poses, control, scene, integrator, **more):
    """The verdict on one step per episode; poses (3, episodes, 2)."""
    own, control = np.moveaxis(np.asarray(poses), 0, -1), np.asarray(control).T[:, None]
    edges = np.concatenate([np.asarray(part) for part in scene.edges[:2]])  # (4, edges, episodes)
    edges = np.broadcast_to(edges[..., None] if edges.ndim < 3 else edges, (*edges.shape[:2], len(own)))
    return judge_alone(
        own=own,
        own_control=control,
        discs=np.empty((len(own), 0, 3)),
        edges=np.moveaxis(edges, -1, 0).swapaxes(1, 2),
        half_extents=HALF,
        own_radius=0.15,
        length=np.ones(len(own), int),
        dt=0.05,
        integrator=integrator,
        **more,
    )


# --- theorem 3 ---


@jax.jit
def swept(start, end, low, high):
    pose = jnp.asarray([0.0, 0.0, 0.4])
    around = boundaries(scene_of(start, end), pose[:2])
    return free_way(INERTIAL, Budget(), 0.0, Motion.of(pose, jnp.zeros(2), around), low, high)


@settings(deadline=None, max_examples=60)
@given(st.floats(-2.5, 0), st.floats(0, 2.5), st.integers(0, 10**6))
def test_the_free_way_is_where_the_swept_body_first_touches_an_edge(low, high, seed):
    draw = np.random.default_rng(seed)
    start, end = (part[..., 0] for part in random_edges(draw, 4, 1))
    gone = shapely.distance(lines(start, end), shapely.Point(0, 0)) < INERTIAL.radius + 1e-3
    start[:, gone], end[:, gone] = 5.5, 5.6
    found = float(swept(start, end, low, high))
    turns = 0.4 + (np.linspace(low, high, 300) if high - low < WIDEST else np.linspace(-np.pi, np.pi, 900))
    tips = np.stack([np.cos(turns), np.sin(turns)])

    def room(way):
        rays = lines(np.zeros_like(tips), way * tips)
        walls = shapely.MultiLineString(list(lines(start, end)))
        return shapely.distance(rays, walls).min() - INERTIAL.radius

    free = min(found, 5.0)
    assert room(free) > -1e-9
    if found < 5.0:
        assert room(found + 2e-3) < 2e-3


# --- the referee and the game ---


@pytest.mark.parametrize("integrator", ["euler", "arc", "ramp"])
def test_the_referee_measures_what_shapely_does(integrator, tenfold):
    """The clearance of a step, against shapely on 16 chords of the way."""
    rng = np.random.default_rng(5)
    count = 150 * tenfold
    robot = INERTIAL if integrator == "ramp" else Unicycle(integrator=integrator)
    pose = np.concatenate([rng.uniform(-1, 1, (2, count)), rng.uniform(-np.pi, np.pi, (1, count))])
    before = np.stack([rng.uniform(0, 1, count), rng.uniform(-2.84, 2.84, count)])
    control = np.stack([rng.uniform(0, 1, count), rng.uniform(-2.84, 2.84, count)])
    start = pose[:2, None] + rng.uniform(-0.1, 0.1, (2, 1, count))
    end = start + rng.uniform(-0.3, 0.3, (2, 1, count))
    more = {}
    if integrator == "ramp":
        both = np.stack([before.T, control.T], axis=1)
        more = {"own_velocity": both}
    found = referee(np.stack([pose, pose], -1), control, scene_of(start, end), integrator, **more).clearance[:, 0]
    way = np.asarray(jax.jit(lambda *given: robot.way(*given[:2], 16, *given[2:]))(pose, control, before))
    way = np.concatenate([pose[:2, None], way], axis=1)
    path = shapely.linestrings(np.moveaxis(way, (2, 1, 0), (0, 1, 2)))
    expected = shapely.distance(path, lines(start, end)[0]) - 0.15
    expected = np.minimum(expected, (HALF[:, None, None] - np.abs(way)).min(axis=(0, 1)) - 0.15)
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6)
    assert (expected < -0.149).sum() > 3  # some cross


@pytest.mark.parametrize("robot", [ROBOT, Unicycle(integrator="arc"), INERTIAL], ids=["euler", "arc", "ramp"])
def test_edges_are_solid_in_the_game(robot):
    """Driven head-on into every kind of edge the body stops at it, by shapely, and is told it is a wall."""
    rng = np.random.default_rng(6)
    count = 400
    scene = scene_of(*random_edges(rng, 2, count))
    pose = np.concatenate([rng.uniform(-5, 5, (2, count)), rng.uniform(-np.pi, np.pi, (1, count))])
    walls = [shapely.MultiLineString(list(pair)) for pair in lines(*scene.edges[:2]).T]
    free = shapely.distance(walls, shapely.points(pose[:2].T)) > robot.radius
    control, stopped = jnp.stack([jnp.ones(count), jnp.asarray(rng.uniform(-0.6, 0.6, count))]), np.zeros(count, bool)
    step = jax.jit(lambda pose: motion.move(robot, pose, control, control, jax.tree.map(jnp.asarray, scene)))
    for _ in range(40):
        moved = step(pose)
        pose, stopped = np.asarray(moved.pose), stopped | np.asarray(moved.wall)
        gap = shapely.distance(walls, shapely.points(pose[:2].T)) - robot.radius
        assert gap[free].min() > (-1e-9 if robot is ROBOT else -2e-5)
    assert (stopped & free).sum() > 50


# --- drives that attack all of it ---


@pytest.mark.parametrize("robot", few([INERTIAL, ROBOT]))
def test_no_adversary_touches_an_edge(robot):
    found = drive(robot, Shield(), ROOMS["random"], games=48, steps=120)
    assert found.contacts == 0
    assert found.moving > 0.3
    assert found.least < 0.01  # it does get there


@pytest.mark.wide
@pytest.mark.parametrize(
    "planted",
    ["ends forgotten", *(pytest.param(one, marks=pytest.mark.heavy) for one in ("nearest point only", "one side"))],
)
def test_planted_errors_of_the_certificate_are_found(planted, monkeypatch):
    """A reflex corner, the end of a segment and a wall between two samples, each missed by one variant."""
    right = stop_sector._to_edges

    def wrong(motion, ray, body):
        edges = motion.edges
        if planted == "nearest point only":
            return jnp.full(edges.present.shape, jnp.inf)
        if planted == "ends forgotten":
            middle, half = 0.5 * (edges.start + edges.end), 0.3 * (edges.end - edges.start)
            return right(motion._replace(edges=edges._replace(start=middle - half, end=middle + half)), ray, body)
        clockwise = edges.start[0] * edges.end[1] - edges.start[1] * edges.end[0] < 0
        return jnp.where(clockwise, jnp.inf, right(motion, ray, body))

    monkeypatch.setattr(stop_sector, "_to_edges", wrong)
    assert drive(INERTIAL, Shield(), ROOMS["random"], games=48, steps=120, fresh=True).contacts > 0
