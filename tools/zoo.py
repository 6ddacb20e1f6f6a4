"""Train, judge and pack the policies of the zoo: `make zoo`. Finished parts are not done again.

python tools/zoo.py                       everything (hours)
python tools/zoo.py pursuer runs/mine     put a finished run into the zoo under one of the names
"""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from safepursuit.evaluation import evaluate
from safepursuit.experiment import TrainConfig, TrainedRun, load_run, zoo
from safepursuit.players import is_run, weights
from safepursuit.runs.folder import RunFolder, read_json

HOME = Path("build/zoo")
POPULATION = Path("runs/population")
AGAINST_PURSUER = "--config configs/mixture.yaml --role evader --pursuer zoo:pursuer --timesteps 16_000_000"
EVADERS = ("random", "flee", "orbit", "hide", "mpc", "zoo:evader", "zoo:hiding-evader")
PURSUERS = ("pure-pursuit", "lead-intercept", "voronoi", "mpc", "zoo:pursuer")
POLICIES: dict[str, tuple[str | Path, tuple[str, ...]]] = {
    "pursuer": ("--config configs/mixture.yaml", EVADERS[:-2]),
    "evader": (f"{AGAINST_PURSUER} --seed 2 --ppo.discount 0.997", PURSUERS),
    "hiding-evader": (f"{AGAINST_PURSUER} --seed 1 --ppo.discount 0.997 --teacher hide", PURSUERS),
    "population-pursuer": (POPULATION / "pursuer" / "round-3", EVADERS),
    "population-evader": (POPULATION / "evader" / "final-3", (*PURSUERS, "zoo:population-pursuer")),
    "turtlebot3-pursuer": ("--config configs/turtlebot3.yaml", ("random", "flee", "mpc")),
}
"""By name the flags of a training, or a run that `make population` leaves, and the opponents of the model card."""

MEMBERS = {
    "pursuer/start-zoo_pursuer": "zoo:pursuer",
    "evader/start-zoo_evader": "zoo:evader",
    "evader/start-zoo_hiding-evader": "zoo:hiding-evader",
    "pursuer/round-3": "zoo:population-pursuer",
}
"""Members of the population that ship."""

EPISODES = 500


def main() -> None:
    if len(sys.argv) == 3:
        name, folder = sys.argv[1], Path(sys.argv[2])
        add(name, load_run(RunFolder.open(folder)))
        return
    for name, (source, _) in POLICIES.items():
        run = source if isinstance(source, Path) else HOME / name
        if isinstance(source, str) and not (run / "summary.json").is_file():
            begun = (run / "config.yaml").is_file()
            words = ["resume", str(run)] if begun else ["train", *source.split(), "--run-dir", str(run)]
            subprocess.run([sys.executable, "-m", "safepursuit", *words], check=True)
        add(name, load_run(RunFolder.open(run)))


def add(name: str, run: TrainedRun) -> None:
    """Judge a run and put it into the zoo."""
    opponents, others = shipped(run.config)
    run = replace(run, config=replace(run.config, **{run.config.opponent_role: opponents}))
    rows = []
    for opponent in POLICIES[name][1]:
        against: Any = {run.config.opponent_role: opponent}
        found = evaluate(run.policy, run.config, episodes=EPISODES, **against).result
        rate = found["capture"]
        figures = f"{rate['rate']:.1%} ({rate['low']:.1%} – {rate['high']:.1%}) | {found['collision']['count']}"
        rows.append(f"| {opponent} | {figures} |")
        print(name, rows[-1], flush=True)
    config = run.config
    taught = f", imitating {config.teacher} at first" if config.teacher else ""
    how = f"{run.steps:,} steps{after(run)} against {config.opponent}{others}{taught}"
    summary = f"{config.role.capitalize()}, {config.method}, {how}."
    file = zoo.pack(run, name, summary, card(name, run, rows, how))
    print(f"{file} ({file.stat().st_size / 1e3:.0f} kB)")


def shipped(config: TrainConfig) -> tuple[str, str]:
    """The opponents of a training that ship, as every user can name them, and the others in words."""
    found, others = {}, {}
    for name, part in weights(config.opponent, config.opponent_role).items():
        member = "/".join(Path(name).parts[-2:])
        if not is_run(name) or name.startswith(zoo.PREFIX):
            found[name] = part
        elif member in MEMBERS:
            found[MEMBERS[member]] = part
        else:
            others[member] = part
    text, left = (",".join(f"{name}:{part:g}" for name, part in one.items()) for one in (found, others))
    if not found:
        raise ValueError(f"none of the opponents {left} ships: put one into the zoo first.")
    left = f", and members of its population that do not ship, {left}" if others else ""
    return (text if len(found) > 1 else next(iter(found))), left


def after(run: TrainedRun) -> str:
    """How many steps the weights had behind them with which the training began."""
    assert run.folder is not None
    begun = read_json(run.folder.path / "provenance.json").get("begun_with")
    return f", after {begun['steps']:,} of the trainings before it," if begun else ""


def card(name: str, run: TrainedRun, rows: list[str], how: str) -> str:
    """The model card, in Markdown."""
    config = run.config
    article = "An" if config.role == "evader" else "A"
    proof = "3, with the errors that its budget declares" if config.game.robot.has_inertia else "1"
    promise = f"It touches no wall and no disc (theorem {proof})." if config.promises else "It promises nothing."
    return "\n".join(
        [
            f"# zoo:{name}",
            "",
            f"{article} {config.role} ({config.method}), trained for {how}, "
            f"among {config.game.arena.min_obstacles or 0}–{config.game.arena.obstacles} discs, seed {config.seed}. "
            f"{promise} Licence: Apache-2.0, as the package.",
            "",
            f"| {config.opponent_role} | captures of {EPISODES} episodes, 95 % interval | own contacts |",
            "| --- | --- | --- |",
            *rows,
            "",
            "How it was made: `tools/zoo.py`, provenance.json, config.yaml.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
