"""Train, judge and pack the policies of the zoo: `make zoo`. Finished parts are not done again.

python tools/zoo.py                       everything (hours)
python tools/zoo.py pursuer runs/mine     put a finished run into the zoo under this name
"""

import subprocess
import sys
from pathlib import Path

from safepursuit.evaluation import evaluate
from safepursuit.experiment import TrainedRun, load_run, zoo
from safepursuit.runs.folder import RunFolder

HOME = Path("build/zoo")
POLICIES = {
    "pursuer": ("configs/mixture.yaml", {"evader": ("random", "flee", "orbit", "hide", "mpc")}),
    "evader": ("configs/evader.yaml", {"pursuer": ("pure-pursuit", "lead-intercept", "voronoi", "mpc")}),
}
"""Configuration and opponents of the model card, by name."""

EPISODES = 500


def main() -> None:
    if len(sys.argv) == 3:
        name, folder = sys.argv[1], Path(sys.argv[2])
        add(name, load_run(RunFolder.open(folder)))
        return
    for name, (config, _) in POLICIES.items():
        run = HOME / name
        if not (run / "summary.json").is_file():
            begun = (run / "config.yaml").is_file()
            words = ["resume", str(run)] if begun else ["train", "--config", config, "--run-dir", str(run)]
            subprocess.run([sys.executable, "-m", "safepursuit", *words], check=True)
        add(name, load_run(RunFolder.open(run)))


def add(name: str, run: TrainedRun) -> None:
    """Judge a run and put it into the zoo."""
    (role, opponents), *_ = POLICIES[name][1].items()
    rows = []
    for opponent in opponents:
        found = evaluate(run.policy, run.config, episodes=EPISODES, **{role: opponent}).result
        rate = found["capture"]
        figures = f"{rate['rate']:.1%} ({rate['low']:.1%} – {rate['high']:.1%}) | {found['collision']['count']}"
        rows.append(f"| {opponent} | {figures} |")
        print(name, rows[-1], flush=True)
    config = run.config
    summary = f"{config.role.capitalize()}, {config.method}, {run.steps:,} steps against {config.opponent}."
    file = zoo.pack(run, name, summary, card(name, run, rows))
    print(f"{file} ({file.stat().st_size / 1e3:.0f} kB)")


def card(name: str, run: TrainedRun, rows: list[str]) -> str:
    """The model card, in Markdown."""
    config = run.config
    promise = "It touches no wall and no disc (theorem 1)." if config.promises else "It promises nothing."
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
