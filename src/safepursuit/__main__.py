"""`safepursuit` and `python -m safepursuit` are the command line."""

import os
import signal
import sys


def main() -> int:
    """Import the command line, which takes seconds and can be interrupted, and run it; returns the exit status."""
    before = signal.getsignal(signal.SIGINT)
    if before != signal.SIG_IGN:
        signal.signal(signal.SIGINT, _leave)
    from safepursuit.cli import main as run

    signal.signal(signal.SIGINT, before)
    return run()


def _leave(number: int, _: object) -> None:
    """Nothing has begun that could be left half done."""
    os.write(2, b"safepursuit: interrupted.\n")
    os._exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
