"""A quantity over time as a narrow chart."""

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from safepursuit.report.figures import BARRIER, DISC

GREY = "#7d848c"


class Strip:
    """A quantity [m] over time, whose curve grows."""

    def __init__(self, axes: Axes, times: np.ndarray, values: np.ndarray, colour: str, name: str, digits: int) -> None:
        self.axes, self.times, self.values, self.name, self.digits = axes, times, values, name, digits
        axes.set(
            xlim=(0, times[-1]), ylim=(np.fmin.reduce(values, initial=0), 1.05 * np.fmax.reduce(values, initial=0.1))
        )
        axes.tick_params(labelsize=7, colors=GREY, length=2)
        axes.spines[["left", "bottom"]].set_color(DISC)
        axes.locator_params(axis="y", nbins=3)
        self.curve = axes.plot([], [], color=colour, lw=1.4, animated=True)[0]
        self.label = axes.text(0, 1.06, "", transform=axes.transAxes, fontsize=8.5, animated=True)
        self.past = Rectangle((0, 0), 0, 1, transform=axes.get_xaxis_transform())
        self.artists: list[Artist] = [self.curve, self.label]

    def shade(self, where: np.ndarray) -> None:
        """Mark these times in what has grown of the curve."""
        style: dict[str, Any] = {"fc": BARRIER, "alpha": 0.3, "lw": 0, "transform": self.axes.get_xaxis_transform()}
        shaded = self.axes.fill_between(self.times, 0, 1, where=where, step="post", animated=True, **style)
        self.artists.insert(0, shaded)

    def show(self, step: int) -> None:
        self.curve.set_data(self.times[: step + 1], self.values[: step + 1])
        self.label.set_text(f"{self.name} {self.values[step]:.{self.digits}f} m".replace("-", "−"))
        self.past.set_width(self.times[step])
        self.artists[0].set_clip_path(self.past)
