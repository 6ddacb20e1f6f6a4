"""Write docs/reliability.md from the pages of `make falsify`, `fuzz`, `test-crash` and `soak`: `make reliability`."""

import re
from pathlib import Path

from safepursuit.runs.folder import write_text

DOCS = Path(__file__).resolve().parents[1] / "docs"

PARTS = (
    ("falsifier", "No collision behind the shield", "make falsify"),
    ("fuzz", "Whatever is typed or damaged", "make fuzz"),
    ("crashes", "Killed, and gone on", "make test-crash"),
    ("endurance", "Long trainings", "make soak"),
)
"""Page in docs/benchmarks, title, command."""

PAGE = """\
# Reliability

Written by `make reliability` from the pages that it links; each names the command that repeats it.

{parts}
## What else is tested

* **Damage.** Every file of a run is flipped at 20 places, cut, lengthened, emptied, removed and replaced, and read as
  `evaluate` and as `resume` do: the same result, or a sentence (`pytest -m heavy tests/test_damage.py`; a part of it in
  `make test`).
* **Age.** A run folder of release 0.1 is read and resumed.
* **Interruptions.** Full disk, read-only folder, lock, Ctrl-C, SIGTERM, SIGHUP, closed pipe: each has a test of its
  sentence and exit status.
"""

MISSING = "Not measured yet: `{command}` writes the page.\n"


def part(name: str, title: str, command: str) -> str:
    """The sentence in bold of a page, and a link to it."""
    file = DOCS / "benchmarks" / f"{name}.md"
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    found = re.search(r"\*\*(.+?)\*\*([^\n]*(?:\n[^\n]+)*)", text, re.DOTALL)
    if not found:
        return f"## {title}\n\n{MISSING.format(command=command)}"
    sentence = " ".join(f"{found[1]}{found[2]}".split())
    return f"## {title}\n\n{sentence} [All figures](benchmarks/{name}.md), by `{command}`.\n"


if __name__ == "__main__":
    write_text(DOCS / "reliability.md", PAGE.format(parts="\n".join(part(*one) for one in PARTS)))
