"""Frames one after the other, written as GIF or MP4."""

import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FORMATS = (".gif", ".mp4")

_GIF_FRAMES = 1500
"""A GIF is held in memory until it is written, about half a megabyte per frame."""

_COLOURS = 128
"""At most, of a GIF's palette, one for all its frames; nothing is dithered, so that what stands still costs nothing."""

_APART = 8
"""Least difference of two colours of the palette, in some channel."""


def check(file: Path) -> None:
    """Check, before the frames are drawn, whether this file can be written.

    Raises ValueError for a suffix that names no known format or a folder that does not exist, RuntimeError where the
    encoder for MP4 is not installed.
    """
    if file.suffix.lower() not in FORMATS:
        raise ValueError(f"an animation's file ends in .gif or .mp4, which {file.name!r} does not.")
    if not file.absolute().parent.is_dir():
        raise ValueError(f"folder {file.absolute().parent} does not exist.")
    if file.suffix.lower() == ".mp4":
        _encoder()


def write(file: Path, frames: Iterable[np.ndarray], fps: int, palette: Iterable[np.ndarray] = ()) -> int:
    """Write frames (height, width, 3) of uint8, all of one size, and return how many there were.

    GIF: played in a loop; frames last 1/fps s rounded to hundredths, as the format has it; `palette` are
    pictures, of any size, with the colours that the frames will need. MP4: H.264 in yuv420p with its index in front, as
    browsers want it; an odd last row or column is cut off. The file appears, or is replaced, in one step when all is
    written. Raises ValueError and RuntimeError as `check` does, and ValueError for a GIF of more frames than memory
    should hold.
    """
    check(file)
    gif, count = file.suffix.lower() == ".gif", 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal count
        for count, picture in enumerate(frames, 1):
            if gif and count > _GIF_FRAMES:
                raise ValueError(
                    f"a GIF of more than {_GIF_FRAMES:,} frames is too large to be shown: write .mp4, show fewer "
                    "episodes, or play them faster."
                )
            yield picture

    file = Path(os.path.realpath(file))  # a symbolic link stays
    partial = file.with_name(f".{file.stem}.{os.getpid()}.partial{file.suffix}")
    try:
        (_write_gif if gif else _write_mp4)(partial, counted(), fps, palette)
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)
    return count


def _write_gif(file: Path, frames: Iterator[np.ndarray], fps: int, palette: Iterable[np.ndarray]) -> None:
    first = next(frames)
    colours = _palette(np.concatenate([picture.reshape(-1, 3) for picture in (first, *palette)]))

    def indexed(picture: np.ndarray) -> Image.Image:
        return Image.fromarray(picture).quantize(palette=colours, dither=Image.Dither.NONE)

    style: dict[str, Any] = {"loop": 0, "optimize": True, "disposal": 1, "duration": 10 * round(100 / fps)}
    indexed(first).save(file, save_all=True, append_images=map(indexed, frames), **style)


def _palette(samples: np.ndarray) -> Image.Image:
    """A picture that carries the palette: the commonest colours as they are, the rest by median cut.

    For the cut a colour counts by the root of its share; by its share, none would be left for thin lines.
    """
    colours, counts = np.unique(samples, axis=0, return_counts=True)
    common = colours[np.argsort(-counts, kind="stable")[: _COLOURS // 2]]
    weighed = np.repeat(colours, np.sqrt(counts).astype(int), axis=0)
    cut = Image.fromarray(weighed[None]).quantize(_COLOURS // 2, Image.Quantize.MEDIANCUT)
    chosen: list[np.ndarray] = []
    for colour in [*common.astype(int), *np.reshape(cut.getpalette() or [], (-1, 3))]:
        # Pillow looks colours up in steps of 4: of two that are nearer to each other it may take the wrong one.
        if all(np.abs(colour - other).max() >= _APART for other in chosen):
            chosen.append(colour)
    picture = Image.new("P", (1, 1))
    picture.putpalette(np.ravel(chosen).tolist())
    return picture


def _write_mp4(file: Path, frames: Iterator[np.ndarray], fps: int, palette: Iterable[np.ndarray]) -> None:
    av = _encoder()
    first = next(frames)
    height, width = (side - side % 2 for side in first.shape[:2])
    with av.open(str(file), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options={"crf": "20", "preset": "medium"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in chain([first], frames):
            pixels = np.ascontiguousarray(picture[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def _encoder() -> Any:
    """PyAV, whose wheel brings the H.264 encoder along."""
    try:
        import av
    except ImportError:
        raise RuntimeError(
            "MP4 needs the extra [report] (pip install 'safepursuit[report]'); GIF works without it."
        ) from None
    return av
