"""The quadratic program in two variables: exact, batched, differentiable."""

from safepursuit.qp.projection import Halfplanes, Projection, project

__all__ = ["Halfplanes", "Projection", "project"]
