"""The referee on whole recorded games: collisions planted among 100,000 safe steps, unsafe controllers, and outcomes
that contradict the geometry.

The games are played here in NumPy, on positions at many moments of each step, by `reference.motion`; neither the game
nor the safety layer takes part. Poses are rounded to float32 after each step, as in a recording.
"""

import math

import numpy as np
import pytest

from reference import body_clearance, motion
from safepursuit.evaluation.referee import approach, disagreements, judge

INTEGRATORS = ("euler", "arc")
HALF = (3.0, 2.0)
POCKET = (-2.0, -1.5, 0.3)
"""A disc 0.2 m from the wall at y = −2, too narrow for a body of 0.3 m: a corner between wall and disc."""
DISCS = [(0.0, 0.0, 0.5), (-1.6, 0.9, 0.3), (1.5, -1.1, 0.4), POCKET]
CENTRE, SIZE = np.array([[x, y] for x, y, _ in DISCS]).T[:, :, None], np.array([[size] for *_, size in DISCS])
RADIUS, DT, TURN, REACH = 0.15, 0.05, 2.84, 0.5
ROLES = ("pursuer", "evader")
FASTEST = 2.0
"""[m/s]: beyond it the shield's default offset of 0.1 m is shorter than a step, and it refuses the robot."""


def clearances(point):
    """Of bodies at points (2, …) from walls and discs."""
    flat = point.reshape(2, -1)
    return body_clearance(flat, RADIUS, CENTRE, SIZE, np.ones((len(DISCS), 1), bool), HALF).reshape(point.shape[1:])


def ways(pose, control, integrator, moments):
    """Centres (2, n, moments) at equal moments of a step."""
    return motion(pose[:, :, None], control[:, :, None], np.linspace(0, DT, moments), integrator)[:2]


def wander(rng, own, other, speed):
    """Full speed, now and then another turn rate: into everything that stands in its way."""
    turn = np.where(rng.random(speed.size) < 0.4, rng.uniform(-TURN, TURN, speed.size), 0.3)
    return np.stack([speed, turn])


def chase(rng, own, other, speed):
    """Full speed towards the other robot."""
    bearing = np.arctan2(other[1] - own[1], other[0] - own[0]) - own[2]
    return np.stack([speed, np.clip(np.angle(np.exp(1j * bearing)) / DT, -TURN, TURN)])


def braked(controller, integrator, moments=9, trusted=4e-5):
    """The same, at the highest speed at which the body stays `trusted` · speed² clear at so many moments of the step.

    Between two of 9 moments at v m/s the clearance dips by (v · 3.1 ms)² / 2 · (1/0.45 m + 1/0.35 m) = 2.5e-5 v² m at
    most, about a disc on an arc of 0.35 m or more.
    """

    def control(rng, own, other, speed):
        asked = controller(rng, own, other, speed)
        margin, slow = (trusted * speed**2)[:, None], np.zeros_like(speed)
        for halving in range(8):
            faster = np.minimum(slow + speed / 2**halving, speed)
            free = clearances(ways(own, np.stack([faster, asked[1]]), integrator, moments)) >= margin
            slow = np.where(free.all(axis=1), faster, slow)
        return np.stack([slow, asked[1]])

    return control


def play(controllers, speeds, steps, integrator, seed, capture=False):
    """Two robots among solid walls and discs: a recording as a dictionary, episodes first.

    A robot stops at the last of 33 moments at which its body is free. On a straight line it then counts as having moved
    evenly to that place; on an arc it stood there from that moment on. A capture is a distance of 0.5 m or less at one
    of the moments, and ends the episode.
    """
    rng = np.random.default_rng(seed)
    count = len(speeds[0])
    record = {f"{role}_control": np.full((count, steps, 2), np.nan) for role in ROLES}
    record |= {role: np.full((count, steps + 1, 3), np.nan) for role in ROLES}
    record |= {"length": np.full(count, steps), "outcome": np.full(count, "timeout")}
    for role in ROLES:
        record[role][:, 0] = place(rng, count).T
    playing = np.arange(count)
    for step in range(steps):
        paths, poses = [], [record[role][playing, step].T for role in ROLES]
        for i, role in enumerate(ROLES):
            asked = controllers[i](rng, poses[i], poses[1 - i], speeds[i][playing])
            control = np.float32(asked).astype(float)
            way = ways(poses[i], control, integrator, 33)
            inside = clearances(way) < 0
            free = np.where(inside.any(1), np.maximum(inside.argmax(1) - 1, 0), 32)[None, :, None]
            way = np.take_along_axis(way, np.minimum(np.arange(33), free) + np.zeros((2, 1, 1), int), axis=2)
            if integrator == "euler":
                way = way[..., :1] + (way[..., -1:] - way[..., :1]) * np.linspace(0, 1, 33)
            heading = np.angle(np.exp(1j * (poses[i][2] + control[1] * DT)))
            record[role][playing, step + 1] = np.float32([*way[..., -1], heading]).T
            record[f"{role}_control"][playing, step] = control.T
            paths.append(way)
        caught = (np.hypot(*(paths[0] - paths[1])).min(1) <= REACH) & capture
        record["length"][playing[caught]] = step + 1
        record["outcome"][playing[caught]] = "capture"
        playing = playing[~caught]
    return record


def place(rng, count):
    """Random poses (3, n), 5 cm clear of everything."""
    pose = rng.uniform(-1, 1, (3, 40, count)) * np.array([2.8, 1.8, math.pi])[:, None, None]
    chosen = (clearances(pose[:2]) > 0.05).argmax(0)
    return np.float32(pose[:, chosen, np.arange(count)]).astype(float)


def verdicts(record, integrator):
    """The referee's on pursuer and evader."""
    found = []
    for own, other in (ROLES, ROLES[::-1]):
        found.append(
            judge(
                own=record[own],
                own_control=record[f"{own}_control"],
                other=record[other],
                other_control=record[f"{other}_control"],
                discs=np.broadcast_to(np.array(DISCS), (len(record["length"]), len(DISCS), 3)),
                half_extents=np.array(HALF),
                own_radius=RADIUS,
                other_radius=RADIUS,
                length=record["length"],
                dt=DT,
                integrator=integrator,
            )
        )
    return found


# --- safe games, and collisions planted in them ------------------------------------------------------------------

EPISODES, STEPS = 1000, 50


@pytest.fixture(scope="module", params=INTEGRATORS)
def safe(request):
    """Two robots that brake, each alone in the world: 100,000 steps, half of them at the highest speed allowed."""
    speeds = np.where(np.arange(EPISODES) % 2, 1.0, FASTEST)
    controller = braked(wander, request.param)
    record = play((controller, controller), (speeds, speeds), STEPS, request.param, seed=1)
    return record, request.param, verdicts(record, request.param)


@pytest.mark.wide
def test_no_collision_is_found_in_a_hundred_thousand_safe_steps(safe):
    record, _, found = safe
    assert sum(verdict.wall.size for verdict in found) >= 100_000
    for verdict in found:
        assert not verdict.wall.any()
        assert not verdict.obstacle.any()
        assert 0 < verdict.clearance.min() < 2e-4
        assert (verdict.clearance < 1e-3).sum() > 1000  # nose to a wall or disc
    fast = record["pursuer_control"][::2, :, 0]
    assert (fast == FASTEST).sum() > 1000


NOTHING, WALL, DISC, BOTH, ROBOT = (
    (False,) * 3,
    (True, False, False),
    (False, True, False),
    (True, True, False),
    (
        False,
        False,
        True,
    ),
)
AWAY = (-2.6, 1.5, 0.0, 0.0)
PLANTED = {
    # x, y, heading and speed of the two robots, and what is to be said of each. The disc in the middle is touched at
    # 0.65 m, the walls at 2.85 m and 1.85 m, the disc of the pocket at 0.45 m.
    "grazes a disc between two samples": ((-0.05, 0.64995, 0.0, 2.0), AWAY, DISC, NOTHING),
    "head on into a disc at the highest speed": ((-0.66, 0.0, 0.0, 2.0), AWAY, DISC, NOTHING),
    "head on into a wall at the highest speed": ((2.80, 1.0, 0.0, 2.0), AWAY, WALL, NOTHING),
    "in the corner of two walls": ((2.849, 1.849, -math.pi / 4, 1.0), AWAY, WALL, NOTHING),
    # From 0.460 m to √(0.25² + 0.349²) = 0.429 m of the pocket's disc, 1 mm from the wall.
    "in the corner between wall and disc, the disc": ((-1.70, -1.849, math.pi, 1.0), AWAY, DISC, NOTHING),
    # To y = −1.855, √(0.32² + 0.355²) = 0.478 m from the disc.
    "in the corner between wall and disc, the wall": ((-1.68, -1.845, -math.pi / 2, 0.2), AWAY, WALL, NOTHING),
    # To (−1.748, −1.860): 10 mm into the wall, √(0.252² + 0.360²) = 0.439 m from the disc.
    "in the corner between wall and disc, both": ((-1.70, -1.845, math.pi + 0.3, 1.0), AWAY, BOTH, NOTHING),
    "stands inside a disc": ((0.3, 0.3, 0.0, 0.0), AWAY, DISC, NOTHING),
    "the evader hits a wall": (AWAY, (2.80, 1.0, 0.0, 2.0), NOTHING, WALL),
    "both hit something": ((-0.66, 0.0, 0.0, 2.0), (2.80, 1.0, 0.0, 2.0), DISC, WALL),
    "the pursuer drives into the resting evader": ((2.0, 1.0, 0.0, 1.0), (2.31, 1.0, 0.0, 0.0), ROBOT, NOTHING),
    "the evader drives into the resting pursuer": ((2.0, 1.0, 0.0, 0.0), (2.31, 1.0, math.pi, 1.0), NOTHING, ROBOT),
    "the evader runs into the fleeing pursuer": ((2.0, 1.0, math.pi, 0.5), (2.33, 1.0, math.pi, 2.0), NOTHING, ROBOT),
    # 0.307 m apart before and after, 0.29 m in between.
    "they brush past each other between two samples": (
        (1.95, 1.0, 0.0, 2.0),
        (2.05, 1.29, math.pi, 2.0),
        ROBOT,
        ROBOT,
    ),
}


def test_every_planted_collision_is_found_with_what_was_hit_and_by_whom(safe):
    """Forty of each kind at random places among the safe steps; nothing else changes."""
    record, integrator, before = safe
    record = {name: array.copy() for name, array in record.items()}
    expected = [np.stack([said.wall, said.obstacle, said.robot], axis=-1) for said in before]
    rng = np.random.default_rng(5)
    episodes = rng.permutation(EPISODES)[: 40 * len(PLANTED)]
    for episode, (*robots, own, other) in zip(episodes, list(PLANTED.values()) * 40, strict=True):
        step = rng.integers(STEPS)
        for role, (x, y, heading, speed) in zip(ROLES, robots, strict=True):
            record[role][episode, step] = x, y, heading
            record[f"{role}_control"][episode, step] = speed, 0
        expected[0][episode, step], expected[1][episode, step] = own, other
    for said, true in zip(verdicts(record, integrator), expected, strict=True):
        np.testing.assert_array_equal(np.stack([said.wall, said.obstacle, said.robot], axis=-1), true)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_no_speed_is_high_enough_to_pass_through(integrator):
    """20 m/s is a metre a step: both ends are clear, and the disc, or the other robot, lies in between."""
    record = {"length": np.array([1, 1]), "pursuer_control": np.array([[[20.0, 0]], [[20.0, 0]]])}
    record |= {"pursuer": np.array([[[-2.1, 0.9, 0.0]], [[-0.5, 1.6, 0.0]]]).repeat(2, axis=1)}
    record |= {"evader": np.array([[AWAY[:3]], [[0.0, 1.6, 0.0]]]).repeat(2, axis=1)}
    record |= {"evader_control": np.zeros((2, 1, 2))}
    found, _ = verdicts(record, integrator)
    assert found.obstacle.tolist() == [[True], [False]]
    assert found.robot.tolist() == [[False], [True]]
    assert found.clearance[0, 0] == pytest.approx(-0.45)
    assert captured(record, integrator).tolist() == [[False], [True]]


# --- controllers that are not safe -------------------------------------------------------------------------------


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize(
    ("moments", "trusted", "guilty"),
    [
        (None, None, 0.8),  # never brakes
        (2, 0.0, 0.005),  # looks at the end of the step only: grazes
        (9, -1e-3, 0.4),  # believes itself 1 mm thinner than it is, or 4 mm at the highest speed
    ],
)
def test_unsafe_controllers_score_as_unsafe(integrator, moments, trusted, guilty):
    """Each collision is one of the commanded motion, seen from 65 moments of it; solid things stopped the robots."""
    count, steps = 200, 40
    speeds = np.where(np.arange(count) % 2, 1.0, FASTEST)
    controller = wander if moments is None else braked(wander, integrator, moments, trusted)
    record = play((controller, controller), (speeds, speeds), steps, integrator, seed=2)
    for role, found in zip(ROLES, verdicts(record, integrator), strict=True):
        collided = found.wall | found.obstacle
        assert collided.any(axis=1).mean() > guilty
        pose, control = record[role][:, :-1].reshape(-1, 3).T, record[f"{role}_control"].reshape(-1, 2).T
        seen = clearances(ways(pose, control, integrator, 65)).min(1).reshape(count, steps)
        dip = 2.5e-6  # between two of 65 moments at 2 m/s; see `braked`
        assert collided[seen < -dip].all()
        assert not collided[seen > dip].any()
        standing = record[role][:, :, :2].reshape(-1, 2).T
        assert clearances(standing).min() > -1e-6  # no recorded pose shows it


# --- capture, and outcomes that contradict the geometry ----------------------------------------------------------


MOTIONS = ("pursuer", "pursuer_control", "evader", "evader_control")


def captured(record, integrator, radius=REACH):
    """(episodes, time) whether the centres came within the radius [m] of each other."""
    return approach(*(record[name] for name in MOTIONS), DT, integrator).separation <= radius


def contradictions(record, integrator, **changes):
    rules = {"capture_radius": REACH, "dt": DT, "integrator": integrator, "collision_terminates": False}
    own = verdicts(record, integrator)[0]
    rules |= {"horizon": record["pursuer_control"].shape[1], "clearance": own.clearance, "invalid": own.invalid}
    rules |= {name: record[name] for name in (*MOTIONS, "length", "outcome")}
    return disagreements(**(rules | changes))


def one_step(pursuer, evader, ends=None, controls=((1.0, 0.0), (1.0, 0.0)), outcome="timeout", integrator="euler"):
    """A recording of one episode of one step, of two robots that get where their controls lead them, or to `ends`."""
    starts, controls = np.array([pursuer, evader], float), np.array(controls, float)
    after = motion(starts.T, controls.T, DT, integrator).T if ends is None else np.array(ends, float)
    record = {role: np.stack([starts[i], after[i]])[None] for i, role in enumerate(ROLES)}
    record |= {f"{role}_control": controls[i][None, None] for i, role in enumerate(ROLES)}
    return record | {"length": np.array([1]), "outcome": np.array([outcome])}


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize(("aside", "caught"), [(0.4999, True), (0.5001, False)])
def test_a_capture_between_two_samples(integrator, aside, caught):
    """Past each other at 2 m/s: √(0.4999² + 0.05²) = 0.5024 m apart at both ends."""
    record = one_step((-0.025, -1.0, 0.0), (0.025, -1.0 + aside, math.pi), integrator=integrator)
    assert captured(record, integrator).tolist() == [[caught]]
    assert bool(contradictions(record, integrator)) == caught


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_a_robot_that_was_stopped_captures_nobody_where_it_never_came(integrator):
    """Commanded 5 cm towards an evader 0.54 m away, which would be enough; stopped after 1 cm, it is not."""
    start, target, controls = (-0.95, 0.0, math.pi), (-1.49, 0.0, 0.0), ((1.0, 0.0), (0.0, 0.0))
    free = one_step(start, target, controls=controls, integrator=integrator)
    assert captured(free, integrator).all()
    stopped = one_step(start, target, ((-0.96, 0.0, math.pi), target), controls, integrator=integrator)
    assert not captured(stopped, integrator).any()
    assert contradictions(stopped, integrator) == {}


@pytest.mark.parametrize(("integrator", "caught"), [("euler", False), ("arc", True)])
def test_when_a_stopped_robot_moved(integrator, caught):
    """After an evader that drives off at 0.5 m/s, 0.502 m ahead, at 1 m/s until something stops it after 1 cm.

    On a straight line it counts as having moved evenly, at 0.2 m/s, and falls behind from the start. On an arc, here a
    straight one, it stops when it gets there, after 10 ms, 0.497 m behind the evader.
    """
    ends = (0.01, -1.0, 0.0), (0.527, -1.0, 0.0)
    record = one_step((0.0, -1.0, 0.0), (0.502, -1.0, 0.0), ends, ((1.0, 0.0), (0.5, 0.0)), integrator=integrator)
    assert captured(record, integrator).tolist() == [[caught]]


@pytest.mark.parametrize(
    ("distance", "outcome", "agrees"),
    [
        (0.500001, "capture", True),  # float32 cannot tell
        (0.50005, "capture", False),
        (0.499999, "timeout", True),
        (0.49995, "timeout", False),
    ],
)
def test_what_float32_cannot_tell_is_no_contradiction(distance, outcome, agrees):
    record = one_step((-2.5, 1.5, 0.0), (-2.5 + distance, 1.5, 0.0), controls=[(0.0, 0.0)] * 2, outcome=outcome)
    assert (contradictions(record, "euler") == {}) == agrees


@pytest.mark.parametrize(
    ("integrator", "stopped", "within", "beyond"),
    [
        ("euler", 1.0, 1e-6, 1e-5),
        ("arc", 1.0, 2e-5, 5e-5),  # two robots' chords: 2.8e-5 m
        ("arc", 0.4, 1.4e-3, 1.7e-3),  # a quarter of the piece of 6.25 mm in which the pursuer was stopped: 1.56e-3 m
    ],
)
def test_how_far_a_time_out_may_have_been_from_a_capture(integrator, stopped, within, beyond):
    """A time-out in which the centres came this much nearer than a capture radius is believed, or contradicted."""
    starts = (0.0, -1.0, 1.0), (0.6, -1.0, 2.0)
    controls = np.array([[1.0, TURN], [1.0, -TURN]])
    ends = [motion(np.array(starts).T, controls.T, DT * share, integrator).T for share in (stopped, 1.0)]
    ends = [[*ends[0][0][:2], 1.0 + TURN * DT], ends[1][1]]
    record = one_step(*starts, ends, controls, integrator=integrator)
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        reached = captured(record, integrator, middle).all()
        low, high = (low, middle) if reached else (middle, high)
    assert 0.5 < low < 0.6
    assert contradictions(record, integrator, capture_radius=low + within) == {}
    assert contradictions(record, integrator, capture_radius=low + beyond) != {}


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_captures_agree_with_many_moments_of_each_step(integrator):
    """On arcs, to within the stated 2.8e-5 m of both robots' chords at 1 m/s; 65 moments know the least distance to
    (2 m/s · 0.4 ms)² / (2 · 0.4 m) = 8e-7 m."""
    rng = np.random.default_rng(6)
    count = 10_000
    own, angle = rng.uniform(-1, 1, (3, count)), rng.uniform(-math.pi, math.pi, count)
    distance, heading = rng.uniform(0.45, 0.6, count), rng.uniform(-math.pi, math.pi, count)
    other = np.stack([own[0] + distance * np.cos(angle), own[1] + distance * np.sin(angle), heading])
    controls = [np.stack([rng.uniform(0, 1, count), rng.uniform(-TURN, TURN, count)]) for _ in ROLES]
    record = {}
    for role, pose, control in zip(ROLES, (own, other), controls, strict=True):
        after = motion(pose, control, DT, integrator)
        record[role] = np.stack([pose.T, after.T], axis=1)
        record[f"{role}_control"] = control.T[:, None]
    paths = [ways(pose, control, integrator, 65) for pose, control in zip((own, other), controls, strict=True)]
    least = np.hypot(*(paths[0] - paths[1])).min(1)
    clear_cut = np.abs(least - REACH) > (2.9e-5 if integrator == "arc" else 1e-6)
    said = captured(record, integrator)[:, 0]
    np.testing.assert_array_equal(said[clear_cut], (least < REACH)[clear_cut])
    assert 0.2 < said.mean() < 0.8
    assert clear_cut.mean() > 0.99


COUNT, HORIZON = 300, 50


@pytest.fixture(scope="module", params=INTEGRATORS)
def chased(request):
    """A pursuer that looks out for nothing but its evader, which brakes: captures, time-outs, stopped robots."""
    speeds = np.where(np.arange(COUNT) % 2, 1.0, FASTEST), np.full(COUNT, 0.8)
    controllers = chase, braked(wander, request.param)
    return play(controllers, speeds, HORIZON, request.param, seed=3, capture=True), request.param


def test_honest_records_are_not_contradicted(chased):
    record, integrator = chased
    assert contradictions(record, integrator) == {}
    kinds = dict(zip(*np.unique(record["outcome"], return_counts=True), strict=True))
    assert min(kinds["capture"], kinds["timeout"]) > 50
    assert verdicts(record, integrator)[0].collided.sum() > 50
    # A capture ends the game at once: it is seen in the last step and in no other.
    seen = captured(record, integrator)
    last = np.arange(HORIZON) == record["length"][:, None] - 1
    np.testing.assert_array_equal(seen, last & (record["outcome"] == "capture")[:, None])


def tampered(record, episode, **changes):
    """A copy of the record with one episode changed; a pair says where, and what is there instead."""
    copy = {name: array.copy() for name, array in record.items()} | {"outcome": record["outcome"].astype("U9")}
    for name, value in changes.items():
        if isinstance(value, tuple):
            copy[name][(episode, *value[0])] = value[1]
        else:
            copy[name][episode] = value
    return copy


FORGED = {
    # Which kind of episode is changed and how; what is to be said of it.
    "a capture denied": ("capture", {"outcome": "timeout"}, "but it is no capture there"),
    "a capture invented": ("timeout", {"outcome": "capture"}, "recorded as a capture, but the centres came no nearer"),
    "a game cut short": ("capture", {"length": 1}, "do not fill its 1 steps"),
    "a game without end": ("timeout", {"length": HORIZON + 1}, "after 51 steps is none of a game of 50"),
    "an unknown outcome": ("timeout", {"outcome": "draw"}, "the outcome draw"),
    "a collision invented": ("timeout", {"outcome": "collision"}, "recorded as ended by a collision"),
    "a jump": ("timeout", {"evader": ((7, 0), 0.0)}, "the poses after step 6 are not on the way"),
    "a turn": ("timeout", {"pursuer": ((7, 2), 9.0)}, "the poses after step 6 are not on the way"),
    "an invalid game invented": ("timeout", {"outcome": "invalid"}, "all numbers of step 49 are finite"),
    "a number without end": ("timeout", {"evader_control": ((7, 1), math.inf)}, "do not fill its 50 steps"),
    "a hole": ("timeout", {"pursuer_control": ((7, 0), math.nan)}, "do not fill its 50 steps"),
}


@pytest.mark.parametrize("kind", FORGED)
def test_forged_records_are_contradicted(chased, kind):
    record, integrator = chased
    outcome, changes, said = FORGED[kind]
    episode = int(np.flatnonzero((record["outcome"] == outcome) & (record["length"] > 10))[0])
    found = contradictions(tampered(record, episode, **changes), integrator)
    assert list(found) == [episode]
    assert said in found[episode]


@pytest.mark.parametrize("name", MOTIONS)
def test_an_invalid_game_ends_with_the_first_step_that_is_not_finite(chased, name):
    record, integrator = chased
    episode = int(np.flatnonzero(record["length"] > 10)[0])
    length, outcome = record["length"].copy(), record["outcome"].astype("U9")
    length[episode], outcome[episode] = 8, "invalid"
    honest = cut(record, length, outcome)
    honest[name][episode, 8 if name in ROLES else 7, 0] = math.nan
    assert contradictions(honest, integrator) == {}
    late = tampered(honest, episode, **{name: ((7 if name in ROLES else 6, 0), math.inf)})
    assert list(contradictions(late, integrator)) == [episode]
    captured = contradictions(tampered(honest, episode, outcome="capture"), integrator)
    assert list(captured) == [episode]


def cut(record, length, outcome):
    """The record with its episodes ended after `length` steps."""
    copy = {name: array.copy() for name, array in record.items()}
    for name in ROLES:
        copy[name][np.arange(HORIZON + 1) > length[:, None]] = np.nan
        copy[f"{name}_control"][np.arange(HORIZON) >= length[:, None]] = np.nan
    return copy | {"length": length, "outcome": outcome}


def test_a_time_out_before_its_time_is_contradicted(chased):
    record, integrator = chased
    early = record["outcome"] == "timeout"
    found = contradictions(cut(record, np.where(early, HORIZON - 1, record["length"]), record["outcome"]), integrator)
    assert list(found) == np.flatnonzero(early).tolist()
    assert set(found.values()) == {"recorded as a time-out, but after 49 of 50 steps"}


def test_games_played_on_after_a_capture_are_contradicted():
    speeds = np.ones(100), np.full(100, 0.5)
    record = play((chase, wander), speeds, HORIZON, "euler", seed=4)
    seen = captured(record, "euler")
    found = contradictions(record, "euler")
    assert list(found) == np.flatnonzero(seen.any(axis=1)).tolist()
    assert 20 < len(found) < 100
    for episode, sentence in found.items():
        assert f"in step {seen[episode].argmax()}, but it is no capture there" in sentence


def test_where_collisions_end_a_game_they_must(chased):
    """Cut off at the pursuer's first collision, each game ends as it should; played on, it does not."""
    record, integrator = chased
    found = verdicts(record, integrator)[0]
    deep = found.clearance < -1e-3
    hit = deep.any(axis=1)
    strict = contradictions(record, integrator, collision_terminates=True)
    before_capture = deep & (np.arange(HORIZON) != record["length"][:, None] - 1)
    assert set(strict) >= set(np.flatnonzero(before_capture.any(axis=1)))
    assert all("did not end the game" in sentence for sentence in strict.values())
    assert hit.sum() > 50
    # Cut at the first collision, however shallow.
    first = (found.wall | found.obstacle).argmax(axis=1) + 1
    collided = (found.wall | found.obstacle).any(axis=1)
    ended = collided & ~((record["outcome"] == "capture") & (first == record["length"]))
    short = cut(record, np.where(ended, first, record["length"]), np.where(ended, "collision", record["outcome"]))
    assert contradictions(short, integrator, collision_terminates=True) == {}
    # Under rules by which a collision ends nothing, the same records make no sense.
    assert list(contradictions(short, integrator)) == np.flatnonzero(ended).tolist()
