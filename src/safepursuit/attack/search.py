"""The searches: random genes, descent along the gradient through the game, and CMA-ES."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np

from safepursuit.agents import Trained
from safepursuit.attack.drive import Driven, Judged, attempt, descend, judged
from safepursuit.attack.plans import Plan, number_of_genes
from safepursuit.attack.worlds import World

_FALLS = 16
"""Gradient steps from one random start, with a rate that falls from the first to the last of `_RATES`."""

_RATES = 0.2, 0.005

_POPULATION = 128
_GENERATIONS = 40
"""Of one CMA-ES, after which it starts anew elsewhere."""


class Batch(NamedTuple):
    """Games as a search has tried them."""

    plan: Plan
    driven: Driven
    verdict: Judged


Search: TypeAlias = Callable[[World, np.random.Generator, int, Trained | None], Iterator[Batch]]
"""(world, randomness, games of a batch, policy) → batches without end."""


def at_random(world: World, rng: np.random.Generator, games: int, policy: Trained | None) -> Iterator[Batch]:
    while True:
        driven, plan, _ = attempt(_drawn(world, rng, games), world, policy)
        yield Batch(plan, driven, judged(plan, driven, world))


def by_gradient(world: World, rng: np.random.Generator, games: int, policy: Trained | None) -> Iterator[Batch]:
    while True:
        genes = _drawn(world, rng, games)
        for rate in np.geomspace(*_RATES, _FALLS):
            driven, plan, _, genes = descend(genes, jnp.float32(rate), world, policy)
            yield Batch(plan, driven, judged(plan, driven, world))


def by_evolution(world: World, rng: np.random.Generator, games: int, policy: Trained | None) -> Iterator[Batch]:
    """Several CMA-ES side by side, each from the best of some random games. Raises RuntimeError without `cmaes`."""
    strategy = evolution_strategy()
    count, islands = number_of_genes(world), max(1, games // _POPULATION)
    bounds, size = np.tile([0.0, 1.0], (count, 1)), min(games, _POPULATION)
    while True:
        genes = _drawn(world, rng, games)
        driven, plan, least = attempt(genes, world, policy)
        yield Batch(plan, driven, judged(plan, driven, world))
        order = np.argsort(np.nan_to_num(np.asarray(least), nan=-1.0))
        tribes = [
            strategy(
                mean=np.asarray(genes[:, best], float),
                sigma=0.15,
                bounds=bounds,
                population_size=size,
                n_max_resampling=1,
                seed=int(rng.integers(2**31)),
            )
            for best in order[:islands]
        ]
        for _ in range(_GENERATIONS):
            asked = [[tribe.ask() for _ in range(size)] for tribe in tribes]
            tried = jnp.asarray(np.concatenate(asked).T, jnp.float32)
            driven, plan, least = attempt(tried, world, policy)
            batch = Batch(plan, driven, judged(plan, driven, world))
            yield batch
            # Where the referee has measured, it decides; elsewhere single precision.
            seen = np.nanmin(batch.verdict.clearance, axis=1)
            cost = np.where(np.isfinite(seen), seen, np.nan_to_num(np.asarray(least), nan=-1.0))
            for tribe, own, costs in zip(tribes, asked, cost.reshape(len(tribes), size), strict=True):
                tribe.tell(list(zip(own, costs.tolist(), strict=True)))


SEARCHES: dict[str, Search] = {"random": at_random, "gradient": by_gradient, "cma-es": by_evolution}


def evolution_strategy() -> Any:
    """The class of `cmaes`. Raises RuntimeError without it."""
    try:
        from cmaes import SepCMA
    except ModuleNotFoundError:
        raise RuntimeError(
            "the search by CMA-ES needs the extra [attack]: pip install 'safepursuit[attack]'."
        ) from None
    return SepCMA


def _drawn(world: World, rng: np.random.Generator, games: int) -> Any:
    return jnp.asarray(rng.random((number_of_genes(world), games)), jnp.float32)
