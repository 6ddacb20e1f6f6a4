"""Laws of the plane: angles, frames, and distances of moving points against dense sampling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
from safepursuit import geometry

pytestmark = pytest.mark.usefixtures("float64")

LAWS = settings(deadline=None, max_examples=100)

number = st.floats(-5, 5).map(lambda x: round(x, 9))  # whose squares do not underflow
vector = st.tuples(number, number).map(np.array)
angle = st.floats(-1e3, 1e3)

wrap = jax.jit(geometry.wrap_angle)
direction = jax.jit(geometry.direction)
length = jax.jit(geometry.length)
unit = jax.jit(geometry.unit)
to_body = jax.jit(geometry.to_body_frame)
segment_minimum = jax.jit(geometry.segment_minimum)
ray_disc = jax.jit(geometry.ray_disc_hit)
ray_slab = jax.jit(geometry.ray_slab_hit)


def near_odd_multiples_of_pi(dtype):
    """π, 3π, … and −π, −3π, … and their neighbours among floating-point numbers, where wrapping is delicate."""
    turns = np.asarray(np.pi * np.arange(-9, 10, 2), dtype)
    values = [turns]
    for towards in (-np.inf, np.inf):
        neighbour = turns
        for _ in range(4):
            neighbour = np.nextafter(neighbour, np.asarray(towards, dtype))
            values.append(neighbour)
    return np.concatenate(values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_wrapped_angle_lies_in_the_half_open_interval(dtype):
    rng = np.random.default_rng(0)
    angles = np.concatenate([near_odd_multiples_of_pi(dtype), rng.uniform(-50, 50, 10_000).astype(dtype)])
    wrapped = np.asarray(wrap(angles))
    assert wrapped.dtype == dtype
    assert wrapped.min() >= -np.asarray(np.pi, dtype)
    assert wrapped.max() < np.asarray(np.pi, dtype)
    error = 20 * np.finfo(dtype).eps * (1 + np.abs(angles))
    assert (np.abs(np.cos(wrapped) - np.cos(angles)) <= error).all()
    assert (np.abs(np.sin(wrapped) - np.sin(angles)) <= error).all()


@LAWS
@given(angle)
def test_wrapping_keeps_the_direction_and_wrapping_twice_changes_nothing(theta):
    wrapped = wrap(theta)
    assert -np.pi <= wrapped < np.pi
    assert abs((theta - wrapped) / (2 * np.pi) - round((theta - float(wrapped)) / (2 * np.pi))) < 1e-9
    np.testing.assert_allclose(wrap(wrapped), wrapped, atol=1e-15)
    np.testing.assert_allclose(direction(wrapped), [np.cos(theta), np.sin(theta)], atol=1e-12)


@LAWS
@given(angle, vector)
def test_body_frame_keeps_lengths_and_comes_back(theta, world):
    body = np.asarray(to_body(theta, world))
    np.testing.assert_allclose(length(body), np.linalg.norm(world), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(to_body(-theta, body), world, atol=1e-12)
    # Forward of the heading is +x, its left is +y.
    np.testing.assert_allclose(to_body(theta, direction(theta)), [1, 0], atol=1e-12)
    np.testing.assert_allclose(to_body(theta, direction(theta + np.pi / 2)), [0, 1], atol=1e-12)


@LAWS
@given(vector)
def test_length_and_unit(world):
    np.testing.assert_allclose(length(world), np.hypot(*world), rtol=1e-15)
    np.testing.assert_allclose(np.asarray(unit(world)) * np.hypot(*world), world, rtol=1e-14, atol=1e-300)


def test_what_is_not_a_number_has_no_length_and_no_angle():
    assert np.isnan(geometry.length(jnp.array([jnp.nan, 0.0])))
    assert np.isnan(geometry.segment_minimum(jnp.array([jnp.nan, 0.0]), jnp.zeros(2)))
    assert np.isnan(geometry.wrap_angle(jnp.asarray(jnp.nan)))


def test_zero_vector_has_length_zero_unit_zero_and_derivatives_zero():
    zero = jnp.zeros(2)
    assert geometry.length(zero) == 0
    np.testing.assert_array_equal(geometry.unit(zero), 0)
    np.testing.assert_array_equal(jax.grad(geometry.length)(zero), 0)
    assert np.isfinite(jax.jacrev(geometry.unit)(zero)).all()


@LAWS
@given(vector, vector)
def test_segment_minimum_is_that_of_dense_sampling(start, motion):
    share = np.linspace(0, 1, 2001)[:, None]
    sampled = np.linalg.norm(start + share * motion, axis=1).min()
    swept = segment_minimum(start, motion)
    assert swept <= sampled + 1e-12
    # Between samples a point can come nearer by at most half their spacing.
    assert swept >= sampled - np.linalg.norm(motion) / 4000 - 1e-12


@LAWS
@given(vector, vector)
def test_segment_minimum_is_the_same_backwards(start, motion):
    np.testing.assert_allclose(segment_minimum(start + motion, -motion), segment_minimum(start, motion), atol=1e-12)


def test_segment_minimum_of_a_point_at_rest_is_its_distance():
    assert segment_minimum(np.array([3.0, 4.0]), np.zeros(2)) == 5.0


def first_sample(inside, reach):
    """The least of the sampled distances at which `inside` holds."""
    return reach[np.argmax(inside)] if inside.any() else np.inf


@LAWS
@given(vector, st.floats(-np.pi, np.pi), st.floats(0.1, 2))
def test_ray_meets_a_disc_where_dense_sampling_first_finds_it(start, theta, radius):
    ray = np.array([np.cos(theta), np.sin(theta)])
    if np.hypot(*start) <= radius:
        return
    hit = float(ray_disc(start, ray, radius))
    reach = np.linspace(0, 15, 15_001)
    centre_distance = np.hypot(*(start[:, None] + reach * ray[:, None]))
    sampled = first_sample(centre_distance < radius, reach)
    if np.isfinite(hit):
        np.testing.assert_allclose(np.hypot(*(start + hit * ray)), radius, atol=1e-9)
        assert (centre_distance[reach < hit] >= radius - 1e-9).all()
        assert sampled >= hit - 1e-9
        # A ray that only grazes the disc may pass between two samples.
        assert sampled < hit + 2e-3 or centre_distance.min() > radius - 1e-5
    else:
        assert sampled == np.inf


def test_ray_from_the_rim():
    """Inwards it stops at once, outwards and along it goes on for ever; inside by rounding counts as the rim."""
    for start in (1.0, 1 - 1e-12):
        at = np.array([start, 0.0])
        assert ray_disc(at, np.array([-1.0, 0.0]), 1.0) == 0
        assert ray_disc(at, np.array([1.0, 0.0]), 1.0) == np.inf
    assert ray_disc(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 1.0) == np.inf


@LAWS
@given(st.floats(-2, 2), number, st.floats(2, 4))
def test_ray_leaves_a_slab_where_its_coordinate_reaches_the_limit(position, ray, limit):
    hit = float(ray_slab(position, ray, limit))
    if ray == 0:
        assert hit == np.inf
    elif np.isfinite(hit):
        assert hit >= 0
        np.testing.assert_allclose(abs(position + hit * ray), limit, rtol=1e-12)


def test_ray_outside_a_slab_stops_at_once():
    assert ray_slab(2.0, 1.0, 1.5) == 0
    assert ray_slab(-2.0, -1.0, 1.5) == 0


@pytest.mark.parametrize(
    "function",
    [
        lambda x: geometry.length(x[:2]),
        lambda x: geometry.unit(x[:2]),
        lambda x: geometry.segment_minimum(x[:2], x[2:]),
        lambda x: geometry.to_body_frame(x[0], x[1:3]),
    ],
)
def test_derivatives(function):
    """Away from kinks: against central differences."""
    for seed in range(5):
        x = np.random.default_rng(seed).normal(size=4)
        expected = reference.central_difference(lambda x: function(jnp.asarray(x)), x)
        np.testing.assert_allclose(jax.jacrev(function)(jnp.asarray(x)), expected, rtol=1e-6, atol=1e-8)
