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
from safepursuit.runs.folder import RunFolder

HOME = Path("build/zoo")
POPULATION = Path("runs/population")
EVADERS = ("random", "flee", "orbit", "hide", "mpc", "zoo:evader")
PURSUERS = ("pure-pursuit", "lead-intercept", "voronoi", "mpc", "zoo:pursuer")
POLICIES: dict[str, tuple[Path, tuple[str, ...]]] = {
    "pursuer": (Path("configs/mixture.yaml"), EVADERS[:-1]),
    "evader": (Path("configs/evader.yaml"), PURSUERS),
    "population-pursuer": (POPULATION / "pursuer" / "round-1", EVADERS),
    "population-evader": (POPULATION / "evader" / "final-1", (*PURSUERS, "zoo:population-pursuer")),
    "turtlebot3-pursuer": (Path("configs/turtlebot3.yaml"), ("random", "flee", "mpc")),
}
"""By name the configuration of a training, or a member of the population (`make population`), and the opponents of the
model card."""

MEMBERS = {
    "pursuer/start-zoo_pursuer": "zoo:pursuer",
    "evader/start-zoo_evader": "zoo:evader",
    "pursuer/round-1": "zoo:population-pursuer",
}
"""Members of the population that ship."""

EPISODES = 500


def main() -> None:
    if len(sys.argv) == 3:
        name, folder = sys.argv[1], Path(sys.argv[2])
        add(name, load_run(RunFolder.open(folder)))
        return
    for name, (source, _) in POLICIES.items():
        run = HOME / name
        if source.suffix != ".yaml":
            run = source
        elif not (run / "summary.json").is_file():
            begun = (run / "config.yaml").is_file()
            words = ["resume", str(run)] if begun else ["train", "--config", str(source), "--run-dir", str(run)]
            subprocess.run([sys.executable, "-m", "safepursuit", *words], check=True)
        add(name, load_run(RunFolder.open(run)))


def add(name: str, run: TrainedRun) -> None:
    """Judge a run and put it into the zoo."""
    run = replace(run, config=replace(run.config, **{run.config.opponent_role: shipped(run.config)}))
    rows = []
    for opponent in POLICIES[name][1]:
        against: Any = {run.config.opponent_role: opponent}
        found = evaluate(run.policy, run.config, episodes=EPISODES, **against).result
        rate = found["capture"]
        figures = f"{rate['rate']:.1%} ({rate['low']:.1%} – {rate['high']:.1%}) | {found['collision']['count']}"
        rows.append(f"| {opponent} | {figures} |")
        print(name, rows[-1], flush=True)
    config = run.config
    summary = f"{config.role.capitalize()}, {config.method}, {run.steps:,} steps against {config.opponent}."
    file = zoo.pack(run, name, summary, card(name, run, rows))
    print(f"{file} ({file.stat().st_size / 1e3:.0f} kB)")


def shipped(config: TrainConfig) -> str:
    """The opponent of a training as every user can name it. Raises ValueError for a run that does not ship."""
    found = {}
    for name, part in weights(config.opponent, config.opponent_role).items():
        if is_run(name) and not name.startswith(zoo.PREFIX):
            member = "/".join(Path(name).parts[-2:])
            if member not in MEMBERS:
                raise ValueError(f"{name} does not ship, but was trained against: put it into the zoo first.")
            name = MEMBERS[member]
        found[name] = part
    return ",".join(f"{name}:{part:g}" for name, part in found.items()) if len(found) > 1 else next(iter(found))


def card(name: str, run: TrainedRun, rows: list[str]) -> str:
    """The model card, in Markdown."""
    config = run.config
    proof = "3, with the errors that its budget declares" if config.game.robot.has_inertia else "1"
    promise = f"It touches no wall and no disc (theorem {proof})." if config.promises else "It promises nothing."
    return "\n".join(
        [
            f"# zoo:{name}",
            "",
            f"A {config.role} ({config.method}), trained for {run.steps:,} steps, seed {config.seed}, against "
            f"`{config.opponent}` among {config.game.arena.min_obstacles or 0}–{config.game.arena.obstacles} discs. "
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
