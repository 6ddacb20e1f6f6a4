"""One process at a time writes a run; the lock ends with its process, however that ends."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safepursuit.runs.folder import RunFolder, RunFolderError

try:
    import fcntl
except ModuleNotFoundError:  # Windows, where nothing is locked
    fcntl = None  # type: ignore[assignment]

_OWN: set[Path] = set()
"""The runs that this process writes."""


@contextmanager
def writing(run: RunFolder) -> Iterator[None]:
    """Keep other processes from writing the run within the block, which may lie within another such block.

    Raises RunFolderError, naming the process, where another one writes it. Readers need no lock. File systems without
    locks have none.
    """
    home = run.path.resolve()
    if fcntl is None or home in _OWN:
        yield
        return
    with (home / ".lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "another process"
            raise RunFolderError(
                f"{run.path} is being written by {owner}: wait for its end, or stop it first."
            ) from None
        except OSError:
            yield
            return
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        _OWN.add(home)
        try:
            yield
        finally:
            _OWN.discard(home)
