"""`safepursuit benchmark`: speed on this machine. One module per part, with its measurements and tables.

Comparisons with other software, and how costs grow, are in the scripts in `benchmarks/` of the repository.
"""

from safepursuit.benchmark.suite import PARTS, Part, page, progress_lines, run, tables

__all__ = ["PARTS", "Part", "page", "progress_lines", "run", "tables"]
