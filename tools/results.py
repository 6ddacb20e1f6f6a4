"""Write docs/results.md from finished comparisons: `make results`.

usage: python tools/results.py TITLE=COMPARISON …

Each comparison's own report becomes a chapter: its tables and charts as they are, without the gallery of failures and
the glossary, which stay in its report.html. Pictures go to docs/images/results/. Chapters of the page that
are not named stay as they are.
"""

import re
import shutil
import sys
from pathlib import Path

from safepursuit.runs.folder import slug, write_text

DOCS = Path(__file__).resolve().parents[1] / "docs"
IMAGES = DOCS / "images" / "results"
LEFT_OUT = ("Worst episodes", "What the words mean")

INTRODUCTION = """\
# Results

Written by `make results` (`tools/results.py`); do not edit by hand. Each chapter is the report of one comparison, whose
command stands at its end: the same command repeats it, and goes on where it was interrupted. The game, the scenarios,
the opponents and the statistics are specified in [benchmark.md](benchmark.md), the figures in
[evaluation.md](evaluation.md), the methods in [methods.md](methods.md). How hard the evaders are for scripted pursuers:
[benchmarks/scripted_players.md](benchmarks/scripted_players.md). How often trained evaders escape from the shipped
pursuer, and from a population's: [benchmarks/exploitability.md](benchmarks/exploitability.md). How far pursuers are
from optimal play where that is known: [benchmarks/reference_value.md](benchmarks/reference_value.md).
"""


def chapter(title: str, comparison: Path) -> str:
    """The report as a chapter; its pictures are copied."""
    name = slug(title.lower().replace(" ", "-").replace("/", "-"))
    shutil.rmtree(IMAGES / name, ignore_errors=True)
    text = (comparison / "report.md").read_text(encoding="utf-8")
    sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    kept = [one for one in sections if not one.startswith(tuple(f"## {heading}" for heading in LEFT_OUT))]
    body = "".join(kept)
    for picture in sorted(set(re.findall(r"\]\(figures/([^)]+)\)", body))):
        (IMAGES / name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(comparison / "figures" / picture, IMAGES / name / picture)
    body = body.replace("](figures/", f"](images/results/{name}/")
    body = re.sub(r"^# .*\n", "", body, count=1)
    body = re.sub(r"^#", "##", body, flags=re.MULTILINE)
    return f"## {title}\n{body.rstrip()}\n"


def main() -> None:
    page = DOCS / "results.md"
    written = re.split(r"^(?=## )", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    chapters = {one.partition("\n")[0].removeprefix("## "): one.rstrip() + "\n" for one in written}
    for title, folder in (word.split("=", 1) for word in sys.argv[1:]):
        chapters[title] = chapter(title, Path(folder))
    write_text(page, "\n".join([INTRODUCTION, *chapters.values()]))


if __name__ == "__main__":
    main()
