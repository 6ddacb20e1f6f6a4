"""Compiler effort per program: optimisation pays where a program runs long or often.

Most of the compilation time goes into LLVM's optimisation and, on a CPU, into XLA's newer generator of fused loops
(“fusion emitters”). Both are options of XLA whose names change between versions; one that the installed version lacks
is left out, so that the program compiles with full effort.
"""

from collections.abc import Callable
from functools import cache, cached_property
from typing import Any, TypeAlias

import jax

Effort: TypeAlias = tuple[tuple[str, bool | int | str], ...]
"""Names and values of XLA options."""

ONCE: Effort = (("xla_backend_optimization_level", 0), ("xla_cpu_use_fusion_emitters", False))
"""For programs that run once: a quarter of the compilation time, several times the run time."""

SELDOM: Effort = (("xla_backend_optimization_level", 1), ("xla_cpu_use_fusion_emitters", False))
"""For small programs, or those that run a few dozen times: a third to two thirds of the compilation time, up to twice
the run time."""


class Program:
    """`jax.jit(function, **how)` compiled with this effort; cannot be called within another `jax.jit`.

    `jitted` is built at its first use, because probing XLA's options fixes its devices.
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
    """Whether the installed XLA has this option, found by compiling an empty program."""
    try:
        jax.jit(lambda: 0, compiler_options=dict([option])).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
