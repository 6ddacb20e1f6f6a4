"""What `replay`, `play` and `watch` do with a page: write it, or serve it on this machine."""

import webbrowser
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from safepursuit.cli.usage import UsageError, say
from safepursuit.runs.folder import write_text
from safepursuit.viewer.serving import LOCAL, Answer, served


@dataclass(frozen=True)
class Served:
    """Where a page is served."""

    host: str = LOCAL
    """Address to listen on; the default is this machine alone."""
    port: int = 0
    """Port (default: a free one)."""
    browser: bool = True
    """Open the page in a browser."""

    def show(self, console: Console, answers: Mapping[str, Answer]) -> None:
        """Serve until Ctrl-C. Raises UsageError where the port is taken."""
        if not 0 <= self.port <= 65535:
            raise UsageError(f"--port must lie between 0 and 65535, not {self.port}.")
        try:
            with served(answers, self.host, self.port) as (server, address):
                say(console, f"{address} (Ctrl-C ends it)")
                if self.browser:
                    webbrowser.open(address)
                server.serve_forever(poll_interval=0.2)
        except OSError as error:
            raise UsageError(f"{self.host}:{self.port} cannot be listened on: {error.strerror}.") from None


def check_page(file: Path | None) -> None:
    """Raise UsageError unless the file of --out may be a page."""
    if file is not None and file.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"a page's file ends in .html, which {file.name!r} does not.")
    if file is not None and not file.absolute().parent.is_dir():
        raise UsageError(f"folder {file.absolute().parent} does not exist.")


def write_page(console: Console, file: Path, text: str) -> None:
    """Write the page in place of what is there, and say so."""
    write_text(file, text)
    say(console, f"{file} ({file.stat().st_size / 1e6:.1f} MB)")
