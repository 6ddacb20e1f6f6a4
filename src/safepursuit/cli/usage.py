"""Names that all commands share."""

from pathlib import Path
from typing import Annotated

import tyro

Run = Annotated[Path, tyro.conf.Positional]


class UsageError(Exception):
    """The command was called wrongly; the message is one sentence."""
