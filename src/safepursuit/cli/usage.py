"""Arguments and errors of commands, plain lines and tables."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from safepursuit.ranges import SEEDS
from safepursuit.runs.folder import json_text, write_json

Run = Annotated[Path, tyro.conf.Positional]
STANDARD_OUTPUT = Path("-")
"""As a file of --json."""

Debug = Annotated[bool, tyro.conf.arg(help="Show the traceback of an error.")]


class UsageError(Exception):
    """A wrong call of the command; the message is one sentence."""


class NotKeptWarning(UserWarning):
    """A result is shown, but the run folder cannot keep it."""


def parsed_seeds(text: str) -> list[int]:
    """Either "0..3" or "0,2,5" as numbers. Raises UsageError."""
    try:
        first, dots, last = text.partition("..")
        seeds = list(range(int(first), int(last) + 1)) if dots else [int(part) for part in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0 or max(seeds) >= SEEDS:
        raise UsageError(
            f"--seeds takes a range such as 0..9, or different seeds such as 0,3,7, below {SEEDS}, not {text!r}."
        )
    return seeds


def listed(text: str, known: Iterable[str]) -> tuple[str, ...]:
    """The names in "one,another", unchecked, or all known ones for "all"."""
    return tuple(known) if text == "all" else tuple(part.strip() for part in text.split(","))


def check_folders(*files: Path | None) -> None:
    """Raise UsageError if the folder of an output file is missing, or if the file is a folder itself."""
    for file in files:
        if file is not None and file.is_dir():
            raise UsageError(f"{file} is a folder: name a file.")
        if file is not None and not file.absolute().parent.is_dir():
            raise UsageError(f"folder {file.absolute().parent} does not exist.")


def save_json(file: Path | None, content: Any) -> None:
    """Write figures to the file of --json; “-” is standard output."""
    if file == STANDARD_OUTPUT:
        sys.stdout.write(json_text(content))
    elif file is not None:
        write_json(file, content)


def say(console: Console, text: str) -> None:
    """Print a line as it is, without colours or line breaks, so that a path can be copied."""
    console.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True)


def unframed(rows: Iterable[tuple[str, str]], indent: int = 0) -> Table:
    """Names, in bold, and texts in two columns, as they are and without a frame."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, indent))
    for name, text in rows:
        table.add_row(Text(name, style="bold"), Text(text))
    return table
