"""Scene files: the gallery, what is refused and how, and that a run keeps its room."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import shapely

from rooms import refusal
from safepursuit.cli import main
from safepursuit.evaluation.scenarios import with_obstacles
from safepursuit.experiment import TrainConfig
from safepursuit.game import Game, initial
from safepursuit.runs import configuration
from safepursuit.scene import Arena, gallery

SQUARE = "walls: [[0, 0], [6, 0], [6, 4], [0, 4]]\n"

BROKEN = {
    "not YAML": ("walls: [[0, 0], [1", "is not YAML"),
    "empty": ("", "the file must hold keys and values"),
    "no walls": ("shapes: []", "walls are missing: give the corners of the outer wall"),
    "wrong key": ("wals: [[0, 0], [6, 0], [6, 4]]", "unknown key 'wals' in the file; did you mean 'walls'?"),
    "wrong shape": (SQUARE + "shapes: [{polygn: []}]", "unknown key 'polygn' in shape 1; did you mean 'polygon'?"),
    "not a number": ("walls: [[0, 0], [6, .nan], [6, 4]]", "walls must be finite numbers within 10 km [m]"),
    "word": (SQUARE + "shapes: [{disc: [1, 1, big]}]", "shape 1 (disc) takes x, y, radius, not"),
    "too few numbers": (SQUARE + "shapes: [{box: [1, 1, 1, 1]}]", "(box) takes x, y, width, height, degrees, not"),
    "open outline": ("walls: [[0, 0], [6, 0]]", "walls is open: it takes three corners or more, not 2"),
    "bow tie": ("walls: [[0, 0], [6, 4], [6, 0], [0, 4]]", "walls intersects itself near (3, 2): list its corners"),
    "crossing walls": (
        SQUARE + "shapes: [{segment: [[1, 1], [3, 3]]}, {segment: [[1, 3], [3, 1]]}]",
        "shape 1 (segment) and shape 2 (segment) cross near (2.00, 2.00)",
    ),
    "outside": (SQUARE + "shapes: [{segment: [[5, 1], [7, 1]]}]", "shape 1 (segment) crosses the outer wall"),
    "radius": (SQUARE + "shapes: [{disc: [1, 1, -0.2]}]", "shape 1 (disc) takes a positive radius, not -0.2"),
    "start in a wall": (
        SQUARE + "shapes: [{box: [3, 2, 2, 2, 0]}]\nstart: {pursuer: [[2.5, 1.5], [3.5, 1.5], [3, 2.5]]}",
        "start.pursuer lies in a wall",
    ),
    "start too near": (SQUARE + "start: {evader: [[0, 0], [0.2, 0], [0.2, 0.2]]}", "start.evader has no place for"),
    "narrow passage": (
        SQUARE + "shapes: [{segment: [[3, 0], [3, 1.9]]}, {segment: [[3, 2.1], [3, 4]]}]",
        "the passage near (3.00, 2.00) is too narrow for a robot of 0.3 m",
    ),
    "immense": (
        "walls: [[-8000, 0], [8000, 0], [8000, 9000], [-8000, 9000]]",
        "places to start, 0.4 m apart, are sought over 15999.2 m × 8999.2 m, which is too much: give smaller start",
    ),
    "too many discs": (SQUARE + "random: {discs: 17}", "random.discs must be a whole number from 0 to 16, not 17"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_is_one_sentence(fault, tmp_path):
    text, sentence = BROKEN[fault]
    file = tmp_path / "lab.yaml"
    file.write_text(text, encoding="utf-8")
    refusal(file, sentence)


def test_a_file_that_has_changed_is_another_room(tmp_path):
    file = tmp_path / "lab.yaml"
    for width in (6, 5):
        file.write_text(SQUARE.replace("6", str(width)), encoding="utf-8")
        assert Arena(scene=str(file)).bounds == pytest.approx((0, width, 0, 4))


def test_a_sentence_on_the_command_line(tmp_path, capsys):
    (tmp_path / "lab.yaml").write_text(BROKEN["wrong key"][0], encoding="utf-8")
    for scene, sentence in (
        (tmp_path / "lab.yaml", "did you mean 'walls'?"),
        ("none.yaml", "none.yaml does not exist."),
    ):
        assert main(["train", "--scene", str(scene), "--dry-run"]) != 0
        told = capsys.readouterr().err
        assert sentence in told
        assert told.count("\n") == 1


def test_a_configuration_keeps_its_room(tmp_path):
    file = tmp_path / "lab.yaml"
    file.write_text(SQUARE + "shapes: [{disc: [1, 1, 0.2]}]\n", encoding="utf-8")
    config = replace(TrainConfig(), game=Game(Arena(scene=str(file))))
    text = configuration.dump(config)
    file.unlink()
    again = configuration.parse(TrainConfig(), text, "config.yaml")
    assert again == config
    assert again.game.arena.layout.discs.tolist() == [[1, 1, 0.2]]
    assert again.game.arena.bounds == (0, 6, 0, 4)
    with pytest.raises(ValueError, match="sets its discs itself"):
        with_obstacles(again.game, 3)
    plain = replace(again.game.arena, scene="discs")
    assert plain.layout is None


@pytest.mark.parametrize("role", ["pursuer", "evader"])
def test_starts_are_in_the_room_and_clear(role, tmp_path):
    """By shapely: within the outline, clear of solids and random discs, in the region where one is given."""
    file = tmp_path / "lab.yaml"
    lines = [
        "walls: [[-1, -1], [5, -1], [5, 1], [2, 1], [2, 4], [-1, 4]]",
        "shapes: [{box: [0, 2.4, 0.9, 0.9, 30]}, {segment: [[3, -1], [3, -0.4]]}]",
        "random: {discs: 2, radius: [0.1, 0.2]}",
        "start: {pursuer: [[3, -1], [5, -1], [5, 1], [3, 1]]}",
    ]
    file.write_text("\n".join(lines), encoding="utf-8")
    game = Game(Arena(scene=str(file), passage=0.3))
    states = initial(jax.random.key(0), game, 64)
    room = game.arena.layout
    solid = [shapely.Polygon(one) for one in room.polygons] + [shapely.LineString(one) for one in room.segments]
    outline = shapely.Polygon(room.outline)
    places = np.asarray(getattr(states, role)[:2], float).T
    discs = np.stack([*np.asarray(states.scene.centre), np.asarray(states.scene.radius)])[
        :, np.asarray(states.scene.present[:, 0])
    ]
    assert discs.shape[1] == 2
    for game_number, place in enumerate(shapely.points(places)):
        assert outline.contains(place)
        assert role == "evader" or place.x >= 3
        x, y, radius = discs[..., game_number]
        near = min(shapely.distance(np.array([*solid, outline.exterior]), place))
        near = min(near, *(np.hypot(x - place.x, y - place.y) - radius))
        assert near >= game.start_reach - 1e-5


@pytest.mark.parametrize("name", gallery())
def test_rooms_of_the_gallery_can_be_played_in(name):
    arena = Game(Arena(scene=name)).arena
    assert all(room.name for room in arena.rooms)
    assert arena.layout is None or arena.layout.name == name
