"""The run folder, which holds everything that a run writes."""

import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any, Literal

import jax

_PACKAGES = ("safepursuit", "jax", "jaxlib", "equinox", "optax", "orbax-checkpoint", "numpy", "scipy")

SEED_PREFIX = "seed-"
"""Prefix of the run folders within the folder of a training with several seeds."""

PAIR = ("pursuer", "evader")
"""The run folders within the folder of a pursuer and an evader that learn from each other."""


class RunFolderError(ValueError):
    """A run folder that cannot be used; the message is one sentence for the user."""


class RunFolder:
    """Paths and small files of one run.

    config.yaml, command.txt, provenance.json, plugins.json, plugins/, opponents.json, metrics.csv, tensorboard/,
    checkpoints/, evaluations/, figures/, nonfinite/, summary.json.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.metrics = path / "metrics.csv"
        self.tensorboard = path / "tensorboard"
        self.checkpoints = path / "checkpoints"
        self.evaluations = path / "evaluations"
        self.figures = path / "figures"
        self.nonfinite = path / "nonfinite"
        self.plugins = path / "plugins"
        self.summary = path / "summary.json"

    @classmethod
    def create(
        cls,
        path: Path,
        config: str,
        command: list[str],
        plugins: Mapping[str, tuple[str, str]] | None = None,
        opponents: Mapping[str, str] | None = None,
        begun_with: Mapping[str, Any] | None = None,
    ) -> "RunFolder":
        """Start a run; `plugins` are texts with their SHA-256, by file name, stored and never executed, `opponents` the
        SHA-256 of trained opponents' parameters, by name; `begun_with`, a part of provenance.json, tells of weights
        that are not random.

        Raises RunFolderError where the folder is not empty (nothing is overwritten) or cannot be written.
        """
        cls.check_free(path)
        run = cls(path)
        made = provenance() | ({"begun_with": begun_with} if begun_with else {})
        try:
            for folder in (run.checkpoints, run.evaluations, run.figures):
                folder.mkdir(parents=True, exist_ok=True)
            if opponents:
                write_json(path / "opponents.json", opponents)
            if plugins:
                write_json(path / "plugins.json", {name: digest for name, (_, digest) in plugins.items()})
                for name, (text, _) in plugins.items():
                    run.plugins.mkdir(exist_ok=True)
                    write_text(run.plugins / name, text)
            write_text(run.config, config)  # with this file the folder is a run
            write_text(path / "command.txt", shlex.join(command) + "\n")
            write_json(path / "provenance.json", made)
        except OSError as error:
            run.discard_unlearned()
            raise RunFolderError(f"run folder {path} cannot be created: {error.strerror}.") from None
        return run

    def discard_unlearned(self) -> None:
        """Remove the folder if its training has left no checkpoint, no row of metrics and no refused batch."""
        learned = self.metrics.exists() or any(self.checkpoints.glob("[0-9]*[1-9]*"))
        if not learned and not self.nonfinite.exists():
            with suppress(OSError):
                shutil.rmtree(self.path)

    def digests(self, kind: Literal["plugins", "opponents"]) -> dict[str, str]:
        """SHA-256 of the run's plugins by file name, or of its trained opponents by name; empty where it has none.

        Raises RunFolderError for a damaged list.
        """
        file = self.path / f"{kind}.json"
        try:
            return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}
        except (OSError, ValueError, TypeError):
            raise RunFolderError(f"{file} is damaged: it must hold names and digests of {kind}.") from None

    @classmethod
    def check_free(cls, path: Path) -> None:
        """Raise RunFolderError where the path is not free, that is a folder without files, or cannot be written."""
        home = next(one for one in (path, *path.absolute().parents) if one.exists())
        if not home.is_dir() and home != path:
            raise RunFolderError(f"run folder {path} cannot be created: {home} is not a folder.")
        if not os.access(home, os.W_OK):
            raise RunFolderError(f"run folder {path} cannot be created: {home} cannot be written.")
        if home != path or (path.is_dir() and all(one.is_dir() for one in path.rglob("*"))):
            return
        begun = (path / "config.yaml").is_file() or cls.together(path)
        raise RunFolderError(
            f"{path} already exists and is not empty: choose another --run-dir"
            + (f", or go on with: {resume_command(path)}" if begun else ".")
        )

    @classmethod
    def together(cls, path: Path) -> list["RunFolder"]:
        """The runs that one program trains, in its folder: several seeds, by seed, or pursuer and evader; none in other
        folders."""
        if (path / "config.yaml").is_file():
            return []
        if all((path / name / "config.yaml").is_file() for name in PAIR):
            return [cls(path / name) for name in PAIR]
        folders = [file.parent for file in path.glob(f"{SEED_PREFIX}*/config.yaml")]
        return [cls(one) for one in sorted(folders, key=lambda one: (len(one.name), one.name))]

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An existing run. Raises RunFolderError where there is none."""
        run = cls(path)
        if not path.is_dir():
            raise RunFolderError(f"run folder {path} does not exist.")
        if runs := cls.together(path):
            whose = "a pursuer and an evader" if runs[0].path.name in PAIR else "several seeds"
            raise RunFolderError(f"{path} holds the runs of {whose}: name one of them, such as {runs[0].path}.")
        if not run.config.is_file():
            raise RunFolderError(f"{path} is not a run folder: it has no config.yaml.")
        return run


def resume_command(path: Path) -> str:
    """What to type to go on with a run."""
    return f"safepursuit resume {shlex.quote(str(path))}"


def slug(name: str) -> str:
    """A name as part of a path; characters other than letters, digits, dot, dash and slash become underscores."""
    return re.sub(r"[^\w./-]", "_", name)


def read_json(file: Path) -> Any:
    """The contents of a JSON file. Raises RunFolderError where it is none."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{file} cannot be read ({error}): remove it, or write it anew.") from None


def write_json(file: Path, content: Any) -> None:
    """Write a JSON file atomically, and its folder where it is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, json_text(content))


def json_text(content: Any) -> str:
    """As JSON, with a line break at the end. Raises ValueError for numbers that are not finite."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_text(file: Path, content: str) -> None:
    """Write a small text file atomically."""
    with replacing(file) as stream:
        stream.write(content.encode())


def keep_on_disk(*paths: Path) -> None:
    """Let files and folders survive a power failure, as far as the file system can."""
    for path in paths:
        with suppress(OSError):  # Windows has no such thing for folders
            number = os.open(path, os.O_RDONLY)
            try:
                os.fsync(number)
            finally:
                os.close(number)


@contextmanager
def replacing(file: Path) -> Iterator[IO[bytes]]:
    """A stream whose contents take the file's place in one step, once they are complete.

    A symbolic link stays, and its target is replaced; a pipe or device is written to.
    """
    target = Path(os.path.realpath(file))
    if target.exists() and not target.is_file() and not target.is_dir():
        with target.open("wb") as stream:
            yield stream
        return
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, target)
        keep_on_disk(target.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def provenance() -> dict[str, Any]:
    """Versions, commit and machine, with which a run can be repeated. Starts JAX's back end."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "device": jax.devices()[0].device_kind,
        "commit": _commit(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of this source tree, with “+changes” if it was edited; None outside git."""
    here = Path(__file__).resolve().parent
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes"]
    try:
        return subprocess.run(command, cwd=here, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
