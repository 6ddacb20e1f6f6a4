"""Floor plans in SVG: what is drawn is solid within the flatness of curves, the rest stays free; what is refused."""

from itertools import pairwise

import numpy as np
import pytest
import shapely

from rooms import refusal
from safepursuit.scene import Arena, RoomError, reading

ROOM = '<rect x="0" y="0" width="600" height="400"/>'


def written(folder, body, scale="0.01", head='<svg xmlns="http://www.w3.org/2000/svg">'):
    (folder / "plan.svg").write_text(f"{head}{body}</svg>", encoding="utf-8")
    scene = folder / "lab.yaml"
    scene.write_text(f"map: {{file: plan.svg, scale: {scale}}}", encoding="utf-8")
    return str(scene)


def room_of(file):
    return reading.parse(reading.read(file))[0]


def free_of(room):
    """Where there is neither wall nor polygon."""
    return shapely.Polygon(room.outline).difference(shapely.union_all([shapely.Polygon(one) for one in room.polygons]))


def test_a_plan_of_every_kind_is_the_room_it_draws(tmp_path):
    """In metres, y upwards; hidden parts, definitions, text and pictures are not there."""
    room = room_of(
        written(
            tmp_path,
            '<defs><rect id="unused" width="50" height="50"/></defs><style>rect { fill: none }</style>'
            '<g transform="translate(0,-400)"><rect x="0" y="0" width="600" height="400"/>'
            '<path d="M 500 0 v 100 h 200 v -200 h -200 z"/>'
            '<g transform="translate(100,250)"><polygon points="0,0 60,0 60,50 0,50"/></g>'
            '<circle cx="450" cy="150" r="25"/><polyline points="300,500 300,250 350,200"/></g>'
            '<line x1="250" y1="-100" x2="400" y2="-100" style="stroke:black"/>'
            '<rect x="200" y="-200" width="50" height="50" style="fill:red; display: none"/>'
            '<g display="none"><circle cx="300" cy="-300" r="30"/></g><text x="1" y="1">Lab 4</text>'
            '<image href="file:///etc/passwd" width="600" height="400"/>',
        )
    )
    assert {tuple(corner) for corner in room.outline} == {(6, 0), (0, 0), (0, 4), (5, 4), (5, 3), (6, 3)}
    assert [sorted(map(tuple, one)) for one in room.polygons] == [[(1, 1), (1, 1.5), (1.6, 1), (1.6, 1.5)]]
    assert room.discs == pytest.approx(np.array([[4.5, 2.5, 0.25]]))
    ends = {tuple(map(tuple, np.round(one, 5))) for one in room.segments}
    assert ends == {((3, 0), (3, 1)), ((3, 1), (3, 1.5)), ((3, 1.5), (3.5, 2)), ((2.5, 1), (3, 1)), ((3, 1), (4, 1))}


def test_paths_within_a_path_are_its_holes(tmp_path):
    """The outer wall and a pillar as one path; what touches neither stays apart."""
    ring = "M0 0H600V400H0Z M100 100h60v50h-60z m300 100 h50 v50 h-50 Z"
    free = free_of(room_of(written(tmp_path, f'<path d="{ring}"/>')))
    assert free.area == pytest.approx(24 - 0.6 * 0.5 - 0.5 * 0.5)
    assert free.bounds == pytest.approx((0, -4, 6, 0))


def bernstein(corners, parameter):
    """Points of a cubic curve, by de Casteljau's construction."""
    level = [np.asarray(one)[None] for one in corners]
    while len(level) > 1:
        level = [(1 - parameter) * one + parameter * two for one, two in pairwise(level)]
    return level[0]


@pytest.mark.parametrize("seed", range(12))
def test_what_is_drawn_is_solid_and_the_rest_is_free(tmp_path, seed):
    """Closed and open cubics, turned, skewed and mirrored, and an ellipse, against dense points of the true curves."""
    rng = np.random.default_rng(seed)
    matrix, shift = rng.normal(0, 30, (2, 2)), rng.uniform([150, 150], [650, 450])
    dense = np.linspace(0, 1, 2001)[:, None]
    angles = np.linspace(0, 2 * np.pi, 7)[:-1]
    knots = rng.uniform(1, 2, (6, 1)) * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    slopes = np.roll(knots, -1, axis=0) - np.roll(knots, 1, axis=0)
    cubics = [
        (knots[k], knots[k] + slopes[k] / 6, knots[(k + 1) % 6] - slopes[(k + 1) % 6] / 6, knots[(k + 1) % 6])
        for k in range(6)
    ]
    bow = rng.uniform(-2, 2, (4, 2))
    path = f"M{knots[0][0]},{knots[0][1]}" + "".join(
        "C" + " ".join(f"{x:.17g},{y:.17g}" for x, y in one[1:]) for one in cubics
    )
    values = " ".join(f"{value:.17g}" for value in (*matrix.T.ravel(), *shift))
    turn = rng.uniform(0, 180)
    body = (
        '<rect width="800" height="600"/>'
        f'<g transform="matrix({values})"><path d="{path}Z"/>'
        f'<path d="M{bow[0][0]:.17g},{bow[0][1]:.17g}C{" ".join(f"{x:.17g},{y:.17g}" for x, y in bow[1:])}"/>'
        f'<ellipse cx="1" cy="2" rx="1.5" ry="0.5" transform="rotate({turn:.17g})"/></g>'
    )

    def metres(points):
        return 0.01 * (points @ matrix.T + shift) * [1, -1]

    round_about = np.linspace(0, 2 * np.pi, 4001)
    ellipse = np.stack([1 + 1.5 * np.cos(round_about), 2 + 0.5 * np.sin(round_about)], axis=-1)
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    drawn = shapely.union_all(
        [
            shapely.Polygon(metres(np.concatenate([bernstein(one, dense) for one in cubics]))).buffer(0),
            shapely.LineString(metres(bernstein(bow, dense))),
            shapely.Polygon(metres(ellipse @ np.array([[c, s], [-s, c]]))),
        ]
    )
    free = free_of(room_of(written(tmp_path, body)))
    whole = shapely.box(0, -6, 8, 0)
    assert free.intersection(drawn).area < 1e-7
    parts = shapely.get_parts(whole.difference(drawn.buffer(0.05)))
    kept = max(parts, key=lambda one: one.area)
    assert kept.difference(free).area < 1e-9


def test_a_room_with_a_curved_wall_loses_no_more_than_the_flatness(tmp_path):
    free = free_of(room_of(written(tmp_path, '<path d="M0 0 H600 V300 A300 300 0 0 1 0 300 Z"/>')))
    angles = np.linspace(0, np.pi, 5001)
    true = shapely.Polygon([(0, 0), (6, 0), *np.stack([3 + 3 * np.cos(angles), -3 - 3 * np.sin(angles)], axis=-1)])
    assert free.difference(true).area < 1e-7
    assert true.buffer(-0.0101).difference(free).area < 1e-9


def test_a_circle_that_is_squeezed_is_no_disc(tmp_path):
    room = room_of(
        written(
            tmp_path,
            f'{ROOM}<circle cx="300" cy="100" r="50" transform="scale(1 2)"/>'
            '<circle cx="-20" cy="10" r="5" transform="rotate(90) scale(5)"/>'
            '<circle cx="-20" cy="10" r="5" transform="rotate(-90) scale(5 5)"/>',
        )
    )
    assert room.discs == pytest.approx(np.array([[0.5, -1.0, 0.25]]))
    (ellipse,) = room.polygons
    assert shapely.Polygon(ellipse).area == pytest.approx(0.5 * np.pi, rel=0.03)


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a0 "lol">'
    + "".join(f'<!ENTITY a{k + 1} "{f"&a{k};" * 10}">' for k in range(9))
    + ']><svg xmlns="http://www.w3.org/2000/svg"><text>&a9;</text>'
)
FILE = '<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]>'

BROKEN = {
    "not XML": ("<rect", "cannot be read as SVG: not well-formed"),
    "clone": (f'{ROOM}<use href="#a"/>', "<use> is not read: put its shapes in its place"),
    "nested": (f"<g><svg>{ROOM}</svg></g>", "<svg> is not read"),
    "no number": ('<rect width="6m" height="4"/>', "rect 1: could not convert"),
    "no path": ('<path id="wall" d="M 0 0 L 1"/>', "path 'wall': "),
    "no radius": (f'{ROOM}<circle cx="3" cy="3"/>', "circle 2: a circle takes cx, cy and a positive r"),
    "bow tie": ('<path d="M0 0 L600 400 V0 L0 400 Z"/>', "path 1 is damaged: Self-intersection"),
    "transform": (f'<g transform="turn(3)">{ROOM}</g>', "cannot be read as SVG"),
    "flattened": (f'<g transform="scale(0 1)">{ROOM}</g>', "the transform of rect 1 is not finite, or flattens it"),
    "not finite": ('<path d="M0 0 L1e999 0 L6 4 Z"/>', "path 1: its coordinates"),
    "immense curve": ('<path d="M0 0 C 1e9 0 0 1e9 1 1 Z"/>', "path 1: a curve takes more than"),
    "no polygon": ('<line x1="0" y1="0" x2="3" y2="3"/>', "has no polygon: its largest one is the room"),
    "empty": ("", "has no polygon"),
    "deep": ("<g>" * 20_000 + "</g>" * 20_000, "cannot be read as SVG"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_plan_is_one_sentence(fault, tmp_path):
    body, sentence = BROKEN[fault]
    assert len(refusal(written(tmp_path, body), sentence)) < 400


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        ("<svg>", "it holds 'svg'"),
        (BOMB, "cannot be read as SVG"),
        (f'{FILE}<svg xmlns="http://www.w3.org/2000/svg"><text>&a;</text>', "cannot be read as SVG"),
    ],
)
def test_what_is_no_drawing_is_refused_and_nothing_else_is_read(head, sentence, tmp_path):
    refusal(written(tmp_path, ROOM, head=head), sentence)


@pytest.mark.parametrize("scale", ["0", "-0.01", ".nan", "true", "1e9", "'1:100'"])
def test_a_scale_is_metres_per_unit(scale, tmp_path):
    refusal(written(tmp_path, ROOM, scale), "map.scale must say how many metres a unit of the drawing is")


def test_a_drawing_alone_lacks_its_scale(tmp_path):
    written(tmp_path, ROOM)
    refusal(tmp_path / "plan.svg", "map.scale must say how many metres")
    (tmp_path / "lab.yaml").write_text("map: {file: plan.svg, scale: 1, cell: 1}", encoding="utf-8")
    with pytest.raises(RoomError, match="unknown key 'cell' in a plan in SVG"):
        Arena(scene=str(tmp_path / "lab.yaml"))
