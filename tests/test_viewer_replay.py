"""The replay page: its data against the shield, and the page as a browser shows it.

The screenshots stay in build/viewer/.
"""

import base64
import itertools
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
import shapely
from PIL import Image

from browser import PROGRAM
from replays import CROWD, STEPS, crowded, roomy
from safepursuit.cli import main
from safepursuit.evaluation import evaluate
from safepursuit.learn import BarrierNetTrainer
from safepursuit.play.recording import save
from safepursuit.policy import build_policy
from safepursuit.runs import checkpoint, configuration
from safepursuit.runs.folder import RunFolder
from safepursuit.shield import Shield
from safepursuit.viewer.episodes import replay
from safepursuit.viewer.packing import pack, page
from safepursuit.viewer.programs import Layer, programs
from tiny import TINY, outspoken

needs_browser = pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine")

ROOT = Path(__file__).parents[1]
SHOTS = ROOT / "build" / "viewer"
HOSTILE = "</script><script>document.title='owned'</script>\"'\u202egnp.exe\u202c <img src=x onerror=alert(1)> & run"
LAYER = Layer(Shield(), None, 0.005)
"""A small gain, so that many rows bind."""


@pytest.fixture(scope="module")
def recording():
    return crowded()


@pytest.fixture(scope="module")
def data(recording):
    return replay(recording, LAYER, title=HOSTILE, note=HOSTILE, numbers=np.array([7, 3, 5]))


@pytest.fixture(scope="module")
def file(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("replay") / "replay.html"
    out.write_text(page("replay", data), encoding="utf-8")
    return out


DRAWN = "globalThis.safepursuit?.drawn"


def corners(A, b, box):
    """The corners of a polygon by trying all pairs of sides, in double precision."""
    low_v, high_v, low_w, high_w = box
    A = np.concatenate([A, [[-1, 0], [1, 0], [0, -1], [0, 1]]])
    b = np.concatenate([b, [-low_v, high_v, -low_w, high_w]])
    found = []
    for i, j in itertools.combinations(range(len(b)), 2):
        pair = A[[i, j]]
        if abs(np.linalg.det(pair)) > 1e-12:
            point = np.linalg.solve(pair, b[[i, j]])
            if np.all(A @ point <= b + 1e-9):
                found.append(point)
    return np.array(found)


def check_steps(tab, recording, steps):
    """Poses and the polygon of these steps of the first episode, as the page draws them; the rows of each step."""
    found = programs(recording, LAYER)
    first = np.concatenate([[0], np.cumsum(found.rows)])
    for step in map(int, steps):
        if tab.ask("safepursuit.drawn.step") != step:
            tab.ask(f"safepursuit.seek({step})")
        drawn = tab.ask("safepursuit.drawn")
        assert (drawn["episode"], drawn["step"]) == (0, step)
        np.testing.assert_array_equal(drawn["pursuer"], recording.pursuer[0, step])
        np.testing.assert_array_equal(drawn["evader"], recording.evader[0, step])
        some = slice(first[step], first[step + 1])
        program = tab.ask(f"safepursuit.recording.program(0, {step})")
        np.testing.assert_allclose(program["nominal"], found.nominal[step], atol=1e-6)
        np.testing.assert_allclose(program["control"], found.control[step], atol=1e-6)
        A, b = found.A[some].astype(float), found.b[some].astype(float)
        theirs = np.array(drawn["polygon"]).reshape(-1, 2)
        for corner in corners(A, b, found.box[step].astype(float)):
            assert np.abs(theirs - corner).max(axis=1).min() <= 1e-6
        assert np.all((theirs @ A.T - b) / np.linalg.norm(A, axis=1) <= 1e-6)
    assert tab.troubles == []
    return found.rows


@needs_browser
def test_what_is_drawn_is_what_was_recorded(file, tab, recording):
    tab.visit(f"{file.as_uri()}#episode=7&t=8.45", ready=DRAWN)
    assert tab.ask("safepursuit.drawn.step") == 169
    many = np.flatnonzero(programs(recording, LAYER).rows[:STEPS] > 1)[:20]
    steps = [169, 0, 1, 250, STEPS - 1, *many]
    assert max(check_steps(tab, recording, steps)[steps]) > 10
    assert [address.split(":")[0] for address in set(tab.requests)] in (["file"], ["file", "data"], ["data", "file"])


@needs_browser
def test_an_evader_in_a_room_is_drawn_as_recorded(tab, tmp_path):
    """Its own polygon, and the room's edges, by the colours of pixels and a scale of our own."""
    recording = roomy()
    file = tmp_path / "room.html"
    file.write_text(page("replay", replay(recording, LAYER, title="room")), encoding="utf-8")
    tab.visit(file, ready=DRAWN)
    rows = check_steps(tab, recording, range(0, len(recording.pursuer[0]) - 1, 5))
    assert max(rows[::5]) > 3
    assert "evader" in tab.ask("document.querySelector('#controls').textContent")
    np.testing.assert_array_equal(tab.ask("safepursuit.recording.edges(0)"), recording.edges[0])

    tab.ask("safepursuit.seek(0)")
    canvas = "document.querySelector('#arena')"
    wide, high = tab.ask(f"[{canvas}.clientWidth, {canvas}.clientHeight]")
    picture = tab.ask(f"[...{canvas}.getContext('2d').getImageData(0, 0, {wide}, {high}).data]")
    picture = np.array(picture).reshape(high, wide, 4)[..., :3]
    ink = np.abs(picture - np.array([0x57, 0x60, 0x6A])).max(axis=-1) < 30
    left, right, low, top = recording.game.arena.bounds
    scale = wide / (1.03 * (right - left))
    ends = recording.edges[0].reshape(-1, 2, 2) - [(left + right) / 2, (low + top) / 2]
    ends = np.array([wide / 2, high / 2]) + scale * ends * [1, -1]
    walls = shapely.MultiLineString(list(ends))
    robots = np.array(list(tab.ask("safepursuit.drawn.places").values()))
    for share in (0.25, 0.5, 0.75):
        for x, y in (1 - share) * ends[:, 0] + share * ends[:, 1]:
            hidden = np.hypot(*(robots - [x, y]).T).min() < 0.3 * scale  # by a body and its heading
            assert hidden or ink[max(0, round(y) - 1) : round(y) + 2, max(0, round(x) - 1) : round(x) + 2].any()
    y, x = np.nonzero(ink)
    off = shapely.distance(walls, shapely.points(x + 0.5, y + 0.5)) > 3
    assert off.mean() < 0.02  # a few pixels of lines that are drawn over others


@needs_browser
def test_the_robots_are_painted_where_they_are(file, tab, recording):
    """By the colours of pixels, and a scale of our own."""
    tab.visit(f"{file.as_uri()}#episode=7&t=20", ready=DRAWN)
    width = tab.ask("document.querySelector('#arena').clientWidth")
    half = CROWD.arena.half_extents[0]
    scale = width / (2.06 * half)
    for robot, colour in (("pursuer", (31, 95, 168)), ("evader", (192, 97, 15))):
        x, y, _ = getattr(recording, robot)[0, 400]
        left, top = 1.03 * half * scale + x * scale, 1.03 * half * scale - y * scale
        picture = "document.querySelector('#arena').getContext('2d')"
        pixel = tab.ask(f"[...{picture}.getImageData({round(left)}, {round(top)}, 1, 1).data]")
        assert np.abs(np.subtract(pixel[:3], colour)).max() < 12, robot


@needs_browser
def test_the_keyboard_does_everything(file, tab):
    tab.visit(f"{file.as_uri()}#episode=7&t=1", ready=DRAWN)
    instant = "[safepursuit.recording.number(safepursuit.drawn.episode), safepursuit.drawn.step]"
    tab.press("ArrowRight", "ArrowRight", "ArrowLeft")
    assert tab.ask(instant) == [7, 21]
    tab.press("ArrowDown")  # the list is sorted by number: 3, 5, 7
    assert tab.ask(instant)[0] == 7
    tab.press("ArrowUp")
    assert tab.ask(instant) == [5, 0]
    tab.press("End")
    assert tab.ask("safepursuit.drawn.step === safepursuit.recording.length(safepursuit.drawn.episode)")
    tab.press("Home", "i")
    assert tab.ask("safepursuit.recording.flag(safepursuit.drawn.episode, safepursuit.drawn.step, 1)")
    tab.ask("new Promise(done => setTimeout(done, 400))")  # the address follows
    assert re.search(r"#episode=5&t=\d", tab.ask("location.href"))
    tab.press(" ")
    tab.ask("new Promise(done => setTimeout(done, 500))")
    tab.press(" ")
    assert tab.ask("safepursuit.drawn.step") > 3
    nameless = "one => !(one.textContent.trim() || one.getAttribute('aria-label') || one.labels?.length)"
    names = f"[...document.querySelectorAll('button, select, input, canvas')].filter({nameless}).length"
    assert tab.ask(names) == 0
    assert tab.troubles == []


@needs_browser
def test_names_are_text(file, tab):
    tab.visit(file, ready=DRAWN)
    assert tab.ask("document.querySelector('h1').textContent") == HOSTILE
    assert tab.ask("document.title") != "owned"
    assert tab.ask("document.querySelectorAll('h1 bdi').length") == 1
    assert tab.ask("document.querySelectorAll('script, img').length") == 1
    assert tab.troubles == []


@needs_browser
@pytest.mark.parametrize("damage", ["cut", "flipped", "none", "another", "unequal", "bare"])
def test_damage_is_told_in_the_page(damage, data, tab, tmp_path):
    text = page("replay", data)
    if damage == "cut":
        text = re.sub(r'(text/plain">.{5000}).*(</script>)', r"\1\2", text)
    elif damage == "flipped":
        text = page("replay", data[:900] + bytes([data[900] ^ 8]) + data[901:])
    elif damage == "none":
        text = page("replay")
    elif damage == "another":
        text = page("replay", pack("play", {}, {}))
    else:
        header = zlib.decompress(data)
        size = int.from_bytes(header[:4], "little")
        about = json.loads(header[4 : 4 + size])["about"]
        arrays = {"length": np.ones(3, np.uint32)} if damage == "unequal" else unpacked(data)
        text = page("replay", pack("replay", about if damage == "unequal" else {"title": "x"}, arrays))
    file = tmp_path / "damaged.html"
    file.write_text(text, encoding="utf-8")
    tab.visit(file, ready=DRAWN)
    assert tab.ask("document.querySelector('.trouble [role=alert], .trouble').textContent.length") > 40
    assert tab.troubles == []


@needs_browser
def test_the_page_fits(file, tab):
    tab.visit(f"{file.as_uri()}#episode=7&t=10", ready=DRAWN)
    for width, scheme, shot in tab.looks(SHOTS, "replay"):
        assert tab.ask("document.documentElement.scrollWidth") <= width
        ink = np.asarray(Image.open(shot).convert("L"), float)
        assert np.median(ink) > 240 if scheme == "light" else np.median(ink) < 45


def test_rows_shown_are_those_that_held_the_control():
    """The control is the point of the shown polygon nearest to the nominal one, found by trying sides and corners."""
    config = TINY
    policy = build_policy(jax.random.key(1), config.method, config.policy, config.game, config.shield)
    policy = outspoken(policy)
    recording = evaluate(policy, config, episodes=12, evader="run").recording
    found = programs(recording, Layer(config.shield, policy, policy.head.least_gain()))
    assert len(found.rows) == recording.length.sum()
    first = np.concatenate([[0], np.cumsum(found.rows)])
    weight = np.array([1.0, config.shield.offset / config.game.robot.dt])
    governed = 0
    for step, (nominal, control) in enumerate(zip(found.nominal, found.control, strict=True)):
        some = slice(first[step], first[step + 1])
        low_v, high_v, low_w, high_w = found.box[step].astype(float)
        A = np.concatenate([found.A[some], [[-1, 0], [1, 0], [0, -1], [0, 1]]]).astype(float)
        b = np.concatenate([found.b[some], [-low_v, high_v, -low_w, high_w]]).astype(float)
        scaled = A / weight
        onto = nominal * weight - scaled * ((scaled @ (nominal * weight) - b) / (scaled**2).sum(1))[:, None]
        points = np.concatenate([[nominal], onto / weight, corners(A[:-4], b[:-4], found.box[step].astype(float))])
        inside = points[np.all(points @ A.T <= b + 1e-6, axis=1)]
        best = inside[np.argmin((((inside - nominal) * weight) ** 2).sum(1))]
        governed += np.abs(best - control).max() > 2e-5
    assert governed <= 0.02 * len(found.rows)  # the speed governor acts after the program
    assert recording.intervened.any()
    assert np.all((found.gain >= config.policy.min_gain) & (found.gain <= 1))


def unpacked(data):
    """The arrays of a page by name, read from the format's description."""
    raw = zlib.decompress(data)
    size = int.from_bytes(raw[:4], "little")
    header, body = json.loads(raw[4 : 4 + size]), raw[4 + size :]
    arrays = {}
    for entry in header["arrays"]:
        kind = np.dtype("<" + entry["type"])
        count = int(np.prod(entry["shape"]))
        planes = np.frombuffer(body, np.uint8, count * kind.itemsize, entry["offset"]).reshape(kind.itemsize, count)
        arrays[entry["name"]] = np.frombuffer(planes.T.tobytes(), kind).reshape(entry["shape"])
    return arrays


def test_numbers_survive_packing():
    arrays = {"a": np.array([1.5, np.nan, -2], np.float32), "b": np.array([[1, 70000]], np.uint32), "c": np.arange(3.0)}
    found = unpacked(pack("replay", {"title": "é"}, arrays))
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    with pytest.raises(ValueError, match="int64"):
        pack("replay", {}, {"a": np.arange(3)})


def test_twenty_long_episodes_fit(tmp_path, capsys):
    """600 steps each among 16 discs, through the command."""
    recording = crowded(20)
    recording = replace(recording, outcome=np.resize(["timeout", "capture"], 20))
    save(recording, tmp_path / "many.npz")
    assert main(["replay", str(tmp_path / "many.npz"), "--out", str(tmp_path / "many.html")]) == 0
    assert (tmp_path / "many.html").stat().st_size <= 3e6
    text = (tmp_path / "many.html").read_text("utf-8")
    raw = zlib.decompress(base64.b64decode(re.search(r'text/plain">(.*?)</script>', text)[1]))
    assert b"many.npz" in raw


def test_a_run_plays_its_own_episodes(tmp_path, capsys):
    run = RunFolder.create(tmp_path / "<script>run", configuration.dump(TINY), ["safepursuit"])
    checkpoint.save(run, 0, BarrierNetTrainer(TINY, run).state, best=True)
    out = tmp_path / "run.html"
    words = ["replay", str(run.path), "--episodes", "12", "--evader", "run", "--out", str(out)]
    assert main(words) == 0
    text = out.read_text("utf-8")
    assert "<script>run" not in text
    raw = zlib.decompress(base64.b64decode(re.search(r'text/plain">(.*?)</script>', text)[1]))
    header = json.loads(raw[4 : 4 + int.from_bytes(raw[:4], "little")])
    assert header["about"]["title"] == "barriernet against run, 2 obstacles: <script>run"
    assert {"rows", "gain"} <= {entry["name"] for entry in header["arrays"]}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["nowhere"], "does not exist"),
        (["FILE"], "is not a recording"),
        (["FILE", "--out", "x.pdf"], "ends in .html"),
        (["FILE", "--episodes", "0"], "at least 1"),
        (["FILE", "--evader", "flee"], "played already"),
    ],
)
def test_wrong_calls_are_told(words, complaint, tmp_path, capsys):
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK nothing")
    status = main(["replay", *(str(broken) if word == "FILE" else word for word in words)])
    said = capsys.readouterr().err
    assert status == 2
    assert complaint in said
    assert said.count("\n") == 1
