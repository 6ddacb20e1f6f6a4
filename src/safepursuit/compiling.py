"""How much work XLA is to put into a program: optimising pays where the program runs long or often.

LLVM's optimisation takes most of the time of a compilation. Passed to `jax.jit` as `compiler_options`.
"""

ONCE = {"xla_backend_optimization_level": 0}
"""For what runs once: compiled in a third of the time, several times slower."""

SELDOM = {"xla_backend_optimization_level": 1}
"""For small programs beside the large ones: compiled in two thirds of the time. Some run as fast (the drawing of
starts), others take twice as long (the projection): measure before you use it."""
