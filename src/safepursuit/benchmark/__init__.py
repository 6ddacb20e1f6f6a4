"""Measuring speed: `safepursuit benchmark`. One module a part; each measures, and makes tables of what it found."""

from safepursuit.benchmark.suite import PARTS, page, run

__all__ = ["PARTS", "page", "run"]
