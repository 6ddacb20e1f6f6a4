"""Maps of map_server: what is not free stays covered, what is wide enough stays open, and what is refused."""

import re
import time
from pathlib import Path

import numpy as np
import pytest
import shapely
from PIL import Image

from safepursuit.experiment import TrainConfig
from safepursuit.game import Game
from safepursuit.scene import Arena, RoomError, reading
from safepursuit.scene.occupancy import Grid, load, outlines

MAP = Path(__file__).parent / "data" / "map" / "map.yaml"


def random_grid(rng, size=24):
    """Noise, or rooms with slanted and stepped walls."""
    if rng.random() < 0.3:
        free = rng.random((size, size)) < rng.uniform(0.6, 0.95)
    else:
        row, column = np.indices((size, size))
        free = np.ones((size, size), bool)
        for _ in range(rng.integers(1, 6)):
            a, b = rng.uniform(-1, 1, 2)
            x, y = rng.uniform(0, size, 2)
            far = np.abs(a * (column - x) + b * (row - y)) > rng.uniform(0.3, 1.5)
            free &= far | (np.hypot(column - x, row - y) > rng.uniform(2, size / 2))
        free &= rng.random((size, size)) < 0.99
    free[size // 2, size // 2] = True
    return free


def made(grid, cell):
    outer, solid = outlines(grid, cell)
    room = shapely.Polygon(outer, solid)
    assert room.is_valid or shapely.make_valid(room).area == pytest.approx(room.area, abs=1e-9)
    return room.buffer(0)


@pytest.mark.parametrize("seed", range(30))
def test_the_solid_stays_covered_and_the_wide_stays_open(seed):
    """By shapely, cell by cell: no solid cell within the room; whoever keeps a radius from it and half a cell more is
    within the room and keeps the radius from its walls."""
    rng = np.random.default_rng(seed)
    yaw = rng.choice([0.0, rng.uniform(-3, 3)])
    grid = Grid(random_grid(rng), float(rng.uniform(0.02, 0.2)), (*rng.uniform(-9, 9, 2), yaw))
    cell = grid.resolution * rng.choice([1, 2, 4])
    free = made(grid, cell)
    row, column = np.nonzero(~grid.free)
    corners = np.stack([column, row], axis=-1)[:, None] + np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    solid = shapely.polygons(grid.world(corners.reshape(-1, 2)).reshape(-1, 4, 2))
    assert shapely.area(shapely.intersection(solid, free)).max(initial=0) <= 1e-9
    height, width = grid.free.shape
    whole = shapely.Polygon(grid.world(np.array([[0, 0], [width, 0], [width, height], [0, height]], float)))
    truly = whole.difference(shapely.union_all(shapely.buffer(solid, 1e-9)))
    for radius in (0.3 * grid.resolution, 1.1 * grid.resolution):
        for part in shapely.get_parts(truly.buffer(-(radius + 0.5 * cell) * (1 + 1e-5), quad_segs=64)):
            if part.area > 1e-9 and part.intersects(free):
                assert part.difference(free.buffer(-radius, quad_segs=64)).area <= 1e-3 * grid.resolution**2


def test_a_real_map_can_be_played_in_and_its_run_needs_no_file(tmp_path):
    for name in ("map.yaml", "map.png"):
        (tmp_path / name).write_bytes((MAP.parent / name).read_bytes())
    scene = tmp_path / "lab.yaml"
    scene.write_text("map: {file: map.yaml, cell: 0.1}\nshapes: [{disc: [-0.5, 0.5, 0.1]}]\n", encoding="utf-8")
    game = Game(Arena(scene=str(scene)), TrainConfig().game.robot)
    layout = game.arena.layout
    assert game.arena.bounds == pytest.approx((-2.85, 2.6, -2.5, 2.5), abs=0.11)
    assert len(layout.polygons) == 9
    assert len(layout.discs) == 1
    for file in tmp_path.iterdir():
        file.unlink()
    assert reading.parse(game.arena.room)[0].bounds == layout.bounds
    assert Arena(scene=str(MAP)).layout.bounds == pytest.approx(layout.bounds, abs=0.11)


def test_a_larger_cell_gives_fewer_edges():
    grid = load(MAP)
    exact, fine, coarse = (
        sum(len(one) for one in (outer, *solid))
        for outer, solid in (outlines(grid, cell) for cell in (1e-6, 0.05, 0.1))
    )
    assert coarse < 0.5 * fine < 0.5 * exact


@pytest.mark.heavy
def test_a_grid_of_384_by_384_cells_takes_less_than_two_seconds():
    begun = time.perf_counter()
    grid = load(MAP)
    outer, solid = outlines(grid, grid.resolution)
    took = time.perf_counter() - begun
    print(f"{grid.free.shape} cells, {len(outer) + sum(map(len, solid))} edges, {took:.2f} s")
    assert took < 2


GOOD = "resolution: 0.1\norigin: [0, 0, 0]\n"
BROKEN = {
    "no picture": ("image: none.png\n" + GOOD, "none.png of the map does not exist"),
    "cut off": ("image: cut.pgm\n" + GOOD, "cut.pgm of the map cannot be read"),
    "NaN": ("image: free.png\nresolution: .nan\norigin: [0, 0, 0]", "resolution must be a number from 0.0001 to 100"),
    "origin": ("image: free.png\nresolution: 0.1\norigin: [0, 0]", "origin takes x, y, yaw"),
    "thresholds": ("image: free.png\nfree_thresh: 0.7\n" + GOOD, "free_thresh must be less than occupied_thresh"),
    "raw": ("image: free.png\nmode: raw\n" + GOOD, "mode must be trinary or scale, not 'raw'"),
    "all occupied": ("image: full.png\n" + GOOD, "the map has no free cell"),
    "unknown": ("image: unknown.png\nfree_thresh: 0.25\n" + GOOD, "the map has no free cell"),
    "noise": ("image: noise.png\n" + GOOD, "edges, more than 2000: give a larger cell"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_map_is_one_sentence(fault, tmp_path):
    text, sentence = BROKEN[fault]
    for name, grey in (("free", 254), ("full", 0), ("unknown", 205)):
        Image.fromarray(np.full((20, 20), grey, np.uint8)).save(tmp_path / f"{name}.png")
    noise = np.random.default_rng(0).random((100, 100)) < 0.8
    Image.fromarray(np.where(noise, 254, 0).astype(np.uint8)).save(tmp_path / "noise.png")
    (tmp_path / "cut.pgm").write_bytes(b"P5\n20 20\n255\n123")
    (tmp_path / "map.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(RoomError, match=re.escape(sentence)) as caught:
        reading.read(str(tmp_path / "map.yaml"))
    assert "\n" not in str(caught.value)
