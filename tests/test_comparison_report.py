"""The report of a comparison says what was planted in its cells: on the page, in Markdown and in JSON."""

import itertools
import json
import math
import re
import shlex
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import planted
from planted import CAPTURES, EPISODES, EVADERS, HORIZON, RAMPED
from safepursuit.compare import plan as plans
from safepursuit.compare.cells import Cell
from safepursuit.evaluation import statistics
from safepursuit.evaluation.metrics import verdict
from safepursuit.report.comparison import charts, gallery
from safepursuit.report.comparison.contrasts import contrast
from safepursuit.report.comparison.numbers import load, numbers, sector
from safepursuit.report.comparison.page import write_report
from safepursuit.runs.folder import write_json

DT = 0.05


@pytest.fixture(scope="module", autouse=True)
def _quick():
    """Few pixels, few bootstrap samples."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charts, "RESOLUTION", 40)
        patch.setattr(gallery, "_RESOLUTION", 40)
        patch.setattr(statistics, "RESAMPLES", 999)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The planted comparison with its report."""
    out = tmp_path_factory.mktemp("comparison")
    planted.write(out)
    assert write_report(out) == out / "report.html"
    return out


@pytest.fixture(scope="module")
def found(folder):
    """report.json"""
    return json.loads((folder / "report.json").read_text())


@pytest.fixture(scope="module")
def groups(found):
    return found["suites"][0]["groups"]


def test_a_plan_comes_back_as_it_was_written(tmp_path):
    plan = planted.plan()
    plans.write(plan, tmp_path)
    assert plans.read(tmp_path) == plan
    assert plan.groups == ("guarded", "free", RAMPED, "pursuit")
    assert replace(plan, primary="pursuit").groups == ("pursuit", "guarded", "free", RAMPED)
    assert len({cell.file(tmp_path) for cell in plan.cells()}) == 7 * 3
    with pytest.raises(ValueError, match=r"'guarded/seed-0' is named twice"):
        replace(plan, contenders=plan.contenders + plan.contenders[:1])
    with pytest.raises(ValueError, match=r"primary group 'nobody' has no contender"):
        replace(plan, primary="nobody")
    (tmp_path / plans.FILE).write_text('{"command": ')
    with pytest.raises(ValueError, match="holds no comparison that can be read"):
        plans.read(tmp_path)


def episodes(group):
    """(captured, steps played, scenario) of every episode of a group."""
    for evader in EVADERS:
        for seed in CAPTURES[group]:
            hits = planted.captured(group, seed, evader)
            for number, steps in enumerate(planted.capture_steps(group)):
                yield bool(hits[number]), int(steps) if hits[number] else HORIZON, number


def test_the_planted_episodes_are_physical():
    """What is planted as free of collisions is so for the referee; three episodes hit a wall, in 4, 3 and 2 steps."""
    seen = verdict(planted.recording("free", 0, "flee"))
    assert sorted(seen.wall.sum(axis=1))[-4:] == [0, 2, 3, 4]
    assert not (seen.obstacle | seen.robot).any()


@pytest.mark.wide
def test_captures_are_pooled_over_seeds_and_evaders(groups):
    """57 + 54 + 60 + 55 + 52 + 58 = 336 of 360.

    Wilson with z = 1.959964, z² = 3.841459: centre (336 + 1.920729) / 363.841459 = 0.928758, half width
    z √(336·24/360 + 0.960365) / 363.841459 = 1.959964 · √23.360365 / 363.841459 = 0.026036.
    """
    capture = groups["guarded"]["capture"]
    assert (capture["count"], capture["episodes"]) == (336, 360)
    assert capture["rate"] == pytest.approx(336 / 360)
    assert (capture["low"], capture["high"]) == pytest.approx((0.928758 - 0.026036, 0.928758 + 0.026036), abs=2e-6)
    assert groups["pursuit"]["capture"]["count"] == 36 + 12 + 60
    assert groups["pursuit"]["capture"]["episodes"] == 180


def test_the_interquartile_mean_leaves_out_a_quarter_at_either_end(groups):
    """Of six runs the lowest and the highest: (54 + 55 + 57 + 58) / 4 = 56 of 60; (40 + 44 + 46 + 48) / 4 = 44.5."""
    assert groups["guarded"]["capture_iqm"]["value"] == pytest.approx(56 / 60)
    assert groups["free"]["capture_iqm"]["value"] == pytest.approx(44.5 / 60)
    assert groups["guarded"]["capture_iqm"]["low"] <= 56 / 60 <= groups["guarded"]["capture_iqm"]["high"]
    assert groups["pursuit"]["capture_iqm"] is None  # one run has no spread over seeds


def test_collisions_are_counted_with_what_a_zero_rules_out(found, groups):
    """Each seed of `free` hits the wall in three episodes. No collision in 360 has the chance 2.5 % at the bound."""
    hits = groups["free"]["collision"]
    assert (hits["count"], hits["episodes"], hits["by"]) == (6, 360, {"wall": 6, "obstacle": 0, "robot": 0})
    none = groups["guarded"]["collision"]
    assert none["count"] == 0
    assert (1 - none["high"]) ** 360 == pytest.approx(0.025)
    assert found["collisions"]["free"] == hits  # there is one suite only
    assert groups["free"]["clean"]["count"] == groups["free"]["capture"]["count"]  # the collisions end in time-outs


@pytest.mark.parametrize("group", CAPTURES)
def test_times_and_shares_are_means_over_episodes_and_steps(groups, group):
    played = list(episodes(group))
    times = [steps * DT if hit else HORIZON * DT for hit, steps, _ in played]
    total = sum(steps for _, steps, _ in played)
    summary = groups[group]
    assert summary["capture_time"]["value"] == pytest.approx(sum(times) / len(times))
    assert summary["steps"] == total
    held = sum(math.ceil(steps / 10) for _, steps, _ in played) / total
    unsolved = sum(math.ceil(steps / 5) for _, steps, _ in played) / total
    free = group == "free"
    assert summary["intervention"] == pytest.approx(0 if free else held)
    assert summary["correction"] == pytest.approx(0 if free else 0.02 * held)
    assert summary["infeasible"] == pytest.approx(unsolved if free else 0)
    assert summary["zero_gradient"] == pytest.approx(held if group in ("guarded", RAMPED) else 0)


def test_each_evader_has_its_own_figures(found):
    flee = found["suites"][0]["matchups"]["flee"]
    assert flee["guarded"]["capture"]["count"] == 57 + 55
    assert flee["guarded"]["by_run"] == [57 / 60, 55 / 60]
    assert flee["free"]["collision"]["count"] == 6
    assert found["suites"][0]["matchups"]["orbit"]["free"]["collision"]["count"] == 0
    assert flee["pursuit"]["capture"]["count"] == 36


def test_differences_are_taken_scenario_by_scenario(found):
    """Recounted one scenario at a time, from the planted lists; p from the binomial coefficients."""
    rows = {(row["against"], row["evader"]): row for row in found["suites"][0]["contrasts"]}
    assert len(rows) == 3 * 4
    for other in ("free", RAMPED, "pursuit"):
        for chosen in (*((evader,) for evader in EVADERS), EVADERS):
            row = rows[other, chosen[0] if len(chosen) == 1 else "all"]
            better = worse = 0
            gap = 0.0
            for scenario in range(EPISODES):
                mine, theirs = (
                    [planted.captured(group, seed, evader)[scenario] for seed in CAPTURES[group] for evader in chosen]
                    for group in ("guarded", other)
                )
                difference = float(np.mean(mine) - np.mean(theirs))
                better, worse, gap = better + (difference > 1e-9), worse + (difference < -1e-9), gap + difference
            tail = sum(math.comb(better + worse, k) for k in range(min(better, worse) + 1)) / 2 ** (better + worse)
            assert (row["scenarios"], row["better"], row["worse"]) == (EPISODES, better, worse)
            assert row["difference"]["value"] == pytest.approx(gap / EPISODES)
            assert row["p_value"] == pytest.approx(min(1, 2 * tail))
            assert row["p_holm"] >= row["p_value"]
    assert ("improvement" in rows["free", "all"], "improvement" in rows["pursuit", "all"]) == (True, False)
    assert rows["free", "all"]["improvement"]["value"] == 1  # every run of guarded captures more, with every evader


def test_one_seed_a_side_is_mcnemar():
    """12 scenarios, 5 discordant, one of them for the second: two-sided p = 2 (1 + 5) / 2⁵ = 0.375."""
    first = np.array([1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1], bool).reshape(1, 1, -1)
    second = np.array([0, 0, 0, 0, 1, 0, 0, 1, 1, 1, 1, 1], bool).reshape(1, 1, -1)
    found = contrast(first, second)
    assert (found["better"], found["worse"], found["p_value"]) == (4, 1, pytest.approx(0.375))
    assert found["difference"]["value"] == pytest.approx(3 / 12)


def test_repeating_a_scripted_episode_for_every_seed_proves_nothing():
    """The same evidence from seeds that are copies of each other: same counts, same p."""
    draw = np.random.default_rng(1)
    first, second = draw.random((1, 1, 40)) < 0.8, draw.random((1, 1, 40)) < 0.5
    once, often = contrast(first, second), contrast(np.repeat(first, 5, axis=1), second)
    for name in ("better", "worse", "p_value", "scenarios"):
        assert once[name] == often[name]
    assert often["difference"]["value"] == pytest.approx(once["difference"]["value"])


def test_the_interval_of_paired_shares_is_bonett_and_prices_for_single_pairs():
    """Pairs 10, 11, 00, 10: p̃₁₂ = (2 + 1)/(4 + 2) = 1/2, p̃₂₁ = (0 + 1)/6; difference 1/3, variance
    (1/2 + 1/6 − 1/9)/6 = 5/54; 1/3 ± 1.959964 · 0.304290 = −0.263064 to 0.929731."""
    found = statistics.paired_shares(np.array([1.0, 1, 0, 1]), np.array([0.0, 1, 0, 0]))
    assert found == pytest.approx((0.5, -0.263064, 0.929731), abs=2e-6)


@given(st.integers(2, 300))
def test_groups_that_never_differ_still_have_a_width(count):
    same = statistics.paired_shares(np.ones(count), np.ones(count))
    assert same.value == 0
    assert -1 <= same.low < 0 < same.high <= 1


def test_starts_are_sorted_by_bearing_and_distance(found):
    """Eight sectors of 45°: ahead from −22.5° to 22.5°, then round by the left."""
    bearing = np.deg2rad([0, 22, 23, 90, 135, 179, -179, -90, -23, -22])
    np.testing.assert_array_equal(sector(bearing), [0, 0, 1, 2, 3, 4, 4, 6, 7, 0])
    starts = found["suites"][0]["starts"]
    assert starts["distance_edges"] == sorted(starts["distance_edges"])
    for group in CAPTURES:
        captured, played = (np.array(starts["groups"][group][name]) for name in ("captured", "episodes"))
        assert played.sum() == len(list(episodes(group)))
        assert captured.sum() == sum(hit for hit, *_ in episodes(group))
        assert (captured <= played).all()
        assert set(played.sum(axis=1)) == {played.sum() / 4}  # quartiles of 60 different distances


def test_capture_curves_end_at_the_capture_rate(found, groups):
    for group, curve in found["suites"][0]["capture_curves"].items():
        assert curve["time"][-1] == HORIZON * DT == found["suites"][0]["horizon"]
        assert curve["share"][-1] == pytest.approx(groups[group]["capture"]["rate"])
        by_two = sum(hit and steps * DT <= 2.0 + 1e-9 for hit, steps, _ in episodes(group))
        assert curve["share"][curve["time"].index(2.0)] == pytest.approx(by_two / len(list(episodes(group))))


def test_learning_curves_have_bands_over_the_seeds(found):
    """Seed 1 is 0.01 above seed 0; 5 collision steps in each of 20 iterations; the last point is the last row's, as a
    running mean over a twentieth of 20 rows is that row."""
    free = found["learning"]["free"]
    assert free["seeds"] == 2
    assert free["steps"][-1] == 1_000_000
    assert free["capture"]["low"][-1] == pytest.approx(0.9)
    assert free["capture"]["high"][-1] == pytest.approx(0.91)
    assert free["capture"]["mean"][-1] == pytest.approx(0.905)
    assert free["capture"]["mean"][0] is None  # no episode has ended yet
    assert free["collisions"]["mean"][-1] == pytest.approx(100)
    assert free["collisions"]["mean"][0] == 0
    assert found["learning"]["guarded"]["collisions"]["high"] == [0] * 50
    assert set(found["learning"]) == {"guarded", "free", RAMPED}
    assert found["training"]["free"] == {"steps": [planted.STEPS] * 2, "collisions": [100, 100]}
    assert found["timing"]["guarded"] == {"steps_per_second": 100_500, "qp_time_us": 0.25}


def test_the_worst_of_all_cells_come_first(found):
    """free: four steps in the wall with either seed, then three; guarded never collides."""
    assert [one["what"].split(",")[0] for one in found["failures"]["free"]] == [
        "collided with a wall in 4 steps",
        "collided with a wall in 4 steps",
        "collided with a wall in 3 steps",
        "collided with a wall in 3 steps",
    ]
    assert found["failures"]["free"][0]["what"].startswith("collided with a wall in 4 steps, first after 3.8 s; not")
    guarded = found["failures"]["guarded"]
    assert len(guarded) == 10
    nearest = [float(re.fullmatch(r"not captured in 4 s, nearest (.*) m", one["what"])[1]) for one in guarded]
    assert nearest == sorted(nearest, reverse=True)
    for one in guarded:
        seed = int(one["contender"].removeprefix("guarded/seed-"))
        assert not planted.captured("guarded", seed, one["evader"])[one["scenario"]]


def test_a_failure_can_be_played_again(folder):
    comparison = load(folder)
    (failure,) = gallery.worst_of(comparison, "guarded", 1)
    words = shlex.split(gallery.replay(failure, comparison.plan, folder))
    seed = failure.cell.contender.seed
    assert words[:3] == ["safepursuit", "render", str(folder / f"runs/guarded/seed-{seed}")]
    assert words[words.index("--scenario") + 1] == str(failure.scenario)
    assert words[words.index("--rules") + 1] == "default"
    assert words[words.index("--obstacles") + 1] == "2"
    (scripted,) = gallery.worst_of(comparison, "pursuit", 1)
    assert gallery.replay(scripted, comparison.plan, folder) is None


def test_the_same_comparison_has_the_same_numbers(found, tmp_path):
    """In another folder, on a machine that trained at another speed, all but timing and provenance is equal."""
    planted.write(tmp_path)
    summary = tmp_path / "runs/guarded/seed-0/summary.json"
    write_json(summary, json.loads(summary.read_text()) | {"steps_per_second": 7.0})
    again = json.loads(json.dumps(numbers(load(tmp_path))))
    assert again["timing"] != found["timing"]
    for name in set(again) - {"timing", "provenance"}:
        assert again[name] == found[name], name


def test_a_comparison_that_is_not_finished_is_refused(folder, tmp_path):
    planted.write(tmp_path)
    one, *_, other = planted.plan().cells()
    other.file(tmp_path).unlink()
    with pytest.raises(ValueError, match="1 of 21 cells are missing"):
        load(tmp_path)
    file = one.file(tmp_path)
    content = json.loads(file.read_text())
    content["outcomes"] = {name: values[:-1] for name, values in content["outcomes"].items()}
    write_json(file, content)
    other.file(tmp_path).write_bytes(other.file(folder).read_bytes())
    with pytest.raises(ValueError, match="has 59 episodes, the plan 60"):
        load(tmp_path)


def test_without_runs_there_is_a_report_all_the_same(folder, tmp_path):
    """Cells alone, one scripted pursuer: no trainings, no differences, no group to compare with."""
    whole = planted.plan()
    (scripted,) = whole.members("pursuit")
    alone = replace(whole, primary="pursuit", contenders=(scripted,))
    plans.write(alone, tmp_path)
    for evader in EVADERS:
        cell = Cell(scripted, "standard", evader)
        cell.file(tmp_path).parent.mkdir(parents=True, exist_ok=True)
        for suffix in (".json", ".npz"):
            source = cell.file(folder).with_suffix(suffix)
            cell.file(tmp_path).with_suffix(suffix).write_bytes(source.read_bytes())
    page = write_report(tmp_path).read_text()
    assert "<h1>Evaluation of pursuit</h1>" in page
    assert "Trainings" not in page
    assert "Differences" not in page
    assert "IQM</th>" not in page  # a column that says nothing is left out
    # Wilson for 108 of 180: centre 109.920729/183.841459, half width 1.959964 √(108·72/180 + 0.960365)/183.841459
    assert (
        "captured its evader in 60.0% of 180 episodes on standard against flee, orbit and hide (95 % interval " in page
    )
    assert "interval 52.7 to 66.9)" in page


class Page(HTMLParser):
    """Elements with their attributes, and the tables as lists of rows of words."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.tables, self.words, self.inside = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "small" and "td" in self.inside:
            self.tables[-1][-1][-1] += " ("

    def handle_endtag(self, tag):
        if tag == "small" and "td" in self.inside:
            self.tables[-1][-1][-1] += ")"
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        if "td" in self.inside or "th" in self.inside:
            self.tables[-1][-1][-1] += data.replace("\n", "; ")
        if not {"style", "script"} & set(self.inside):
            self.words.append(data)

    def having(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(folder):
    return Page((folder / "report.html").read_text())


def test_the_page_says_what_the_numbers_say(page):
    summary = {row[0]: row[1:] for row in page.tables[0]}
    assert summary["guarded"][1] == "93.3% (90.3 to 95.5)"
    assert summary["guarded"][3] == "0 of 360 (≤ 1.02%)"
    assert summary["free"][3].startswith("6 of 360 (0.61 to 3.59%)")
    assert summary["free"][0].startswith("74.2% (")
    assert summary["pursuit"][0] == "– (one run)"
    assert summary["guarded"][-1] == "100,500"
    evaders = {row[0]: row[1:] for row in page.tables[1]}
    assert evaders["guarded"][0] == "93.3% (87.4 to 96.6; seeds 91.7 to 95.0)"  # 112 of 120
    assert evaders[RAMPED][2].startswith("55.0% (")
    players = {row[0]: row[1:] for table in page.tables[2:4] for row in table}
    worst = [float(words.partition("%")[0]) for words in (row.partition(" (")[0] for row in evaders["pursuit"])]
    assert players["pursuit"][1].startswith(f"{min(worst):.1f}% (against ")
    assert {"flee", "orbit", "hide"} & players.keys()
    differences = {tuple(row[:2]): row[2:] for row in page.tables[4]}
    assert differences["pursuit", "hide"][0].startswith("−1.7 (")  # 118 of 120 against 60 of 60
    assert differences["free", "all together"][0].startswith("+21.7 (")  # 336 less 258 of 360
    assert any("collided in 0 of 360 (95 % upper bound 1.02%)" in words for words in page.words)


def test_the_page_needs_nothing_from_elsewhere(folder, page):
    for tag, attributes in page.elements:
        for name in ("src", "href", "action", "srcset"):
            assert re.match(r"data:|#", attributes.get(name, "#")), (tag, attributes.get(name))
    text = re.sub(r"data:image/png;base64,[\w+/=]+", "", (folder / "report.html").read_text())
    assert "http" not in text
    assert "url(" not in text
    assert "@import" not in text


def test_the_page_can_be_read_aloud(page):
    assert len(page.having("h1")) == 1
    assert page.having("html")[0]["lang"] == "en"
    assert any(one.get("name") == "viewport" for one in page.having("meta"))
    assert all(one.get("scope") in ("col", "row") for one in page.having("th"))
    assert all(len(one["alt"]) > 40 for one in page.having("img"))
    # 2 + 3 charts, the cross-play and 4 of starts, 3 learning curves, 10 worst episodes and 4 of each other group
    assert len(page.having("img")) == len(page.having("figure")) == 6 + 4 + 3 + 10 + 3 * 4
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert all(then <= first + 1 for first, then in itertools.pairwise(levels))
    names = [one["id"] for _, one in page.elements if "id" in one]
    assert len(set(names)) == len(names)
    assert {one["href"][1:] for one in page.having("a")} <= set(names)


def test_a_long_name_stands_whole_in_a_legend(tmp_path):
    names = [f"barriernet (zoo:population-pursuer, {which} of both)" for which in ("first", "second")]
    with charts._axes(tmp_path / "chart.png", charts._below(names)) as axes:
        charts._legend(axes, charts.looks(names))
        axes.figure.draw_without_rendering()
        (legend,) = axes.figure.legends
        told = [" ".join(one.get_text().replace("-\n", "-").split()) for one in legend.get_texts()]
        width, height = axes.figure.bbox.size
        box = legend.get_window_extent()
    assert told == names
    assert min(box.x0, box.y0) >= 0
    assert (box.x1 <= width, box.y1 <= 0.4 * height) == (True, True)


def test_names_cannot_break_the_page(folder, page):
    assert "ramped, λ &lt; 1 | 2" in (folder / "report.html").read_text()
    assert any(row[0] == RAMPED for row in page.tables[0])


def test_markdown_has_the_same_tables_and_pictures(folder, page):
    text = (folder / "report.md").read_text()
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(blocks) == len(page.tables)
    assert not re.search(r"[^\n]\n#", text)  # a heading begins after an empty line
    for block, table in zip(blocks, page.tables, strict=True):
        head, _, *body = (re.split(r"(?<!\\)\|", line)[1:-1] for line in block.strip().splitlines())
        rows = [
            [cell.strip().replace("<br>", " ").replace("\\|", "|") for cell in row if cell.strip()]
            for row in (head, *body)
        ]
        assert rows == table
    pictures = re.findall(r"!\[[^\]]{40,}\]\((.*)\)", text)
    assert len(pictures) == text.count("![") == len(page.having("img"))
    for picture in pictures:
        assert (folder / picture).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
