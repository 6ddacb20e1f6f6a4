"""A page and its data as one HTML file.

The data travels as base64 of a zlib stream of: a header's length (4 bytes, little endian), the header in JSON, then the
arrays one after the other, each with its bytes sorted by significance, which zlib likes. Nothing of it is markup: the
page sets names as text.
"""

import base64
import json
import zlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np

VERSION = 1
"""Of the layout; a page refuses another."""

_KINDS = {"float32": "f4", "float64": "f8", "uint8": "u1", "uint16": "u2", "uint32": "u4"}

_PLACE = '<script id="data" type="text/plain"></script>'


def pack(kind: str, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """The data of a page of this kind: what `about` says (JSON; numbers must be finite), and arrays by name.

    Raises ValueError for an array of other numbers than float32, float64 and unsigned ones.
    """
    entries, parts, offset = [], [], 0
    for name, array in arrays.items():
        if array.dtype.name not in _KINDS:
            raise ValueError(f"a page holds no {array.dtype.name} numbers, which {name} has.")
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        planes = little.reshape(-1).view(np.uint8).reshape(-1, little.itemsize).T
        parts.append(planes.tobytes())
        kind_of = _KINDS[array.dtype.name]
        entries.append({"name": name, "type": kind_of, "shape": list(array.shape), "offset": offset})
        offset += little.nbytes
    header = {"version": VERSION, "kind": kind, "about": dict(about), "arrays": entries, "size": offset}
    text = json.dumps(header, allow_nan=False).encode()
    return zlib.compress(b"".join([len(text).to_bytes(4, "little"), text, *parts]), 6)


def page(kind: str, data: bytes = b"") -> str:
    """The page of this kind ("replay", "play", "watch") with this data in it."""
    template = files("safepursuit.viewer").joinpath("pages", f"{kind}.html").read_text(encoding="utf-8")
    before, place, after = template.partition(_PLACE)
    if not place:
        raise ValueError(f"the page {kind} has no place for data: build it anew with make viewer.")
    filled = _PLACE.replace("></script>", f">{base64.b64encode(data).decode('ascii')}</script>")
    return before + filled + after
