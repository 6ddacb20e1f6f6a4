"""The command line: one file per command.

Exit status 0 on success, 2 for a usage error, 1 otherwise, 128 + its number after a signal (130: Ctrl-C); an error is
one sentence on stderr, without a traceback unless --debug is given.
"""

import contextlib
import io
import os
import re
import signal
import sys
import warnings
from argparse import ArgumentError, ArgumentParser
from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from safepursuit import __version__, plugins
from safepursuit.cli.attack_head import AttackHead
from safepursuit.cli.benchmark import Benchmark
from safepursuit.cli.compare import Compare
from safepursuit.cli.doctor import Doctor
from safepursuit.cli.draw_scene import DrawScene
from safepursuit.cli.evaluate import Evaluate
from safepursuit.cli.exploit import Exploit
from safepursuit.cli.export import CheckExport, Export
from safepursuit.cli.falsify import Falsify
from safepursuit.cli.listing import List
from safepursuit.cli.play import Play
from safepursuit.cli.render import Render
from safepursuit.cli.replay import Replay
from safepursuit.cli.resume import Resume
from safepursuit.cli.selfplay import Selfplay
from safepursuit.cli.signals import Interrupted, on_signals
from safepursuit.cli.streams import lasting_streams
from safepursuit.cli.stress import Stress
from safepursuit.cli.train import Train
from safepursuit.cli.usage import STANDARD_OUTPUT, UsageError, unframed
from safepursuit.cli.watch import Watch
from safepursuit.experiment import TrainConfig, load_config, open_run
from safepursuit.learn import ahead
from safepursuit.plugins import PluginError
from safepursuit.process import keep_compiled_programs, missing_platform
from safepursuit.runs import configuration
from safepursuit.runs.configuration import ConfigurationError, nearest
from safepursuit.runs.folder import RunFolderError

COMMANDS: dict[str, type[Any]] = {
    "train": Train,
    "resume": Resume,
    "evaluate": Evaluate,
    "compare": Compare,
    "render": Render,
    "replay": Replay,
    "play": Play,
    "watch": Watch,
    "benchmark": Benchmark,
    "export": Export,
    "check-export": CheckExport,
    "exploit": Exploit,
    "selfplay": Selfplay,
    "attack-head": AttackHead,
    "draw-scene": DrawScene,
    "stress": Stress,
    "falsify": Falsify,
    "list": List,
    "doctor": Doctor,
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    with lasting_streams(), _warning_sentences():
        status = _status(words)
    if ahead.abandon() and arguments is None:
        os._exit(status)  # rather than wait for compilers that work for nobody
    return status


def _status(words: list[str]) -> int:
    """Run one command and return its exit status."""
    debug = "--debug" in words
    if os.environ.get("COLUMNS", "").strip("0") == "":
        os.environ.pop("COLUMNS", None)  # no width at all; Rich would print nothing
    try:
        with on_signals():
            words, files = _without_plugins(words)
            plugins.load_installed()
            for file in files:
                plugins.load(file)
            command = _parse(words)
            if command is not None:
                keep_compiled_programs()
                command.run(Console(emoji=False, stderr=getattr(command, "json", None) == STANDARD_OUTPUT))
    except KeyboardInterrupt as stop:
        number, told = (stop.number, stop.told) if isinstance(stop, Interrupted) else (signal.SIGINT, False)
        return 128 + number if told else _fail("interrupted.", 128 + number)
    except UsageError as error:
        return _fail(error, 2)
    except Exception as error:
        if debug:
            raise
        usage = isinstance(error, ConfigurationError | RunFolderError | PluginError) or type(error) is ValueError
        return _fail(_words(error), 2 if usage else 1)
    return 0


def _words(error: Exception) -> str:
    """The sentence of an error."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}."
    if isinstance(error, AssertionError | RuntimeError) and (missing := missing_platform()):
        return missing
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):  # the latter is XLA's
        said = str(error).partition("RESOURCE_EXHAUSTED: ")[2] or str(error)
        what = f" ({said.splitlines()[0].rstrip('.')})" if said else ""
        return f"the memory does not suffice{what}: use fewer games, episodes or steps."
    if isinstance(error, OverflowError):
        return "a number is too large to compute with; --debug shows where."
    if isinstance(error, ValueError | RuntimeError | OSError) and str(error):
        return str(error)
    return f"internal error, {type(error).__name__}: {error}; --debug shows where."


def _fail(message: object, status: int) -> int:
    _print_sentence(str(message))
    return status


def _print_sentence(text: str) -> None:
    sentence = " ".join(text.split())
    if sentence[:1].isupper() and not sentence[1:2].isupper():
        sentence = sentence[0].lower() + sentence[1:]
    print(f"safepursuit: {sentence}", file=sys.stderr)


@contextlib.contextmanager
def _warning_sentences() -> Iterator[None]:
    """Show the package's own warnings as sentences."""
    show = warnings.showwarning

    def show_sentence(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
        if category.__module__.startswith("safepursuit"):
            _print_sentence(f"warning: {message}")
        else:
            show(message, category, *where, **more)

    warnings.showwarning = show_sentence
    try:
        yield
    finally:
        warnings.showwarning = show


def _parse(words: list[str]) -> Any:
    """The command; None after printing help or the version. Raises UsageError."""
    if not words or words[0] in ("-h", "--help"):
        _print_help()
        return None
    if words[0] == "--version":
        print(__version__)
        return None
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        hint = nearest(name, list(COMMANDS)) or "; see safepursuit --help."
        raise UsageError(f"unknown command {name!r}{hint}")
    kind = COMMANDS[name]
    if kind is not Train:
        return _tyro(kind, name, rest, None)
    rest, both = _without_both_roles(rest)
    return _tyro(kind, name, rest, Train(settings=_configured(rest), both=both))


def _without_both_roles(words: list[str]) -> tuple[list[str], bool]:
    """The words without --role both, and whether it was there: each of the two has a configuration with its role.

    Raises UsageError for an opponent beside it.
    """
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("--role", "--evader", "--pursuer"):
        parser.add_argument(name, nargs="?", const="")
    known, rest = parser.parse_known_args(words)
    if known.role != "both":
        return words, False
    if (known.evader, known.pursuer) != (None, None):
        raise UsageError("--role both trains two robots from each other: leave out --evader and --pursuer.")
    return rest, True


def _without_plugins(words: list[str]) -> tuple[list[str], list[Path]]:
    """The words without --plugin FILE, a flag of every command, and these files."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--plugin", type=Path, action="append", default=[])
    try:
        known, rest = parser.parse_known_args(words)
    except ArgumentError:
        raise UsageError("--plugin takes a file.") from None
    return rest, known.plugin


def _configured(words: list[str]) -> TrainConfig:
    """The defaults, overridden by the configuration of the run of --from, then by the game of --robot, then by the
    files of --config in order. How many devices share the games is asked of this machine, not of that run."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("--from", "--robot"):
        parser.add_argument(name, nargs="?", dest=name.strip("-"))
    parser.add_argument("--config", nargs="?", action="append", default=[])
    known = vars(parser.parse_known_args(words)[0])
    base = replace(load_config(open_run(known["from"])), devices=None) if known["from"] else TrainConfig()
    if known["robot"] and known["robot"] != base.game.robot_model:
        base = base.with_robot(known["robot"])  # its parameters become flags
    return reduce(configuration.load, map(Path, filter(None, known["config"])), base)


def _tyro(kind: type[Any], name: str, words: list[str], default: Any) -> Any:
    """Parse with tyro; None after printing help. Raises UsageError."""
    complaint = io.StringIO()
    about = f"{kind.__doc__}\n\n--plugin FILE, for every command: load a plugin."
    options: dict[str, Any] = {"default": default} if default is not None else {}
    try:
        with contextlib.redirect_stderr(complaint), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return tyro.cli(kind, args=words, prog=f"safepursuit {name}", description=about, **options)
    except SystemExit as stop:
        if stop.code in (0, None):
            return None
        raise UsageError(_sentence(complaint.getvalue(), name)) from None


def _sentence(framed: str, name: str) -> str:
    """The message inside tyro's frame, on one line; without Unicode it stands below a title and a rule. The text is the
    only public form of an error in tyro 1.0."""
    boxed = [line for line in framed.splitlines() if line.startswith("│")]
    lines = [line.strip("│ ") for line in boxed or framed.splitlines()[2:]]
    rule = next((index for index, line in enumerate(lines) if line and not line.strip("─-")), len(lines))
    message = re.sub(r"^Error parsing (?!-)[\w.\[\]-]*: ", "", " ".join(lines[:rule])).rstrip(".")
    suggestion = re.search(r"Perhaps you meant:\s+(--[\w.-]+)", " ".join(lines))
    hint = f"; did you mean {suggestion[1]}?" if suggestion else "."
    return f"{message}{hint} (safepursuit {name} --help lists the flags)" if message else framed.strip()


def _print_help() -> None:
    console = Console()
    console.print("[bold]safepursuit[/bold]: train, judge and deploy safe pursuit policies\n")
    summaries = ((name, (kind.__doc__ or "").partition("\n")[0]) for name, kind in COMMANDS.items())
    console.print(unframed(summaries, indent=2))
    console.print("\nsafepursuit COMMAND --help lists the flags of a command.", highlight=False)
