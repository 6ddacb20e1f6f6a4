"""Tables and figures: what is drawn and printed is what was measured."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from safepursuit.play.recording import Recording
from safepursuit.report import figures
from safepursuit.report.figures import learning_curves, trajectories
from safepursuit.report.tables import evaluation_rows, evaluation_table, obstacles
from safepursuit.scene import Arena
from tiny import TINY

STEPS = 20


def row(iteration):
    names = [name for _, curves, _ in figures._CURVES for name, _ in curves]
    values = {name: 0.5 + 0.3 * math.sin(iteration + k) for k, name in enumerate(names)}
    values |= {"pursuit/capture_time": math.nan if iteration < 5 else 4.0, "qp/infeasible_rate": 0.0}
    return {"iteration": float(iteration), "steps": 1000.0 * iteration, **values}


def recording(outcomes=("capture", "timeout", "collision", "timeout"), held=True):
    """Straight chases through the middle; a barrier is active in the second half of each."""
    count = len(outcomes)
    x = np.linspace(-2, 1, STEPS + 1)
    pursuer = np.stack([np.stack([x, np.full_like(x, 0.3 * k), 0 * x], axis=-1) for k in range(count)])
    length = np.where(np.array(outcomes) == "timeout", STEPS, STEPS // 2)
    past = np.arange(STEPS + 1) > length[:, None]
    pursuer[past] = np.nan
    controls = np.where(past[:, 1:, None], np.nan, np.ones((count, STEPS, 2)))
    flags = (np.arange(STEPS) >= STEPS // 4) & ~past[:, 1:] & held
    return Recording(
        pursuer=pursuer,
        evader=pursuer + np.array([0.6, 0.4, 0.0]),
        pursuer_control=controls,
        evader_control=controls,
        nominal=controls,
        intervened=flags,
        correction=controls[..., 0],
        infeasible=~flags & False,
        lost_gradient=flags,
        active=np.zeros((count, STEPS, 6), bool),
        discs=np.tile(np.array([[2.0, -2.0, 0.5], [np.nan] * 3]), (count, 1, 1)),
        edges=np.empty((count, 0, 4)),
        movers=np.empty((count, STEPS + 1, 0, 3)),
        length=length,
        outcome=np.array(outcomes),
        game=replace(TINY.game, horizon=STEPS),
    )


def pixels(file):
    """(height, width, 3), each channel 0 to 255."""
    assert file.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    return np.asarray(Image.open(file).convert("RGB")).astype(int)


def painted(image, colour):
    """How many pixels have about this colour."""
    channels = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)])
    return int((np.abs(image - channels).max(axis=-1) <= 12).sum())


def panels(image, lines, columns):
    return [part for line in np.array_split(image, lines) for part in np.array_split(line, columns, axis=1)]


def test_learning_curves_show_every_curve(tmp_path):
    file = tmp_path / "curves.png"
    learning_curves([row(k) for k in range(1, 41)], "a title", file)
    image = pixels(file)
    assert image.shape[0] > 1000
    assert image.shape[1] > 1500
    for panel in panels(image, 3, 4):
        assert painted(panel, figures.PURSUER) > 200
    assert painted(image, figures.EVADER) > 500  # the second curves


@pytest.mark.wide
@pytest.mark.parametrize("count", [1, 2])
def test_learning_curves_of_a_training_that_has_only_begun(tmp_path, count):
    file = tmp_path / "curves.png"
    learning_curves([row(k) for k in range(1, count + 1)], "short", file)
    assert pixels(file).std() > 5


def test_without_metrics_there_is_nothing_to_draw(tmp_path):
    with pytest.raises(ValueError, match="no metrics to draw"):
        learning_curves([], "none", tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_smoothing_is_a_running_mean():
    """Of 40 values, over two: (1 + 2)/2, (2 + 3)/2 …; the first alone."""
    np.testing.assert_allclose(figures.smoothed(np.arange(1.0, 41.0)), [1, *np.arange(1.5, 40.0)])
    np.testing.assert_allclose(figures.smoothed(np.array([3.0, 5.0])), [3, 5])


def test_trajectories_show_paths_discs_and_where_barriers_were_active(tmp_path):
    file = tmp_path / "episodes.png"
    trajectories(recording(), "four episodes", file, range(4))
    image = pixels(file)
    page = panels(image[100:-100], 2, 3)
    for panel in page[:4]:
        for colour in (figures.PURSUER, figures.EVADER, figures.BARRIER, figures.DISC):
            assert painted(panel, colour) > 30
    for panel in page[4:]:  # two places are left over: nothing but paper, and a corner of the legend
        assert painted(panel, "#ffffff") > 0.99 * panel[..., 0].size


def test_where_no_barrier_was_active_none_is_marked(tmp_path):
    counts = []
    for held in (True, False):
        file = tmp_path / f"{held}.png"
        trajectories(recording(("capture",), held), "one", file, range(1))
        counts.append(painted(pixels(file), figures.BARRIER))
    assert counts[1] < 0.5 * counts[0]  # the legend's dot remains


RESULT = {
    "method": "barriernet",
    "role": "pursuer",
    "pursuer": "barriernet",
    "evader": "flee",
    "obstacles": 2,
    "episodes": 1000,
    "steps": 123_456,
    "capture": {"rate": 0.905, "low": 0.8853, "high": 0.9216},
    "capture_without_collision": {"rate": 0.9, "low": 0.88, "high": 0.917},
    "collision": {
        "count": 3,
        "rate": 0.003,
        "low": 0.0006,
        "high": 0.0087,
        "by": {"wall": 1, "obstacle": 2, "robot": 0},
    },
    "capture_time": {"mean": 7.25, "median": None, "restricted_mean": 9.5},
    "opponent_collisions": 4,
    "invalid": 2,
    "min_clearance": 0.00125,
    "intervention_rate": 0.0213,
    "mean_correction": 0.01234,
    "infeasible_rate": 0.0,
    "zero_gradient_share": 0.25,
}


def test_the_table_says_what_the_figures_say():
    rows = {name: (value, interval) for name, value, interval in evaluation_rows(RESULT)}
    assert rows["capture"] == ("90.50%", "88.53% – 92.16%")
    assert rows["own collisions (episodes)"] == ("3 (1 wall, 2 obstacle, 0 robot)", "0.06% – 0.87%")
    assert rows["capture time, mean"][0] == "7.25 s"
    assert rows["capture time, median"][0] == "–"
    assert rows["restricted mean time"][0] == "9.50 s"
    assert rows["invalid episodes"][0] == "2"
    assert rows["least clearance"][0] == "1.250 mm"
    assert ("least clearance", "–", "") in evaluation_rows(RESULT | {"min_clearance": None})
    assert rows["intervention"][0] == "2.13% of steps"
    assert rows["gradient lost at the mean"][0] == "25.00% of steps"
    text = io.StringIO()
    Console(file=text, width=100).print(evaluation_table(RESULT, Arena(obstacles=2)))
    shown = text.getvalue()
    assert "barriernet against flee, 2 obstacles: 1,000 held-out episodes, 123,456 steps" in shown
    for value, interval in rows.values():
        assert value in shown
        assert interval in shown


def test_a_number_of_obstacles_that_is_drawn_is_a_range():
    for least, most, words in ((None, 3, "3 obstacles"), (0, 3, "0–3 obstacles"), (8, 16, "8–16 obstacles")):
        assert obstacles(Arena(obstacles=most, min_obstacles=least)) == words
    for least in (None, 1):
        assert obstacles(Arena(obstacles=1, min_obstacles=least)) == "1 obstacle"
