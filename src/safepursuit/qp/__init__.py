"""The quadratic program in two variables: exact, batched, differentiable."""

from safepursuit.qp.projection import Box, Halfplanes, Projection, join, project, project_onto, sides

__all__ = ["Box", "Halfplanes", "Projection", "join", "project", "project_onto", "sides"]
