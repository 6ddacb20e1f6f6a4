"""Names that all commands share."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import tyro

Run = Annotated[Path, tyro.conf.Positional]


class UsageError(Exception):
    """The command was called wrongly; the message is one sentence."""


def parsed_seeds(text: str) -> list[int]:
    """Either "0..3" or "0,2,5" as numbers. Raises UsageError."""
    try:
        first, dots, last = text.partition("..")
        seeds = list(range(int(first), int(last) + 1)) if dots else [int(part) for part in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise UsageError(f"--seeds takes a range such as 0..9, or different seeds such as 0,3,7, not {text!r}.")
    return seeds


def listed(text: str, known: Iterable[str]) -> tuple[str, ...]:
    """The names of "one,another", or all that are known for "all"; whether they are known is for others to say."""
    return tuple(known) if text == "all" else tuple(part.strip() for part in text.split(","))
