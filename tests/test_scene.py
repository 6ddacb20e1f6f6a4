"""Scenes: layouts keep their promises, impossible ones say so, padding has no effect."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import reference
from safepursuit import scene as scenes
from safepursuit.scene import FAR, Arena, Scene

pytestmark = pytest.mark.usefixtures("float64")

LAYOUTS = 500


@partial(jax.jit, static_argnames=("arena", "count"))
def draw(key, arena, count=LAYOUTS):
    keys = jax.random.split(key, count)
    return jax.vmap(lambda key: scenes.draw_scene(key, arena), out_axes=-1)(keys)


boundaries = jax.jit(scenes.boundaries)
clearance = jax.jit(scenes.clearance, static_argnums=2)


def gaps(scene):
    """Least gap between two present discs, and between a present disc and a wall, of each layout (count,)."""
    half, centre, radius, present = map(np.asarray, scene[:4])
    between = np.full(radius.shape[1:], np.inf)
    to_wall = np.full(radius.shape[1:], np.inf)
    for i in range(len(radius)):
        room = (half[:, 0] if half.ndim > 1 else half)[:, None] - np.abs(centre[:, i]) - radius[i]
        to_wall = np.where(present[i], np.minimum(to_wall, room.min(0)), to_wall)
        for j in range(i):
            gap = np.hypot(*(centre[:, i] - centre[:, j])) - radius[i] - radius[j]
            between = np.where(present[i] & present[j], np.minimum(between, gap), between)
    return between, to_wall


@pytest.mark.parametrize(
    "arena",
    [
        Arena(),
        Arena(obstacles=8, half_extents=(6.0, 5.0), radius_range=(0.3, 0.6), passage=0.5),
        Arena(obstacles=16, half_extents=(10.0, 10.0), passage=0.4),
        Arena(obstacles=3, half_extents=(2.5, 2.5), radius_range=(0.5, 0.5), passage=0.3),
    ],
    ids=["default", "eight", "sixteen", "small"],
)
def test_layouts_keep_passage_radii_and_number(arena):
    layouts, success = draw(jax.random.key(0), arena)
    success = np.asarray(success)
    assert success.mean() > 0.95
    between, to_wall = gaps(layouts)
    assert between[success].min() >= arena.passage - 1e-9
    assert to_wall[success].min() >= arena.passage - 1e-9
    radius = np.asarray(layouts.radius)
    low, high = arena.radius_range
    assert low <= radius.min() <= radius.max() <= high
    np.testing.assert_array_equal(np.asarray(layouts.present).sum(0), arena.obstacles)


def test_layouts_differ_and_fill_the_arena():
    layouts, _ = draw(jax.random.key(1), Arena())
    centre = np.asarray(layouts.centre)
    assert len(np.unique(centre[0])) == 2 * LAYOUTS
    assert np.abs(centre.mean((1, 2))).max() < 0.5
    assert (np.abs(centre).max((1, 2)) > 7.5).all()
    again, _ = draw(jax.random.key(1), Arena())
    np.testing.assert_array_equal(again.centre, centre)


def test_impossible_layouts_report_failure():
    """Sixteen discs of one metre have no room in four metres by four."""
    crowded = Arena(obstacles=16, half_extents=(2.0, 2.0), radius_range=(1.0, 1.0))
    layouts, success = draw(jax.random.key(2), crowded)
    assert not np.asarray(success).any()
    assert np.isfinite(layouts.centre).all()
    assert not np.asarray(draw(jax.random.key(2), Arena(obstacles=1, half_extents=(1.0, 5.0)))[1]).all()


def test_success_means_that_nothing_overlaps_even_when_it_is_tight():
    """Layouts that often fail: those that claim success keep the passage, and some of the others do not."""
    arena = Arena(obstacles=8, half_extents=(2.5, 2.5), radius_range=(0.4, 0.4), passage=0.3)
    layouts, success = draw(jax.random.key(3), arena)
    success = np.asarray(success)
    assert 0.02 < success.mean() < 0.98
    between, to_wall = gaps(layouts)
    assert min(between[success].min(), to_wall[success].min()) >= arena.passage - 1e-9
    assert between[~success].min() < arena.passage


def test_overlap_can_be_allowed():
    arena = Arena(obstacles=16, half_extents=(2.0, 2.0), radius_range=(0.5, 1.0), allow_overlap=True)
    layouts, success = draw(jax.random.key(4), arena)
    assert np.asarray(success).all()
    between, to_wall = gaps(layouts)
    assert (between < 0).all()
    assert to_wall.min() >= -1e-9


def test_arena_without_obstacles_has_only_absent_ones():
    layouts, success = draw(jax.random.key(5), Arena(obstacles=0))
    assert np.asarray(success).all()
    assert not np.asarray(layouts.present).any()
    assert layouts.radius.shape == (1, LAYOUTS)


def random_scene(rng, discs, count):
    return Scene(
        np.array([5.0, 4.0]),
        rng.uniform(-4, 4, (2, discs, count)),
        rng.uniform(0.3, 1, (discs, count)),
        rng.random((discs, count)) < 0.7,
    )


def test_distances_and_normals_are_those_of_the_reference():
    """Moving a little along a normal changes the distance by as much: it is the gradient of the distance."""
    rng = np.random.default_rng(6)
    scene, point = random_scene(rng, 5, 400), rng.uniform(-4, 4, (2, 400))
    around = boundaries(scene, point)
    distance, normal = np.asarray(around.distance), np.asarray(around.normal)
    for k in range(5):
        expected = reference.distance_to_disc(point, scene.centre[:, k], scene.radius[k])
        np.testing.assert_allclose(distance[k], np.where(scene.present[k], expected, FAR), atol=1e-12)
    walls = [((5, 0), (-1, 0)), ((-5, 0), (1, 0)), ((0, 4), (0, -1)), ((0, -4), (0, 1))]
    for row, (on_wall, inward) in zip(distance[5:], walls, strict=True):
        np.testing.assert_allclose(row, reference.distance_to_line(point, on_wall, inward), atol=1e-12)
    for k in range(9):
        moved = np.asarray(boundaries(scene, point + 1e-6 * normal[:, k]).distance)[k]
        present = scene.present[k] if k < 5 else np.ones(400, bool)
        np.testing.assert_allclose((moved - distance[k]) / 1e-6, np.where(present, 1, 0), atol=1e-6)
        np.testing.assert_allclose(np.hypot(*normal[:, k]), np.where(present, 1, 0), atol=1e-14)


def test_clearance_is_that_of_the_reference():
    rng = np.random.default_rng(7)
    scene, point = random_scene(rng, 5, 400), rng.uniform(-4, 4, (2, 400))
    expected = reference.body_clearance(point, 0.15, *scene[1:4], scene.half_extents)
    np.testing.assert_allclose(clearance(scene, point, 0.15), expected, atol=1e-12)
    assert expected.min() < 0 < expected.max()


@pytest.mark.wide
@pytest.mark.parametrize("batch", [(512,), (4, 7)])
def test_one_scene_serves_a_batch_of_points(batch):
    """The same as a scene for each point; a scene with other batch axes is refused."""
    scene = Scene.of([(1.0, 1.0, 0.3), (2.0, -1.0, 0.4)], half_extents=(3.0, 2.0))
    point = jnp.asarray(np.random.default_rng(9).uniform(-3, 3, (2, *batch)))
    many = jax.tree.map(lambda x: jnp.broadcast_to(x.reshape(*x.shape, *(1 for _ in batch)), (*x.shape, *batch)), scene)
    seen = jax.jit(scenes.boundaries)
    for computed, expected in zip(*map(jax.tree.leaves, (seen(scene, point), seen(many, point))), strict=True):
        np.testing.assert_array_equal(computed, expected)
    assert scenes.clearance(scene, point, 0.15).shape == batch
    with pytest.raises(ValueError, match=re.escape(f"a scene with the batch axes {batch} cannot be seen from points")):
        scenes.boundaries(many, jnp.zeros((2, 3)))


@pytest.mark.parametrize("filler", [0.0, 1e6, np.nan, np.inf])
def test_padding_is_inert(filler):
    """More absent discs change no clearance and no derivative, whatever numbers stand in them."""
    rng = np.random.default_rng(8)
    scene, point = random_scene(rng, 5, 400), rng.uniform(-4, 4, (2, 400))
    padded = Scene(
        scene.half_extents,
        np.concatenate([scene.centre, np.full((2, 3, 400), filler)], axis=1),
        np.concatenate([scene.radius, np.full((3, 400), filler)]),
        np.concatenate([scene.present, np.zeros((3, 400), bool)]),
    )
    np.testing.assert_array_equal(clearance(padded, point, 0.15), clearance(scene, point, 0.15))
    around, plain = boundaries(padded, point), boundaries(scene, point)
    np.testing.assert_array_equal(around.distance[5:8], FAR)
    np.testing.assert_array_equal(around.normal[:, 5:8], 0)
    np.testing.assert_array_equal(np.delete(around.distance, [5, 6, 7], axis=0), plain.distance)
    gradient = derivative(point, padded)
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient, derivative(point, scene), rtol=1e-12, atol=1e-12)


@jax.jit
@jax.grad
def derivative(point, scene):
    around = scenes.boundaries(scene, point)
    return jnp.sum(jnp.minimum(around.distance, 2.0)) + jnp.sum(around.normal)


def test_point_at_the_centre_of_a_disc_has_finite_answers():
    scene = Scene(np.array([5.0, 5.0]), np.zeros((2, 1)), np.ones(1), np.array([True]))
    around = boundaries(scene, np.zeros(2))
    assert around.distance[0] == -1
    np.testing.assert_array_equal(around.normal[:, 0], 0)
    assert np.isfinite(derivative(np.zeros(2), scene)).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"obstacles": 17}, "the number of obstacles must be between 0 and 16, not 17."),
        ({"obstacles": -1}, "the number of obstacles must be between 0 and 16, not -1."),
        ({"radius_range": (1.0, 0.5)}, "radius_range must be two positive radii [m], the smaller first"),
        ({"radius_range": (0.0, 0.5)}, "radius_range must be two positive radii [m], the smaller first"),
        ({"half_extents": (0.0, 5.0)}, "half_extents must be positive, not (0.0, 5.0)."),
        ({"passage": -0.1}, "passage must not be negative, but is -0.1."),
    ],
)
def test_impossible_arenas_are_refused(parameters, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Arena(**parameters)
