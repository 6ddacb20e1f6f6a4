"""What the pages of comparisons with other solvers share: the machine they ran on, and how numbers are shown."""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent


def machine(threads: Mapping[str, int], packages: Sequence[str]) -> dict[str, Any]:
    """What the numbers depend on; `threads` of libraries that cannot be asked."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    git = {"cwd": ROOT, "capture_output": True, "text": True}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], **git).stdout.strip()
    changed = subprocess.run(["git", "status", "--porcelain", "src"], **git).stdout.strip()
    return {
        "processor": (names[0] if names else "") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "threads": {"cores used": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else "all"}
        | {"torch": torch.get_num_threads(), **threads, "OMP_NUM_THREADS": os.environ["OMP_NUM_THREADS"]},
        "load_average": round(os.getloadavg()[0], 2),
        "commit": (commit or "unknown") + (" with changes" if changed else ""),
        "versions": {name: version(name) for name in packages},
    }


def machine_text(about: Mapping[str, Any]) -> str:
    """The same for the end of a page."""
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    threads = ", ".join(f"{name} {number}" for name, number in about["threads"].items())
    place = f"{about['processor']}, {about['cores']} cores, load {about['load_average']} before the start"
    return f"""{place}; {about["platform"]}, Python
{about["python"]}. Threads: {threads}; everything
else, XLA included, shares that core.

Versions: {versions}; commit {about["commit"]}."""


def table(rows: Sequence[Sequence[str]], names: int = 2) -> str:
    """Markdown, the first row being the head; all columns but the first `names` are numbers."""
    head, *body = rows
    lines = [head, ["---"] * names + ["---:"] * (len(head) - names), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def microseconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def share(value: float) -> str:
    return "0" if value == 0 else f"{100 * value:.1f} %"
