"""The report of a comparison: one page that needs nothing else, the same in Markdown, and its numbers."""

import base64
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from safepursuit.report.comparison import charts, gallery, tables, wording
from safepursuit.report.comparison.gallery import Failure
from safepursuit.report.comparison.learning import run_of
from safepursuit.report.comparison.numbers import Comparison, load, numbers
from safepursuit.runs.folder import slug, write_json, write_text

SHOWN, SHOWN_OF_OTHERS = 10, 4
"""Worst episodes of the primary group, and of each other one."""

FIGURES = "figures"


def write_report(folder: Path) -> Path:
    """Write report.html, report.md, report.json and figures/ of the finished comparison in this folder; what an earlier
    report left there is replaced. Returns the page.

    Raises ValueError where the comparison is not complete.
    """
    comparison = load(folder)
    plan = comparison.plan
    worst = {
        group: gallery.worst_of(comparison, group, SHOWN if group == plan.primary else SHOWN_OF_OTHERS)
        for group in plan.groups
    }
    content = numbers(comparison)
    content["failures"] = {group: [failure.facts for failure in found] for group, found in worst.items()}
    pictures = folder / FIGURES
    context = _context(comparison, content, worst, pictures)
    page = folder / "report.html"
    write_json(folder / "report.json", content)
    write_text(folder / "report.md", re.sub(r"\n{3,}", "\n\n", _render("report.md", context)).strip() + "\n")
    write_text(page, _render("report.html", context))
    return page


def _render(template: str, context: dict[str, Any]) -> str:
    environment = Environment(
        loader=PackageLoader("safepursuit.report.comparison"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"data": _data, "cell": lambda words: words.replace("|", "\\|").replace("\n", "; ")}
    return environment.get_template(template).render(**context)


def _data(picture: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode("ascii")


def _context(
    comparison: Comparison, content: dict[str, Any], worst: dict[str, list[Failure]], pictures: Path
) -> dict[str, Any]:
    plan = comparison.plan
    return {
        "wording": wording,
        "title": wording.title(content),
        "verdict": wording.verdict(content),
        "facts": wording.facts(content),
        "compared": wording.compared(content),
        "primary": plan.primary,
        "suites": [_suite(suite, content, pictures) for suite in content["suites"]],
        "training": tables.training(content),
        "learning": charts.of_learning(content, pictures),
        "failures": {group: [_picture(one, comparison, pictures) for one in found] for group, found in worst.items()},
        "health": tables.health(content),
        "command": plan.command,
        "trainings": "\n".join(_training_commands(comparison)),
        "versions": wording.versions(plan.provenance),
    }


def _training_commands(comparison: Comparison) -> list[str]:
    """Each once: seeds that were trained together share theirs."""
    runs = [run_of(contender, comparison.folder) for contender in comparison.plan.contenders]
    files = [run.path / "command.txt" for run in runs if run is not None]
    return list(dict.fromkeys(file.read_text(encoding="utf-8").strip() for file in files if file.is_file()))


def _suite(suite: dict[str, Any], content: dict[str, Any], pictures: Path) -> dict[str, Any]:
    return {
        "title": f"Suite {suite['name']}",
        "anchor": f"suite-{slug(suite['name'])}",
        "about": wording.about_suite(suite, content),
        "summary": tables.summary(suite, content["timing"]),
        "matchups": tables.matchups(suite),
        "players": [tables.crossplay(suite, role) for role in ("pursuer", "evader")],
        "contrasts": tables.contrasts(suite, content["compared"]["primary"]),
        **charts.of_suite(suite, pictures),
    }


def _picture(failure: Failure, comparison: Comparison, pictures: Path) -> dict[str, Any]:
    cell, folder = failure.cell, comparison.folder
    name = f"{cell.contender.name}-{cell.suite}-{cell.evader}-{failure.scenario}".replace("/", "-")
    file = pictures / f"worst-{slug(name)}.png"
    gallery.draw(failure, file)
    seed = "" if cell.contender.seed is None else f", training seed {cell.contender.seed}"
    place = f"scenario {failure.scenario} of {cell.suite}{seed}"
    recording = cell.file(folder).with_suffix(".npz").relative_to(folder)
    return {
        "file": file,
        "title": f"Against {cell.evader}",
        "what": failure.what,
        "place": place,
        "recording": f"{recording}, row {failure.row}",
        "command": gallery.replay(failure, comparison.plan, folder),
        "alt": f"Both robots' paths from above: {cell.contender.name} against {cell.evader}, {place}: {failure.what}.",
    }
