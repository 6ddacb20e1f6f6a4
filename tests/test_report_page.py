"""The page of a comparison as a browser shows it, on a desk and on a telephone, light and dark.

The screenshots stay in build/report-page/.
"""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import planted
from browser import PROGRAM
from safepursuit.report.comparison.page import write_report
from tiny import few

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine")

SHOTS = Path(__file__).parents[1] / "build" / "report-page"
WIDTHS = {"desk": 1280, "telephone": 390}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Two groups and two evaders, drawn as fine as ever."""
    out = tmp_path_factory.mktemp("comparison")
    planted.write(out, groups=("guarded", "pursuit"), evaders=("flee", "hide"))
    return write_report(out)


@pytest.mark.parametrize("look", few(product(WIDTHS, ["light", "dark"])), ids=" ".join)
def test_the_page_fits_and_is_whole(page, tab, look):
    screen, scheme = look
    width = WIDTHS[screen]
    tab.open(page, width, scheme=scheme)
    assert tab.troubles == []
    assert [address.split(":")[0] for address in set(tab.requests) if not address.startswith("data:")] == ["file"]
    assert tab.ask("document.images.length") == 4 + 2 + 3 + 10 + 4 + 1
    assert tab.ask("[...document.images].every(one => one.complete && one.naturalWidth > 100)")
    assert tab.ask("innerWidth") == width
    assert tab.ask("document.documentElement.scrollWidth") <= width
    assert tab.ask("[...document.querySelectorAll('figure')].every(one => one.scrollWidth <= one.clientWidth)")
    SHOTS.mkdir(parents=True, exist_ok=True)
    file = SHOTS / f"{screen}-{scheme}.png"
    tab.shoot(file)
    shot = np.asarray(Image.open(file).convert("L"), float)
    assert shot.shape[1] == width
    paper = np.median(shot)
    assert paper > 250 if scheme == "light" else paper < 40
    assert 0.01 < np.mean(np.abs(shot - paper) > 100) < 0.5  # there is ink, and it stands out


def test_words_stand_out_from_the_paper(page, tab):
    """WCAG 2.1 AA: a contrast of 4.5 : 1 for every piece of text, in either scheme."""
    for scheme in ("light", "dark"):
        tab.open(page, 1280, scheme=scheme)
        faint = tab.ask(_FAINT)
        assert faint == [], scheme


def test_nothing_is_too_small_to_read(page, tab):
    """On the telephone: words of 11 pixels or more; in charts, whose smallest words are 8 points of a figure 4.6 inches
    wide, of 8 pixels or more."""
    tab.open(page, WIDTHS["telephone"])
    sizes = "[...document.querySelectorAll('main *')].map(one => parseFloat(getComputedStyle(one).fontSize))"
    assert min(tab.ask(sizes)) >= 11
    shown = tab.ask("[...document.querySelectorAll('section:not([aria-labelledby=failures]) img')].map(i => i.width)")
    assert min(shown) * 8 / (4.6 * 72) >= 8


def test_what_is_folded_opens(page, tab):
    tab.open(page, WIDTHS["telephone"])
    before = tab.ask("document.documentElement.scrollHeight")
    tab.ask("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert tab.ask("document.documentElement.scrollHeight") > before + 1000
    assert tab.ask("document.documentElement.scrollWidth") <= WIDTHS["telephone"]


_FAINT = """
(() => {
  const shade = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(Number)
      .map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = one => {
    for (; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (!/, 0\\)$/.test(colour)) return colour;
    }
  };
  const faint = [];
  for (const one of document.querySelectorAll('body *')) {
    if (![...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim())) continue;
    const [low, high] = [shade(getComputedStyle(one).color), shade(paper(one))].sort((a, b) => a - b);
    if ((high + 0.05) / (low + 0.05) < 4.5) faint.push(one.textContent.trim().slice(0, 40));
  }
  return faint;
})()
"""
