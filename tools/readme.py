"""Write the demo's picture and table into README.md: `make readme`, after `make demo`.

usage: python tools/readme.py RUN EVALUATION.json
"""

import json
import sys
from pathlib import Path

import numpy as np

from safepursuit.evaluation import evaluate
from safepursuit.learn import BarrierNetTrainer
from safepursuit.report.figures import trajectories
from safepursuit.report.tables import evaluation_rows
from safepursuit.runs.folder import RunFolder

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- written by `make readme` -->\n", "<!-- end -->"
SEARCHED, SHOWN = 300, 3


def picture(run: RunFolder, file: Path) -> None:
    """Three held-out episodes in which the barriers had most to do."""
    trainer = BarrierNetTrainer.load(run)
    recording = evaluate(trainer.policy, trainer.config, episodes=SEARCHED).recording
    work = np.where(recording.outcome == "capture", recording.intervened.sum(axis=1), -1)
    busiest = [int(index) for index in np.argsort(-work)[:SHOWN]]
    trajectories(recording, "Three of 300 held-out episodes: those in which the barriers had most to do", file, busiest)


def block(run: RunFolder, result: dict) -> str:
    """The table, with the run it comes from."""
    facts = json.loads((run.path / "provenance.json").read_text(encoding="utf-8"))
    summary = json.loads(run.summary.read_text(encoding="utf-8"))
    lines = ["| | value | 95 % interval |", "|---|---:|---:|"]
    lines += [f"| {name} | {value} | {interval} |" for name, value, interval in evaluation_rows(result)]
    command = (run.path / "command.txt").read_text(encoding="utf-8").strip()
    return "\n".join(
        [
            *lines,
            "",
            f"{result['episodes']:,} held-out episodes, deterministic policy, collisions counted by the referee. "
            f"Trained for {summary['steps']:,} steps in {summary['seconds']:.0f} s, compilation included "
            f"({summary['steps_per_second']:,.0f} steps/s after it), on {facts['cores']} cores "
            f"({facts['machine']}, Python {facts['python']}, JAX {facts['packages']['jax']}) by",
            "",
            "```bash",
            command,
            "```",
            "",
        ]
    )


def main(run_path: str, evaluation: str) -> None:
    run = RunFolder.open(Path(run_path))
    result = json.loads(Path(evaluation).read_text(encoding="utf-8"))
    picture(run, ROOT / "docs" / "images" / "episodes.png")
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(before + BEGIN + block(run, result) + END + after, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
