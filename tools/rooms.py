"""Draw every room of the gallery, and a chase of lead-intercept in it → docs/images/rooms/: `make rooms`."""

import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from safepursuit.evaluation import evaluate
from safepursuit.experiment import TrainConfig
from safepursuit.game import Game, initial
from safepursuit.report.figures import trajectories
from safepursuit.report.room import draw
from safepursuit.scene import Arena, gallery

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images" / "rooms"
EPISODES = 24


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or gallery():
        config = replace(TrainConfig(), game=Game(Arena(scene=name)))
        if config.game.arena.layout is None:
            continue  # a list of rooms
        draw(config.game, config.shield, initial(jax.random.key(0), config.game, 1), name, IMAGES / f"{name}.png")
        recording = evaluate("lead-intercept", config, episodes=EPISODES, evader="flee").recording
        captured = np.flatnonzero(recording.outcome == "capture")
        longest = captured[np.argsort(-recording.length[captured], kind="stable")]
        title = f"{name}: lead-intercept after an evader that flees"
        shown = longest[[0, len(longest) // 2]].tolist()  # the longest chase that ends in capture, and a middling one
        trajectories(recording, title, IMAGES / f"{name}-chase.png", shown)
        print(name, flush=True)


if __name__ == "__main__":
    main()
