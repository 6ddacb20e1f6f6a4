"""The unicycle: its motion against an integrator of differential equations, its coordinates, its limits."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

import reference
from safepursuit.robot import Unicycle
from tiny import checked

pytestmark = pytest.mark.usefixtures("float64")

LAWS = settings(deadline=None, max_examples=100)
EULER, ARC = Unicycle(integrator="euler"), Unicycle(integrator="arc")

step = jax.jit(Unicycle.step, static_argnums=0)
displacement = jax.jit(Unicycle.displacement, static_argnums=0)
to_swing = jax.jit(Unicycle.to_swing, static_argnums=0)
from_swing = jax.jit(Unicycle.from_swing, static_argnums=0)

angle = st.floats(-np.pi, np.pi)
turn_rate = st.one_of(st.sampled_from([0.0, 1e-12, -1e-7, 1e-3, 2.84, -2.84]), st.floats(-2.84, 2.84))
control = st.tuples(st.floats(0, 1), turn_rate).map(np.array)
pose = st.tuples(st.floats(-10, 10), st.floats(-10, 10), angle).map(np.array)


def integrated(pose, control, time):
    """The pose after a constant control, by Runge–Kutta of order 8."""

    if time == 0:  # the solver divides by it
        return np.asarray(pose)

    def rate(_, state):
        return [control[0] * np.cos(state[2]), control[0] * np.sin(state[2]), control[1]]

    return solve_ivp(rate, (0, time), pose, method="DOP853", rtol=1e-12, atol=1e-12).y[:, -1]


def assert_same_pose(one, other, tolerance=1e-10):
    np.testing.assert_allclose(one[:2], other[:2], rtol=0, atol=tolerance)
    np.testing.assert_allclose(np.exp(1j * one[2]), np.exp(1j * other[2]), rtol=0, atol=tolerance)


@LAWS
@given(pose, control)
def test_arc_step_solves_the_differential_equation(pose, control):
    after = np.asarray(step(ARC, pose, control))
    assert_same_pose(after, integrated(pose, control, ARC.dt))
    assert -np.pi <= after[2] < np.pi


@LAWS
@given(pose, control, st.floats(0, 1))
def test_displacement_within_the_step_lies_on_the_arc(pose, control, share):
    time = share * ARC.dt
    moved = pose[:2] + np.asarray(displacement(ARC, pose[2], control, time))
    np.testing.assert_allclose(moved, integrated(pose, control, time)[:2], rtol=0, atol=1e-10)


@LAWS
@given(pose, control)
def test_reference_motion_solves_the_differential_equation(pose, control):
    """The twin that the safety proofs rely on, in its own closed form."""
    for time in (0.013, 0.05, 0.3):
        assert_same_pose(reference.motion(pose, control, time, "arc"), integrated(pose, control, time))


def test_reference_motion_is_continuous_where_its_formula_changes():
    for turn in (0.99e-4, 1.01e-4, -0.99e-4, -1.01e-4):
        control, start = np.array([1.0, turn / 0.05]), np.array([0.3, -0.2, 0.7])
        assert_same_pose(reference.motion(start, control, 0.05, "arc"), integrated(start, control, 0.05), 1e-13)


@LAWS
@given(pose, control)
def test_euler_step_drives_straight_and_then_turns(pose, control):
    after = np.asarray(step(EULER, pose, control))
    travelled = after[:2] - pose[:2]
    np.testing.assert_allclose(np.hypot(*travelled), control[0] * EULER.dt, atol=1e-14)
    assert abs(travelled[0] * np.sin(pose[2]) - travelled[1] * np.cos(pose[2])) < 1e-14
    assert_same_pose(after, reference.motion(pose, control, EULER.dt, "euler"), 1e-14)


@LAWS
@given(pose, st.floats(0, 1))
def test_both_motions_agree_without_turning(pose, v):
    straight = np.array([v, 0.0])
    np.testing.assert_allclose(step(EULER, pose, straight), step(ARC, pose, straight), rtol=0, atol=1e-14)


@LAWS
@given(st.tuples(st.floats(0, 1), st.floats(-2.84, 2.84)).map(np.array))
def test_swing_and_back(control):
    back = from_swing(EULER, to_swing(EULER, control))
    np.testing.assert_allclose(back, control, rtol=0, atol=1e-14)


def test_swing_is_monotone_smooth_and_one_to_one_beyond_the_limits():
    """w = sin(ωΔ) within the turn-rate limit, continued with its slope beyond."""
    turn_rate = np.linspace(-40, 40, 8001)
    w = np.asarray(to_swing(EULER, np.stack([np.zeros(8001), turn_rate])))[1]
    inside = np.abs(turn_rate) <= EULER.max_turn_rate
    np.testing.assert_allclose(w[inside], np.sin(turn_rate * EULER.dt)[inside], atol=1e-15)
    slope = np.diff(w) / np.diff(turn_rate)
    least = np.cos(EULER.max_swing) * EULER.dt
    assert slope.min() >= least * (1 - 1e-9)
    assert slope.max() <= EULER.dt * (1 + 1e-9)
    assert np.abs(np.diff(slope)).max() < 1e-4  # no step in the slope


def test_from_swing_respects_the_turn_rate_limit():
    control = np.asarray(from_swing(EULER, np.stack([np.zeros(101), np.linspace(-2, 2, 101)])))
    assert np.abs(control[1]).max() <= EULER.max_turn_rate * (1 + 1e-15)


@LAWS
@given(st.tuples(st.floats(-2, 3), st.floats(-9, 9)).map(lambda pair: np.round(pair, 6)))
def test_limit_and_unit_box_speak_of_the_same_box(control):
    control = jnp.asarray(control)
    limited = np.asarray(EULER.limit(control))
    scaled = np.asarray(EULER.to_unit_box(control))
    within = bool((np.abs(scaled) <= 1).all())
    assert within == bool((limited == np.asarray(control)).all())
    corner = np.clip(scaled, -1, 1)
    np.testing.assert_allclose(EULER.from_unit_box(jnp.asarray(corner)), limited, atol=1e-14)
    np.testing.assert_allclose(EULER.from_unit_box(jnp.asarray(scaled)), control, atol=1e-14)


@pytest.mark.parametrize("robot", [EULER, ARC], ids=["euler", "arc"])
def test_derivatives_of_a_step(robot):
    """With respect to pose and control, at rest, straight ahead (where the arc's formula has its limit) and turning."""

    def after(x):
        pose = robot.step(x[:3], x[3:])
        return jnp.stack([pose[0], pose[1], jnp.cos(pose[2]), jnp.sin(pose[2])])

    jacobian, value = jax.jit(jax.jacrev(after)), jax.jit(after)
    for v, omega in ((0.0, 0.0), (1.0, 0.0), (0.7, 1e-9), (0.7, 2.0), (1.0, -2.84)):
        x = np.array([0.4, -1.2, 2.5, v, omega])
        expected = reference.central_difference(value, x)
        np.testing.assert_allclose(jacobian(x), expected, rtol=1e-6, atol=1e-8)


def test_derivatives_of_the_swing():
    """Also beyond the limits, where the tangent continues the sine."""
    jacobian = jax.jit(jax.jacrev(lambda x: EULER.to_swing(x)))
    for omega in (0.0, 1.5, 2.8, 2.9, -7.0):
        x = np.array([0.5, omega])
        expected = reference.central_difference(lambda x: to_swing(EULER, x), x)
        np.testing.assert_allclose(jacobian(x), expected, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"radius": 0.0}, "robot radius must be positive, not 0.0."),
        ({"max_speed": -1.0}, "robot max_speed must be positive, not -1.0."),
        ({"max_turn_rate": 0.0}, "robot max_turn_rate must be positive, not 0.0."),
        ({"dt": float("nan")}, "robot dt must be a finite number, not nan."),
        ({"dt": 0.6}, "the robot may turn 1.70 rad in one step, but the guarantee needs less than π/2"),
    ],
)
def test_impossible_robots_are_refused(parameters, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Unicycle(**parameters)


def test_unknown_integrator_is_refused():
    """By the check itself: while tests run, the constructor's types would refuse it first."""
    with pytest.raises(ValueError, match="integrator must be 'euler' or 'arc', not 'rk4'"):
        checked(Unicycle(), integrator="rk4")
