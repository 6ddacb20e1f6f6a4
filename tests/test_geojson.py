"""Floor plans in GeoJSON: what is solid stays so, the rest stays free, and what is refused."""

import json

import numpy as np
import pytest
from matplotlib.path import Path as Outline

from rooms import refusal
from safepursuit.experiment import TrainConfig
from safepursuit.game import Game
from safepursuit.scene import Arena, RoomError, reading

RING = [[0, 0], [6, 0], [6, 4], [0, 4], [0, 0]]


def feature(kind, coordinates, **properties):
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def written(folder, *features):
    file = folder / "plan.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return str(file)


def box(x, y, width, height):
    return [[x, y], [x + width, y], [x + width, y + height], [x, y + height], [x, y]]


def room_of(file):
    return reading.parse(reading.read(file))[0]


def test_a_plan_of_every_kind_is_the_room_it_draws(tmp_path):
    file = written(
        tmp_path,
        feature("Polygon", [RING, box(1, 1, 0.6, 0.5)], name="the room and a pillar"),
        feature("Polygon", [box(5, 3, 2, 2)], name="a corner that is built in"),
        feature("MultiLineString", [[[3, -1], [3, 1.5], [3.5, 2]], [[2.5, 1], [4, 1]]]),
        feature("Point", [4.5, 2.5, 7.0], radius=0.25),
        feature("Point", [40, 2.5], radius=0.25),
        {"type": "Feature", "properties": None, "geometry": None},
    )
    room = room_of(file)
    corners = {(6, 0), (0, 0), (0, 4), (5, 4), (5, 3), (6, 3)}
    assert {tuple(corner) for corner in room.outline} == corners
    assert [sorted(map(tuple, one)) for one in room.polygons] == [[(1, 1), (1, 1.5), (1.6, 1), (1.6, 1.5)]]
    assert room.discs.tolist() == [[4.5, 2.5, 0.25]]
    ends = {tuple(map(tuple, np.round(one, 5))) for one in room.segments}
    assert ends == {((3, 0), (3, 1)), ((3, 1), (3, 1.5)), ((3, 1.5), (3.5, 2)), ((2.5, 1), (3, 1)), ((3, 1), (4, 1))}
    game = Game(Arena(scene=file), TrainConfig().game.robot)
    assert game.arena.bounds == pytest.approx((0, 6, 0, 4))


@pytest.mark.parametrize("seed", range(20))
def test_points_are_free_in_the_room_as_in_the_plan(tmp_path, seed):
    """By matplotlib, on random overlapping polygons; what they cut off from the largest part is not in the room."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 12))
    star = (rng.uniform(2, 5, 12) * [np.cos(angles), np.sin(angles)]).T
    hole = 0.2 * star[::2] + 0.1
    solid = [rng.uniform(-4, 4, 2) + rng.uniform(0.2, 1.5) * rng.uniform(-1, 1, (3, 2)) for _ in range(6)]
    rings = [[*one.tolist(), one[0].tolist()] for one in (star, hole, *solid)]
    plan = [feature("Polygon", rings[:2]), feature("MultiPolygon", [[ring] for ring in rings[2:5]])]
    room = room_of(written(tmp_path, *plan, *(feature("Polygon", [ring]) for ring in rings[5:])))
    points = rng.uniform(-5, 5, (4000, 2))
    inside, *taken = (Outline(ring).contains_points(points) for ring in rings)
    free = inside & ~np.any(taken, axis=0)
    found = Outline(room.outline).contains_points(points)
    for one in room.polygons:
        found &= ~Outline(one).contains_points(points)
    assert not np.any(found & ~free)
    assert found.sum() > 0.5 * free.sum()


def test_lines_of_any_kind_end_at_what_they_meet(tmp_path):
    """A line through a pillar and out of the room, one along the wall, two that cross at a slant."""
    lines = [[[0.5, 1.2], [9, 1.3]], [[0, 2], [0, 3]], [[2, 2], [4, 3.7]], [[2, 3.1], [4, 2.3]]]
    file = written(
        tmp_path, feature("Polygon", [RING, box(1, 1, 0.6, 0.5)]), *(feature("LineString", one) for one in lines)
    )
    room = room_of(file)
    assert len(room.segments) == 6
    for one in room.segments:
        for x, y in one:
            assert 0 < x < 6
            assert 0 < y < 4
            assert not (1 < x < 1.6 and 1 < y < 1.5)


def test_a_scene_file_takes_a_plan_and_the_part_with_its_starts(tmp_path):
    written(tmp_path, feature("Polygon", [RING]), feature("Polygon", [box(3.5, -1, 0.5, 6)]))
    scene = tmp_path / "lab.yaml"
    whole = "map: plan.geojson\nshapes: [{disc: [%s, 1, 0.1]}]\n"
    scene.write_text(whole % 1, encoding="utf-8")
    assert room_of(str(scene)).bounds == pytest.approx((0, 3.5, 0, 4))
    other = tmp_path / "other.yaml"
    other.write_text(whole % 5 + f"start: {{evader: {box(4.5, 1.5, 1, 1)}}}\n", encoding="utf-8")
    assert room_of(str(other)).bounds == pytest.approx((4, 6, 0, 4))


BROKEN = {
    "not JSON": ("{", "is not GeoJSON"),
    "deep": ("[" * 100_000, "is not GeoJSON"),
    "list": ("[]", "must have a type of GeoJSON, such as FeatureCollection, not None"),
    "topology": ('{"type": "Topology"}', "must have a type of GeoJSON, such as FeatureCollection, not 'Topology'"),
    "no list": ('{"type": "FeatureCollection", "features": 3}', "features must be a list"),
    "no feature": ('{"type": "FeatureCollection", "features": [3]}', "feature 1 must have the type Feature"),
    "no polygon": ('{"type": "LineString", "coordinates": [[0, 0], [1, 1]]}', "has no polygon"),
    "open": ('{"type": "Polygon", "coordinates": [[[0, 0], [6, 0], [6, 4]]]}', "feature 1 is not a geometry"),
    "bow tie": (
        '{"type": "Polygon", "coordinates": [[[0, 0], [6, 4], [6, 0], [0, 4], [0, 0]]]}',
        "feature 1 is damaged: Self-intersection[3 2]",
    ),
    "words": ('{"type": "Polygon", "coordinates": "here"}', "feature 1 is not a geometry"),
    "nothing": ('{"type": "Polygon", "coordinates": []}', "has no polygon"),
    "not finite": ('{"type": "Polygon", "coordinates": [[[0, 0], [1e999, 0], [6, 4], [0, 0]]]}', "feature 1 is not"),
    "degrees": (
        '{"type": "Polygon", "coordinates": [[[5e5, 0], [5.1e5, 0], [5.1e5, 1e4], [5e5, 0]]]}',
        "within 10 km",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_plan_is_one_sentence(fault, tmp_path):
    text, sentence = BROKEN[fault]
    file = tmp_path / "plan.geojson"
    file.write_text(text, encoding="utf-8")
    assert len(refusal(file, sentence)) < 400


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        ([feature("Point", [1, 1])], "feature 2 is a point, which takes a property radius [m]"),
        ([feature("Point", [1, 1], radius=-1)], "feature 2 is a point, which takes a property radius [m]"),
        ([feature("Polygon", [box(x, -0.1, 2.2, 4.2)]) for x in (-0.1, 2, 4)], "cover its largest one"),
        ([feature("LineString", [[k % 7, k * 4e-4] for k in range(9000)])], "edges, more than 2000: simplify it"),
    ],
)
def test_a_plan_that_is_no_room_is_refused(features, sentence, tmp_path):
    refusal(written(tmp_path, feature("Polygon", [RING]), *features), sentence)


def test_what_is_of_grids_alone_is_refused_for_plans(tmp_path):
    written(tmp_path, feature("Polygon", [RING]))
    scene = tmp_path / "lab.yaml"
    scene.write_text("map: {file: plan.geojson, cell: 0.1}", encoding="utf-8")
    with pytest.raises(RoomError, match="unknown key 'cell' in a plan in GeoJSON"):
        Arena(scene=str(scene))
    with pytest.raises(RoomError, match="does not exist"):
        Arena(scene=str(tmp_path / "none.geojson"))
