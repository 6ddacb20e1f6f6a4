"""A training spread over devices: the shares are played as by themselves, and learned from as one.

JAX has to be told of its devices before it starts, so that what needs two of them happens in a process of its own (run
this file); it prints differences, and the tests judge them.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from safepursuit.learn import BarrierNetTrainer, SeedGroup
from safepursuit.learn.rollout import collect, fresh_starts
from safepursuit.learn.update import update
from safepursuit.runs import configuration
from safepursuit.runs.folder import RunFolder
from tiny import GAMES, TINY, after, numbers

pytestmark = pytest.mark.wide

DEVICES = 2
SHARED = replace(TINY, method="ppo-lagrangian", evader="flee,random", devices=DEVICES)
"""Has everything that is averaged over devices: a multiplier, too."""


def largest_difference(one, two):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    return max(float(np.max(np.abs(np.asarray(a, float) - np.asarray(b, float)), initial=0)) for a, b in pairs)


def shares(tree):
    """The parts of the games (last axis) that the devices hold."""
    size = GAMES // DEVICES
    return [
        jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[..., i * size : (i + 1) * size], tree) for i in range(DEVICES)
    ]


def of_the_rollouts(trainer):
    """How far a rollout and an update on two devices are from the same on one."""
    state, config = trainer.state, trainer.config
    before, policy = shares(state.games), trainer.policy
    rollout = trainer.collect_rollout()
    _, start_key, play_key = jax.random.split(state.key, 3)
    starts, keys = shares_of_starts(fresh_starts(start_key, config)), jax.random.split(play_key, DEVICES)
    alone = replace(config, num_envs=GAMES // DEVICES, devices=None)
    games = 0.0
    for players, pool, key, share in zip(before, starts, keys, shares(rollout._replace(std=None)), strict=True):
        _, expected = collect(policy, jax.tree.map(jnp.asarray, players), pool, key, alone)
        games = max(games, largest_difference(share, expected._replace(std=None)))
    whole = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), rollout)
    old = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), (policy, state.optimiser, state.multiplier))
    _, update_key = jax.random.split(trainer.state.key)
    rate = jnp.asarray(trainer.learning_rate, jnp.float32)
    expected = update(old[0], old[1], whole, old[2], update_key, rate, None, config.ppo)
    report = trainer.update(rollout)
    found = (trainer.state.policy, trainer.state.optimiser, trainer.state.multiplier, report)
    return {
        "games": games,
        "learned": largest_difference(found, expected),
        "moved": largest_difference(found[0], policy),
        "ended": int(np.sum(rollout.terminated | rollout.truncated)),
    }


def shares_of_starts(starts):
    size = starts.step.shape[-1] // DEVICES
    return [jax.tree.map(lambda leaf, i=i: leaf[..., i * size : (i + 1) * size], starts) for i in range(DEVICES)]


def of_an_interruption(config, folder):
    """How far a training in two sittings ends from one in one sitting, and where its parts are."""
    whole, first = (
        BarrierNetTrainer(config, RunFolder.create(folder / name, configuration.dump(config), ["safepursuit"]))
        for name in ("whole", "parts")
    )
    whole.train()
    first.train(should_stop=after(2))
    second = BarrierNetTrainer.load(RunFolder.open(first.run.path))
    second.train()
    pairs = list(zip(numbers(whole.state), numbers(second.state), strict=True))
    placed = {leaf.sharding.num_devices for leaf in jax.tree.leaves((second.state.policy, second.state.games))}
    return {
        "differing": [name for (name, a), (_, b) in pairs if not np.array_equal(a, b, equal_nan=True)],
        "compared": len(pairs),
        "devices": sorted(placed),
        "of_the_policy": sorted({len(leaf.devices()) for leaf in jax.tree.leaves(second.policy)}),
    }


def main():
    jax.config.update("jax_num_cpu_devices", DEVICES)
    with tempfile.TemporaryDirectory() as folder:
        rollouts = of_the_rollouts(BarrierNetTrainer(SHARED))
        print(json.dumps({"rollouts": rollouts, "interruption": of_an_interruption(SHARED, Path(folder))}))


@pytest.fixture(scope="module")
def found():
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, __file__], capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": paths}
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_device_plays_its_share_as_it_would_alone(found):
    assert found["rollouts"]["ended"] > 0
    assert found["rollouts"]["games"] <= 1e-4


def test_all_devices_together_learn_what_one_would_learn_from_all_games(found):
    assert found["rollouts"]["moved"] > 1e-3
    assert found["rollouts"]["learned"] <= 1e-4


def test_an_interrupted_training_goes_on_bit_for_bit_on_the_same_devices(found):
    assert found["interruption"]["compared"] > 30
    assert found["interruption"]["differing"] == []
    assert found["interruption"]["devices"] == [DEVICES]


def test_the_policy_is_handed_out_on_one_device(found):
    assert found["interruption"]["of_the_policy"] == [1]


def test_games_are_shared_evenly_or_not_at_all():
    with pytest.raises(ValueError, match="4 games cannot be shared evenly by 3 devices"):
        replace(TINY, devices=3)
    with pytest.raises(ValueError, match="of 2 games none is left for"):
        replace(TINY, devices=2, evader="flee,random,orbit")


def test_devices_that_are_not_there_are_missed_by_a_training_only():
    """A run of a larger machine can be judged on a smaller one."""
    trainer = BarrierNetTrainer(replace(TINY, devices=4))
    assert largest_difference(trainer.policy, BarrierNetTrainer(TINY).policy) == 0
    with pytest.raises(ValueError, match=r"asks for 4 devices, but JAX has \d"):
        trainer.collect_rollout()


def test_a_group_of_seeds_keeps_the_devices_for_its_seeds(monkeypatch):
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices() * 2)
    trainer = BarrierNetTrainer(TINY)
    trainer.config = replace(TINY, devices=2)
    with pytest.raises(ValueError, match="leave the configuration's devices unset"):
        SeedGroup([trainer])


if __name__ == "__main__":
    main()
