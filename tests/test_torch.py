"""The layer for PyTorch: against brute force, `gradcheck` for every input, qpth's conventions, what is not copied."""

import importlib
import sys
from functools import cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import reference
from safepursuit.adapters.torch import ProjectionLayer, QPFunction, QPSolvers, ShieldLayer, bridge, filter, project
from safepursuit.robot import Unicycle
from safepursuit.shield import Shield

NOTHING = torch.Tensor()
WEIGHTS = (1.0, 0.25)


def draw(count, seed=0, rows=4):
    """Polygons about the origin with a row of zeros in each, and targets in and about them; float64, batch first."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(count, rows, 2))
    b = rng.uniform(0.1, 1.5, (count, rows)) * np.linalg.norm(A, axis=-1)
    A[np.arange(count), rng.integers(0, rows, count)] = 0
    return [torch.tensor(part) for part in (1.5 * rng.normal(size=(count, 2)), A, b)]


@cache
def ten_thousand():
    """Problems that are the same in both precisions, and their solutions by `reference.project`."""
    problems = [part.float().double() for part in draw(10_000, rows=10)]
    nominal, A, b = (np.moveaxis(part.numpy(), 0, -1) for part in problems)
    answer, feasible = reference.project(nominal, A, b, np.reshape(WEIGHTS, (2, 1)))
    assert feasible.all()
    return problems, answer.T


def smooth(count, each=3):
    """Problems that are not near a kink: every active row pushes with λ ≥ 0.05 and every other one is 0.05 away; some
    of each kind, with no, one and two active rows."""
    nominal, A, b = draw(count, seed=1)
    u, active, multipliers, _ = project(nominal, A, b, WEIGHTS)
    distance = b - (A * u[:, None]).sum(-1)
    clear = torch.where(active, multipliers, distance).amin(-1) > 0.05
    kinds = [torch.nonzero(clear & (active.sum(-1) == kind))[:each, 0] for kind in range(3)]
    assert all(len(kind) == each for kind in kinds)
    chosen = torch.cat(kinds)
    return nominal[chosen], A[chosen], b[chosen]


def multiply_and_add(x, y, z):
    """For what concerns the crossing from PyTorch to JAX alone."""
    return x * y + z, (x > y,)


@pytest.mark.wide
@pytest.mark.parametrize(("precision", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 2e-4)])
def test_ten_thousand_problems_agree_with_brute_force(precision, tolerance):
    problems, expected = ten_thousand()
    problems = [part.to(precision) for part in problems]
    done = project(*problems, WEIGHTS)
    assert done.u.dtype == done.multipliers.dtype == done.violation.dtype == precision
    assert (done.u.shape, done.active.shape, done.violation.shape) == ((10_000, 2), (10_000, 10), (10_000,))
    moved = np.abs(expected - problems[0].double().numpy()).max(-1) > 1e-3
    assert 0.3 < moved.mean() < 0.95
    error = np.abs(done.u.numpy() - expected).max(-1)
    assert error.max() < tolerance  # in float32 at corners of almost parallel rows only
    assert np.quantile(error, 0.99) < tolerance / 20
    assert done.active.any(-1).numpy()[moved].all()
    assert done.violation.max() == 0
    # The same through qpth's call, with diag(weights) shared by all problems.
    nominal, A, b = problems
    Q = torch.diag(torch.tensor(WEIGHTS, dtype=precision))
    answer = QPFunction()(Q, -nominal * Q.diagonal(), A, b, NOTHING, NOTHING)
    error = np.abs(answer.numpy() - expected).max(-1)
    assert answer.dtype == precision
    assert error.max() < tolerance
    assert np.quantile(error, 0.99) < tolerance / 20


def test_the_empty_polygon_is_answered_by_the_least_violation():
    """u₀ ≤ −1 and −u₀ ≤ −1: halfway between, one off each; and no gradient."""
    A, b = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.tensor([-1.0, -1.0], requires_grad=True)
    done = project(torch.tensor([0.3, 0.7]), A, b)
    torch.testing.assert_close(done.u, torch.tensor([0.0, 0.7]), atol=1e-5, rtol=0)
    assert float(done.violation) == pytest.approx(1, abs=1e-5)
    assert torch.autograd.grad(done.u.sum(), b)[0].abs().max() == 0


# --- derivatives -----------------------------------------------------------------------------------------------------


def test_gradcheck_for_every_input():
    weights = torch.tensor(WEIGHTS, dtype=torch.float64)
    inputs = [part.requires_grad_() for part in (*smooth(200), weights)]
    assert torch.autograd.gradcheck(lambda *parts: project(*parts).u, inputs, atol=1e-7, rtol=1e-6)


def test_gradcheck_of_qpths_call_with_a_full_matrix():
    nominal, A, b = smooth(200, each=2)
    Q = torch.tensor([[2.0, 0.6], [0.6, 1.0]], dtype=torch.float64).repeat(len(nominal), 1, 1)
    inputs = [part.requires_grad_() for part in (Q, -nominal, A, b)]
    solve = QPFunction(check_Q_spd=False)
    u = solve(*inputs, NOTHING, NOTHING)
    slack = (b - (A * u[:, None]).sum(-1)).abs()
    assert ((slack < 1e-12) | (slack > 1e-3)).all()  # far enough from a kink for gradcheck's step of 1e-6
    assert torch.autograd.gradcheck(lambda *parts: solve(*parts, NOTHING, NOTHING), inputs, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("wanted", [w for w in product([False, True], repeat=3) if any(w)])
def test_any_subset_of_inputs_can_ask_for_gradients(wanted):
    x, y, z = (torch.randn(4, 3, requires_grad=want) for want in wanted)
    result, _ = bridge.call(multiply_and_add, x, y, z)
    torch.testing.assert_close(result, x * y + z)
    cotangent = torch.arange(3.0).expand(4, 3)
    result.backward(cotangent)
    for part, want, expected in zip((x, y, z), wanted, (y * cotangent, x * cotangent, cotangent), strict=True):
        assert (part.grad is not None) == want
        if want:
            torch.testing.assert_close(part.grad, expected)


def test_gradients_can_be_taken_twice_but_not_of_gradients():
    x, y, z = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3), torch.randn(4, 3)
    result, _ = bridge.call(multiply_and_add, x, y, z)
    (first,) = torch.autograd.grad(result.sum(), x, retain_graph=True)
    (again,) = torch.autograd.grad(result.sum(), x, create_graph=True)
    assert torch.equal(first, y)
    assert torch.equal(again, y)
    with pytest.raises(RuntimeError, match="first derivatives only"):
        (result.sum() + again.square().sum()).backward()


def test_verdicts_carry_no_gradient_and_no_grad_is_respected():
    inputs = [torch.randn(4, 3, requires_grad=True) for _ in range(3)]
    result, verdict = bridge.call(multiply_and_add, *inputs)
    assert result.requires_grad
    assert not verdict.requires_grad
    assert torch.equal(verdict, inputs[0] > inputs[1])
    with torch.no_grad():
        again, _ = bridge.call(multiply_and_add, *inputs)
    assert not again.requires_grad
    assert torch.equal(result, again)


def test_changing_an_input_before_the_backward_pass_is_noticed():
    x, y, z = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3), torch.randn(4, 3)
    result, _ = bridge.call(multiply_and_add, x, y, z)
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        result.sum().backward()


def test_changing_the_result_changes_nothing_else():
    nominal, A, b = smooth(200)
    leaves = [part.clone().requires_grad_() for part in (nominal, A, b)]
    u = project(*leaves).u
    before = torch.autograd.grad(u.sum(), leaves, retain_graph=True)
    kept = u.detach().clone()
    with torch.no_grad():
        u.mul_(0)
    after = torch.autograd.grad(u.sum(), leaves)
    assert all(map(torch.equal, before, after))
    assert torch.equal(project(*leaves).u, kept)
    assert all(map(torch.equal, leaves, (nominal, A, b)))


# --- memory, shapes, precision, devices ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(64, 2), (64, 4, 2), (64, 4), (64,)])
def test_what_lies_in_order_is_not_copied(shape):
    batch_first = torch.randn(shape)
    batch_last = torch.randn(*shape[1:], shape[0]).movedim(-1, 0)
    for tensor in (batch_first, batch_last):
        array = bridge._to_jax(tensor)
        assert array.shape == (*shape[1:], shape[0])
        assert array.unsafe_buffer_pointer() == tensor.data_ptr()
        np.testing.assert_array_equal(np.moveaxis(np.asarray(array), -1, 0), tensor.numpy())
        (back,) = bridge._to_torch([array])
        assert back.data_ptr() == tensor.data_ptr()
    gaps = torch.randn(shape[0] * 2, *shape[1:])[::2]
    assert bridge._to_jax(gaps).unsafe_buffer_pointer() != gaps.data_ptr()


def test_any_layout_gives_the_same_answer():
    problems = [part.float() for part in draw(24)]
    expected = project(*problems).u
    for change in (
        lambda part: part.movedim(0, -1).contiguous().movedim(-1, 0),
        lambda part: part.repeat_interleave(2, 0)[::2],
        lambda part: torch.cat([part[:1], part])[1:],  # not aligned to 64 bytes
        lambda part: part.flip(0).flip(0),
    ):
        changed = [change(part) for part in problems]
        torch.testing.assert_close(project(*changed).u, expected, atol=1e-6, rtol=1e-6)
    nominal, A, b = problems
    shared = project(nominal, A[0], b[0]).u  # one polygon for all, by broadcasting
    torch.testing.assert_close(shared, project(nominal, A[:1].expand_as(A), b[:1].expand_as(b)).u)


def test_batch_axes_are_kept():
    nominal, A, b = draw(24)
    expected = project(nominal, A, b)
    shaped = project(nominal.reshape(4, 6, 2), A.reshape(4, 6, 4, 2), b.reshape(4, 6, 4))
    for got, part in zip(shaped, expected, strict=True):
        assert torch.equal(got.flatten(0, 1), part)
    alone = project(nominal[3], A[3], b[3])
    assert alone.u.shape == (2,)
    assert alone.violation.shape == ()
    torch.testing.assert_close(alone.u, expected.u[3])


def test_an_empty_batch_and_no_rows():
    nominal, A, b = (part.requires_grad_() for part in draw(0))
    u = project(nominal, A, b).u
    assert u.shape == (0, 2)
    gradients = torch.autograd.grad(u.sum(), (nominal, A, b))
    assert [gradient.shape for gradient in gradients] == [(0, 2), (0, 4, 2), (0, 4)]
    target = torch.randn(5, 2, requires_grad=True)
    free = project(target, torch.empty(5, 0, 2), torch.empty(5, 0)).u
    assert torch.equal(free, target)
    assert torch.autograd.grad(free.sum(), target)[0].unique().tolist() == [1]


def test_jax_keeps_its_precision_and_compiles_once_for_each_shape():
    before = jax.config.jax_enable_x64
    assert project(*draw(8)).u.dtype == torch.float64
    assert jax.config.jax_enable_x64 == before
    assert jnp.zeros(1).dtype == (jnp.float64 if before else jnp.float32)
    traced = []

    def doubled(x):
        traced.append(x.shape)
        return 2 * x, ()

    for count in (3, 4, 3, 4, 3):
        (result,) = bridge.call(doubled, torch.ones(count))
        assert result.tolist() == [2.0] * count
    for _ in range(3):
        leaf = torch.ones(3, requires_grad=True)
        bridge.call(doubled, leaf)[0].sum().backward()
        assert leaf.grad.tolist() == [2.0] * 3
    assert traced == [(3,), (4,), (3,)]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda n, A, b: (n.float(), A, b), TypeError, "all tensors must be float32, or all float64"),
        (lambda n, A, b: (n.half(), A.half(), b.half()), TypeError, "not torch.float16"),
        (lambda n, A, b: (n, A, b.to("meta")), ValueError, "on the same device"),
        (
            lambda n, A, b: [part.to("meta") for part in (n, A, b)],
            RuntimeError,
            "JAX cannot take over a tensor on meta",
        ),
        (lambda n, A, b: (n, A, b[:, :-1]), ValueError, "one bound a row"),
        (lambda n, A, b: (n[:, :1], A, b), ValueError, r"takes nominal \(…, 2\)"),
    ],
)
def test_what_does_not_fit_is_refused(change, error, message):
    with pytest.raises(error, match=message):
        project(*change(*draw(4)))


def test_the_layer_is_a_module():
    layer = ProjectionLayer(WEIGHTS)
    nominal, A, b = (part.float() for part in draw(24))
    network = torch.nn.Linear(2, 2)
    layer(network(nominal), A, b).sum().backward()
    assert network.weight.grad.abs().max() > 0
    assert list(layer.state_dict()) == ["weights"]
    assert "0.25" in repr(layer)
    torch.testing.assert_close(layer(nominal, A, b), project(nominal, A, b, WEIGHTS).u)
    assert layer.double()(*draw(2)).dtype == torch.float64
    with pytest.raises(ValueError, match="two positive numbers"):
        ProjectionLayer((1.0, 0.0))


# --- qpth's call -----------------------------------------------------------------------------------------------------


def full_problems(count):
    """Problems with full matrices, and their solutions by way of Q = V D Vᵀ, z = V y: a projection in diag(D)."""
    rng = np.random.default_rng(5)
    p, G, h = draw(count, seed=5)
    root = rng.normal(size=(count, 2, 2)) + 1.5 * np.eye(2)
    Q = root @ np.swapaxes(root, 1, 2) + 0.2 * np.eye(2)
    D, V = np.linalg.eigh(Q)
    target = -np.einsum("nji,nj->ni", V, p.numpy()) / D
    rows = np.einsum("nrj,nji->nri", G.numpy(), V)
    y, feasible = reference.project(target.T, np.moveaxis(rows, 0, -1), h.numpy().T, D.T)
    assert feasible.all()
    return torch.tensor(Q), p, G, h, np.einsum("nij,nj->ni", V, y.T)


def test_full_matrices_agree_with_brute_force():
    *parameters, expected = full_problems(2000)
    answer = QPFunction(verbose=-1)(*parameters, NOTHING, NOTHING)
    assert np.abs(answer.numpy() - expected).max() < 1e-8


@pytest.mark.parametrize("batched", list(product([False, True], repeat=4)))
def test_parameters_without_a_batch_are_shared(batched):
    """All 16 ways; the answer always has the batch axis, and a shared tensor receives the sum of the gradients."""
    Q, p, G, h, _ = full_problems(3)
    chosen = [
        part.clone() if with_batch else part[0].clone() for part, with_batch in zip((Q, p, G, h), batched, strict=True)
    ]
    count = 3 if any(batched) else 1
    for part in chosen:
        part.requires_grad_()
    answer = QPFunction()(*chosen, NOTHING, NOTHING)
    assert answer.shape == (count, 2)
    repeated = [
        part if with_batch else part.repeat(count, *(1,) * part.ndim)
        for part, with_batch in zip(chosen, batched, strict=True)
    ]
    alone = torch.cat([QPFunction()(*(part[i] for part in repeated), NOTHING, NOTHING) for i in range(count)])
    torch.testing.assert_close(answer, alone)
    for got, expected in zip(
        torch.autograd.grad(answer.sum(), chosen), torch.autograd.grad(alone.sum(), chosen), strict=True
    ):
        torch.testing.assert_close(got, expected)


def test_qpths_settings_are_taken_and_its_refusals_kept():
    Q, p, G, h, _ = full_problems(3)
    solve = QPFunction(eps=1e-9, verbose=-1, notImprovedLim=5, maxIter=30, solver=QPSolvers.CVXPY, check_Q_spd=True)
    assert solve(Q, p, G, h, NOTHING, NOTHING).shape == (3, 2)
    with pytest.raises(RuntimeError, match=r"Q is not SPD\."):
        solve(-Q, p, G, h, NOTHING, NOTHING)
    with pytest.raises(ValueError, match="equality constraints are not provided for"):
        solve(Q, p, G, h, torch.ones(1, 2), torch.ones(1))
    with pytest.raises(ValueError, match="two variables"):
        solve(torch.eye(3), torch.ones(3), torch.ones(4, 3), torch.ones(4), NOTHING, NOTHING)
    with pytest.raises(ValueError, match="same number of problems"):
        solve(Q, p[:2], G, h, NOTHING, NOTHING)
    with pytest.raises(ValueError, match="number of rows"):
        solve(Q, p, G, h[:, 1:], NOTHING, NOTHING)


# --- the whole shield ------------------------------------------------------------------------------------------------

HALF = (3.0, 2.0)
SHIELD = {"half_extents": HALF, "robot": Unicycle(), "shield": Shield()}
DISCS = torch.tensor([[1.0, 0.5, 0.4], [-1.0, -0.5, 0.6], [float("nan")] * 3], dtype=torch.float64)


def clear_poses(count):
    """Poses (count, 3) whose body touches nothing, and nominal controls (count, 2)."""
    rng = np.random.default_rng(0)
    pose = rng.uniform([-3, -2, -np.pi], [3, 2, np.pi], (20 * count, 3))
    pose = pose[clearance(pose[:, :2].T) > 0][:count]
    assert len(pose) == count
    return torch.tensor(pose), torch.tensor(rng.uniform([0, -3], [1.2, 3], (count, 2)))


def clearance(point):
    present = np.array([True, True, False])
    return reference.body_clearance(point, 0.15, DISCS[:, :2].numpy().T, DISCS[:, 2].numpy(), present, np.array(HALF))


def test_the_shield_keeps_clear_for_any_gains_and_acts_only_where_needed():
    pose, nominal = clear_poses(2000)
    gains = torch.rand(2000, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    done = filter(nominal, pose, DISCS, gains, **SHIELD)
    after = reference.motion(pose.numpy().T, done.control.numpy().T, 0.05, "euler")
    unsafe = reference.motion(pose.numpy().T, nominal.numpy().T, 0.05, "euler")
    assert clearance(after[:2]).min() >= 0
    assert clearance(unsafe[:2]).min() < 0
    np.testing.assert_allclose(done.clearance.numpy(), clearance(pose[:, :2].numpy().T), atol=1e-12)
    assert 0.1 < done.intervened.double().mean() < 0.9
    v, turn_rate = done.control.unbind(-1)
    inside = (nominal[:, 0] <= 1) & (nominal[:, 1].abs() <= 2.84)
    idle = inside & ~done.intervened
    torch.testing.assert_close(done.control[idle], nominal[idle])
    assert v.min() >= 0
    assert v.max() <= 1
    assert turn_rate.abs().max() <= 2.84 + 1e-12


@pytest.mark.wide
def test_gradcheck_of_the_shield():
    """At poses where a row of the disc holds the control, one row and not at a corner."""
    pose = torch.tensor([[0.2, 0.45, 0.1], [0.25, 0.6, -0.2]], dtype=torch.float64)
    nominal = torch.tensor([[0.9, 0.1], [0.8, -0.2]], dtype=torch.float64)
    gains = torch.full((2, 7), 0.3, dtype=torch.float64)
    assert filter(nominal, pose, DISCS, gains, **SHIELD).intervened.all()
    inputs = [part.requires_grad_() for part in (nominal, pose, gains)]
    layer = ShieldLayer(**SHIELD)
    assert torch.autograd.gradcheck(lambda n, x, g: layer(n, x, DISCS, g), inputs, atol=1e-7, rtol=1e-6)
    discs = DISCS.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(layer(nominal, pose, discs, gains).sum(), discs)
    assert gradient[0].abs().max() > 0
    assert gradient[2].abs().max() == 0  # padding, whatever stands there


def test_the_shield_refuses_what_breaks_its_theorems():
    with pytest.raises(ValueError, match="theorem 2 needs"):
        ShieldLayer(**SHIELD | {"robot": Unicycle(max_speed=5.0)})
    for half_extents in ((), (3.0,), (3.0, 2.0, 1.0), (3.0, 0.0), (float("nan"), 2.0)):
        with pytest.raises(ValueError, match="half_extents takes two positive lengths"):
            ShieldLayer(**SHIELD | {"half_extents": half_extents})
    wide = SHIELD | {"half_extents": (700.0, 700.0)}
    with pytest.raises(ValueError, match="does not cover rounding"):
        ShieldLayer(**wide)
    single, double = (torch.ones(2, dtype=dtype) for dtype in (torch.float32, torch.float64))
    with pytest.raises(ValueError, match="does not cover rounding"):
        filter(single, single.new_zeros(3), single.new_ones(1, 3), **wide)
    assert filter(double, double.new_zeros(3), 9 * double.new_ones(1, 3), **wide).feasible
    with pytest.raises(ValueError, match="the shield takes nominal"):
        filter(torch.ones(2), torch.ones(2), torch.ones(1, 3), **SHIELD)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), -0.1])
@pytest.mark.parametrize("column", range(3))
def test_a_disc_that_is_no_disc_is_refused(column, bad):
    pose, nominal = clear_poses(3)
    discs = DISCS.repeat(3, 1, 1)
    discs[1, 0, column] = bad
    if bad == -0.1 and column < 2:
        filter(nominal, pose, discs, **SHIELD)  # a place
        return
    with pytest.raises(ValueError, match=r"three finite numbers x, y, radius \[m\], the radius not negative, not \["):
        filter(nominal, pose, discs, **SHIELD)


@pytest.mark.parametrize("half", [(3.0, float("nan")), (float("inf"), 2.0), (3.0, 0.0), (-3.0, 2.0)])
def test_walls_that_are_no_walls_are_refused(half):
    with pytest.raises(ValueError, match="two positive lengths"):
        ShieldLayer(**SHIELD | {"half_extents": half})
    with pytest.raises(ValueError, match="two positive lengths"):
        filter(torch.ones(2), torch.zeros(3), DISCS.float(), **SHIELD | {"half_extents": half})


def test_without_a_guarantee_the_shield_says_so():
    """A pose that is not finite, a body in a disc, a body on a disc's centre, a heading of many turns; a clear one."""
    nan = float("nan")
    pose = torch.tensor([[nan, 0.0, 0.0], [0.5, 0.5, 0.0], [1.0, 0.5, 0.0], [0, 0, 1e30], [0.0, -1.0, 0.0]])
    done = filter(torch.tensor([0.5, 0.3]).expand(5, 2), pose, DISCS.float(), **SHIELD)
    assert done.feasible.tolist() == [False, False, False, False, True]
    assert done.control[:, 0].tolist() == pytest.approx([0, 0, 0, 0, 0.5])
    assert done.clearance[1:3].tolist() == pytest.approx([-0.05, -0.55], abs=1e-6)  # 0.5 − 0.4 − 0.15; −0.4 − 0.15


def test_without_pytorch_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "safepursuit.adapters.torch")
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'safepursuit\[torch\]'"):
        importlib.import_module("safepursuit.adapters.torch")
