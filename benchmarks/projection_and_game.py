"""The projection and the game alone, at many sizes: `make bench`.

Writes docs/benchmarks/projection_and_game.md and .json; with `--quick`, a few sizes and rounds are printed instead.
"""

import playing
import projection
from parts import write_parts
from safepursuit.benchmark import Part

PARTS = {
    "projection": Part("the quadratic program, alone and in the safety layer", projection.measure, projection.tables),
    "game": Part("steps per second with random controls", playing.measure, playing.tables),
}

if __name__ == "__main__":
    write_parts(PARTS, "projection_and_game", "The projection, and the game", "make bench")
