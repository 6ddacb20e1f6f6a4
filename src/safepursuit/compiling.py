"""How much work XLA is to put into a program: optimising pays where the program runs long or often.

Most of the time of a compilation goes into LLVM's optimisation and, on a CPU, into XLA's way of generating fused loops
(“fusion emitters”), whose older way is quicker to compile. Passed to `jax.jit` as `compiler_options`.
"""

ONCE: dict[str, bool | int] = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
"""For what runs once: compiled in a quarter of the time, several times slower."""

SELDOM: dict[str, bool | int] = {"xla_backend_optimization_level": 1, "xla_cpu_use_fusion_emitters": False}
"""For what is small beside the large programs, or runs a few dozen times: compiled in a third to two thirds of the
time, and takes up to twice as long."""
