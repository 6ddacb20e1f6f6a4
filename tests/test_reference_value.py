"""The dynamic program of benchmarks/reference_value.py, held against what is known without it."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def found():
    """The module and its upper and lower value on a coarse grid."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        import reference_value as module

        size = {"reach": 4.5, "across": 31, "around": 13}
        yield module, *module.solve(**size)


@pytest.mark.wide
def test_a_straight_chase_takes_the_distance_over_the_closing_speed(found) -> None:
    module, upper, lower = found
    distance = np.linspace(1.0, 4.0, 7)
    exact = (distance - module.GAME.capture_radius) / (1 - module.GAME.evader_speed_ratio)
    for value in (upper, lower):
        np.testing.assert_allclose(value(distance, 0 * distance, 0 * distance), exact, atol=0.35)


@pytest.mark.wide
def test_the_value_is_symmetric_and_the_informed_evader_is_not_caught_sooner(found) -> None:
    _, upper, lower = found
    np.testing.assert_allclose(upper.table, upper.table[:, ::-1, ::-1], atol=0.02)  # left and right
    assert (upper.table - lower.table).min() > -0.02
    assert upper.table.max() > lower.table[lower.table > 0].min()


@pytest.mark.wide
def test_a_relative_motion_is_that_of_two_robots_in_the_world(found) -> None:
    module, *_ = found
    rng = np.random.default_rng(3)
    for _ in range(5):
        pose, other = rng.uniform(-2, 2, 3), rng.uniform(-2, 2, 3)
        one, two = rng.uniform(-1, 1, 2), rng.uniform(-1, 1, 2)
        ends = []
        for start, (speed, turn) in ((pose, one), (other, two)):
            x, y, heading = start
            for _ in range(2_000):  # small straight steps
                x, y = x + speed * 1e-4 * np.cos(heading), y + speed * 1e-4 * np.sin(heading)
                heading += turn * 1e-4
            ends.append((x, y, heading))
        seen = [_relative(*pair) for pair in ((pose, other), ends)]
        moved = module.moved([jnp.asarray(part) for part in seen[0]], jnp.asarray(one), jnp.asarray(two), 0.2)
        np.testing.assert_allclose(np.array(moved), seen[1], atol=1e-4)


def _relative(own, other):
    gap = np.exp(-1j * own[2]) * complex(other[0] - own[0], other[1] - own[1])
    return gap.real, gap.imag, other[2] - own[2]
