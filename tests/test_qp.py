"""The projection: against brute force over all active sets, by its optimality conditions, by laws, and its derivatives.

The answer of a quadratic program needs no trust: a feasible point with multipliers that satisfy the optimality
conditions *is* the projection, and an infeasible program is judged by a linear program of SciPy.
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import reference
from safepursuit import qp
from safepursuit.qp import Halfplanes
from tiny import few

pytestmark = pytest.mark.usefixtures("float64")

LAWS = settings(deadline=None, max_examples=100)
ROWS = 10
MANY = 2_000
"""Random problems at a time; ten times as many with the long proofs."""


def answer(nominal, A, b, weights):
    return qp.project(nominal, Halfplanes(A, b), weights).u


PROJECT = jax.jit(qp.project)
VMAPPED = jax.jit(jax.vmap(qp.project, in_axes=-1, out_axes=-1))
JACOBIANS = {
    "forward": jax.jit(jax.vmap(jax.jacfwd(answer, argnums=(0, 1, 2, 3)), in_axes=-1, out_axes=-1)),
    "reverse": jax.jit(jax.vmap(jax.jacrev(answer, argnums=(0, 1, 2, 3)), in_axes=-1, out_axes=-1)),
}


def solve(nominal, A, b, weights):
    """The package's answer as NumPy arrays (the shapes and dtypes of the input)."""
    return qp.Projection(*map(np.asarray, PROJECT(nominal, Halfplanes(A, b), weights)))


def random_problems(rng, rows, count, *, reach=1.0, padding=0.2):
    """Polygons of random rows of all lengths, some of them padding; the larger `reach`, the fewer are empty."""
    A = rng.normal(size=(rows, 2, count)) * np.exp(rng.uniform(-2, 2, (rows, 1, count)))
    b = (rng.normal(size=(rows, count)) + reach) * np.hypot(A[:, 0], A[:, 1])
    padded = rng.random((rows, count)) < padding
    A = np.where(padded[:, None], 0, A)
    b = np.where(padded, np.abs(b), b)
    return 3 * rng.normal(size=(2, count)), A, b, np.exp(rng.uniform(-2, 2, (2, count)))


def box(A, b, half_width):
    """The rows with those of a square about the origin appended."""
    count = A.shape[-1]
    sides = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]])[..., None] * np.ones(count)
    return np.concatenate([A, sides]), np.concatenate([b, np.full((4, count), half_width)])


def distances(A, b, weights, u):
    """How far `u` lies beyond each half-plane in the metric W (negative inside); −∞ for padding."""
    norm = np.sqrt((A**2 / weights).sum(1))
    return np.where(norm > 0, ((A * u).sum(1) - b) / np.where(norm > 0, norm, 1), -np.inf)


def least_violation(A, b, weights):
    """min over u of the largest distance to a half-plane, of one problem, by linear programming."""
    norm = np.sqrt((A**2 / weights).sum(1))
    real = norm > 0
    rows = np.column_stack([A[real] / norm[real, None], -np.ones(real.sum())])
    exact = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    result = linprog(
        [0, 0, 1], rows, b[real] / norm[real], bounds=[(None, None), (None, None), (0, None)], options=exact
    )
    assert result.status == 0
    return result.fun


# --- against brute force ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "few"), [(1, 1_000), (3, 4_000), (6, 3_000), (10, 2_000)])
def test_random_problems_agree_with_brute_force(rows, few, tenfold):
    count = few * tenfold
    nominal, A, b, weights = random_problems(np.random.default_rng(rows), rows, count)
    solution = solve(nominal, A, b, weights)
    expected, feasible = reference.project(nominal, A, b, weights)
    np.testing.assert_array_equal(solution.violation == 0, feasible)
    assert feasible.sum() > 0.3 * count
    size = np.maximum(1, np.abs(expected).max(0))
    error = np.abs(solution.u - expected).max(0) / size
    assert error[feasible].max() < 1e-9


def test_random_problems_in_a_box_agree_with_brute_force(tenfold):
    nominal, A, b, weights = random_problems(np.random.default_rng(0), 6, MANY * tenfold)
    A, b = box(A, b, 2.0)
    solution = solve(nominal, A, b, weights)
    expected, feasible = reference.project(nominal, A, b, weights)
    np.testing.assert_array_equal(solution.violation == 0, feasible)
    assert 0.3 < feasible.mean() < 0.95
    assert np.abs(solution.u - expected)[:, feasible].max() < 1e-9
    for name, residual in reference.kkt_residuals(nominal, A, b, weights, solution.u, solution.multipliers).items():
        assert residual[feasible].max() < 1e-9, name


def test_single_precision_agrees_with_brute_force(tenfold):
    problem = [part.astype(np.float32) for part in random_problems(np.random.default_rng(1), 6, MANY * tenfold)]
    nominal, A, b, weights = problem
    A, b = (part.astype(np.float32) for part in box(A, b, 2.0))
    solution = solve(nominal, A, b, weights)
    assert all(part.dtype == np.float32 for part in (solution.u, solution.multipliers, solution.violation))
    expected, feasible = reference.project(*(part.astype(float) for part in (nominal, A, b, weights)))
    # A polygon smaller than rounding may be judged either way: compare where it is clearly one or the other.
    clear = feasible | (solution.violation > 1e-4)
    np.testing.assert_array_equal((solution.violation == 0)[clear], feasible[clear])
    assert clear.mean() > 0.999
    error = np.abs(solution.u - expected).max(0)[feasible & (solution.violation == 0)]
    assert np.quantile(error, 0.99) < 1e-5  # the last per cent: corners of rows that are almost parallel
    assert error.max() < 1e-3
    residuals = reference.kkt_residuals(nominal, A, b, weights, solution.u, solution.multipliers)
    for name, residual in residuals.items():
        assert residual[feasible].max() < 1e-5, name


def almost_parallel_problems(dtype, where, count):
    """Rows that differ by an angle of rounding size, in a box, all satisfied by one point: the origin, or another one
    that lies a thousand rounding errors inside or exactly (but for rounding) on them."""
    rng = np.random.default_rng(2)
    angle = rng.uniform(-np.pi, np.pi, count) + np.pi * rng.integers(0, 2, (6, count))
    angle = angle + rng.choice([-1, 1], (6, count)) * 10.0 ** rng.uniform(-16, -2, (6, count))
    length = np.exp(rng.uniform(-2, 2, (6, count)))
    A = (np.stack([np.cos(angle), np.sin(angle)], 1) * length[:, None]).astype(dtype).astype(float)
    room = {
        "origin": rng.choice([0, 0, 1e-12, 1e-6, 0.1], (6, count)),
        "inside": 1e3 * np.finfo(dtype).eps * rng.choice([1, 1, 10, 1000], (6, count)),
        "needle": rng.choice([0, 0, 0, 0.1], (6, count)),
    }[where]
    point = np.zeros((2, count)) if where == "origin" else rng.uniform(-0.9, 0.9, (2, count))
    A, b = box(A, (A * point).sum(1) + length * room, 1.0)
    problem = rng.normal(size=(2, count)), A, b, np.exp(rng.uniform(-2, 2, (2, count)))
    return [part.astype(dtype) for part in problem]


@pytest.mark.parametrize("where", ["origin", "inside"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-5)])
def test_almost_parallel_rows_are_never_called_infeasible(dtype, tolerance, where, tenfold):
    problem = almost_parallel_problems(dtype, where, MANY * tenfold)
    solution = solve(*problem)
    assert solution.violation.max() == 0
    residuals = reference.kkt_residuals(*(part.astype(float) for part in problem), solution.u, solution.multipliers)
    for name, residual in residuals.items():
        assert residual.max() < tolerance, name


def test_polygons_that_are_empty_but_for_rounding_are_judged_to_rounding(tenfold):
    """Strips without width: only rounding decides, so a rare verdict `infeasible` is right if it is by a hair."""
    solution = solve(*almost_parallel_problems(np.float64, "needle", MANY * tenfold))
    assert (solution.violation > 0).mean() < 0.005
    assert solution.violation.max() < 1e-12


def test_far_nominal_points_do_not_blur_the_polygon(tenfold):
    """The answer of a target 10³⁰ away satisfies the rows as exactly as that of a near one."""
    rng = np.random.default_rng(3)
    nominal, A, b, weights = random_problems(rng, 6, MANY * tenfold, padding=0)
    A, b = box(A, np.abs(b), 1.0)
    for dtype, tolerance in ((np.float64, 1e-14), (np.float32, 1e-5)):
        for far in (1.0, 1e6, 1e30):
            solution = solve(*(part.astype(dtype) for part in (nominal * far, A, b, weights)))
            assert solution.violation.max() == 0
            assert distances(A, b, weights, solution.u.astype(float)).max() < tolerance * 10


# --- degenerate problems on purpose ----------------------------------------------------------------------------------

number = st.floats(-3, 3).map(lambda x: round(x, 6))
# Directions that coincide, oppose each other, or differ by a hundredth at least: corners are then known to 10⁻¹².
angle = st.one_of(st.integers(0, 15).map(lambda k: k * np.pi / 8), st.integers(-31, 31).map(lambda k: k / 10))
# Powers of two keep opposite rows exactly opposite.
factor = st.integers(-10, 10).map(lambda k: 2.0**k)


def list_of(strategy, low, high):
    return st.lists(strategy, min_size=low, max_size=high)


def unit_normals(angles):
    """Rounded, so that the rows along the axes are exact: 6·10⁻¹⁷ for cos(π/2) would be a scale of its own."""
    return np.round(np.stack([np.cos(angles), np.sin(angles)], -1).reshape(-1, 2), 15)


@st.composite
def finished(draw, normals, offsets):
    """A problem of `ROWS` rows: these ones scaled, the rest padding, in any order, with a target and weights."""
    count, padding = len(normals), ROWS - len(normals)
    lengths = np.array(draw(list_of(factor, count, count)))
    A = np.concatenate([normals * lengths[:, None], np.zeros((padding, 2))])
    b = np.concatenate([offsets * lengths, draw(list_of(st.sampled_from([0.0, 1.0, 1e6]), padding, padding))])
    order = np.array(draw(st.permutations(range(ROWS))))
    nominal = np.array([draw(number), draw(number)])
    weights = np.array([draw(st.floats(0.05, 20)), draw(st.floats(0.05, 20))])
    return nominal, A[order], b[order], weights


@st.composite
def feasible_problems(draw):
    """Rows through or beyond one common point: corners of many rows, strips of no width, rows repeated and opposed."""
    normals = unit_normals(draw(list_of(angle, 1, 5)))
    copies = draw(list_of(st.tuples(st.integers(0, len(normals) - 1), st.sampled_from([1, -1])), 0, ROWS - 6))
    normals = np.array([*normals, *(sign * normals[k] for k, sign in copies)])
    point = np.array([draw(number), draw(number)])
    room = draw(list_of(st.sampled_from([0.0, 0.0, 0.0, 1e-9, 1e-3, 1.0]), len(normals), len(normals)))
    return draw(finished(normals, normals[:, 0] * point[0] + normals[:, 1] * point[1] + room))


@st.composite
def infeasible_problems(draw):
    """A strip or a triangle turned inside out by a known gap, among other rows."""
    gap = draw(st.sampled_from([1e-6, 1e-3, 1.0, 5.0]))
    first = draw(angle)
    side = unit_normals(first)[0]
    shape = draw(st.sampled_from(["strip", "triangle"]))
    if shape == "strip":
        contradiction = np.array([side, -side])
    else:
        contradiction = unit_normals(first + np.array([0, 2 * np.pi / 3, -2 * np.pi / 3]))
    others = unit_normals(draw(list_of(angle, 0, ROWS - 3)))
    point = np.array([draw(number), draw(number)])
    normals = np.concatenate([contradiction, others])
    shift = np.concatenate([np.full(len(contradiction), -gap), draw(list_of(number, len(others), len(others)))])
    return draw(finished(normals, normals[:, 0] * point[0] + normals[:, 1] * point[1] + shift))


any_problems = st.one_of(feasible_problems(), infeasible_problems())


def scale_of(nominal, A, b, u=0.0):
    """The size of the numbers in a problem and in its answer, with which rounding grows."""
    norm = np.hypot(A[:, 0], A[:, 1])
    return 1 + np.abs(nominal).max() + (np.abs(b) / np.where(norm > 0, norm, np.inf)).max() + np.abs(u).max()


@LAWS
@given(feasible_problems())
def test_degenerate_feasible_problems_meet_the_optimality_conditions(problem):
    solution = solve(*problem)
    assert solution.violation == 0
    for name, residual in reference.kkt_residuals(*problem, solution.u, solution.multipliers).items():
        assert residual < 1e-9, name
    assert solution.active.sum() <= 2
    np.testing.assert_array_equal(solution.active, solution.multipliers > 0)


@LAWS
@given(feasible_problems())
def test_degenerate_feasible_problems_agree_with_brute_force(problem):
    nominal, A, b, _ = problem
    expected, feasible = reference.project(*(part[..., None] for part in problem))
    assert feasible[0]
    # Brute force tells its candidates apart by their cost, hence points only to the root of rounding; the optimality
    # conditions above are the finer test.
    np.testing.assert_allclose(solve(*problem).u, expected[:, 0], rtol=0, atol=1e-7 * scale_of(nominal, A, b))


@LAWS
@given(infeasible_problems())
def test_violation_of_infeasible_problems_is_the_minimax_of_a_linear_program(problem):
    _, A, b, weights = problem
    solution = solve(*problem)
    expected = least_violation(A, b, weights)
    assert solution.violation > 0
    np.testing.assert_allclose(solution.violation, expected, rtol=1e-9, atol=1e-9)
    beyond = distances(A, b, weights, solution.u)
    np.testing.assert_allclose(beyond.max(), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(solution.multipliers, 0)
    assert solution.active.any()
    np.testing.assert_allclose(beyond[solution.active], expected, rtol=1e-9, atol=1e-9)


def test_violation_of_random_infeasible_problems_is_the_minimax_of_a_linear_program():
    nominal, A, b, weights = random_problems(np.random.default_rng(4), 8, 150, reach=0.1)
    solution = solve(nominal, A, b, weights)
    empty = np.flatnonzero(solution.violation > 0)
    assert len(empty) > 75
    expected = np.array([least_violation(A[..., i], b[:, i], weights[:, i]) for i in empty])
    assert expected.min() > 0
    np.testing.assert_allclose(solution.violation[empty], expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(distances(A, b, weights, solution.u).max(0)[empty], expected, rtol=1e-9, atol=1e-9)


def test_infeasible_answer_is_the_projection_onto_the_least_relaxation():
    """A strip turned inside out, on which many points are equally good: the nearest of them is returned."""
    A = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    b = np.array([-1.0, -1.0, 0.5])
    solution = solve(np.array([4.0, 0.2]), A, b, np.ones(2))
    np.testing.assert_allclose(solution.u, [0, 0.2], atol=1e-12)
    solution = solve(np.array([4.0, 9.0]), A, b, np.ones(2))
    np.testing.assert_allclose(solution.u, [0, 1.5], atol=1e-12)  # the third row is relaxed by 1 as well
    np.testing.assert_allclose(solution.violation, 1)


def test_padding_that_nothing_can_meet_is_reported():
    A = np.array([[1.0, 0.0], [0.0, 0.0]])
    solution = solve(np.array([2.0, 0.0]), A, np.array([1.0, -0.25]), np.ones(2))
    assert solution.violation == 0.25
    np.testing.assert_allclose(solution.u, [1, 0], atol=1e-15)


def test_no_rows_at_all():
    solution = solve(np.array([2.0, 3.0]), np.zeros((0, 2)), np.zeros(0), np.ones(2))
    np.testing.assert_array_equal(solution.u, [2, 3])
    assert solution.violation == 0


@pytest.mark.parametrize(("dtype", "exponent"), [(np.float64, 75), (np.float32, 9)])
def test_extreme_magnitudes_stay_finite(dtype, exponent):
    """Every input number drawn from 10^±exponent on its own: nothing is ever NaN or infinite, nor are derivatives."""
    rng = np.random.default_rng(5)

    def extreme(*shape):
        return (rng.choice([-1, 1], shape) * 10.0 ** rng.uniform(-exponent, exponent, shape)).astype(dtype)

    problem = extreme(2, 150), extreme(8, 2, 150), extreme(8, 150), np.abs(extreme(2, 150))
    solution = solve(*problem)
    assert 0.1 < (solution.violation == 0).mean() < 0.9
    for part in (solution.u, solution.multipliers, solution.violation, *JACOBIANS["forward"](*problem)):
        assert np.isfinite(part).all()


@pytest.mark.parametrize("which", [[0], [2], [3], [1, 2]], ids=["nominal", "b", "weights", "rows"])
@pytest.mark.parametrize("factor", [1e-150, 1e150])
def test_one_extreme_input_stays_finite(which, factor):
    problem = [
        part * factor if k in which else part
        for k, part in enumerate(random_problems(np.random.default_rng(6), 8, 150))
    ]
    solution = solve(*problem)
    for part in (solution.u, solution.multipliers, solution.violation):
        assert np.isfinite(part).all()


# --- laws ------------------------------------------------------------------------------------------------------------


def assert_same_point(problem, u, expected):
    np.testing.assert_allclose(u, expected, rtol=0, atol=1e-10 * scale_of(*problem[:3], expected))


def assert_same_violation(problem, violation, solution):
    """Infeasible or not alike, and by as much; the violation is a distance in the metric W.

    It is known to the rounding at the answer, and rows that are a hundredth apart meet a hundred times as far away as
    they are from the origin.
    """
    assert (violation > 0) == (solution.violation > 0)
    scale = scale_of(*problem[:3], solution.u) * np.sqrt(problem[3].max())
    np.testing.assert_allclose(violation, solution.violation, rtol=0, atol=1e-13 * scale)


@LAWS
@given(feasible_problems())
def test_projecting_twice_changes_nothing(problem):
    nominal, A, b, weights = problem
    once = solve(*problem).u
    np.testing.assert_allclose(solve(once, A, b, weights).u, once, rtol=0, atol=1e-14 * scale_of(nominal, A, b))


@LAWS
@given(feasible_problems())
def test_point_on_the_boundary_that_meets_all_rows_is_returned_bit_for_bit(problem):
    _, A, b, weights = problem
    edge = solve(*problem).u
    assume((A[:, 0] * edge[0] + A[:, 1] * edge[1] <= b).all())  # as a user would test it, in plain arithmetic
    solution = solve(edge, A, b, weights)
    np.testing.assert_array_equal(solution.u, edge)
    assert not solution.active.any()
    assert solution.violation == 0


def test_feasible_points_are_returned_bit_for_bit(tenfold):
    nominal, A, b, weights = random_problems(np.random.default_rng(7), 10, MANY * tenfold, reach=2)
    inside = ((A * nominal).sum(1) <= b).all(0)
    solution = solve(nominal, A, b, weights)
    assert 0.05 < inside.mean() < 0.95
    np.testing.assert_array_equal(solution.u[:, inside], nominal[:, inside])
    np.testing.assert_array_equal(solution.active.any(0), ~inside)


@LAWS
@given(feasible_problems(), st.integers(0, ROWS - 1), st.integers(0, ROWS - 1), st.sampled_from([0.0, 1e-9, 0.5]))
def test_redundant_row_changes_nothing(problem, i, j, room):
    """The sum of two rows, with or without room to spare, follows from them."""
    nominal, A, b, weights = problem
    assume(np.linalg.norm(A[i] + A[j]) > 0.01 * (np.linalg.norm(A[i]) + np.linalg.norm(A[j])))
    more = solve(nominal, np.vstack([A[i] + A[j], A]), np.append(b[i] + b[j] + room, b), weights)
    assert_same_point(problem, more.u, solve(*problem).u)
    assert more.violation == 0


@LAWS
@given(any_problems, st.permutations(range(ROWS)))
def test_order_of_rows_does_not_matter(problem, order):
    nominal, A, b, weights = problem
    solution, shuffled = solve(*problem), solve(nominal, A[order], b[order], weights)
    assert_same_point(problem, shuffled.u, solution.u)
    assert_same_violation(problem, shuffled.violation, solution)


@LAWS
@given(
    any_problems,
    list_of(factor, ROWS, ROWS),
)
def test_length_of_rows_does_not_matter(problem, factors):
    nominal, A, b, weights = problem
    factors = np.array(factors)
    solution, scaled = solve(*problem), solve(nominal, A * factors[:, None], b * factors, weights)
    assert_same_point(problem, scaled.u, solution.u)
    assert_same_violation(problem, scaled.violation, solution)


def far_corner():
    """A strip turned inside out, and a row that is met 34 along it."""
    side = unit_normals(1.6)[0]
    A, b = np.zeros((ROWS, 2)), np.zeros(ROWS)
    A[:3], b[:3] = [side, -side, (0, 1)], (-1e-6, -1e-6, -1)
    return np.zeros(2), A, b, np.ones(2)


@LAWS
@given(any_problems, st.floats(-np.pi, np.pi))
@example(far_corner(), 1.0)
def test_rotating_the_plane_rotates_the_answer(problem, turn):
    nominal, A, b, _ = problem
    weights = np.full(2, 1.7)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    turned = solve(rotation @ nominal, A @ rotation.T, b, weights)
    solution = solve(nominal, A, b, weights)
    assert_same_point(problem, turned.u, rotation @ solution.u)
    assert_same_violation(problem, turned.violation, solution)


@LAWS
@given(any_problems, st.floats(0.01, 100))
def test_weights_matter_only_in_proportion(problem, size):
    nominal, A, b, weights = problem
    solution, scaled = solve(*problem), solve(nominal, A, b, size * weights)
    assert_same_point(problem, scaled.u, solution.u)
    assert_same_violation(problem, scaled.violation / np.sqrt(size), solution)


def test_padding_changes_nothing():
    nominal, A, b, weights = random_problems(np.random.default_rng(8), ROWS - 3, 2_000, padding=0)
    padded = np.concatenate([np.zeros((2, *A.shape[1:])), A, np.zeros((1, *A.shape[1:]))])
    bounds = np.concatenate([np.zeros((2, 2_000)), b, np.full((1, 2_000), 1e6)])
    solution, more = solve(nominal, A, b, weights), solve(nominal, padded, bounds, weights)
    assert (solution.violation > 0).any()
    np.testing.assert_allclose(more.u, solution.u, rtol=0, atol=1e-12)
    np.testing.assert_allclose(more.violation, solution.violation, rtol=1e-12)
    np.testing.assert_allclose(more.multipliers[2:-1], solution.multipliers, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(more.active[2:-1], solution.active)
    assert not more.active[[0, 1, -1]].any()


def test_each_problem_of_a_batch_is_solved_as_if_alone():
    problem = random_problems(np.random.default_rng(9), ROWS, 200)
    batch = solve(*problem)
    mapped = VMAPPED(problem[0], Halfplanes(problem[1], problem[2]), problem[3])
    assert 0 < (batch.violation > 0).sum() < 200
    for i in range(0, 200, 3):
        alone = solve(*(part[..., i] for part in problem))
        for together, single, lane in zip(batch, alone, mapped, strict=True):
            np.testing.assert_allclose(together[..., i], single, rtol=1e-12, atol=1e-13)
            np.testing.assert_allclose(lane[..., i], single, rtol=1e-12, atol=1e-13)


def test_a_problem_that_is_no_number_leaves_the_others_of_its_batch_alone():
    nominal, A, b, weights = random_problems(np.random.default_rng(3), ROWS, 200)
    healthy = solve(nominal, A, b, weights).u
    for spoilt in range(0, 200, 19):
        broken = A.copy()
        broken[:, 0, spoilt] = np.nan
        others = np.delete(solve(nominal, broken, b, weights).u, spoilt, axis=1)
        np.testing.assert_array_equal(others, np.delete(healthy, spoilt, axis=1))


def spoilt(kind, nominal, A, b, weights):
    """A problem that is none."""
    nominal, A, b, weights = (part.copy() for part in (nominal, A, b, weights))
    if kind < 2:
        nominal[1] = (np.nan, -np.inf)[kind]
    elif kind < 4:
        A[3, 0] = (np.nan, np.inf)[kind - 2]
    elif kind < 6:
        b[3] = (np.nan, -np.inf)[kind - 4]
    else:
        weights[1] = (0.0, -1.0, np.nan, np.inf)[kind - 6]
    return nominal, A, b, weights


@pytest.mark.parametrize("limits", [None, (-1e3, 1e3), (-np.inf, np.inf)])
def test_a_problem_that_is_none_is_infeasible_by_infinity(limits):
    """It has no derivatives; all others of its batch keep their bits."""
    problem = random_problems(np.random.default_rng(21), ROWS, 200)
    box = None if limits is None else qp.Box(*(np.full((2, 200), limit) for limit in limits))

    def solution(nominal, A, b, weights):
        found = qp.project(nominal, Halfplanes(A, b), weights, box)
        return found.u.sum(), found

    slopes = jax.jit(jax.grad(solution, argnums=(0, 1, 2, 3), has_aux=True))
    whole = [part.copy() for part in problem]
    for kind in range(10):
        for mine, bad in zip(whole, spoilt(kind, *(part[..., 7 * kind] for part in problem)), strict=True):
            mine[..., 7 * kind] = bad
    broken = np.isin(np.arange(200), 7 * np.arange(10))
    (before, expected), (after, found) = (slopes(*map(jnp.asarray, part)) for part in (problem, whole))
    assert (np.asarray(found.violation)[broken] == np.inf).all()
    assert not np.asarray(found.active)[:, broken].any()
    assert not np.asarray(found.multipliers)[:, broken].any()
    for one, other, slope in zip((*found, *after), (*expected, *before), (False,) * 4 + (True,) * 4, strict=True):
        np.testing.assert_array_equal(np.asarray(one)[..., ~broken], np.asarray(other)[..., ~broken])
        if slope:
            np.testing.assert_array_equal(np.asarray(one)[..., broken], 0)


@pytest.mark.wide
def test_a_box_with_its_sides_exchanged_is_infeasible():
    nominal, A, b, weights = random_problems(np.random.default_rng(22), ROWS, 200, reach=1e6)
    low = np.zeros((2, 200))
    low[1, 3] = 2.0
    found = qp.project(jnp.asarray(nominal), Halfplanes(A, b), jnp.asarray(weights), qp.Box(low, np.ones((2, 200))))
    np.testing.assert_array_equal(np.isinf(found.violation), np.arange(200) == 3)


def test_an_infinite_bound_is_no_constraint():
    """The answers are those without the row, also where the others hold the point or contradict each other."""
    nominal, A, b, weights = random_problems(np.random.default_rng(23), ROWS, 200, padding=0.0)
    without, padding, boundless = A.copy(), b.copy(), b.copy()
    without[::3], padding[::3], boundless[::3] = 0.0, 1.0, np.inf
    expected, found = solve(nominal, without, padding, weights), solve(nominal, A, boundless, weights)
    assert 0 < (expected.violation > 0).sum() < 200
    assert expected.active.any(axis=0).sum() > 100
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.wide
@pytest.mark.parametrize("count", few([0, 300]))
def test_whole_numbers_count_as_floating_point_numbers(count):
    """In every argument; and the derivatives with respect to the others are there all the same."""
    rng = np.random.default_rng(12)
    batch = (count,) if count else ()
    whole = {
        "nominal": rng.integers(-5, 5, (2, *batch)),
        "A": rng.integers(-3, 4, (6, 2, *batch)),
        "b": rng.integers(1, 4, (6, *batch)),
        "weights": np.array([2, 1]),
        "low": np.array([0, -1]),
        "high": np.array([2, 1]),
    }

    @jax.jit
    def solved(given):
        return within_box(**given)

    @jax.jit
    def slopes(given, nominal):
        return jax.grad(lambda nominal: within_box(**{**given, "nominal": nominal}).u.sum())(nominal)

    floats = {name: jnp.asarray(values, float) for name, values in whole.items()}
    floats["weights"] = jnp.array([1, 0.5])  # the same metric but for a factor, which does not truncate to 0
    expected = solved(floats)
    for some in ({"nominal"}, set(whole) - {"nominal", "weights"}):
        mixed = {name: jnp.asarray(whole[name]) if name in some else floats[name] for name in whole}
        for computed, one in zip(solved(mixed), expected, strict=True):
            np.testing.assert_array_equal(computed, one)
    np.testing.assert_array_equal(slopes(mixed, floats["nominal"]), slopes(floats, floats["nominal"]))
    in_whole = solved({name: jnp.asarray(values) for name, values in whole.items()})
    np.testing.assert_allclose(in_whole.u, expected.u, atol=1e-12)
    assert np.asarray(in_whole.active).any()


def test_weights_are_shared_by_a_batch():
    nominal, A, b, _ = random_problems(np.random.default_rng(10), ROWS, 200)
    weights = np.array([0.3, 2.0])
    shared, repeated = solve(nominal, A, b, weights), solve(nominal, A, b, np.repeat(weights[:, None], 200, 1))
    np.testing.assert_allclose(shared.u, repeated.u, rtol=0, atol=1e-13)


# --- derivatives -----------------------------------------------------------------------------------------------------


def away_from_kinks(problem, solution):
    """Problems whose active set cannot change nearby: no row touches without pushing, no corner is a needle."""
    _, A, b, _ = problem
    norm = np.hypot(A[:, 0], A[:, 1])
    room = np.where(norm > 0, (b - (A * solution.u).sum(1)) / np.where(norm > 0, norm, 1), np.inf)
    pushes = solution.multipliers * norm
    steady = np.where(solution.active, pushes > 0.05, room > 0.05).all(0)
    unit = A / np.where(norm > 0, norm, 1)[:, None]
    held = np.where(solution.active[:, None], unit, 0)
    gram = np.einsum("ri...,rj...->ij...", held, held)
    sharp = (solution.active.sum(0) == 2) & (np.linalg.det(gram.transpose(2, 0, 1)) < 0.05)
    return steady & ~sharp & (solution.violation == 0)


def selected(problem, which):
    return tuple(part[..., which] for part in problem)


def finite_differences(problem, step=1e-6):
    """Derivatives of u with respect to each input of each problem of a batch, shapes (2, *input)."""
    derivatives = []
    for k, part in enumerate(problem):
        columns = np.zeros((2, *part.shape))
        for entry in np.ndindex(part.shape[:-1]):
            ends = []
            for shift in (step, -step):
                moved = part.copy()
                moved[entry] += shift
                ends.append(solve(*problem[:k], moved, *problem[k + 1 :]).u)
            columns[(slice(None), *entry)] = (ends[0] - ends[1]) / (2 * step)
        derivatives.append(columns)
    return derivatives


@cache
def smooth_problems(active, count):
    """Problems with this many active rows, away from kinks."""
    nominal, A, b, weights = random_problems(np.random.default_rng(11), 7, 6_000, reach=1.5, padding=0)
    length = np.hypot(A[:, 0], A[:, 1])
    A, b = A / length[:, None], b / length
    A, b = np.concatenate([A, np.zeros((1, *A.shape[1:]))]), np.concatenate([b, np.ones((1, b.shape[1]))])
    problem = nominal, A, b, weights
    solution = solve(*problem)
    found = np.flatnonzero(away_from_kinks(problem, solution) & (solution.active.sum(0) == active))
    assert len(found) >= count
    return selected(problem, found[:count])


@pytest.mark.parametrize("active", [0, 1, 2])
@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_derivatives_are_those_of_finite_differences(active, mode):
    problem = smooth_problems(active, 150)
    for computed, expected in zip(JACOBIANS[mode](*problem), finite_differences(problem), strict=True):
        size = np.maximum(1, np.abs(expected).max())
        np.testing.assert_allclose(computed, expected, rtol=1e-6, atol=1e-6 * min(size, 10))


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_jacobian_is_exactly_the_identity_inside(mode):
    problem = smooth_problems(0, 150)
    with_nominal, *others = map(np.asarray, JACOBIANS[mode](*problem))
    np.testing.assert_array_equal(with_nominal, np.eye(2)[..., None] * np.ones(150))
    for derivative in others:
        np.testing.assert_array_equal(derivative, 0)


@pytest.mark.parametrize("active", [1, 2])
def test_rank_of_the_jacobian_is_what_the_active_rows_leave(active):
    jacobian = np.asarray(JACOBIANS["reverse"](*smooth_problems(active, 150))[0]).transpose(2, 0, 1)
    assert (np.linalg.matrix_rank(jacobian, tol=1e-9) == 2 - active).all()


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_derivatives_vanish_where_the_program_is_infeasible(mode):
    problem = random_problems(np.random.default_rng(12), 8, 600, reach=0.2)
    problem = selected(problem, np.flatnonzero(solve(*problem).violation > 0)[:150])
    assert problem[0].shape[-1] == 150
    for derivative in JACOBIANS[mode](*problem):
        np.testing.assert_array_equal(derivative, 0)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_padding_has_derivative_zero(mode):
    problem = random_problems(np.random.default_rng(13), 8, 150, padding=0.4)
    padded = (problem[1] == 0).all(1)
    _, with_A, with_b, _ = map(np.asarray, JACOBIANS[mode](*problem))
    assert padded.any()
    assert np.abs(with_A).max() > 0.1
    np.testing.assert_array_equal(np.where(padded[:, None], with_A, 0), 0)
    np.testing.assert_array_equal(np.where(padded, with_b, 0), 0)


@pytest.mark.wide
@LAWS
@given(any_problems)
def test_derivatives_are_finite_at_kinks(problem):
    for mode in JACOBIANS.values():
        for derivative in mode(*(part[..., None] for part in problem)):
            assert np.isfinite(derivative).all()


def test_derivatives_of_rows_of_any_length_are_finite_and_consistent():
    """A row times t has derivative with respect to b divided by t, down to rows whose squares underflow."""
    problem = smooth_problems(2, 150)
    nominal, A, b, weights = problem
    with_b = np.asarray(JACOBIANS["reverse"](*problem)[2])
    for factor in (1e-170, 1e170):
        scaled = np.asarray(JACOBIANS["reverse"](nominal, A * factor, b * factor, weights)[2])
        np.testing.assert_allclose(scaled * factor, with_b, rtol=1e-9, atol=1e-12)


def test_only_the_point_carries_derivatives():
    def certificate(nominal, A, b, weights):
        solution = qp.project(nominal, Halfplanes(A, b), weights)
        return jnp.sum(solution.violation) + jnp.sum(solution.multipliers)

    value, gradient = jax.jit(jax.value_and_grad(certificate))(*smooth_problems(1, 150))
    assert value > 0
    np.testing.assert_array_equal(gradient, 0)


def within_box(nominal, A, b, weights, low, high):
    return qp.project(nominal, Halfplanes(A, b), weights, qp.Box(low, high))


WITHIN_BOX = jax.jit(within_box)


def as_rows(nominal, A, b, weights, low, high):
    """The same problem, the sides of its box written out as rows."""
    sides = jnp.asarray([[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]])
    sides = sides.reshape(4, 2, *(1,) * (A.ndim - 2)) * jnp.ones(A.shape[2:])
    limits = jnp.stack([-low[0], high[0], -low[1], high[1]])
    return qp.project(nominal, Halfplanes(jnp.concatenate([sides, A]), jnp.concatenate([limits, b])), weights)


SINGLES = jax.vmap(as_rows, in_axes=-1, out_axes=-1)


@partial(jax.jit, static_argnums=0)
def answer_and_pull_back(solve, problem, cotangent):
    pull = jax.vjp(lambda *problem: solve(*problem).u, *problem)[1]
    return solve(*problem), pull(cotangent)


@pytest.mark.parametrize("violated", ["none", "some", "all"])
@pytest.mark.parametrize("count", few([7, 300]))
def test_a_box_is_as_good_as_its_sides(count, violated):
    """Answers, certificates and derivatives of a batch, with a box and with its sides as rows, are those of single
    problems, however many are searched: none, a few, all; in one go (7), in a group that is not full, or in several."""
    rng = np.random.default_rng(count)
    nominal, A, b, weights = random_problems(rng, ROWS, count)
    low, high = -rng.uniform(0.1, 2, (2, count)), rng.uniform(0.1, 2, (2, count))
    b = np.abs(b) + 0.1
    b += {"none": 100.0, "some": np.where(np.arange(count) % 10 == 0, 0.0, 100.0), "all": 0.0}[violated]
    if violated == "all":  # and some have no common point: u₀ ≤ −5 is beyond the box
        A[0, 0, ::5], A[0, 1, ::5], b[0, ::5] = 1.0, 0.0, -5.0
    problem = nominal, A, b, weights, low, high
    beyond = distances(A, b, weights, np.clip(nominal, low, high)).max(axis=0) > 0
    assert {"none": not beyond.any(), "some": 0 < beyond.mean() < 0.2, "all": beyond.mean() > 0.5}[violated]

    for component in (0, 1):
        cotangent = jnp.zeros((2, count)).at[component].set(1.0)
        expected, theirs = answer_and_pull_back(SINGLES, problem, cotangent)
        for together in (within_box, as_rows):
            found, ours = answer_and_pull_back(together, problem, cotangent)
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)
            for one, other in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)
    assert (np.asarray(expected.violation) > 0).any() == (violated == "all")


@pytest.mark.wide
def test_a_box_is_shared_by_a_batch():
    nominal, A, b, weights = map(jnp.asarray, random_problems(np.random.default_rng(6), 3, 100))
    low, high = jnp.array([-0.5, -1.0]), jnp.array([2.0, 0.1])
    every = [jnp.broadcast_to(limit[:, None], nominal.shape) for limit in (low, high)]
    shared, each = WITHIN_BOX(nominal, A, b, weights, low, high), WITHIN_BOX(nominal, A, b, weights, *every)
    for one, other in zip(shared, each, strict=True):
        np.testing.assert_array_equal(one, other)


def disc_rows(ingredients):
    """From each of five centres and radii a tangent row, kept where `kind` is not 0."""
    centre, radius, kind = ingredients
    normal = jnp.where(kind != 0, centre / jnp.linalg.norm(centre, axis=0), 0)
    return Halfplanes(jnp.swapaxes(normal, 0, 1), jnp.exp(-radius))


@pytest.mark.wide
@pytest.mark.parametrize("shape", few([(300,), (12, 25)]))
def test_rows_made_where_they_matter_are_those_made_for_all(shape):
    """Answers, and derivatives through the rows, are those of single problems whose rows all exist."""
    rng = np.random.default_rng(4)
    nominal, centre = 2 * rng.normal(size=(2, *shape)), rng.normal(size=(2, 5, *shape))
    ingredients = centre, rng.uniform(0, 3, (5, *shape)), jnp.asarray(rng.integers(0, 3, (5, *shape)))
    weights, ones = jnp.asarray([1.0, 4.0]), jnp.ones(2)

    def onto(nominal, centre, radius):
        return qp.project_onto(nominal, disc_rows, (centre, radius, ingredients[2]), weights, qp.Box(-ones, ones))

    def alone(nominal, centre, radius, kind):
        return as_rows(nominal, *disc_rows((centre, radius, kind)), weights, -ones, ones)

    def flat(array):
        return array.reshape(*array.shape[: array.ndim - len(shape)], -1)

    singles = jax.vmap(alone, in_axes=-1, out_axes=-1)
    problems = [flat(array) for array in (nominal, *ingredients)]
    expected, found = jax.jit(singles)(*problems), jax.jit(onto)(nominal, *ingredients[:2])
    assert 0.2 < np.asarray(expected.active[4:]).any(0).mean() < 0.9
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(flat(np.asarray(ours)), theirs, rtol=0, atol=1e-12)

    cotangent = rng.normal(size=(2, *shape))
    ours = jax.jit(lambda *given: jax.vjp(lambda *some: onto(*some).u, *given)[1](cotangent))(nominal, *ingredients[:2])
    theirs = jax.jit(lambda *given: jax.vjp(lambda *some: singles(*some, problems[3]).u, *given)[1](flat(cotangent)))(
        *problems[:3]
    )
    for one, other in zip(ours, theirs, strict=True):
        assert np.abs(other).max() > 0.1
        np.testing.assert_allclose(flat(np.asarray(one)), other, rtol=0, atol=1e-10)


@pytest.mark.parametrize("count", [1, 100])
def test_rows_or_box_may_be_missing(count):
    nominal = jnp.asarray(random_problems(np.random.default_rng(5), 1, count)[0])
    none, weights = Halfplanes(jnp.zeros((0, 2, count)), jnp.zeros((0, count))), jnp.ones(2)
    np.testing.assert_array_equal(PROJECT(nominal, none, weights).u, nominal)
    limits = qp.Box(jnp.array([-1.0, -0.2]), jnp.array([0.3, 2.0]))
    found = PROJECT(nominal, none, weights, limits)
    np.testing.assert_allclose(found.u, jnp.clip(nominal.T, *limits).T, rtol=0, atol=1e-14)
    assert len(found.active) == 4
