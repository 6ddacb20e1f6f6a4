"""The pages for the browser: frame times, opening times and sizes. `make bench-viewer`.

Writes docs/benchmarks/viewer.md and .json. Chromium without a window, by tests/browser.py: everything is drawn by the
processor, without a graphics card. Recordings are those of tests/replays.py: 600 steps among 16 discs.
"""

import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from browser import PROGRAM, browser  # noqa: E402
from replays import STEPS, crowded  # noqa: E402
from safepursuit.benchmark.machine import about, described  # noqa: E402
from safepursuit.runs.folder import write_json, write_text  # noqa: E402
from safepursuit.shield import Shield  # noqa: E402
from safepursuit.viewer.episodes import replay  # noqa: E402
from safepursuit.viewer.packing import page  # noqa: E402
from safepursuit.viewer.programs import Layer  # noqa: E402

LAYER = Layer(Shield(), None, 0.5)
EPISODES = (1, 20, 1000)
WIDTHS = (1280, 390)
FRAMES = 300
OPENINGS = 5


def main() -> None:
    if PROGRAM is None:
        raise SystemExit("there is no Chromium on this machine.")
    facts = about()
    with tempfile.TemporaryDirectory() as folder, browser(f"{folder}/profile") as tab:
        found = {"machine": facts, "browser": tab.call("Browser.getVersion")["product"], "pages": [], "frames": []}
        for episodes in EPISODES:
            file = Path(folder) / f"{episodes}.html"
            file.write_text(page("replay", replay(crowded(episodes), LAYER, title=str(episodes))), encoding="utf-8")
            times = [opening(tab, file) for _ in range(OPENINGS)]
            size = file.stat().st_size
            found["pages"].append({"episodes": episodes, "bytes": size, "open_s": statistics.median(times)})
        for width in WIDTHS:
            opening(tab, Path(folder) / "1.html", width)
            found["frames"].append({"width": width} | frames(tab))
    write_json(ROOT / "docs" / "benchmarks" / "viewer.json", found)
    text = table(found)
    write_text(ROOT / "docs" / "benchmarks" / "viewer.md", text)
    print(text)


def opening(tab, file: Path, width: int = 1280) -> float:
    """Seconds from the start of the navigation until the first picture is drawn."""
    tab.open("about:blank", width)
    tab.open(file, width)
    tab.ask("new Promise(done => (function look() { globalThis.opened ? done(0) : setTimeout(look, 20) })())")
    return tab.ask("opened") / 1000


def frames(tab) -> dict:
    """Intervals between pictures and time spent drawing each [ms], while an episode is played."""
    tab.ask("safepursuit.seek(0), safepursuit.setSpeed(1), safepursuit.toggle()")
    enough = f"safepursuit.frames.length >= {2 * FRAMES}"
    tab.ask(f"new Promise(done => (function look() {{ ({enough}) ? done(0) : setTimeout(look, 50) }})())")
    interval, drawing = np.array(tab.ask("safepursuit.frames")[: 2 * FRAMES]).reshape(-1, 2)[5:].T
    found = {"frames_per_second": 1000 / interval.mean()}
    for name, values in (("interval_ms", interval), ("drawing_ms", drawing)):
        found[name] = dict(zip(("p50", "p99"), np.percentile(values, [50, 99]).tolist(), strict=True))
    return found


def table(found: dict) -> str:
    pages = "\n".join(
        f"| {one['episodes']:,} | {one['bytes'] / 1e6:.2f} MB | {one['open_s']:.2f} s |" for one in found["pages"]
    )
    frames = "\n".join(
        f"| {one['width']} px | {one['frames_per_second']:.1f} "
        f"| {_times(one['interval_ms'])} | {_times(one['drawing_ms'])} |"
        for one in found["frames"]
    )
    return f"""# The pages for the browser

Written by `make bench-viewer` (`benchmarks/viewer.py`); do not edit by hand.

Replay pages of made-up recordings among 16 discs, the longest of {STEPS} steps, as one file each; opened from disk in
{found["browser"]} without a window, in software rendering, on the machine below. Opening is the time from the start of
the navigation until the first picture, the median of {OPENINGS}.

| episodes | file | opens in |
| ---: | ---: | ---: |
{pages}

An episode of {STEPS} steps played at its own speed, {FRAMES} pictures: arena, control space and four strips are drawn
for each. Browsers draw at most 60 pictures a second on most screens; what else the machine does, its load, widens the
intervals, not the time that drawing takes.

| window | pictures/s | interval, median | 99 % | drawing, median | 99 % |
| ---: | ---: | ---: | ---: | ---: | ---: |
{frames}

{described(found["machine"])}
"""


def _times(found: dict) -> str:
    return f"{found['p50']:.1f} ms | {found['p99']:.1f} ms"


if __name__ == "__main__":
    main()
