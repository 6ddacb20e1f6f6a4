"""MkDocs hook: the documents at the root of the repository are pages of the site, and links between them hold in both.

Every document is written for a reader of the repository, with links relative to its own place in it. Here each link is
turned into one between pages, and a path that is shown as the link's text into a name. A link to something that is in
the repository but not on the site is an error, as is a link that leads nowhere.
"""

import logging
import os
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmark-scripts.md",
    "CITATION.cff": "CITATION.cff",
    "LICENSE": "LICENSE.txt",
    "examples/joystick.py": "examples/joystick.py.txt",
    "examples/onnx_numpy.py": "examples/onnx_numpy.py.txt",
    "examples/stable_baselines.py": "examples/stable_baselines.py.txt",
}
"""Files outside docs/, by their place in the repository, and their place on the site."""
_LOG = logging.getLogger(f"mkdocs.hooks.{__name__}")
_LINK = re.compile(r"(?P<text>\[[^\[\]]*)\]\((?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for source, place in OUTSIDE.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    places = {place: source for source, place in OUTSIDE.items()}
    source = places.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def relink(link: re.Match) -> str:
        text, target, anchor = link["text"], link["target"], link["anchor"] or ""
        place = _on_site(posixpath.normpath(posixpath.join(posixpath.dirname(source), target)))
        if place is None:
            there = (ROOT / source).parent.joinpath(target).exists()
            remedy = "is not on the site: add it to OUTSIDE" if there else "does not exist"
            _LOG.warning(f"{source} links to {target}, which {remedy}.")
            return link.group()
        if text == f"[{target}":
            text = f"[{posixpath.splitext(posixpath.basename(target))[0].lower().replace('_', ' ')}"
        return f"{text}]({os.path.relpath(place, posixpath.dirname(page.file.src_uri) or '.')}{anchor})"

    pieces, end = [], 0
    for block in _FENCED.finditer(markdown):
        pieces += [_LINK.sub(relink, markdown[end : block.start()]), block.group()]
        end = block.end()
    return "".join([*pieces, _LINK.sub(relink, markdown[end:])])


def _on_site(source: str) -> str | None:
    """Where a file of the repository is on the site, or, if nowhere, None."""
    if source.startswith("docs/") and (ROOT / source).exists():
        return source.removeprefix("docs/")
    return OUTSIDE.get(source)
