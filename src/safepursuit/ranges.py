"""Kinds and ranges of the numbers in configurations. A number that is not finite is in no range."""

import math
from collections.abc import Callable, Iterable
from functools import cache
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

SEEDS = 2**32
"""Seeds are below this number: JAX's keys take no more than 32 bits of them."""

_KINDS: dict[type, tuple[str, Callable[[Any], bool]]] = {
    bool: ("true or false", lambda value: isinstance(value, bool)),
    int: ("a whole number", lambda value: isinstance(value, Integral) and not isinstance(value, bool)),
    float: (
        "a finite number",
        lambda value: isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value),
    ),
    str: ("a word", lambda value: isinstance(value, str)),
}

_RANGES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "positive": ("must be positive, not", lambda value: value > 0),
    "not_negative": ("must not be negative, but is", lambda value: value >= 0),
    "at_least_1": ("must be at least 1, not", lambda value: value >= 1),
    "share": ("must lie in [0, 1], not", lambda value: 0 <= value <= 1),
    "positive_share": ("must lie in (0, 1], not", lambda value: 0 < value <= 1),
    "seed": (f"must lie between 0 and {SEEDS - 1}, not", lambda value: 0 <= value < SEEDS),
}


def check(config: Any, part: str = "", **ranges: Iterable[str]) -> None:
    """Raise ValueError, naming the field, unless the fields of a dataclass have values of their kinds and ranges.

    The kinds are those of the annotations: `bool`, `int`, `float` (finite), `str`, any of them or None, tuples of them;
    other fields are left alone. The ranges are named by keywords, such as `positive=("dt",)`, and hold for every entry
    of a tuple, not for None. `part` stands before the field in the message.
    """
    before = f"{part} ".lstrip()
    owner: type = type(config)
    for name, hint in _hints(owner).items():
        _check_kind(f"{before}{name}", getattr(config, name), hint)
    for kind, names in ranges.items():
        words, holds = _RANGES[kind]
        for name in names:
            value = getattr(config, name)
            if value is not None and not all(map(holds, value if isinstance(value, tuple) else (value,))):
                raise ValueError(f"{before}{name} {words} {value}.")


def check_seed(seed: int) -> None:
    """Raise ValueError unless the seed is a whole number that JAX tells apart from all others."""
    _check_kind("seed", seed, int)
    words, holds = _RANGES["seed"]
    if not holds(seed):
        raise ValueError(f"seed {words} {seed}.")


@cache
def _hints(owner: type) -> dict[str, Any]:
    return {name: hint for name, hint in get_type_hints(owner).items() if name in owner.__dataclass_fields__}  # type: ignore[attr-defined]


def _check_kind(name: str, value: Any, hint: Any) -> None:
    if isinstance(hint, UnionType) and NoneType in get_args(hint):
        if value is not None:
            for other in set(get_args(hint)) - {NoneType}:
                _check_kind(name, value, other)
    elif get_origin(hint) is tuple:
        entries = get_args(hint)
        if not isinstance(value, tuple) or (Ellipsis not in entries and len(value) != len(entries)):
            count = "a tuple of" if Ellipsis in entries else f"a tuple of {len(entries)}"
            raise ValueError(f"{name} must be {count} numbers, not {value!r}.")
        for entry in value:
            _check_kind(name, entry, entries[0])
    elif hint in _KINDS:
        words, holds = _KINDS[hint]
        if not holds(value):
            raise ValueError(f"{name} must be {words}, not {value!r}.")
