"""What inertia, delay and error cost in capture: `make bench-robots`.

Two pairs of robots are trained on the same seeds against random, flee and mpc, which share the games, and judged
against each on the same held-out scenarios: the kinematic robot and one with 2.5 m/s² and 10 rad/s²; a TurtleBot3
Burger in the laboratory of configs/turtlebot3.yaml without errors, and with a delay of 2 steps and 1 cm. Trainings are
jobs of `safepursuit.compare`; what is finished is not repeated. Results go to docs/benchmarks/robot_capture.md and
.json.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from safepursuit.benchmark.machine import about, described
from safepursuit.benchmark.tables import Table, grid
from safepursuit.compare import LocalCrew, carry_out
from safepursuit.compare.contenders import Contender
from safepursuit.compare.jobs import TrainingJob
from safepursuit.compare.trainings import finished
from safepursuit.evaluation import evaluate
from safepursuit.evaluation.statistics import paired_shares
from safepursuit.experiment import TrainConfig, load_run
from safepursuit.robot import Budget
from safepursuit.runs import configuration
from safepursuit.runs.folder import SEED_PREFIX, RunFolder, write_json, write_text

ROOT = Path(__file__).resolve().parents[1]
EVADERS = ("random", "flee", "mpc")
LABORATORY = configuration.load(TrainConfig(), ROOT / "configs" / "turtlebot3.yaml")
ARMS = {
    "kinematic": TrainConfig(),
    "2.5 m/s², 10 rad/s²": TrainConfig().with_robot("inertial"),
    "burger, no error": replace(LABORATORY, disturbance="none", shield=replace(LABORATORY.shield, budget=Budget())),
    "burger, 2 steps and 1 cm": LABORATORY,
}
PAIRS = (tuple(ARMS)[:2], tuple(ARMS)[2:])


def trained(folder: Path, seeds: range, timesteps: int) -> dict[tuple[str, int], Path]:
    """The run folder of each arm and seed, trained where it is not."""
    jobs = {}
    for name, arm in ARMS.items():
        for seed in seeds:
            config = replace(arm, evader=",".join(EVADERS), timesteps=timesteps, seed=seed, checkpoint_every=1000)
            words = "".join(letter if letter.isalnum() else "_" for letter in name)
            run = folder / words / f"{SEED_PREFIX}{seed}"
            contender = Contender(words, config.method, seed, str(run), config=config, to_train=True)
            jobs[name, seed] = TrainingJob(contender, run)
    left = [job for job in jobs.values() if not finished(job.folder, job.contender.config)]
    failures = carry_out(
        left, [], LocalCrew(None, folder / "logs"), folder, ["python", "benchmarks/robot_capture.py"], []
    )
    if failures:
        raise SystemExit(f"{len(failures)} trainings failed; run the benchmark again to go on.")
    return {name: job.folder for name, job in jobs.items()}


def judged(runs: dict[tuple[str, int], Path], episodes: int) -> dict[str, dict[str, Any]]:
    """Per arm and evader: shares of captures per scenario, over the seeds, and contacts."""
    found: dict[str, dict[str, Any]] = {name: {} for name in ARMS}
    for (name, seed), folder in runs.items():
        run = load_run(RunFolder.open(folder))
        for evader in EVADERS:
            one = evaluate(run.policy, run.config, episodes=episodes, evader=evader, errors=run.config.errors)
            figures = found[name].setdefault(evader, {"captured": [], "contacts": 0, "time": []})
            figures["captured"].append(one.recording.outcome == "capture")
            figures["contacts"] += one.result["collision"]["count"]
            figures["time"].append(one.result["capture_time"]["restricted_mean"])
            print(f"{name}, seed {seed}, {evader}: {one.result['capture']['rate']:.1%}", flush=True)
    return found


def collected(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the table."""
    rows = []
    for first, second in PAIRS:
        for evader in EVADERS:
            one, other = (found[name][evader] for name in (first, second))
            shares = [np.mean(arm["captured"], axis=0) for arm in (one, other)]
            difference = paired_shares(shares[1], shares[0])
            rows.append(
                {
                    "pair": [first, second],
                    "evader": evader,
                    "capture": [float(share.mean()) for share in shares],
                    "by_seed": [[float(np.mean(each)) for each in arm["captured"]] for arm in (one, other)],
                    "difference": [difference.value, difference.low, difference.high],
                    "contacts": [one["contacts"], other["contacts"]],
                    "seconds": [float(np.mean(arm["time"])) for arm in (one, other)],
                }
            )
    return rows


def page(result: dict[str, Any]) -> str:
    parts = []
    for first, second in PAIRS:
        rows = [
            (
                row["evader"],
                *(f"{rate:.1%} ({_range(each)})" for rate, each in zip(row["capture"], row["by_seed"], strict=True)),
                "{:+.1%} ({:+.1%} to {:+.1%})".format(*row["difference"]),
                f"{row['capture'][1] / max(row['capture'][0], 1e-9):.3f}",
                "{:.1f}, {:.1f}".format(*row["seconds"]),
                "{}, {}".format(*row["contacts"]),
            )
            for row in result["rows"]
            if row["pair"] == [first, second]
        ]
        head = ("evader", first, second, "difference (95 %)", "ratio", "seconds", "contacts")
        parts.append(f"## {first} and {second}\n\n{grid(Table('', head, rows))}")
    tables = "\n\n".join(parts)
    return f"""# What inertia, delay and error cost

Written by `make bench-robots` (`benchmarks/robot_capture.py`); do not edit by hand. Each robot is trained
{result["timesteps"]:,} steps against {", ".join(EVADERS)}, which share the games, with seeds
{", ".join(map(str, result["seeds"]))}, and judged on {result["episodes"]:,} held-out scenarios, the same for both of a
pair and for all seeds, under the errors of its training. Capture: mean over the seeds (lowest to highest); the interval
of the difference is that of scenarios, paired. Seconds: restricted mean time to capture. Contacts: episodes with an own
collision, judged by the referee.

{tables}

{described(result["machine"])}
"""


def _range(values: list[float]) -> str:
    return f"{100 * min(values):.1f}–{100 * max(values):.1f}"


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--timesteps", type=int, default=1_000_000, help="of each training")
    words.add_argument("--seeds", type=int, default=3)
    words.add_argument("--episodes", type=int, default=500)
    words.add_argument("--runs", type=Path, default=ROOT / "runs" / "robots")
    words.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks")
    options = words.parse_args()
    seeds = range(options.seeds)
    result = {"machine": about(), "timesteps": options.timesteps, "seeds": list(seeds), "episodes": options.episodes}
    runs = trained(options.runs, seeds, options.timesteps)
    result["rows"] = collected(judged(runs, options.episodes))
    write_json(options.out / "robot_capture.json", result)
    write_text(options.out / "robot_capture.md", page(result))


if __name__ == "__main__":
    main()
