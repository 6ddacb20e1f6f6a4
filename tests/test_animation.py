"""Moving pictures: which moments are shown, what lights up, and what can be read back from the files."""

import contextlib
import io
import math
import re
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from safepursuit.cli import main, render
from safepursuit.evaluation import evaluate
from safepursuit.evaluation.failures import worst
from safepursuit.evaluation.metrics import verdict
from safepursuit.experiment.run import TrainedRun
from safepursuit.learn import BarrierNetTrainer
from safepursuit.play.recording import Recording
from safepursuit.policy import build_policy
from safepursuit.report.animation import film as animation
from safepursuit.report.animation import movie
from safepursuit.report.animation.film import film, grid, moments
from safepursuit.report.animation.take import least_barrier, level, prediction, takes
from safepursuit.report.figures import BARRIER, CAPTURE, COLLISION, trajectories
from safepursuit.runs import checkpoint, configuration
from safepursuit.runs.folder import RunFolder
from safepursuit.shield import Shield
from tiny import TINY

STEPS = 12
GAME = replace(TINY.game, horizon=STEPS)
SHIELD = Shield()
DISC, EAST = 0, 1
"""Rows of `active`: one disc, then the walls at +x, −x, +y, −y."""


def chases(outcomes=("capture", "timeout")):
    """In episode 0 the pursuer drives at 0.9 m/s straight at a disc of 0.5 m about the origin, in episode 1 at the wall
    at x = 3 m, asking for 1 m/s all the time; from step 6 on it is held, and does not move. The evader stands by."""
    count = len(outcomes)
    way = 0.045 * np.minimum(np.arange(STEPS + 1), 6)
    first = np.array([-1.0, 2.5])[:count, None]
    pursuer = np.stack([first + way, np.zeros((count, STEPS + 1)), np.zeros((count, STEPS + 1))], axis=-1)
    held = np.tile(np.arange(STEPS) >= 6, (count, 1))
    control = np.stack([np.where(held, 0.0, 0.9), np.zeros(held.shape)], axis=-1)
    nominal = np.broadcast_to([1.0, 0.0], control.shape)
    return Recording(
        pursuer=pursuer,
        evader=pursuer + np.array([0.2, 0.9, 1.0]),
        pursuer_control=control,
        evader_control=np.zeros(control.shape),
        nominal=nominal,
        intervened=held,
        correction=np.zeros(held.shape),
        infeasible=np.zeros(held.shape, bool),
        lost_gradient=np.zeros(held.shape, bool),
        active=held[..., None] & np.eye(5, dtype=bool)[[DISC, EAST]][:count, None],
        discs=np.tile([[[0.0, 0.0, 0.5]]], (count, 1, 1)),
        edges=np.empty((count, 0, 4)),
        movers=np.empty((count, STEPS + 1, 0, 3)),
        length=np.full(count, STEPS),
        outcome=np.array(outcomes),
        game=GAME,
    )


def shown(recording, gain=0.5):
    return takes(recording, verdict(recording), range(len(recording.length)), SHIELD, gain)


def painted(picture, colour):
    """How many pixels have about this colour."""
    channels = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)])
    return int((np.abs(np.asarray(picture).astype(int) - channels).max(axis=-1) <= 12).sum())


# --- moments -----------------------------------------------------------------------------------------------------


def test_moments_of_a_short_episode():
    # 20 pictures a second at twice real time are 0.1 s = 2 steps apart; at 1.2 times real time 0.06 s = 1.2 steps:
    # 0, 1.2, 2.4, 3.6, 4.8, 6, 7.2, 8.4, 9.6 steps, the last of which is rounded to the end, shown once.
    np.testing.assert_array_equal(moments(10, 0.05, 20, 2.0), [0, 2, 4, 6, 8, 10])
    np.testing.assert_array_equal(moments(10, 0.05, 20, 1.2), [0, 1, 2, 4, 5, 6, 7, 8, 10])
    np.testing.assert_array_equal(moments(1, 0.05, 20, 9.0), [0, 1])


@given(st.integers(1, 700), st.floats(0.01, 0.2), st.integers(1, 50), st.floats(0.1, 20))
def test_no_moment_is_further_than_half_a_step_from_its_time(length, dt, fps, speed):
    steps = moments(length, dt, fps, speed)
    assert steps[0] == 0
    assert steps[-1] == length
    assert (np.diff(steps) >= 0).all()
    assert np.abs(steps[:-1] * dt - np.arange(len(steps) - 1) * speed / fps).max() <= dt / 2 + 1e-9


def test_time_has_to_pass():
    for fps, speed in ((0, 1.0), (20, 0.0), (20, -1.0)):
        with pytest.raises(ValueError, match="must be positive"):
            moments(10, 0.05, fps, speed)


# --- takes -------------------------------------------------------------------------------------------------------


def test_the_boundary_that_held_the_control_lights_up_while_it_holds():
    # Episode 0 stands at x = −0.73: q is 0.63 m from the disc's centre and may not come nearer than 0.658 m. Episode 1
    # stands at x = 2.77: q is 0.13 m from the wall and may not come nearer than 0.15 m.
    for take, boundary in zip(shown(chases()), (DISC, EAST), strict=True):
        expected = np.zeros((STEPS, 5), bool)
        expected[6:, boundary] = True
        np.testing.assert_array_equal(take.active, expected)


def test_where_no_row_held_the_control_the_nearest_boundary_lights_up():
    """As for the governor."""
    recording = chases()
    governed = replace(recording, active=np.zeros_like(recording.active))
    for take, boundary in zip(shown(governed), (DISC, EAST), strict=True):
        assert take.active[6:, boundary].all()
        assert take.active.sum() == STEPS - 6


def test_an_active_row_counts_only_where_the_control_was_held():
    recording = chases()
    active = np.zeros_like(recording.active)
    active[:, 3:, 4] = True
    for take in shown(replace(recording, active=active)):
        np.testing.assert_array_equal(np.argwhere(take.active), [[step, 4] for step in range(6, STEPS)])


def test_the_contours_are_those_of_theorem_2():
    take = shown(chases())[0]
    rim = math.sqrt(0.65**2 + 0.1**2)  # of the disc of 0.5 m, for a body of 0.15 m and an offset of 0.1 m
    angles = np.linspace(0, 2 * np.pi, 9)
    for h in (0.0, 0.1):
        ring = (rim + h) * np.stack([np.cos(angles), np.sin(angles)])
        np.testing.assert_allclose(least_barrier(take, ring), h, atol=3e-5)  # twice the margin of 1e-5 m
        along = np.stack([[3 - 0.15 - h, h - 2.85, 2.0, 2.0], [2.0, 2.0, 2.85 - h, h - 2.85]])
        np.testing.assert_allclose(least_barrier(take, along), h, atol=3e-5)
    assert level(0.5, GAME.robot) == pytest.approx(0.1)  # 1 m/s · 0.05 s / 0.5


def test_the_arrows_lead_where_the_robot_would_be():
    start, control = np.array([1.0, -2.0, 0.5]), np.array([0.8, -1.7])
    pose = jnp.asarray(start)
    for _ in range(20):
        pose = GAME.robot.step(pose, jnp.asarray(control))
    way = prediction(start, control, 0.05)
    assert way.shape == (21, 2)
    np.testing.assert_allclose(way[0], start[:2])
    np.testing.assert_allclose(way[-1], pose[:2], atol=1e-5)


def test_how_it_ended():
    recording = chases()
    assert [take.ending[0] for take in shown(recording)] == ["captured after 0.6 s", "not captured in 1 s"]
    into_the_disc = recording.pursuer + np.array([0.3, 0, 0])  # touches from −0.65 on: at −0.7 + 0.045, after 1 step
    hit = replace(recording, pursuer=into_the_disc)
    assert shown(hit)[0].ending == ("collided after 0.1 s", COLLISION)


# --- files -------------------------------------------------------------------------------------------------------


def slides(count=5, height=41, width=61):
    """A dark square that wanders over white paper, above a band of a colour that changes."""
    pictures = np.full((count, height, width, 3), 255, np.uint8)
    for k, picture in enumerate(pictures):
        picture[10:20, 5 + 8 * k : 15 + 8 * k] = (31, 95, 168)
        picture[30:] = (40 * k, 120, 255 - 40 * k)
    return pictures


def test_a_gif_holds_the_pictures_their_colours_and_their_time(tmp_path):
    file, pictures = tmp_path / "slides.gif", slides()
    assert movie.write(file, pictures, 25, pictures) == 5
    with Image.open(file) as stored:
        assert stored.n_frames == 5
        assert stored.info["loop"] == 0
        for k, picture in enumerate(pictures):
            stored.seek(k)
            assert stored.info["duration"] == 40
            np.testing.assert_array_equal(stored.convert("RGB"), picture)


def test_an_mp4_holds_the_pictures_and_plays_in_browsers(tmp_path):
    av = pytest.importorskip("av")
    file, pictures = tmp_path / "slides.mp4", slides()
    assert movie.write(file, pictures, 25) == 5
    with av.open(str(file)) as container:
        (stream,) = container.streams
        assert (stream.codec_context.name, stream.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 25)
        assert (stream.width, stream.height) == (60, 40)  # from 61 × 41
        assert float(stream.duration * stream.time_base) == pytest.approx(5 / 25)
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(decoded) == 5
    for frame, picture in zip(decoded, pictures, strict=True):
        assert np.abs(frame.astype(int) - picture[:40, :60]).mean() < 4
    content = file.read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat")  # playable before it is loaded


def test_a_file_is_replaced_only_when_the_new_one_is_complete(tmp_path):
    file = tmp_path / "slides.gif"
    movie.write(file, slides(), 20)
    before = file.read_bytes()

    def broken():
        yield slides()[0]
        raise RuntimeError("out of film")

    with pytest.raises(RuntimeError, match="out of film"):
        movie.write(file, broken(), 20)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_a_gif_has_its_limits(tmp_path, monkeypatch):
    monkeypatch.setattr(movie, "_GIF_FRAMES", 4)
    with pytest.raises(ValueError, match=r"more than 4 frames .* \.mp4"):
        movie.write(tmp_path / "slides.gif", slides(), 20)


# --- pages -------------------------------------------------------------------------------------------------------


@pytest.mark.wide
def test_a_film_shows_what_holds_the_control_and_how_it_ends(tmp_path):
    file = tmp_path / "film.gif"
    take = shown(chases())[0]
    # 0, 2, … 10 and the end at 12, which stands still for 1.5 s of 30 pictures: 37, of 0.05 s each.
    assert film([take], "a chase", file) == 37
    with Image.open(file) as stored:
        assert stored.size == (1000, 640)
        pictures, times = [], []
        for k in range(stored.n_frames):
            stored.seek(k)
            pictures.append(np.array(stored.convert("RGB")))
            times.append(stored.info["duration"])
    assert sum(times) == 37 * 50
    assert times[-1] > 1500
    free, held, end = pictures[2], pictures[3], pictures[-1]  # steps 4, 6 and 12
    assert painted(held, BARRIER) > painted(free, BARRIER) + 300
    assert painted(end, BARRIER) < painted(held, BARRIER) - 300
    assert painted(end, CAPTURE) > painted(held, CAPTURE) + 300


@pytest.mark.wide
def test_an_invalid_episode_can_be_shown(tmp_path):
    """In its last step nobody knows where the pursuer is."""
    recording = chases(("invalid",))
    recording.pursuer[0, -1] = recording.pursuer_control[0, -1] = np.nan
    take = shown(recording)[0]
    assert take.ending[0] == "invalid after 0.6 s: a number is not finite"
    assert film([take], "nowhere", tmp_path / "film.gif") == 37
    trajectories(recording, "nowhere", tmp_path / "page.png", [0])
    with Image.open(tmp_path / "page.png") as page:
        assert painted(page.convert("RGB"), CAPTURE) < 100  # the key, but no circle


@pytest.mark.wide
def test_a_grid_holds_episodes_of_different_length(tmp_path):
    file = tmp_path / "grid.gif"
    recording = chases()
    short = replace(recording, length=np.array([4, STEPS]))
    assert grid(shown(short), (1, 2), "two chases", file) == 37
    with Image.open(file) as stored:
        left = []
        for k in range(stored.n_frames):
            stored.seek(k)
            picture = np.array(stored.convert("RGB"))[40:, : stored.width // 2]
            left.append(painted(picture, CAPTURE))
    assert left[0] < left[2]  # captured after four steps …
    assert set(left[2:]) == {left[2]}  # … and still so while the other goes on


def test_a_page_needs_episodes_and_places_for_them(tmp_path):
    with pytest.raises(ValueError, match="no episode to show"):
        film([], "none", tmp_path / "none.gif")
    with pytest.raises(ValueError, match="2 episodes do not fit into a grid of 1 x 1"):
        grid(shown(chases()), (1, 1), "two", tmp_path / "two.gif")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("length", [10, 60, 120])
def test_a_title_stays_on_the_page(length):
    title = ("barriernet (shield off) against flee, 4 obstacles, " * 3)[:length]
    figure = animation.Figure(figsize=(10, 1), dpi=100)
    text = figure.text(0, 0.5, title, fontweight="bold", fontsize=animation._fitting(title, 550))
    assert text.get_window_extent(animation.FigureCanvasAgg(figure).get_renderer()).width <= 550


# --- the command -------------------------------------------------------------------------------------------------


def call(*words):
    """Status, standard output, standard error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(["render", *map(str, words)])
    return status, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with a checkpoint, untrained."""
    run = RunFolder.create(tmp_path_factory.mktemp("runs") / "run", configuration.dump(TINY), ["safepursuit"])
    checkpoint.save(run, 0, BarrierNetTrainer(TINY, run).state, best=True)
    return run


@pytest.mark.wide
def test_render_writes_into_the_run_folder_under_a_telling_name(run, monkeypatch):
    monkeypatch.setattr(render, "_POOL", 12)
    status, out, err = call(run.path, "--evader", "run", "--worst", "--grid", "1x2")
    assert (status, err) == (0, "")
    (file,) = (run.path / "animations").iterdir()
    assert file.name == "standard-run-2-as-trained-seed0-worst-1x2-0.gif"
    assert str(file) in out
    with Image.open(file) as stored:
        assert stored.n_frames > 1
    trainer = BarrierNetTrainer.load(run)
    judged = evaluate(trainer.policy, trainer.config, episodes=12, evader="run")
    expected = worst(judged.recording, judged.verdict, 2)
    assert [line.split(":")[0] for line in out.splitlines()[:2]] == [f"episode {index}" for index in expected]


@pytest.mark.wide
def test_render_writes_the_file_that_was_asked_for(run, tmp_path):
    pytest.importorskip("av")
    file = tmp_path / "first.mp4"
    file.write_text("something older")
    status, out, err = call(run.path, "--evader", "run", "--scenario", "11", "--speed", "6", "--out", file)
    assert (status, err) == (0, "")
    assert re.findall(r"episode (\d+):", out) == ["11"]
    assert b"ftyp" in file.read_bytes()[:32]
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("--grid 3by3", "such as 3x3, not '3by3'"),
        ("--grid 0x3", "1x1 to 6x6"),
        ("--grid 7x7", "1x1 to 6x6"),
        ("--grid 2x2 --episodes 3", "leave out --episodes"),
        ("--episodes 0", "at least 1, not 0"),
        ("--scenario -1", "number of one episode, from 0"),
        ("--scenario 3 --worst", "leave out --episodes, --grid, --worst"),
        ("--evader cat", "unknown evader 'cat'"),
        ("--suite hard", "unknown suite 'hard'"),
        ("--out film.avi", "ends in .gif or .mp4, which 'film.avi' does not"),
        ("--out no-such-folder/film.gif", "no-such-folder does not exist"),
        ("--fps 60", "between 1 and 50, not 60"),
        ("--speed 0", "must lie between 0.01 and 1000, not 0"),
    ],
)
def test_what_cannot_be_rendered_is_one_sentence(run, tmp_path, monkeypatch, words, part):
    monkeypatch.chdir(tmp_path)
    status, _, err = call(run.path, *words.split())
    assert status == 2
    assert part in err
    assert err.count("\n") == 1


def test_without_checkpoint_or_encoder_there_is_nothing_to_render(run, tmp_path, monkeypatch):
    empty = RunFolder.create(tmp_path / "empty", configuration.dump(TINY), ["safepursuit"])
    status, _, err = call(empty.path)
    assert status == 1
    assert "no checkpoint yet" in err
    monkeypatch.setitem(sys.modules, "av", None)
    status, _, err = call(run.path, "--out", tmp_path / "film.mp4")
    assert status == 1
    assert "extra [report]" in err
    assert err.count("\n") == 1


def test_the_outer_contour_belongs_to_what_is_deployed():
    def gain(layer, method="barriernet", **changes):
        config = replace(
            TINY, method=method, shield=replace(TINY.shield, gain=0.3), policy=replace(TINY.policy, **changes)
        )
        policy = build_policy(jax.random.key(0), method, config.policy, config.game, config.shield)
        return render.braking_gain(TrainedRun(policy, config, 0), layer)

    assert gain("as-trained") == TINY.policy.min_gain
    assert gain("filter") == 0.3
    assert gain("as-trained", learned_gains=False) == 0.3
    assert gain("as-trained", "ppo") is gain("off") is gain("governor") is None
