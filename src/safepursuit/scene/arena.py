"""The distribution of random scenes, and generators of layouts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import jax
import jax.numpy as jnp
import tyro
from jaxtyping import Array, Bool, Key

from safepursuit import ranges
from safepursuit.geometry import length
from safepursuit.registry import Registry
from safepursuit.scene import reading
from safepursuit.scene.furniture import furniture, places
from safepursuit.scene.room import Room
from safepursuit.scene.surfaces import Rooms, Scene, Which, boundaries
from safepursuit.shapes import Flag

_TRIES = 64
"""Places tried per disc."""


@dataclass(frozen=True)
class Arena:
    """The distribution of random scenes."""

    half_extents: tuple[float, float] = (10.0, 10.0)
    """Half the arena's width and height [m]."""
    obstacles: Annotated[int, tyro.conf.arg(prefix_name=False)] = 2
    """Number of discs, 0 to 16."""
    radius_range: tuple[float, float] = (0.3, 1.0)
    """Disc radii are uniform in this range [m]."""
    passage: float = 0.6
    """Least gap [m] between two discs, and between a disc and a wall."""
    allow_overlap: bool = False
    """Allow discs that touch and overlap."""
    min_obstacles: Annotated[int | None, tyro.conf.arg(prefix_name=False)] = None
    """If given, the number of discs of each layout is random, from here to `obstacles`."""
    scene: Annotated[str, tyro.conf.arg(prefix_name=False)] = "discs"
    """Generator of layouts or room of the gallery, which `safepursuit list scenes` names, or scene file (.yaml)."""
    room: tyro.conf.Suppress[str] = ""
    """The text of that room or file, or of its rooms, which takes its place: half-extents, number and radii of discs
    are theirs."""

    def __post_init__(self) -> None:
        if self.scene in SCENES:
            object.__setattr__(self, "room", "")
        else:
            self._take_room()
        ranges.check(self, positive=("half_extents",), not_negative=("passage",))
        if not 0 <= self.obstacles <= 16:
            raise ValueError(f"the number of obstacles must be between 0 and 16, not {self.obstacles}.")
        if self.min_obstacles is not None and not 0 <= self.min_obstacles <= self.obstacles:
            raise ValueError(
                f"min_obstacles must lie between 0 and the number of obstacles, {self.obstacles}, not be "
                f"{self.min_obstacles}."
            )
        low, high = self.radius_range
        if not 0 < low <= high:
            raise ValueError(
                f"radius_range must be two positive radii [m], the smaller first, not {self.radius_range}."
            )

    def _take_room(self) -> None:
        if not self.scene.endswith(reading.FILES) and self.scene not in (names := reading.gallery()):
            known = ", ".join((*SCENES, *names))
            raise ValueError(
                f"unknown scene {self.scene!r}; known are {known}, or a file that ends in .yaml, .geojson or .svg."
            )
        if not self.room or reading.name_of(self.room) != self.scene:
            object.__setattr__(self, "room", reading.read(self.scene))
        stand, random = self.rooms, [room.random for room in self.rooms]
        changes = {
            "half_extents": tuple(max(sides) for sides in zip(*(room.half_extents for room in stand), strict=True)),
            "obstacles": max(count for count, _ in random),
            "radius_range": (min(low for _, (low, _) in random), max(high for _, (_, high) in random)),
            "min_obstacles": None,
        }
        for name, value in changes.items():
            object.__setattr__(self, name, value)

    @property
    def rooms(self) -> tuple[Room, ...]:
        """The rooms, one of which each scene is; none where `scene` is a generator of layouts."""
        return reading.parse(self.room) if self.room else ()

    @property
    def layout(self) -> Room | None:
        """The room, where there is one alone."""
        return self.rooms[0] if len(self.rooms) == 1 else None

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Least and greatest x, least and greatest y [m] at which a robot can be."""
        if not self.rooms:
            half_x, half_y = self.half_extents
            return -half_x, half_x, -half_y, half_y
        left, right, low, high = zip(*(room.bounds for room in self.rooms), strict=True)
        return min(left), max(right), min(low), max(high)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height [m]."""
        left, right, low, high = self.bounds
        return right - left, high - low


def scattered_discs(key: Key[Array, ""], arena: Arena) -> tuple[Scene, Bool[Array, ""]]:
    """Discs anywhere, with free passages between them.

    Returns one random scene, and whether all its discs keep `arena.passage` free. Discs are placed one after the other,
    largest first, each at the first of `_TRIES` uniform places that fits. At least one (possibly absent) disc is
    allocated. For many scenes `jax.vmap` with `out_axes=-1`.
    """
    discs = max(1, arena.obstacles)
    half = jnp.asarray(arena.half_extents, jnp.result_type(float))
    radius_key, place_key = jax.random.split(key)
    low, high = arena.radius_range
    radius = -jnp.sort(-jax.random.uniform(radius_key, (discs,), minval=low, maxval=high))
    present = _present(jax.random.fold_in(key, 1), arena)
    tries = jax.random.uniform(place_key, (discs, 2, _TRIES), minval=-1, maxval=1)

    def place(i, state):
        centre, success = state
        room = half - radius[i] - (0 if arena.allow_overlap else arena.passage)
        candidates = jnp.maximum(room, 0)[:, None] * tries[i]
        gap = length(candidates[:, None, :] - centre[:, :, None]) - (radius + radius[i])[:, None]
        earlier = (jnp.arange(discs) < i)[:, None]
        fits = jnp.all(jnp.where(earlier, gap >= arena.passage, True), axis=0) & jnp.all(room >= 0)
        fits = fits | arena.allow_overlap
        chosen = candidates[:, jnp.argmax(fits)]
        return centre.at[:, i].set(chosen), success & (jnp.any(fits) | ~present[i])

    start = (jnp.zeros((2, discs), half.dtype), jnp.asarray(True))
    centre, success = jax.lax.fori_loop(0, discs, place, start)
    return Scene(half, centre, radius.astype(half.dtype), present), success


def furnished(key: Key[Array, ""], arena: Arena) -> tuple[Scene, Flag]:
    """One of the arena's rooms, with its random discs: each at the first of `_TRIES` places that keeps `arena.passage`
    free."""
    stand, text = furniture(arena.room), arena.room
    number = jnp.asarray(0, jnp.int32)
    if len(stand.discs) > 1:
        number = jax.random.randint(jax.random.fold_in(key, 2), (), 0, len(stand.discs))
    scene = stand.scene(arena.half_extents, number)._replace(room=Which(number, Rooms(text)))
    if not arena.obstacles:
        return scene, jnp.asarray(True)
    kind = scene.half_extents.dtype
    known = places(text, "random", arena.passage)
    place, count, spacing = map(jnp.asarray, known)
    (low, high), wanted, fixed = (jnp.asarray(part)[number] for part in (stand.radii, stand.drawn, stand.discs))
    radius_key, place_key, shift_key = jax.random.split(key, 3)
    shape = arena.obstacles, _TRIES
    radii = -jnp.sort(-jax.random.uniform(radius_key, shape[:1], kind, low, high))
    chosen = jax.random.randint(place_key, shape, 0, count[number])
    shift = spacing[number] * jax.random.uniform(shift_key, (2, *shape), kind, -0.5, 0.5)
    candidates = jnp.moveaxis(place.astype(kind)[number, :, chosen], -1, 0) + shift
    success = jnp.asarray(True)
    for disc in range(arena.obstacles):
        gap = jnp.min(boundaries(scene, candidates[:, disc]).distance, axis=0) - radii[disc]
        fits, drawn = gap >= arena.passage, disc < wanted
        slot = jnp.where(drawn, fixed + disc, len(scene.radius))  # beyond the last: nothing is put there
        scene = scene._replace(
            centre=scene.centre.at[:, slot].set(candidates[:, disc, jnp.argmax(fits)]),
            radius=scene.radius.at[slot].set(radii[disc]),
            present=scene.present.at[slot].set(True),
        )
        success &= jnp.any(fits) | ~drawn
    return scene, success


def _present(key: Key[Array, ""], arena: Arena) -> Bool[Array, "discs"]:
    """Which discs are present: all, or a random subset of uniform size, independent of the discs' radii."""
    discs = max(1, arena.obstacles)
    if arena.min_obstacles is None:
        return jnp.arange(discs) < arena.obstacles
    number_key, order_key = jax.random.split(key)
    number = jax.random.randint(number_key, (), arena.min_obstacles, arena.obstacles + 1)
    return jax.random.permutation(order_key, discs) < number


Generator: TypeAlias = Callable[[Key[Array, ""], Arena], tuple[Scene, Flag]]
"""A pure function that draws one scene, and whether it succeeded; the arena alone sets the number of discs."""

SCENES: Registry[Generator] = Registry("scene", discs=scattered_discs)
"""Generators of layouts by name."""


def draw_scene(key: Key[Array, ""], arena: Arena) -> tuple[Scene, Flag]:
    """One random scene by the arena's generator, and whether it succeeded; for many `jax.vmap` with `out_axes=-1`."""
    generator = furnished if arena.room else SCENES.find(arena.scene)
    return generator(key, arena)
