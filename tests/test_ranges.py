"""What configurations refuse: every number that is not finite, out of range or of another kind, by the field's name."""

import dataclasses
import math
import re

import jax
import numpy as np
import pytest

from safepursuit import ranges
from safepursuit.attack.head import attack
from safepursuit.compare import Settings
from safepursuit.evaluation import scenarios
from safepursuit.experiment import PPOConfig, TrainConfig
from safepursuit.game import Game
from safepursuit.game.rules import Reward
from safepursuit.policy import PolicyConfig
from safepursuit.robot import Unicycle
from safepursuit.scene import Arena
from safepursuit.shield import Shield
from tiny import TINY, checked

CONFIGURATIONS = (Unicycle(), Arena(), Reward(), Game(), Shield(), PolicyConfig(), PPOConfig(), TrainConfig())


def fields(*kinds):
    """Every field of every configuration whose default is of one of these types."""
    return [
        pytest.param(config, field.name, id=f"{type(config).__name__}.{field.name}")
        for config in CONFIGURATIONS
        for field in dataclasses.fields(config)
        if type(getattr(config, field.name)) in kinds
    ]


@pytest.mark.parametrize(("config", "name"), fields(float))
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "1", True])
def test_a_number_that_is_none_is_refused_by_name(config, name, value):
    with pytest.raises(ValueError, match=rf"\b{name} must be a finite number, not {value!r}\."):
        checked(config, **{name: value})


@pytest.mark.parametrize(("config", "name"), [one for one in fields(float, int) if "min_speed" not in one.values])
def test_a_negative_number_is_refused_by_name(config, name):
    with pytest.raises(ValueError, match=rf"\b(the number of )?{name}\b.*-1"):
        checked(config, **{name: -1})


@pytest.mark.parametrize(("config", "name"), fields(int))
@pytest.mark.parametrize("value", [1.5, math.inf, math.nan, "2", True, None])
def test_a_whole_number_is_none_of_these(config, name, value):
    with pytest.raises(ValueError, match=rf"\b{name} must be a whole number, not {value!r}\."):
        checked(config, **{name: value})


@pytest.mark.parametrize(("config", "name"), fields(bool))
@pytest.mark.parametrize("value", ["no", 1, None])
def test_a_switch_is_none_of_these(config, name, value):
    with pytest.raises(ValueError, match=rf"\b{name} must be true or false, not {value!r}\."):
        checked(config, **{name: value})


@pytest.mark.parametrize(
    ("config", "name"), [(Arena(), "half_extents"), (Arena(), "radius_range"), (Game(), "start_distance")]
)
@pytest.mark.parametrize("value", [(), (4.0,), (4.0, 5.0, 6.0), [4.0, 5.0], 4.0])
def test_a_pair_of_another_length_is_refused_with_the_right_one(config, name, value):
    with pytest.raises(ValueError, match=re.escape(f"{name} must be a tuple of 2 numbers, not {value!r}.")):
        checked(config, **{name: value})


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (Arena(), {"half_extents": (4.0, math.nan)}, "half_extents must be a finite number, not nan"),
        (Arena(), {"radius_range": (0.1, math.inf)}, "radius_range must be a finite number, not inf"),
        (Arena(), {"min_obstacles": 1.5}, "min_obstacles must be a whole number, not 1.5"),
        (Game(), {"min_evader_speed_ratio": math.nan}, "min_evader_speed_ratio must be a finite number, not nan"),
        (PolicyConfig(), {"hidden": ()}, "policy hidden must name the width of at least one layer"),
        (PolicyConfig(), {"hidden": (8, 0)}, "policy hidden must be at least 1, not (8, 0)"),
        (PolicyConfig(), {"hidden": (8, 1.5)}, "policy hidden must be a whole number, not 1.5"),
        (PolicyConfig(), {"disc_width": 0}, "policy disc_width must be at least 1, not 0"),
        (TrainConfig(), {"devices": 0}, "devices must be at least 1, not 0"),
        (TrainConfig(), {"method": 3}, "method must be a word, not 3"),
        (TrainConfig(), {"seed": 2**32}, "seed must lie between 0 and 4294967295, not 4294967296"),
        (
            TrainConfig(),
            {"num_envs": 2, "evader": "flee:2,hide,orbit"},
            "of 2 games none is left for orbit: raise num_envs or its weight",
        ),
    ],
)
def test_other_impossible_values(config, changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        checked(config, **changes)


def test_numbers_of_numpy_and_whole_numbers_for_lengths_are_numbers():
    for config in (
        checked(Unicycle(), radius=np.float32(0.2), dt=np.float64(0.1)),
        checked(Arena(), half_extents=(5, np.float32(4)), obstacles=np.int64(3), min_obstacles=None),
        checked(TrainConfig(), seed=np.uint32(2**32 - 1)),
    ):
        assert isinstance(config, CONFIGURATIONS[0].__class__ | Arena | TrainConfig)


def test_a_seed_beyond_those_that_jax_tells_apart_is_refused_wherever_it_enters():
    least, greatest = (jax.random.key_data(jax.random.key(seed)).tolist() for seed in (0, ranges.SEEDS - 1))
    assert least != greatest
    if not jax.config.jax_enable_x64:
        assert jax.random.key_data(jax.random.key(ranges.SEEDS)).tolist() == least  # the same run twice
    for enter in (
        lambda seed: scenarios.draw("standard", TINY.game, seed, 1),
        lambda seed: attack(TINY, 1, seed),
        lambda seed: Settings(seed=seed),
        lambda seed: TrainConfig(seed=seed),
    ):
        for seed in (-1, ranges.SEEDS):
            with pytest.raises(ValueError, match=f"seed must lie between 0 and 4294967295, not {seed}"):
                enter(seed)
