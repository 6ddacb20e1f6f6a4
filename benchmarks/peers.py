"""The solvers under comparison, each behind the same two calls.

`prepare(problems, cotangent)` converts a batch into what the solver takes, untimed, and returns

    solve()      the solutions (count, 2)
    pullback()   solve, then the gradient of Σ cotangent·u with respect to the nominal (count, 2)

Every solver's backward pass covers the nominal, A and b, as a policy with learned constraints needs them; only the part
of the nominal is handed back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from typing import Any

import cvxpy
import jax
import jax.numpy as jnp
import numpy as np
import osqp
import proxsuite
import qpax
import scipy.sparse
import torch
from cvxpylayers.torch import CvxpyLayer
from qpth.qp import QPFunction

import projection
from problems import Problems
from safepursuit.qp import Halfplanes, project

Call = Callable[[], np.ndarray]


@dataclass(frozen=True)
class Solver:
    """One line of the comparison."""

    name: str
    settings: str
    prepare: Callable[[Problems, np.ndarray], tuple[Call, Call]]
    most: int = 16384
    """Largest batch that is timed; for a solver that takes one problem after the other, a larger one says nothing."""


def _in_shield(where: str, *solves: Callable[..., Any]) -> Callable[[Problems, np.ndarray], tuple[Call, Call]]:
    """`projection.in_context` with each of these in place of the projection: times, but no answers."""

    @cache  # all batches of one size are the same robots, and share their programs
    def programs(rows: int) -> list[Callable[..., Any]]:
        return [jax.jit(partial(projection.in_context, solve, rows)) for solve in solves]

    def prepare(problems: Problems, cotangent: np.ndarray) -> tuple[Call, Call]:
        count, rows, _ = problems.A.shape
        given = jax.tree.map(
            lambda leaf: jnp.asarray(leaf, jnp.float32 if leaf.dtype == np.float64 else leaf.dtype),
            projection.inputs(count, where),
        )
        one, two = programs(rows)
        return lambda: np.asarray(one(given)), lambda: np.asarray(two(given))

    return prepare


def _safepursuit(dtype: Any, *, boxed: bool = False) -> Callable[[Problems, np.ndarray], tuple[Call, Call]]:
    """With the first four rows, the actuator limits in any unit, as a box if so asked: the way of the shield."""

    def answer(nominal, A, b, weights):
        if not boxed:
            return project(nominal, Halfplanes(A, b), weights).u
        limits = b[:4] / jnp.sum(jnp.abs(A[:4]), axis=1)
        rows, box = projection.boxed(Halfplanes(A, jnp.concatenate([limits, b[4:]])))
        return project(nominal, rows, weights, box).u

    forward = jax.jit(answer)

    @jax.jit
    def backward(nominal, A, b, weights, cotangent):
        _, pull = jax.vjp(lambda *inputs: answer(*inputs, weights), nominal, A, b)
        return pull(cotangent)

    def prepare(problems: Problems, cotangent: np.ndarray) -> tuple[Call, Call]:
        arrays = (problems.nominal.T, np.moveaxis(problems.A, 0, -1), problems.b.T, problems.weights)
        inputs = [jnp.asarray(np.ascontiguousarray(array), dtype) for array in arrays]
        direction = jnp.asarray(cotangent.T, dtype)
        return (
            lambda: np.asarray(forward(*inputs)).T,
            lambda: np.asarray(jax.block_until_ready(backward(*inputs, direction))[0]).T,
        )

    return prepare


def _qpax(**options: float) -> Callable[[Problems, np.ndarray], tuple[Call, Call]]:
    def one(nominal, A, b, weights):
        none = jnp.zeros((0, 2)), jnp.zeros(0)
        return qpax.solve_qp_primal(jnp.diag(weights), -weights * nominal, *none, A, b, **options)

    many = jax.vmap(one, in_axes=(0, 0, 0, None))
    forward = jax.jit(many)

    @jax.jit
    def backward(nominal, A, b, weights, cotangent):
        _, pull = jax.vjp(lambda *inputs: many(*inputs, weights), nominal, A, b)
        return pull(cotangent)

    def prepare(problems: Problems, cotangent: np.ndarray) -> tuple[Call, Call]:
        inputs = [jnp.asarray(array) for array in (problems.nominal, problems.A, problems.b, problems.weights)]
        direction = jnp.asarray(cotangent)
        return (
            lambda: np.asarray(forward(*inputs)),
            lambda: np.asarray(jax.block_until_ready(backward(*inputs, direction))[0]),
        )

    return prepare


def _torch_layer(
    build: Callable[[Problems], Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]],
) -> Callable[[Problems, np.ndarray], tuple[Call, Call]]:
    def prepare(problems: Problems, cotangent: np.ndarray) -> tuple[Call, Call]:
        layer, direction = build(problems), torch.tensor(cotangent)
        inputs = [torch.tensor(array) for array in (problems.nominal, problems.A, problems.b)]
        learned = [tensor.clone().requires_grad_() for tensor in inputs]

        def solve() -> np.ndarray:
            with torch.no_grad():
                return layer(*inputs).numpy()

        def pullback() -> np.ndarray:
            gradient, *_ = torch.autograd.grad(layer(*learned), learned, direction)
            return gradient.numpy()

        return solve, pullback

    return prepare


def _qpth(**options: int):
    def build(problems: Problems):
        weights = torch.tensor(problems.weights)
        metric = torch.diag(weights).expand(len(problems.nominal), 2, 2)
        nothing = torch.empty(0, dtype=torch.float64)
        solver = QPFunction(verbose=-1, **options)
        return lambda nominal, A, b: solver(metric, -weights * nominal, A, b, nothing, nothing)

    return build


def _cvxpylayers(**options: float):
    @cache
    def compiled(rows: int, scale: tuple[float, ...]) -> CvxpyLayer:
        u, nominal = cvxpy.Variable(2), cvxpy.Parameter(2)
        A, b = cvxpy.Parameter((rows, 2)), cvxpy.Parameter(rows)
        cost = 0.5 * cvxpy.sum_squares(cvxpy.multiply(np.array(scale), u - nominal))
        program = cvxpy.Problem(cvxpy.Minimize(cost), [A @ u <= b])
        return CvxpyLayer(program, parameters=[nominal, A, b], variables=[u], solver_args=options)

    def build(problems: Problems):
        layer = compiled(problems.A.shape[1], tuple(np.sqrt(problems.weights)))
        return lambda *inputs: layer(*inputs)[0]

    return build


def _proxqp(problems: Problems, cotangent: np.ndarray) -> tuple[Call, Call]:
    """Workspaces are allocated beforehand and no solution is reused."""
    count, rows, _ = problems.A.shape
    dense, weights = proxsuite.proxqp.dense, problems.weights
    programs = [dense.QP(2, 0, rows) for _ in range(count)]
    for qp, nominal, A, b in zip(programs, problems.nominal, problems.A, problems.b, strict=True):
        qp.settings.eps_abs = 1e-9
        qp.settings.initial_guess = proxsuite.proxqp.InitialGuess.NO_INITIAL_GUESS
        qp.init(np.diag(weights), -weights * nominal, None, None, A, np.full(rows, -1e20), b)
    directions = np.concatenate([cotangent, np.zeros((count, rows))], axis=1)

    def solve() -> np.ndarray:
        for qp, nominal, A, b in zip(programs, problems.nominal, problems.A, problems.b, strict=True):
            qp.update(g=-weights * nominal, C=A, u=b)
            qp.solve()
        return np.array([qp.results.x for qp in programs])

    def pullback() -> np.ndarray:
        solve()
        for qp, direction in zip(programs, directions, strict=True):
            dense.compute_backward(qp=qp, loss_derivative=direction, eps=1e-9)
        return np.array([-weights * qp.model.backward_data.dL_dg for qp in programs])

    return solve, pullback


def _osqp(**options: float) -> Callable[[Problems, np.ndarray], tuple[Call, Call]]:
    """One workspace, updated from problem to problem, without warm start."""

    def prepare(problems: Problems, cotangent: np.ndarray) -> tuple[Call, Call]:
        rows, weights = problems.A.shape[1], problems.weights
        solver = osqp.OSQP()
        solver.setup(
            scipy.sparse.csc_matrix(np.diag(weights)),
            np.zeros(2),
            scipy.sparse.csc_matrix(np.ones((rows, 2))),  # every entry kept, zeros included: they change
            np.full(rows, -np.inf),
            problems.b[0],
            verbose=False,
            warm_starting=False,
            **options,
        )
        columns = np.ascontiguousarray(np.swapaxes(problems.A, 1, 2)).reshape(len(problems.A), -1)

        def run(after: Callable[[Any, int], np.ndarray]) -> np.ndarray:
            answers = []
            for i, (nominal, entries, b) in enumerate(zip(problems.nominal, columns, problems.b, strict=True)):
                solver.update(q=-weights * nominal, Ax=entries, u=b)
                answers.append(after(solver.solve(), i))
            return np.array(answers)

        def gradient(_: Any, i: int) -> np.ndarray:
            try:
                solver.adjoint_derivative_compute(dx=cotangent[i])
            except ValueError:  # it gives none where it did not reach its tolerance
                return np.full(2, np.nan)
            solver.adjoint_derivative_get_mat()
            return -weights * solver.adjoint_derivative_get_vec()[0]

        return lambda: run(lambda result, _: result.x), lambda: run(gradient)

    return prepare


def timed_only(where: str) -> list[Solver]:
    """Poses and scenes go in, all that comes out is summed up: the projection as it is used, and what is around it."""
    return [
        Solver("safepursuit", "float32, in the shield", _in_shield(where, projection.forward, projection.both)),
        Solver("(the shield without it)", "float32", _in_shield(where, projection.nothing, projection.nothing)),
    ]


SOLVERS = [
    Solver("safepursuit", "float64", _safepursuit(jnp.float64)),
    Solver("safepursuit", "float32", _safepursuit(jnp.float32)),
    Solver("safepursuit", "float32, limits as a box", _safepursuit(jnp.float32, boxed=True)),
    Solver(f"qpth {version('qpth')}", "defaults", _torch_layer(_qpth())),
    Solver(f"qpth {version('qpth')}", "30 iterations", _torch_layer(_qpth(maxIter=30, notImprovedLim=5))),
    Solver(f"cvxpylayers {version('cvxpylayers')}", "defaults", _torch_layer(_cvxpylayers()), 1024),
    Solver(f"cvxpylayers {version('cvxpylayers')}", "eps 1e-9", _torch_layer(_cvxpylayers(eps=1e-9)), 1024),
    Solver(f"qpax {version('qpax')}", "defaults", _qpax()),
    Solver(f"qpax {version('qpax')}", "tolerance and κ 1e-9", _qpax(solver_tol=1e-9, target_kappa=1e-9)),
    Solver(f"ProxQP {version('proxsuite')}", "eps 1e-9", _proxqp, 1024),
    Solver(f"OSQP {version('osqp')}", "defaults", _osqp(), 1024),
    Solver(f"OSQP {version('osqp')}", "eps 1e-9", _osqp(eps_abs=1e-9, eps_rel=1e-9, max_iter=100_000), 1024),
]
