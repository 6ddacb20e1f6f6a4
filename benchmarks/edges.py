"""What edges cost the safety layer, beside as many discs → a table on standard output.

    python benchmarks/edges.py

Survey and filter of 1,024 poses in single precision; medians of alternating runs on this machine.
"""

import time
from functools import partial
from statistics import median

import jax
import jax.numpy as jnp
import numpy as np

from safepursuit.robot import Inertial, Unicycle
from safepursuit.scene import Edges, Scene
from safepursuit.shield import Shield, guard, survey

BATCH, COUNT, RUNS = 1024, 64, 15
ROBOTS = {"kinematic": Unicycle(), "with inertia": Inertial()}


def scenes() -> dict[str, Scene]:
    """As many discs, or edges, for each pose."""
    rng = np.random.default_rng(0)
    place = jnp.asarray(rng.uniform(-9, 9, (2, COUNT, BATCH)), jnp.float32)
    end = place + jnp.asarray(rng.uniform(-1, 1, (2, COUNT, BATCH)), jnp.float32)
    there, half = jnp.ones((COUNT, BATCH), bool), jnp.full((2, BATCH), 10.0)
    radius = jnp.full((COUNT, BATCH), 0.3)
    none = jnp.zeros((1, BATCH))
    return {
        "discs": Scene(half, place, radius, there),
        "edges": Scene(half, jnp.zeros((2, 1, BATCH)), none, none > 0, Edges(place, end, there, there)),
    }


@partial(jax.jit, static_argnums=0)
def surveyed(robot, pose, velocity, scene):
    around = survey(Shield(), robot, pose, scene, velocity=velocity)
    return around.speed_limit, around.clearance, around.barriers.value


@partial(jax.jit, static_argnums=0)
def filtered(robot, pose, velocity, scene):
    around = survey(Shield(), robot, pose, scene, velocity=velocity)
    return guard(jnp.ones_like(velocity), around, robot=robot, shield=Shield()).control


def main() -> None:
    rng = np.random.default_rng(1)
    pose = jnp.asarray(rng.uniform(-1, 1, (3, BATCH)) * np.array([[9], [9], [3]]), jnp.float32)
    velocity = jnp.zeros((2, BATCH), jnp.float32)
    print(f"| robot | part | {COUNT} discs [µs a pose] | {COUNT} edges | ratio |\n| --- | --- | ---: | ---: | ---: |")
    for name, robot in ROBOTS.items():
        for part, function in (("survey", surveyed), ("filter", filtered)):
            times: dict[str, list[float]] = {kind: [] for kind in scenes()}
            for _ in range(RUNS):
                for kind, scene in scenes().items():
                    jax.block_until_ready(function(robot, pose, velocity, scene))
                    begin = time.perf_counter()
                    jax.block_until_ready(function(robot, pose, velocity, scene))
                    times[kind].append(time.perf_counter() - begin)
            discs, edges = (1e6 * median(each) / BATCH for each in times.values())
            print(f"| {name} | {part} | {discs:.2f} | {edges:.2f} | {edges / discs:.2f} |", flush=True)


if __name__ == "__main__":
    main()
