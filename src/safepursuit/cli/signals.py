"""Ctrl-C, termination and the end of the terminal, one like the other."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Interrupted(KeyboardInterrupt):
    """A signal ended the command, of which the user has been told if `told`."""

    def __init__(self, number: int, told: bool = False) -> None:
        super().__init__(number)
        self.number, self.told = number, told


def interrupt(number: int) -> None:
    raise Interrupted(number)


@contextmanager
def on_signals(act: Callable[[int], None] = interrupt) -> Iterator[None]:
    """Within the block `act(number)` on each of these signals, unless the process was started to ignore it."""
    if threading.current_thread() is not threading.main_thread():  # Python handles signals in the main thread only
        yield
        return
    known = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in known if signal.getsignal(number) != signal.SIG_IGN}
    show = sys.unraisablehook

    def once_more(lost: Any) -> None:
        """Python drops what is raised in a finaliser or callback of the garbage collector, as JAX has them."""
        if isinstance(lost.exc_value, Interrupted):
            threading.Timer(0.1, os.kill, (os.getpid(), lost.exc_value.number)).start()
        else:
            show(lost)

    sys.unraisablehook = once_more
    for number in before:
        signal.signal(number, lambda found, _: act(found))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        sys.unraisablehook = show
