"""The quadratic program in two variables: exact, batched, differentiable."""

from safepursuit.qp.projection import Halfplanes, Projection, join, project, project_onto

__all__ = ["Halfplanes", "Projection", "join", "project", "project_onto"]
