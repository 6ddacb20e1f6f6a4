"""The Beta distribution against scipy, and its density on the safe controls against numerical integration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize_scalar

from attack import draw_poses, draw_scenes
from safepursuit import shield
from safepursuit.policy import beta, safe_set
from safepursuit.policy.beta import Beta
from safepursuit.qp import Halfplanes
from safepursuit.robot import Unicycle
from safepursuit.shield import Shield
from test_safe_set import from_polygon
from tiny import few

pytestmark = pytest.mark.usefixtures("float64")

ROBOT, SHIELD = Unicycle(), Shield()
COUNT = 200
JAX = 2e-6
"""JAX's betaln is no better than this, also in double precision."""


@pytest.fixture(scope="module")
def parameters(float64):
    """α and β of (2, 200) Betas, from nearly uniform to as narrow as they get."""
    return 1 + np.exp(np.random.default_rng(0).uniform(np.log(1e-3), np.log(100), (2, 2, COUNT)))


def of(parameters):
    return Beta(*jnp.asarray(parameters - 1))


def test_the_log_probability_is_that_of_scipy(parameters):
    z = np.random.default_rng(1).uniform(1e-6, 1 - 1e-6, (2, COUNT))
    z[:, :3], z[:, 3:6] = 1e-6, 1 - 1e-6
    expected = stats.beta.logpdf(z, *parameters).sum(0)
    np.testing.assert_allclose(beta.log_prob(of(parameters), jnp.asarray(z)), expected, rtol=1e-12, atol=2 * JAX)


def test_the_entropy_is_that_of_scipy(parameters):
    expected = stats.beta.entropy(*parameters).sum(0)
    np.testing.assert_allclose(beta.entropy(of(parameters)), expected, rtol=1e-12, atol=2 * JAX)


def test_the_standard_deviation_is_that_of_scipy(parameters):
    np.testing.assert_allclose(beta.std(of(parameters)), stats.beta.std(*parameters), rtol=1e-12)


def test_the_mode_is_where_the_density_is_greatest(parameters):
    mode = np.asarray(beta.mode(of(parameters)))
    for k in range(0, COUNT, 10):
        for row in range(2):
            a, b = parameters[:, row, k]
            best = minimize_scalar(
                lambda z, a=a, b=b: -stats.beta.logpdf(z, a, b),
                bounds=(0, 1),
                method="bounded",
                options={"xatol": 1e-9},
            )
            reached = stats.beta.logpdf(np.clip(mode[row, k], 1e-12, 1 - 1e-12), a, b)
            assert reached >= -best.fun - 1e-9
            assert mode[row, k] == pytest.approx(best.x, abs=1e-4 if min(a, b) > 1.05 else 0.05)


@pytest.mark.parametrize(("a", "b"), [(0.01, 0.01), (2.0, 5.0), (100.0, 1.0)])
def test_samples_follow_the_distribution(a, b):
    distribution = Beta(jnp.full((2, 5000), a), jnp.full((2, 5000), b))
    drawn = np.asarray(beta.sample(jax.random.key(3), distribution))
    for row in drawn:
        assert stats.kstest(row, "beta", (1 + a, 1 + b)).pvalue > 0.01
    assert abs(np.corrcoef(drawn)[0, 1]) < 0.05
    # And so the mean surprise of a sample is the entropy.
    surprise = -np.asarray(beta.log_prob(distribution, jnp.asarray(drawn)))
    error = surprise.std() / np.sqrt(surprise.size)
    assert surprise.mean() == pytest.approx(float(beta.entropy(distribution)[0]), abs=4 * error + 1e-9)


def test_parameters_saturate_and_stay_above_one():
    outputs = jnp.asarray([-1e4, -50.0, -1.0, 0.0, 1.0, 50.0, 200.0, 1e4, 1e30])
    a = np.asarray(beta.from_outputs(jnp.broadcast_to(outputs, (4, 9))).a[0])
    assert (a > 0).all()
    assert (np.diff(a) >= 0).all()
    assert a[3] == pytest.approx(np.log(2), rel=0.01)  # near softplus while it is small
    np.testing.assert_allclose(a[-2:], 100, rtol=1e-3)
    np.testing.assert_allclose(a[:1], 0, atol=1e-5)


@jax.jit
def slopes(outputs, z):
    """d(log-probability, entropy, mode, std)/d(outputs)."""

    def each(outputs):
        distribution = beta.from_outputs(outputs)
        parts = (beta.log_prob(distribution, z), beta.entropy(distribution))
        return jnp.stack([*parts, *beta.mode(distribution), *beta.std(distribution)])

    return (
        each(outputs),
        jax.jvp(each, (outputs,), (jnp.ones_like(outputs),))[1],
        jax.grad(lambda o: each(o).sum())(outputs),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_and_derivatives_are_finite_whatever_the_network_says(dtype):
    rng = np.random.default_rng(4)
    outputs = rng.choice([-1e4, -100.0, -1.0, 0.0, 3.0, 100.0, 1e4], (4, COUNT)).astype(dtype)
    z = rng.choice([1e-6, 0.3, 1 - 1e-6], (2, COUNT)).astype(dtype)
    for leaf in slopes(outputs, z):
        assert leaf.dtype == dtype
        assert np.isfinite(leaf).all()


@pytest.mark.wide
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_samples_keep_off_the_rim_whatever_the_network_says(dtype):
    rng = np.random.default_rng(5)
    outputs = rng.choice([-1e4, 0.0, 1e4], (4, COUNT)).astype(dtype)
    distribution = beta.from_outputs(jnp.asarray(outputs))
    drawn = beta.sample(jax.random.key(0), distribution)
    assert drawn.dtype == dtype
    assert float(drawn.min()) > 0
    assert float(drawn.max()) < 1
    assert np.isfinite(beta.log_prob(distribution, drawn)).all()


def test_derivatives_are_those_of_finite_differences():
    rng = np.random.default_rng(6)
    outputs, z = rng.normal(0, 2, (4, COUNT)), rng.uniform(0.01, 0.99, (2, COUNT))
    _, along, _ = slopes(outputs, z)
    step = 1e-5
    ends = (np.asarray(slopes(outputs + sign * step, z)[0]) for sign in (1, -1))
    np.testing.assert_allclose(along, np.subtract(*ends) / (2 * step), rtol=1e-6, atol=1e-7)


# --- the density of the control --------------------------------------------------------------------------------------

SHAPES = ((3.0, 1.5), (2.0, 3.0))
"""a and b, for speed and turn rate."""


@pytest.fixture(scope="module")
def polygons(float64):
    """Poses whose polygon is cut by barriers and wide in both directions: rows (rows, 2, count)."""
    rng = np.random.default_rng(7)
    scene = draw_scenes(rng, 2000)
    pose = draw_poses(rng, scene)
    rows = jax.jit(lambda: shield.problem(SHIELD, ROBOT, shield.survey(SHIELD, ROBOT, jnp.asarray(pose), scene)))()
    low, high = (np.asarray(end) for end in safe_set.swing_range(rows))
    middle = np.asarray(safe_set.speed_range(rows, jnp.asarray(0.5 * (low + high)))[1])
    cut = np.flatnonzero((high - low > 0.1) & (middle > 0.2) & (middle < 0.6))[:4]
    assert len(cut) == 4
    return [Halfplanes(rows.A[..., k], rows.b[:, k]) for k in cut]


@jax.jit
def density(rows, v, turn_rate):
    """Of the control (v, ω), where it is in the polygon: that of z less log|det ∂T/∂z| at z = T⁻¹(control)."""
    distribution = Beta(*(jnp.asarray(one) for one in zip(*SHAPES, strict=True)))

    def at(v, turn_rate):
        control = jnp.stack([v, turn_rate])
        z = from_polygon(ROBOT, rows, control)
        # By differences: the derivative of a minimum by JAX needs each fused copy of it to be rounded alike.
        ends = ([safe_set.polygon(ROBOT, rows, z + sign * step) for sign in (1, -1)] for step in 1e-6 * jnp.eye(2))
        jacobian = jnp.stack([(high - low) / 2e-6 for high, low in ends], axis=1)
        z = jnp.clip(z, 1e-12, 1 - 1e-12)
        value = beta.log_prob(distribution, z) - jnp.log(jnp.abs(jnp.linalg.det(jacobian)))
        inside = jnp.all(rows.A @ jnp.stack([v, jnp.sin(turn_rate * ROBOT.dt)]) <= rows.b)
        return jnp.where(inside, jnp.exp(value), 0)

    return jax.vmap(at)(v, turn_rate)


CELLS = 500


@pytest.mark.wide
@pytest.mark.parametrize("number", few([0, 1, 2, 3]))
def test_the_density_of_the_control_integrates_to_one(polygons, number):
    """Midpoint sums over the actuator box; and half-planes hold as much of the sum as of the samples."""
    rows = polygons[number]
    v, turn_rate = (np.arange(CELLS) + 0.5) / CELLS, 2.84 * (2 * (np.arange(CELLS) + 0.5) / CELLS - 1)
    grid = np.stack(np.meshgrid(v, turn_rate, indexing="ij")).reshape(2, -1)
    weight = np.asarray(density(rows, *grid)) * (1 / CELLS) * (2 * 2.84 / CELLS)
    assert weight.sum() == pytest.approx(1, abs=2e-3)
    assert 0.1 < (weight > 0).mean() < 0.9
    count = 20_000
    shapes = (jnp.broadcast_to(jnp.asarray(one)[:, None], (2, count)) for one in zip(*SHAPES, strict=True))
    z = beta.sample(jax.random.key(8), Beta(*shapes))
    many = Halfplanes(rows.A[..., None], rows.b[:, None])
    control = np.asarray(safe_set.polygon(ROBOT, many, z))
    for a, b, c in ((1, 0, 0.2), (0, 1, 0.0), (0, 1, 1.0), (1, 0.3, 0.3), (-1, 0.2, -0.1)):
        expected = weight[a * grid[0] + b * grid[1] <= c].sum()
        frequency = (a * control[0] + b * control[1] <= c).mean()
        assert frequency == pytest.approx(expected, abs=4 * 0.5 / np.sqrt(count) + 2e-3)
