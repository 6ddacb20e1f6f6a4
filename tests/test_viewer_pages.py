"""The pages in the package are those that their sources make."""

import hashlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "viewer"
PAGES = ROOT / "src" / "safepursuit" / "viewer" / "pages"


def fingerprint():
    """The hash that viewer/build.mjs writes into each page."""
    names = ["build.mjs", "package-lock.json", "package.json"]
    names += [f"{folder}/{file.name}" for folder in ("pages", "src") for file in (SOURCES / folder).iterdir()]
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(f"{name}\0".encode() + (SOURCES / name).read_bytes())
    return digest.hexdigest()


@pytest.mark.parametrize("page", sorted(file.name for file in (SOURCES / "pages").iterdir()))
def test_pages_are_built_from_the_present_sources(page):
    text = (PAGES / page).read_text(encoding="utf-8")
    (kept,) = re.findall(r'<meta name="sources" content="(\w+)">', text)
    assert kept == fingerprint(), "the sources in viewer/ have changed since: build the pages anew with make viewer"


@pytest.mark.parametrize("page", sorted(file.name for file in (SOURCES / "pages").iterdir()))
def test_pages_fetch_nothing_from_a_network(page):
    text = (PAGES / page).read_text(encoding="utf-8")
    assert re.findall(r"""(?:src|href)=["'](?!data:|#)""", text) == []
