"""The dynamic program of benchmarks/reference_value.py, held against what is known without it."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import shapely

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


@pytest.mark.wide
def test_two_that_play_by_the_value_take_as_long_as_it_says(found) -> None:
    module, upper, _ = found
    with pytest.MonkeyPatch.context() as patch:
        for players, role in ((module.PURSUERS, "pursuer"), (module.EVADERS, "evader")):
            patch.setitem(players, "optimal", module.player(upper, module.GAME, role))
        scenarios = module.starts(module.GAME, 64)
        taken = module.times({"optimal": module.Scripted("optimal", None)}, ("optimal",), scenarios)
    gap = taken["optimal"]["optimal"] - module.known(upper, scenarios)
    assert abs(gap.mean()) < 0.3
    assert np.abs(gap).max() < 1.5


@pytest.mark.wide
def test_the_bound_around_a_disc_is_of_the_shortest_way_that_a_string_finds(found) -> None:
    """A string drawn tight around disc and robots: the hull of all, cut at the robots."""
    module, *_ = found
    game = module.DISC
    scenarios = module.starts_at_the_disc(game, 40)
    rim = shapely.Point(0, 0).buffer(game.arena.radius_range[1] + game.robot.radius, quad_segs=512)
    closing = game.robot.max_speed - game.evader.max_speed
    for here, there, bound in zip(
        *(np.asarray(one.pose[:2]).T for one in scenarios.states.robots), module.within(scenarios), strict=True
    ):
        line = shapely.LineString([here, there])
        way = line.length
        if line.intersection(rim).length > 0:
            hull = shapely.union_all([rim, shapely.Point(here), shapely.Point(there)]).convex_hull.exterior
            one, two = (hull.project(shapely.Point(place)) for place in (here, there))
            way = min(abs(one - two), hull.length - abs(one - two))
        assert bound == pytest.approx((way - game.capture_radius) / closing, abs=1e-3)
