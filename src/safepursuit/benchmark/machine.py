"""The machine and the versions on which a figure depends."""

import hashlib
import os
import platform
from pathlib import Path
from typing import Any

from safepursuit.process import usable_cores
from safepursuit.runs.folder import provenance


def about() -> dict[str, Any]:
    """Machine, load, versions and commit."""
    facts = provenance()
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return {"processor": processor()} | facts | {"cores_used": usable_cores(), "load_average": load}


def processor() -> str:
    """Its name, or the architecture where the system does not report a name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return (names[0] if names else "") or platform.processor() or platform.machine()


def package_digest() -> str:
    """SHA-256 of the source of this package: what was counted with another one does not count."""
    files = sorted(Path(__file__).parents[1].rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def described(facts: dict[str, Any]) -> str:
    """The facts in one sentence."""
    packages, commit = facts["packages"], facts["commit"] or "unknown"
    versions = ", ".join(f"{name} {packages[name]}" for name in ("jax", "jaxlib", "numpy") if packages[name])
    edited = " with changes" if commit.endswith("+changes") else ""
    return (
        f"{facts['processor']}, {facts['cores_used']} cores, {facts['platform']}, Python {facts['python']}, "
        f"{versions}, commit {commit[:8]}{edited}, load average {facts['load_average']} at the start."
    )
