"""Compiling ahead: while the first rollout's program is compiled, the programs that come after it are, too.

They reach the thread that needs them through JAX's persistent compilation cache. Without one nothing is done.
"""

from collections.abc import Callable
from threading import Thread
from typing import Any

import jax


def compile_ahead(*programs: Callable[[], Any]) -> Thread | None:
    """Compile what each of `programs` lowers, in turn, in a thread of their own; None where it would be lost.

    A failure is left to whoever runs the program in earnest.
    """
    if not jax.config.values["jax_compilation_cache_dir"]:
        return None

    def work() -> None:
        for lower in programs:
            try:
                lower().compile()
            except Exception:
                return

    thread = Thread(target=work, name="compile ahead", daemon=True)
    thread.start()
    return thread
