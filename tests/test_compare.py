"""Comparisons: who is called what, what is refused, what is done once, and what is left when the power fails."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from safepursuit.cli import main
from safepursuit.compare import (
    Contender,
    LocalCrew,
    Settings,
    carry_out,
    cells,
    evaders_among,
    from_methods,
    from_pursuers,
    from_runs,
    named,
    prepare,
    robot_of,
    trainings,
    undone,
    work,
)
from safepursuit.compare import plan as plans
from safepursuit.compare.cells import Cell
from safepursuit.compare.jobs import CellJob, TrainingJob, perform
from safepursuit.compare.work import Event
from safepursuit.evaluation import evaluate
from safepursuit.experiment import TrainConfig
from safepursuit.experiment.opponents import Opponents
from safepursuit.game import Game
from safepursuit.learn import BarrierNetTrainer
from safepursuit.robot import Unicycle
from safepursuit.runs import configuration
from safepursuit.runs.folder import RunFolder, RunFolderError
from safepursuit.runs.metrics import read_metrics
from safepursuit.scene import Arena
from tiny import ITERATIONS, TINY, numbers

CONFIG = replace(TINY, method="ppo", game=Game())
BURGER = Game.of_robot("turtlebot3-burger")
"""A tiny network in the game that comparisons are about."""
SETTINGS = Settings(evaders=("random",), episodes=3)
COMMAND = ["safepursuit", "compare"]


class Here:
    """Does the jobs one after the other in this process; interrupted after so many messages."""

    def __init__(self, messages=None):
        self.messages, self.job, self.done = messages, None, []

    def choose(self, waiting):
        return None if self.job else waiting[0]

    def give(self, job):
        self.job = job

    def events(self):
        if self.job is None:
            return []
        job, self.job = self.job, None
        try:
            value = perform(job, self._count)
        except ValueError as error:
            return [Event(job, "failed", str(error))]
        self.done.append(str(job))
        self._count()
        return [Event(job, "finished", value)]

    def _count(self, _=None):
        if self.messages is not None:
            self.messages -= 1
            if self.messages < 0:
                raise KeyboardInterrupt

    def close(self):
        pass


def contenders(out, config=CONFIG):
    """A training and a scripted pursuer."""
    return named(from_methods(["ppo"], [config.seed], config, out), out) + from_pursuers(["pure-pursuit"])


def compare(out, crew, settings=SETTINGS, config=CONFIG):
    """The whole comparison, as the command does it; what was left to do, and the failures."""
    left = undone(prepare(contenders(out, config), settings, out, "safepursuit compare"), out)
    return left, carry_out(*left, crew, out, COMMAND)


def state_of(out, seed=CONFIG.seed):
    return dict(numbers(BarrierNetTrainer.load(RunFolder.open(out / "runs" / "ppo" / f"seed-{seed}")).state))


def figures(out):
    return {file.relative_to(out): json.loads(file.read_text()) for file in sorted(out.glob("cells/**/*.json"))}


def said(capsys, *words):
    """Status and message of a command that fails."""
    status = main([str(word) for word in words])
    told = capsys.readouterr()
    assert told.err.startswith("safepursuit: ")
    assert told.err.count("\n") == 1
    return status, told.err


class Whole(NamedTuple):
    out: Path
    crew: Here


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted comparison."""
    out, crew = tmp_path_factory.mktemp("whole") / "out", Here()
    (to_do, cells_to_do), failures = compare(out, crew)
    assert (len(to_do), len(cells_to_do), failures) == (1, 2, [])
    return Whole(out, crew)


@pytest.fixture
def copy(whole, tmp_path):
    """A comparison of one's own to go on with."""
    return Path(shutil.copytree(whole.out, tmp_path / "copy"))


# --- cells -------------------------------------------------------------------------------------------------------


@pytest.mark.wide
def test_the_figures_of_a_cell_are_those_of_an_evaluation(whole):
    trainer = BarrierNetTrainer.load(RunFolder.open(whole.out / "runs" / "ppo" / f"seed-{CONFIG.seed}"))
    for pursuer, name in (
        (trainer.policy, f"ppo/seed-{CONFIG.seed}"),
        ("pure-pursuit", "pure-pursuit"),
    ):
        evaluation = evaluate(pursuer, replace(CONFIG, game=Game()), episodes=3, evader="random")
        found = cells.read(whole.out / "cells" / name / "standard--random.json")
        assert {key: value for key, value in found.result.items() if key != "trained_steps"} == evaluation.result
        assert found.outcomes.captured.tolist() == (evaluation.recording.outcome == "capture").tolist()
        recorded, which = cells.read_worst(found.cell, whole.out)
        np.testing.assert_array_equal(recorded.pursuer, evaluation.recording.pursuer[which])
    assert found.result["trained_steps"] is None


def test_trainings_come_first_and_are_ordinary_runs(whole):
    assert whole.crew.done[0] == f"training of ppo/seed-{CONFIG.seed}"
    run = RunFolder.open(whole.out / "runs" / "ppo" / f"seed-{CONFIG.seed}")
    assert configuration.load(TrainConfig(), run.config) == CONFIG
    assert json.loads(run.summary.read_text())["finished"] is True
    assert len(read_metrics(run)) == ITERATIONS


def test_the_plan_says_what_is_compared(whole):
    plan = plans.read(whole.out)
    assert (plan.primary, plan.groups, plan.episodes, plan.seed) == ("ppo", ("ppo", "pure-pursuit"), 3, 0)
    assert [(suite.name, suite.evaders) for suite in plan.suites] == [("standard", ("random",))]
    trained, scripted = plan.contenders
    steps = CONFIG.iterations * CONFIG.steps_per_iteration
    assert trained == Contender("ppo", "ppo", CONFIG.seed, f"runs/ppo/seed-{CONFIG.seed}", steps)
    assert scripted == Contender("pure-pursuit", "pure-pursuit")
    assert plan.provenance["packages"]["jax"]


def test_suites_with_an_opponent_keep_it_and_others_take_what_is_asked():
    planned = Settings(suites=("calibration", "dense"), evaders=("flee", "run")).planned()
    assert [(suite.name, suite.evaders) for suite in planned] == [
        ("calibration", ("random",)),
        ("dense", ("flee", "run")),
    ]


# --- going on ----------------------------------------------------------------------------------------------------


def test_what_is_finished_is_not_done_again(whole):
    before = {file: file.stat().st_mtime_ns for file in (whole.out / "cells").rglob("*.*")}
    crew = Here()
    left, failures = compare(whole.out, crew)
    assert (left, failures, crew.done) == (([], []), [], [])
    assert {file: file.stat().st_mtime_ns for file in (whole.out / "cells").rglob("*.*")} == before


@pytest.mark.parametrize("messages", [0, 3, ITERATIONS, ITERATIONS + 2])
def test_an_interrupted_comparison_ends_in_the_same_numbers(whole, tmp_path, messages):
    """Interrupted in the first iteration, between two checkpoints, after the training, after the first cell."""
    with pytest.raises(KeyboardInterrupt):
        compare(tmp_path, Here(messages))
    left, failures = compare(tmp_path, Here())
    assert failures == []
    assert (len(left[0]), len(left[1])) == {ITERATIONS: (0, 2), ITERATIONS + 2: (0, 1)}.get(messages, (1, 2))
    once, again = state_of(whole.out), state_of(tmp_path)
    assert len(once) > 30
    for name, value in once.items():
        np.testing.assert_array_equal(again[name], value, err_msg=name)
    assert figures(tmp_path) == figures(whole.out)
    assert len(figures(tmp_path)) == 2


def test_half_a_cell_does_not_count(copy):
    file = copy / "cells" / "pure-pursuit" / "standard--random.json"
    whole_file = file.read_bytes()
    file.rename(file.with_name(f".{file.name}.123.partial"))  # the recording is there, the figures are not
    (_, left), _ = compare(copy, Here())
    assert [str(job) for job in left] == ["pure-pursuit on standard against random"]
    assert file.read_bytes() == whole_file


def test_cells_of_a_run_that_was_trained_further_are_done_again(copy):
    more = replace(CONFIG, timesteps=2 * CONFIG.timesteps)
    run = copy / "runs" / "ppo" / f"seed-{CONFIG.seed}"
    (run / "config.yaml").write_text(configuration.dump(more))
    trained, left = undone(prepare(contenders(copy, more), SETTINGS, copy, ""), copy)
    assert [job.contender.name for job in trained] == [f"ppo/seed-{CONFIG.seed}"]
    assert [job.contender.group for job in left] == ["ppo"]


def test_another_opponent_adds_its_cells_only(copy):
    wider = replace(SETTINGS, evaders=("random", "run"))
    _, left = undone(prepare(contenders(copy), wider, copy, ""), copy)
    assert [job.cell.evader for job in left] == ["run", "run"]


@pytest.mark.parametrize("change", [{"episodes": 4}, {"seed": 1}, {"obstacles": 3}])
def test_other_settings_are_not_mixed_in(copy, change):
    before = (copy / plans.FILE).read_bytes()
    (name,) = change
    with pytest.raises(RunFolderError, match=f"comparison with {name} = .*, not {change[name]}: choose another --out"):
        prepare(contenders(copy), replace(SETTINGS, **change), copy, "")
    assert (copy / plans.FILE).read_bytes() == before


def test_another_configuration_is_not_trained_over(copy):
    before = {file: file.read_bytes() for file in (copy / "runs").rglob("*") if file.is_file()}
    with pytest.raises(ValueError, match="was trained with another configuration than is asked for now"):
        prepare(contenders(copy, replace(CONFIG, evader="flee")), SETTINGS, copy, "")
    assert {file: file.read_bytes() for file in (copy / "runs").rglob("*") if file.is_file()} == before


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RunFolderError, match="holds no comparison"):
        prepare(contenders(tmp_path), SETTINGS, tmp_path, "")
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


# --- trainings ---------------------------------------------------------------------------------------------------


def test_a_training_in_parts_is_the_training_in_one(whole, tmp_path):
    """By value, as on other machines: 5 iterations with checkpoints at 2, 4 and 5 make three parts."""
    run = trainings.begin(tmp_path / "run", CONFIG, COMMAND)
    content, done, count = trainings.pack(run.path), False, 0
    while not done:
        content, done, metrics = trainings.train_part(content, parts=ITERATIONS)
        count += 1
    assert (count, metrics["iteration"]) == (3, ITERATIONS)
    trainings.replace(run.path, content)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run"]
    assert trainings.finished(run.path, CONFIG)
    once, again = state_of(whole.out), dict(numbers(BarrierNetTrainer.load(RunFolder.open(run.path)).state))
    for name, value in once.items():
        np.testing.assert_array_equal(again[name], value, err_msg=name)
    for which in ("latest", "best"):
        other = whole.out / "runs" / "ppo" / f"seed-{CONFIG.seed}" / "checkpoints" / which
        assert (run.checkpoints / which).read_text().split()[0] == other.read_text().split()[0]


def test_a_training_folder_outlives_an_interruption_while_it_is_made_or_replaced(tmp_path):
    folder = tmp_path / "seed-7"
    half = tmp_path / ".seed-7.partial"
    half.mkdir()
    (half / "config.yaml").write_text("half of")
    run = trainings.begin(folder, CONFIG, COMMAND)
    assert configuration.load(TrainConfig(), run.config) == CONFIG
    (folder / "mark").touch()
    folder.rename(tmp_path / ".seed-7.previous")  # killed between the two steps of `replace`
    assert (trainings.begin(folder, CONFIG, COMMAND).path / "mark").exists()
    assert [file.name for file in tmp_path.iterdir()] == ["seed-7"]


def test_a_training_that_fails_takes_its_cells_along_and_nothing_else(tmp_path):
    class Stumbling(Here):
        def events(self):
            if isinstance(self.job, TrainingJob):
                job, self.job = self.job, None
                return [Event(job, "failed", "the loss is no longer finite.")]
            return super().events()

    crew = Stumbling()
    _, failures = compare(tmp_path, crew)
    assert [str(event.job) for event in failures] == [f"training of ppo/seed-{CONFIG.seed}"]
    assert crew.done == ["pure-pursuit on standard against random"]


# --- names -------------------------------------------------------------------------------------------------------


def found(config, folder, label="run"):
    return Contender(label, config.method, config.seed, str(Path("/runs") / folder), 10, config)


def names(*runs):
    return [contender.name for contender in named(runs, Path("/out"))]


def test_seeds_share_a_group_named_after_the_method():
    runs = [found(replace(CONFIG, seed=seed, checkpoint_every=seed + 1), f"{seed}") for seed in (0, 1)]
    assert names(*runs) == ["ppo/seed-0", "ppo/seed-1"]


def test_groups_of_a_method_are_told_apart_by_what_differs():
    other = replace(CONFIG, policy=replace(CONFIG.policy, penalty=0.0), evader="flee")
    barriernet = replace(CONFIG, method="barriernet")
    told = names(found(CONFIG, "a"), found(other, "b"), found(barriernet, "c"))
    assert told == [
        "ppo (evader random, penalty 0.1)/seed-7",
        "ppo (evader flee, penalty 0)/seed-7",
        "barriernet/seed-7",
    ]


def test_where_much_differs_the_name_says_the_folder():
    other = replace(CONFIG, evader="flee", timesteps=5, num_envs=2)
    assert names(found(CONFIG, "a", "small"), found(other, "b", "large")) == [
        "ppo (small)/seed-7",
        "ppo (large)/seed-7",
    ]


def test_policies_of_the_zoo_keep_their_names(tmp_path):
    runs = [Path("zoo:pursuer"), Path("zoo:population-pursuer"), Path("zoo:evader")]
    assert [one.group for one in named(from_runs(runs), tmp_path)] == [
        "barriernet (zoo:pursuer)",
        "barriernet (zoo:population-pursuer)",
    ]
    assert evaders_among(runs) == ("zoo:evader",)


def test_one_seed_trained_twice_is_told_apart_by_its_folder():
    assert names(found(CONFIG, "a", "monday"), found(CONFIG, "b", "tuesday")) == [
        "ppo (monday)/seed-7",
        "ppo (tuesday)/seed-7",
    ]


def test_a_run_named_twice_is_one_contender_and_indistinguishable_runs_are_refused():
    assert names(found(CONFIG, "a"), found(CONFIG, "a")) == ["ppo/seed-7"]
    with pytest.raises(ValueError, match="/runs/a/x and /runs/b/x are both called 'ppo \\(x\\)', seed 7"):
        names(found(CONFIG, "a/x", "x"), found(CONFIG, "b/x", "x"))


# --- command line ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("game", "part"),
    [
        (Game(horizon=100), "game.horizon = 100, but the game of a comparison has 600"),
        (Game(capture_radius=0.6), "game.capture_radius = 0.6"),
        (Game(Arena(half_extents=(10.0, 8.0))), "game.arena.half_extents = (10.0, 8.0)"),
        (Game(robot=Unicycle(dt=0.04)), "game.robot.dt = 0.04, but the game of a comparison has 0.05"),
        (Game(robot=Unicycle(max_speed=0.9)), "game.robot.max_speed = 0.9"),
        (Game(robot=Unicycle(integrator="arc")), "game.robot.integrator = arc"),
        (replace(BURGER, capture_radius=0.4), "game.capture_radius = 0.4"),
        (replace(BURGER, robot=replace(BURGER.robot, braking=2.0)), "game.robot.braking = 2.0, but"),
    ],
)
def test_runs_of_another_game_are_refused(game, part, tmp_path, capsys):
    config = replace(TrainConfig().with_robot(game.robot_model), game=game)
    run = RunFolder.create(tmp_path / "run", configuration.dump(config), COMMAND)
    status, told = said(capsys, "compare", run.path, "--out", tmp_path / "out")
    assert status == 2
    assert f"{run.path} has {part}" in told
    assert not (tmp_path / "out").exists()


def test_contenders_drive_the_same_robot(tmp_path):
    config = TrainConfig().with_robot("turtlebot3-burger")
    runs = from_methods(["ppo"], [0], config, tmp_path)
    same = [*runs, *from_pursuers(["pure-pursuit"], robot_of(runs))]
    assert prepare(same, SETTINGS, tmp_path, "test").robot == "turtlebot3-burger"
    assert same[1].config.game == config.game
    with pytest.raises(
        ValueError, match="'turtlebot3-burger', pure-pursuit 'unicycle': compare runs of the same robot"
    ):
        prepare([*runs, *from_pursuers(["pure-pursuit"])], SETTINGS, tmp_path, "test")
    with pytest.raises(RunFolderError, match="with robot = turtlebot3-burger, not unicycle"):
        prepare(from_pursuers(["pure-pursuit"]), SETTINGS, tmp_path, "test")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("", "nothing to compare: name run folders, --methods to train or scripted --pursuers"),
        ("nowhere", "run folder nowhere does not exist"),
        ("--methods dqn", "unknown method 'dqn'"),
        ("--pursuers cat", "unknown pursuer 'cat'; known are pure-pursuit"),
        ("--pursuers voronoi --evaders cat", "unknown evader 'cat'"),
        ("--pursuers voronoi --evaders flee,flee", "at least one evader, and none twice"),
        ("--pursuers voronoi --suite cat", "unknown suite 'cat'"),
        ("--pursuers voronoi --episodes 0", "the number of episodes must be at least 1"),
        ("--pursuers voronoi --obstacles 17", "between 0 and 16, not 17"),
        ("--pursuers voronoi --workers 0", "--workers must be at least 1"),
        ("--pursuers voronoi --timesteps 5", "are for trainings: name their --methods"),
        ("--methods ppo --seeds 2..1", "--seeds takes a range such as 0..9"),
        ("--methods ppo --evader cat", "unknown evader 'cat'"),
        ("--methods ppo --timesteps 0", "--timesteps must be at least 1"),
    ],
)
def test_usage_errors(words, part, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    status, told = said(capsys, "compare", *words.split())
    assert status == 2
    assert part in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.wide
def test_the_command_writes_the_report_of_what_is_there_already(copy, tmp_path, capsys):
    config = tmp_path / "tiny.yaml"
    config.write_text(configuration.dump(CONFIG))
    words = ["compare", "--methods", "ppo", "--seeds", CONFIG.seed, "--config", config, "--pursuers", "pure-pursuit"]
    assert main([str(word) for word in [*words, "--evaders", "random", "--episodes", 3, "--out", copy]]) == 0
    told = capsys.readouterr().out
    assert "comparing 2 contenders in 2 cells of 3 episodes" in told
    assert "to do: 0 trainings, 0 cells" in told
    assert (copy / "report.html").is_file()


# --- workers -----------------------------------------------------------------------------------------------------


class Bomb:
    """Ends the process that unpacks it."""

    def __init__(self, status):
        self.status = status

    def __reduce__(self):
        return (os.kill, (Pid(), -self.status)) if self.status < 0 else (os._exit, (self.status,))


class Pid:
    """The process that unpacks this."""

    def __reduce__(self):
        return os.getpid, ()


def job(evader, pursuer=None, group="one"):
    cell = Cell(Contender(group, "ppo", config=CONFIG), "standard", evader)
    return CellJob(cell, Path("/runs") / group, 1, 2, seed=0, pursuer=pursuer)


def test_a_trained_evader_is_opened_for_the_game_of_its_contender(monkeypatch):
    games = []

    def find(name, role, game, shield):
        games.append((name, role, game.robot_model))
        return Opponents(name, {name: 1.0}, shield)

    monkeypatch.setattr(work, "find", find)
    for model in ("unicycle", "inertial"):
        of_model = Contender("one", "ppo", config=CONFIG.with_robot(model))
        work._equipped(job("runs/e1")._replace(cell=Cell(of_model, "standard", "runs/e1"), folder=None), [])
    work._evader.cache_clear()
    assert games == [("runs/e1", "evader", "unicycle"), ("runs/e1", "evader", "inertial")]


@pytest.mark.wide
def test_a_worker_that_dies_fails_its_job_and_the_next_one_works(tmp_path):
    crew, told = LocalCrew(1, tmp_path / "logs"), []
    try:
        for one in (job("flee", Bomb(-signal.SIGKILL)), job("flee", Bomb(3)), job("cat", "voronoi")):
            assert crew.choose([one]) is one
            crew.give(one)
            assert crew.choose([one]) is None  # its worker is not free
            told += crew.events()
    finally:
        crew.close()
    assert [event.kind for event in told] == ["failed"] * 3
    assert "its process was ended by SIGKILL (out of memory?); what it printed is in" in told[0].value
    assert "its process stopped with exit status 3" in told[1].value
    assert told[2].value.startswith("unknown evader 'cat'; known are random, run, flee")
    assert "Traceback" in (tmp_path / "logs" / "worker-0.log").read_text()


def test_workers_keep_to_what_they_have_compiled(tmp_path, monkeypatch):
    crew = LocalCrew(2, tmp_path)
    given = {}

    def give(worker, job):
        worker.job, worker.shape = job, job.shape
        given[str(job)] = worker

    monkeypatch.setattr(type(crew._workers[0]), "give", give)
    flee, again, run = job("flee"), job("flee", group="two"), job("run")
    training = TrainingJob(Contender("ppo", "ppo", CONFIG.seed, config=CONFIG), tmp_path)
    assert crew.choose([flee, training]) is training
    crew.give(training)
    assert crew.choose([flee, again, run]) is flee
    crew.give(flee)
    given[str(flee)].job = None  # done
    assert crew.choose([run, again]) is again  # compiled already
    crew.give(again)
    assert given[str(again)] is given[str(flee)]
    given[str(training)].job = None
    assert crew.choose([job("flee", group="three"), run]) is run  # the other one is at flee


# --- the whole program, from outside -----------------------------------------------------------------------------


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def eventually(true):
    deadline = time.monotonic() + 600
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.heavy
def test_a_comparison_that_is_killed_goes_on_and_ends_in_the_same_numbers(whole, tmp_path):
    out, config = tmp_path / "out", tmp_path / "tiny.yaml"
    config.write_text(configuration.dump(CONFIG))
    words = ["--methods", "ppo", "--seeds", str(CONFIG.seed), "--config", str(config), "--pursuers", "pure-pursuit"]
    words += ["--evaders", "random", "--episodes", "3", "--workers", "2", "--out", str(out)]
    command = [sys.executable, "-m", "safepursuit", "compare", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: any(out.glob("cells/**/*.json")) or process.poll() is not None)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) >= 2
    finally:
        process.kill()  # and not its workers
        process.wait()
    eventually(lambda: not any(alive(child) for child in children))
    kept = figures(out)
    assert 1 <= len(kept) < 2
    again = subprocess.run(command, capture_output=True, text=True)
    assert (again.returncode, again.stderr) == (0, "")
    assert "to do: " in again.stdout
    assert figures(out) == figures(whole.out)
    assert state_of(out).keys() == state_of(whole.out).keys()
    for name, value in state_of(whole.out).items():
        np.testing.assert_array_equal(state_of(out)[name], value, err_msg=name)
    assert (out / "report.html").is_file()
