"""Less effort in compiling gives the same numbers up to rounding, and options that XLA does not know do no harm."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from safepursuit.compiling import ONCE, SELDOM, Program
from safepursuit.learn import BarrierNetTrainer, programs
from tiny import TINY

LONG = replace(TINY, timesteps=1_000_000)
FULL = (("xla_backend_optimization_level", 3), ("xla_cpu_use_fusion_emitters", True))
"""What XLA does unless it is told otherwise, as conftest.py does."""


@pytest.mark.parametrize("effort", [ONCE, SELDOM, FULL, programs._UNFUSED])
def test_the_installed_xla_knows_every_option(effort):
    """Otherwise `Program` leaves it out, and nothing is gained."""
    for name, value in effort:
        jax.jit(lambda x: x + 1, compiler_options={name: value}).lower(0.0).compile()


def test_an_option_that_xla_does_not_know_is_left_out():
    with pytest.raises(jax.errors.JaxRuntimeError, match="No such compile option"):
        jax.jit(lambda x: x + 1, compiler_options={"xla_nobody_knows": 1}).lower(0.0).compile()
    program = Program(lambda x, *, twice: (1 + twice) * x, (("xla_nobody_knows", 1), *SELDOM), static_argnames="twice")
    assert float(program(jnp.asarray(3.0), twice=True)) == 6


def test_only_short_trainings_are_compiled_in_a_hurry():
    assert programs.collect_program(TINY)._effort == programs.update_program(TINY)._effort == SELDOM
    assert programs.collect_program(LONG)._effort == programs.update_program(LONG)._effort == ()
    many = replace(LONG, num_envs=65_536)
    assert programs.collect_program(many)._effort == programs._UNFUSED
    assert programs.collect_program(replace(many, num_envs=16_384))._effort == ()


def test_seeds_share_their_programs():
    for program in (programs.collect_program, programs.update_program):
        assert program(TINY) is program(replace(TINY, seed=TINY.seed + 1))


@pytest.mark.heavy
def test_less_effort_gives_the_same_numbers(monkeypatch):
    """The first step of a rollout (later ones follow from it, and rounding grows) and the losses of an update."""
    effort = programs._effort
    monkeypatch.setattr(programs, "_effort", lambda config: effort(config) or FULL)
    short, long = (BarrierNetTrainer(config) for config in (TINY, replace(LONG, timesteps=2_000_000)))
    one, other = short.collect_rollout(), long.collect_rollout()
    for quick, full in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(quick[0], full[0], rtol=1e-4, atol=1e-5)
    ours, theirs = short.update(other), long.update(other)
    for quick, full in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(quick, full, rtol=1e-3, atol=1e-4)
