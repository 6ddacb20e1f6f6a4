"""The pages on the documentation site and the pictures of them: `make viewer-docs`.

Writes docs/viewer/replay.html and docs/images/replay.png from the run folder that is named, and docs/viewer/play.html
from the zoo.
"""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from browser import browser  # noqa: E402
from safepursuit.cli import main  # noqa: E402

DOCS = ROOT / "docs"


def write(run: Path) -> None:
    page, game = DOCS / "viewer" / "replay.html", DOCS / "viewer" / "play.html"
    page.parent.mkdir(exist_ok=True)
    if main(["replay", str(run), "--episodes", "6", "--out", str(page)]):
        raise SystemExit("the replay was not written.")
    if main(["play", "zoo:pursuer", "--obstacles", "4", "--out", str(game)]):
        raise SystemExit("the game was not written.")
    with tempfile.TemporaryDirectory() as profile, browser(profile) as tab:
        tab.open(page, 1280)
        tab.ask("new Promise(done => (function look() { globalThis.opened ? done(0) : setTimeout(look, 20) })())")
        # The step with the largest correction of all episodes.
        tab.ask("""(() => {
          const r = safepursuit.recording;
          let [best, where] = [-1, [0, 0]];
          for (let e = 0; e < r.count; e++) for (let s = 0; s < r.length(e); s++) {
            const value = r.flag(e, s, 1) && r.program(e, s).rows.length ? r.value("correction", e, s) : 0;
            if (value > best) [best, where] = [value, [e, s]];
          }
          safepursuit.select(...where);
          safepursuit.switch("levels");
        })()""")
        tab.shoot(DOCS / "images" / "replay.png")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
