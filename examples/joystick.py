"""Drive the pursuer by joystick or arrow keys; the shield keeps it off walls and discs.

usage: python examples/joystick.py [--demo STEPS]

With --demo a scripted hand pushes the stick straight on at full speed, without a screen.
"""

import os
import sys
from collections.abc import Callable

import gymnasium
import numpy as np

from safepursuit.adapters.gymnasium import ShieldAction

Hand = Callable[[], tuple[float, float]]


def by_hand() -> Hand:
    """Speed in [0, 1] and turn rate in [−1, 1], left positive, from a joystick if there is one, else from the keys."""
    import pygame

    pygame.init()
    stick = pygame.joystick.Joystick(0) if pygame.joystick.get_count() else None

    def read() -> tuple[float, float]:
        if pygame.event.get(pygame.QUIT):
            raise SystemExit
        if stick:
            return max(0.0, -stick.get_axis(1)), -stick.get_axis(0)
        keys = pygame.key.get_pressed()
        return float(keys[pygame.K_UP]), float(keys[pygame.K_LEFT]) - float(keys[pygame.K_RIGHT])

    return read


def drive(hand: Hand, steps: float, render_mode: str) -> dict[str, int]:
    """Play on for so many steps, and count what happened in them."""
    env = ShieldAction(gymnasium.make("safepursuit/Pursuit-v0", render_mode=render_mode))
    env.reset(seed=0)
    counts = {"steps": 0, "intervened": 0, "captures": 0, "collisions": 0}
    while counts["steps"] < steps:
        speed, turn = hand()
        action = np.array([2 * speed - 1, turn], np.float32)
        _, _, terminated, truncated, info = env.step(action)
        for name, value in zip(counts, (1, info["intervened"], info["captured"], info["cost"]), strict=True):
            counts[name] += int(value)
        if terminated or truncated:
            env.reset()
    env.close()
    return counts


if __name__ == "__main__":
    if sys.argv[1:2] == ["--demo"]:
        os.environ["SDL_VIDEODRIVER"] = "dummy"
        print(drive(lambda: (1.0, 0.0), int(sys.argv[2]), "human"))
    else:
        drive(by_hand(), float("inf"), "human")
