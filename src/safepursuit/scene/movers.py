"""Discs that move by a script, at a bounded speed: their state in a scene, and how it goes on.

Every script is a walk on points: a mover heads straight for one of them, and when it is there for one of those that may
follow. To cross and to loop, each point has one successor; a wanderer chooses among several, all in a straight free
line; a recorded track is a walk whose points are one step apart. One that chases heads for the pursuer.

Movers do not give way, and pass through each other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt32

from safepursuit.geometry import length
from safepursuit.shapes import Point, Scalar

SCRIPTS = ("cross", "loop", "wander", "chase")
"""What a mover can do; or it follows a recorded track."""

MOST = 100
"""Movers of a room at most."""

_PLACES = 150
"""About so many points on which wanderers of one kind walk."""

_CHOICES = 6
"""Successors of such a point at most."""

_THERE = 1e-4
"""Distance [m] at which a mover has arrived."""


class Movers(NamedTuple):
    """How the last discs of a scene move."""

    velocity: Float[Array, "2 movers"] | Float[Array, "2 movers *batch"]
    """In the last step [m/s], world frame."""
    speed: Float[Array, "movers"] | Float[Array, "movers *batch"]
    """No mover is faster [m/s], ever."""
    goal: Int[Array, "movers *batch"] | None = None
    """The point of its walk for which each is heading; None without a script."""
    seed: UInt32[Array, "movers *batch"] | None = None
    """Its next random number."""


@dataclass(frozen=True, eq=False)
class Script:
    """One entry of a scene file's movers: so many discs that do the same."""

    kind: str
    """One of `SCRIPTS`, or "track"."""
    radius: float
    speed: float
    points: np.ndarray
    """(points, 2) [m]: the corners of its way, in order; of one that chases where it begins; of a wanderer where it
    begins, then all points of its walk; of a track (points, 3), the time [s] first."""
    count: int = 1
    following: np.ndarray | None = None
    """(points, choices) of a wanderer."""


class Walks(NamedTuple):
    """The scripts of all movers of a room, as arrays."""

    radius: np.ndarray
    """(movers,)"""
    speed: np.ndarray
    points: np.ndarray
    """(2, points) of all walks, one after the other."""
    following: np.ndarray
    """(choices, points) those that may follow each."""
    first: np.ndarray
    """(movers,) the first point at which each may begin."""
    places: np.ndarray
    """(movers,) how many there are."""
    chases: np.ndarray
    """(movers,) bool"""


@lru_cache(maxsize=16)
def walks(scripts: tuple[Script, ...], dt: float) -> Walks:
    """The walks of these scripts in steps of `dt` [s]."""
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    rows: list[tuple[float, float, int, int, bool]] = []
    total = 0
    for script in scripts:
        points, following = _walk(script, dt)
        parts.append((points, following + total))
        anywhere = 1 if script.kind in ("chase", "track") else len(points)
        rows += script.count * [(script.radius, script.speed, total, anywhere, script.kind == "chase")]
        total += len(points)
    most = max(following.shape[1] for _, following in parts)
    # Choices are repeated in turn, so that all points have as many.
    even = [following[:, np.arange(most) % following.shape[1]] for _, following in parts]
    radius, speed, first, places, chases = (np.array(column) for column in zip(*rows, strict=True))
    points = np.concatenate([points for points, _ in parts]).T
    return Walks(radius, speed, points, np.concatenate(even).T, first, places, chases)


def _walk(script: Script, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 2) and the successors (n, choices) of each."""
    points = script.points
    if script.following is not None:
        return points, script.following
    if script.kind == "track":
        times = points[0, 0] + dt * np.arange(int(np.ceil((points[-1, 0] - points[0, 0]) / dt)) + 1)
        points = np.stack([np.interp(times, points[:, 0], points[:, axis]) for axis in (1, 2)], axis=-1)
        last = len(points) - 1
        return points, np.minimum(np.arange(1, len(points) + 1), last)[:, None]
    if script.kind == "cross":
        points = np.concatenate([points, points[-2:0:-1]])
    return points, np.roll(np.arange(len(points)), -1)[:, None]


def _wandering(script: Script, region: Any) -> Script:
    """With points evenly over the region (shapely) where its centre can get, and from each some that it sees freely."""
    import shapely  # late: only rooms need it

    begin = shapely.Point(script.points[0])
    region = next(part for part in shapely.get_parts(region) if part.intersects(begin))
    shapely.prepare(region)
    spacing = np.sqrt(region.area / _PLACES)
    left, low, right, high = region.bounds
    x, y = np.meshgrid(np.arange(left, right, spacing), np.arange(low, high, spacing))
    inside = shapely.contains_xy(region, x.ravel(), y.ravel())
    points = np.concatenate([script.points, np.stack([x.ravel(), y.ravel()], axis=-1)[inside]])
    rng = np.random.default_rng(len(points))
    far = np.hypot(*(points[:, None] - points).T)
    following = np.arange(len(points))[:, None].repeat(_CHOICES, axis=1)
    for index in range(len(points)):
        others = np.concatenate([np.argsort(far[index])[1:4], rng.permutation(len(points))[: 4 * _CHOICES]])
        ends = np.stack([points[index][None].repeat(len(others), axis=0), points[others]], axis=1)
        seen = others[(others != index) & shapely.covers(region, shapely.linestrings(ends))]
        chosen = seen[-_CHOICES:]  # the far ones rather than the nearest
        if len(chosen):
            following[index] = chosen[np.arange(_CHOICES) % len(chosen)]
    return replace(script, points=points, following=following)


def begin(
    key: Key[Array, ""], scripts: tuple[Script, ...], dt: float, like: Array
) -> tuple[Float[Array, "2 movers"], Movers]:
    """Where these movers begin, at rest: anywhere on their way; one that chases, or follows a track, at its first
    point."""
    made = walks(scripts, dt)
    place_key, next_key, share_key, seed_key = jax.random.split(key, 4)
    count = len(made.speed)
    first, places = jnp.asarray(made.first), jnp.asarray(made.places)
    place = first + jax.random.randint(place_key, (count,), 0, places)
    choice = jax.random.randint(next_key, (count,), 0, len(made.following))
    goal = jnp.asarray(made.following)[choice, place]
    points = jnp.asarray(made.points, like.dtype)
    share = jnp.where(places > 1, jax.random.uniform(share_key, (count,), like.dtype), 0)
    at = points[:, place] + share * (points[:, goal] - points[:, place])
    speed = jnp.asarray(made.speed, like.dtype)
    return at, Movers(jnp.zeros_like(at), speed, goal, jax.random.bits(seed_key, (count,), jnp.uint32))


def onward(
    movers: Movers,
    centre: Float[Array, "2 movers *batch"],
    pursuer: Point,
    made: Walks,
    dt: float,
    body: float,
    size: Scalar,
) -> tuple[Float[Array, "2 movers *batch"], Movers]:
    """What the movers at `centre` do in a step: their motion [m], straight and even, and their state after it.

    `body` is the radius of the pursuer [m], at which one that chases stops, and `size` the farthest [m] that anything
    is from the origin: a mover is slower than its bound by what rounding may add.
    """
    assert movers.goal is not None
    assert movers.seed is not None
    kind, batch = centre.dtype, centre.ndim - 2

    def each(values: np.ndarray) -> Array:
        return jnp.asarray(values, kind).reshape(-1, *(1,) * batch)

    way = jnp.asarray(made.points, kind)[:, movers.goal] - centre
    if made.chases.any():
        gap = pursuer[:, None] - centre
        near = length(gap)
        room = jnp.maximum(near - each(made.radius) - body, 0)
        way = jnp.where(each(made.chases) > 0, room / jnp.where(near > 0, near, 1) * gap, way)
    far = length(way)
    longest = jnp.maximum(each(made.speed) * dt - 4 * float(jnp.finfo(kind).eps) * size, 0)
    motion = jnp.minimum(1, longest / jnp.where(far > 0, far, 1)) * way
    there = far <= longest + _THERE
    choice = (movers.seed >> 16) % len(made.following)
    following = jnp.asarray(made.following)[choice.astype(movers.goal.dtype), movers.goal]
    goal = jnp.where(there, following, movers.goal)
    seed = jnp.where(there, movers.seed * jnp.uint32(1664525) + jnp.uint32(1013904223), movers.seed)
    return motion, Movers(motion / dt, movers.speed, goal, seed)


def read(entry: Any, where: str, check: Any) -> Script:
    """A script from an entry of a scene file; `check` is the reader of the file. Raises RoomError."""
    check.keys(entry, ("disc", "radius", "speed", "script", "to", "count"), where)
    for key in ("speed", "script"):
        if key not in entry:
            raise check.fail(f"{where} lacks its {key}")
    script, recorded = entry["script"], isinstance(entry["script"], list)
    if not recorded and script not in SCRIPTS:
        raise check.fail(f"{where} takes a script of {', '.join(SCRIPTS)} or a .csv file, not {script!r}")
    (speed,) = check.numbers([entry["speed"]], 1, f"the speed of {where}", "a number [m/s]")
    if not 0 <= speed <= 10:
        raise check.fail(f"the speed of {where} must be from 0 to 10 m/s, not {speed:g}")
    count = entry.get("count", 1)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST:
        raise check.fail(f"the count of {where} must be a whole number from 1 to {MOST}, not {count!r}")
    if ("to" in entry) != (script in ("cross", "loop")):
        wanted = "needs the points to which it goes: to: [[x, y], …]" if "to" not in entry else "takes no points in to"
        raise check.fail(f"{where} {wanted}")
    if ("disc" in entry) == recorded or ("radius" in entry) != recorded:
        raise check.fail(f"{where} takes {'a radius and no disc' if recorded else 'disc: [x, y, radius]'}")
    if recorded:
        if count > 1:
            raise check.fail(f"{where} follows a track: one mover each")
        (radius,) = check.numbers([entry["radius"]], 1, f"the radius of {where}", "a number [m]")
        points = _track(script, where, speed, check)
    else:
        *place, radius = check.disc(entry["disc"], where)
        further = check.corners(entry.get("to", []), f"to of {where}", "a list of points")
        points = np.concatenate([[place], further])
        if script in ("cross", "loop") and len(points) < (2 if script == "cross" else 3):
            raise check.fail(f"{where} needs one point or more in to, to loop two")
    if radius <= 0:
        raise check.fail(f"{where} takes a positive radius, not {radius:g}")
    return Script("track" if recorded else script, float(radius), float(speed), points, count)


def _track(rows: list, where: str, speed: float, check: Any) -> np.ndarray:
    """t, x, y of a recorded track, checked."""
    track = np.array([check.numbers(row, 3, f"the track of {where}", "rows of t, x, y") for row in rows])
    if len(track) < 2:
        raise check.fail(f"the track of {where} needs two rows of t, x, y or more")
    step = np.diff(track, axis=0)
    if (late := np.flatnonzero(step[:, 0] <= 0)).size:
        raise check.fail(f"the track of {where} goes back in time at t = {track[late[0] + 1, 0]:g} s: sort its rows")
    fast = np.hypot(step[:, 1], step[:, 2]) / step[:, 0]
    if fast.max() > speed * (1 + 1e-6):
        raise check.fail(
            f"the track of {where} is {fast.max():.3g} m/s fast at t = {track[fast.argmax(), 0]:g} s, faster than its "
            f"bound of {speed:g} m/s: raise the bound, or repair the track"
        )
    return track


def placed(scripts: Sequence[Script], free: Callable[[float], Any], check: Any) -> tuple[Script, ...]:
    """The scripts, ready to be played: every mover walks where nothing stands. Raises RoomError.

    `free` gives the region (shapely) of points that are so far [m] from all that stands.
    """
    import shapely

    if sum(script.count for script in scripts) > MOST:
        raise check.fail(f"there are more than {MOST} movers")
    found = []
    for number, script in enumerate(scripts, 1):
        region = free(script.radius)
        corners = script.points[:, -2:]
        if script.kind == "loop":
            corners = np.concatenate([corners, corners[:1]])
        way = shapely.LineString(corners) if len(corners) > 1 else shapely.Point(corners[0])
        if not region.buffer(1e-6).covers(way):
            at = way.difference(region).representative_point()
            raise check.fail(
                f"mover {number} ({script.kind}) runs into something near ({at.x:.2f}, {at.y:.2f}): its way must keep "
                f"{script.radius:g} m from all that stands"
            )
        found.append(_wandering(script, region) if script.kind == "wander" else script)
    return tuple(found)


def with_tracks(content: Any, folder: Path, check: Any) -> Any:
    """The content of a scene file with the rows of recorded tracks in place of their files. Raises RoomError."""
    entries = content.get("movers") if isinstance(content, Mapping) else None
    if not isinstance(entries, list):
        return content
    found = []
    for number, entry in enumerate(entries, 1):
        script = entry.get("script") if isinstance(entry, Mapping) else None
        if isinstance(script, str) and script.endswith(".csv"):
            try:
                rows = from_csv((folder / script).read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or " ".join(str(error).split())
                raise check.fail(f"the track {folder / script} of mover {number} cannot be read: {reason}") from None
            entry = {**entry, "script": rows}
        found.append(entry)
    return {**content, "movers": found}


def from_csv(text: str) -> list[list[float]]:
    """Rows t, x, y of a recorded track [s, m, m]; a first line that holds no numbers is a heading. Raises ValueError
    that names the line."""
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            row = [float(part) for part in line.split(",")]
        except ValueError:
            if number == 1:
                continue
            row = []
        if len(row) != 3:
            raise ValueError(f"line {number} must be three numbers t, x, y, not {line.strip()[:40]!r}")
        rows.append(row)
    return rows
