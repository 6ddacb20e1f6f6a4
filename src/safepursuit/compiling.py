"""How much work XLA is to put into a program: optimising pays where the program runs long or often.

Most of the time of a compilation goes into LLVM's optimisation and, on a CPU, into XLA's newer way of generating fused
loops (“fusion emitters”); the older way is quicker to compile. These are options of XLA, whose names come and go with
its versions: what the installed one does not know is left out, and compiles with full effort.
"""

from collections.abc import Callable
from functools import cache, cached_property
from typing import Any, TypeAlias

import jax

Effort: TypeAlias = tuple[tuple[str, bool | int | str], ...]
"""Options of XLA and their values."""

ONCE: Effort = (("xla_backend_optimization_level", 0), ("xla_cpu_use_fusion_emitters", False))
"""For what runs once: compiled in a quarter of the time, several times slower."""

SELDOM: Effort = (("xla_backend_optimization_level", 1), ("xla_cpu_use_fusion_emitters", False))
"""For what is small beside the large programs, or runs a few dozen times: compiled in a third to two thirds of the
time, and takes up to twice as long."""


class Program:
    """`jax.jit(function, **how)` compiled with this effort; cannot be called within another `jax.jit`.

    Made at its first use, because XLA cannot be asked what it knows before its devices are chosen.
    """

    def __init__(self, function: Callable[..., Any], effort: Effort, **how: Any) -> None:
        self._function, self._effort, self._how = function, effort, how

    @cached_property
    def jitted(self) -> Any:
        return jax.jit(self._function, compiler_options=dict(filter(_known, self._effort)), **self._how)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.jitted(*arguments, **named)


@cache
def _known(option: tuple[str, bool | int | str]) -> bool:
    """Whether the installed XLA knows it; only a compilation can tell."""
    try:
        jax.jit(lambda: 0, compiler_options=dict([option])).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
