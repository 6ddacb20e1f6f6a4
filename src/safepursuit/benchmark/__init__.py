"""`safepursuit benchmark`: how fast everything is on this machine. One module per part: measurements and tables.

Why it is that fast, against what, and how costs grow is measured by the scripts in `benchmarks/` of the repository.
"""

from safepursuit.benchmark.suite import PARTS, Part, page, progress_lines, run, tables

__all__ = ["PARTS", "Part", "page", "progress_lines", "run", "tables"]
