"""Floor plans in SVG: paths, rectangles, polygons, ellipses and lines with their transforms, read by svgpathtools."""

import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from safepursuit.scene.occupancy import MapError
from safepursuit.scene.plan import Plan, text_of

SUFFIX = ".svg"

_SPACE = "{http://www.w3.org/2000/svg}"
_UNREAD = ("a", "svg", "switch", "use")
"""Elements that may draw shapes which are not read."""
_FLATNESS = 0.005
"""Distance [m] within which chords follow a curve."""
_MOST_CHORDS = 10_000
_FAR = 1e12
"""No coordinate of a drawing is as large."""
_JOINED = 1e-9
"""Share of its extent within which the ends of a path are one point."""


def read(file: Path, scale: float) -> Plan:
    """What a file draws, with `scale` metres per unit; y points upwards, whereas SVG's points down.

    Closed paths are polygons, those within them their holes, open ones lines, and circles discs. Curved lines are thin
    polygons that hold them. What is not displayed, text and pictures are left out. Raises MapError.
    """
    try:
        from svgpathtools.document import CONVERSIONS
    except ImportError:
        raise MapError("plans in SVG take the extra plans: pip install 'safepursuit[plans]'") from None

    text, drawn = text_of(file), Plan()
    try:
        root = ElementTree.fromstring(text)
        if root.tag != f"{_SPACE}svg":
            raise MapError(f"it holds {root.tag!r}")
        for number, (element, transform) in enumerate(_shapes(root, np.eye(3), tuple(CONVERSIONS)), 1):
            name = element.get("id")
            where = f"{_name(element)} {repr(name) if name else number}"
            _add(drawn, element, scale * np.array([[1.0], [-1.0]]) * transform[:2], where)
    except (ElementTree.ParseError, RecursionError, ValueError) as error:
        raise MapError(f"the plan {file} cannot be read as SVG: {' '.join(str(error).split())}") from None
    return drawn


def _shapes(
    group: ElementTree.Element, transform: np.ndarray, kinds: tuple[str, ...]
) -> Iterator[tuple[ElementTree.Element, np.ndarray]]:
    """The shapes of a group that are displayed, and their (3, 3) transforms to the drawing's own frame."""
    from svgpathtools.parser import parse_transform

    for one in group:
        name, style = _name(one), one.get("style", "").replace(" ", "")
        if one.get("display") == "none" or "display:none" in style.split(";"):
            continue
        if name in _UNREAD:
            raise MapError(f"<{name}> is not read: put its shapes in its place (in Inkscape, ungroup or unlink clones)")
        if name == "g" or name in kinds:
            own = transform @ parse_transform(one.get("transform"), strict=True)
            yield from [(one, own)] if name in kinds else _shapes(one, own, kinds)


def _name(element: ElementTree.Element) -> str:
    return str(element.tag).removeprefix(_SPACE)


def _add(plan: Plan, element: ElementTree.Element, change: np.ndarray, where: str) -> None:
    """Add what one element draws; `change` (2, 3) leads to metres."""
    import shapely

    stretch = np.linalg.svd(change[:, :2], compute_uv=False)
    if not np.isfinite(change).all() or not stretch[1] > 0:
        raise MapError(f"the transform of {where} is not finite, or flattens it")
    try:
        if _name(element) == "circle" and math.isclose(*stretch, rel_tol=1e-9):
            x, y, radius = (float(element.get(key, 0)) for key in ("cx", "cy", "r"))
            if not (math.hypot(x, y) < _FAR and 0 < radius < _FAR):
                raise ValueError("a circle takes cx, cy and a positive r")
            plan.discs.append([*(change @ [x, y, 1]).tolist(), radius * float(stretch[0])])
            return
        pieces = list(_pieces(element, _FLATNESS / float(stretch[0])))
    # What svgpathtools raises where a text is no path.
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise MapError(f"{where}: {' '.join(str(error).split())}") from None
    rings, round_about = [], False
    for own, curved in pieces:
        # Points are transformed here: svgpathtools turns an ellipse wrongly where a transform is no similarity.
        points = own @ change[:, :2].T + change[:, 2]
        if len(points) > 3 and np.ptp(points[[0, -1]], axis=0).max() <= _JOINED * np.ptp(points, axis=0).max():
            rings.append(shapely.Polygon(points))
            round_about |= curved
        elif curved:
            strip = shapely.LineString(points).buffer(_FLATNESS, cap_style="square", join_style="mitre")
            plan.polygons.append((strip, 0.0))
        else:
            plan.lines.append(shapely.LineString(points))
    for one in rings:
        if not one.is_valid:
            raise MapError(f"{where} is damaged: {shapely.is_valid_reason(one)}")
    off = _FLATNESS if round_about else 0.0
    plan.polygons.extend((one, off) for one in shapely.get_parts(_nested(rings)) if not one.is_empty)


def _pieces(element: ElementTree.Element, flatness: float) -> Iterator[tuple[np.ndarray, bool]]:
    """The connected pieces of what an element draws, as polylines, and whether they are curved (`_chords`)."""
    from svgpathtools import parse_path
    from svgpathtools.document import CONVERSIONS

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an arc without a radius is a line, as SVG has it
        path = parse_path(CONVERSIONS[_name(element)](element))
    for one in path.continuous_subpaths() if len(path) else ():
        yield _chords(one, flatness)


def _chords(path: Any, flatness: float) -> tuple[np.ndarray, bool]:
    """Corners (n, 2) of a polyline within `flatness` of a path, and whether the path is curved.

    A chord leaves a curve of the second derivative γ″ by no more than |γ″| h²/8 over a piece of the parameter h.
    """
    from svgpathtools import Arc, Line

    points, curved = [path[0].start], False
    for one in path:
        if isinstance(one, Line):
            points.append(one.end)
            continue
        curved = True
        if isinstance(one, Arc):
            bend = max(one.radius.real, one.radius.imag) * math.radians(one.delta) ** 2
        else:
            corners = np.array(one.bpoints())
            bend = (len(corners) - 1) * (len(corners) - 2) * np.abs(np.diff(corners, 2)).max()
        wanted = math.sqrt(bend / (8 * flatness))
        if not wanted < _MOST_CHORDS:
            raise ValueError(f"a curve takes more than {_MOST_CHORDS:,} chords")
        count = max(1, math.ceil(wanted))
        points += [one.point(k / count) for k in range(1, count)] + [one.end]
    found = np.array([[one.real, one.imag] for one in points])
    if not np.abs(found).max() < _FAR:
        raise ValueError("its coordinates are not finite, or too large")
    return found, curved


def _nested(rings: list[Any]) -> Any:
    """What the rings of one path enclose: one that lies within another is a hole of it."""
    import shapely

    whole = shapely.Polygon()
    for one in sorted(rings, key=lambda ring: -ring.area):
        whole = whole.difference(one) if whole.covers(one) else whole.union(one)
    return whole
