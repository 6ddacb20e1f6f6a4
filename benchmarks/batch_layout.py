"""Why batches stand on trailing axes: the projection with the batch last, first, and by `jax.vmap`.

    .venv/bin/python benchmarks/batch_layout.py

Prints µs per problem (medians of alternating runs, float32). ARCHITECTURE.md quotes it.
"""

from functools import partial

import jax
import jax.numpy as jnp

from problems import ROWS, draw
from safepursuit.benchmark.clock import THOROUGH, spread
from safepursuit.benchmark.machine import about, described
from safepursuit.qp import Halfplanes, project
from turns import alternate


def layouts(count: int):
    """The same `count` problems for `project` three ways, as calls without arguments."""
    problems = draw(count)
    weights = jnp.asarray(problems.weights, jnp.float32)
    leading = [jnp.asarray(array, jnp.float32) for array in (problems.nominal, problems.A, problems.b)]
    trailing = [jnp.moveaxis(array, 0, -1) + 0 for array in leading]

    def one(nominal, A, b):
        return project(nominal, Halfplanes(A, b), weights).u

    def pull(function):
        def gradient(*inputs):
            return jax.grad(lambda *inputs: jnp.sum(function(*inputs)), argnums=(0, 1, 2))(*inputs)

        return gradient

    first, last = jax.vmap(one), jax.vmap(one, in_axes=-1, out_axes=-1)
    ways = {
        "batch last, as written": (one, trailing),
        "batch last, by vmap": (last, trailing),
        "batch first, by vmap": (first, leading),
    }
    calls = {}
    for name, (function, inputs) in ways.items():
        for kind, program in (("forward", jax.jit(function)), ("forward + backward", jax.jit(pull(function)))):
            calls[name, kind] = partial(program, *inputs)
    return calls


def main() -> None:
    print(f"{described(about())} {ROWS} rows.")
    for count in (1024, 16384):
        for (name, kind), times in alternate(layouts(count), THOROUGH).items():
            print(f"batch {count:6}  {name:24} {kind:20} {spread(times, 1e6 / count).median:.3f} µs per problem")


if __name__ == "__main__":
    main()
