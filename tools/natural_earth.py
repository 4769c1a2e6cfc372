"""Make the coastlines and borders that ondee ships, from a Natural Earth 1:50m TopoJSON of countries.

Natural Earth is in the public domain. The TopoJSON is ``countries-50m.json`` of the npm package world-atlas::

    python tools/natural_earth.py countries-50m.json src/ondee/plot/natural_earth_50m.npz

An arc that one country uses is coast, an arc that two countries share is a border. Cuts along the antimeridian
and at the South Pole, which are edges of the map and not of the land, are left out. Coordinates stay the integers of
the TopoJSON: a first point (int32) and steps (int16) for each line.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

COAST, BORDER = 0, 1
HALF_WAY = 50_000  # steps of the TopoJSON: 180 degrees of longitude


def arc_numbers(nested: Any) -> Iterator[int]:
    """All arcs in the nested lists of a geometry; a reversed arc ``~n`` counts as ``n``."""
    if isinstance(nested, int):
        yield nested if nested >= 0 else ~nested
    else:
        for part in nested:
            yield from arc_numbers(part)


def pieces(points: NDArray[np.int64], artificial: NDArray[np.bool_]) -> Iterator[NDArray[np.int64]]:
    """Cut a line, ``(n, 2)``, where it runs along an edge of the map or jumps from one edge to the other."""
    around = np.abs(np.diff(points[:, 0])) > HALF_WAY
    cut = np.flatnonzero((artificial[:-1] & artificial[1:]) | around) + 1
    yield from (piece for piece in np.split(points, cut) if len(piece) > 1)


def lines(topology: dict[str, Any]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Kind and integer coordinates of every line."""
    used: Counter[int] = Counter()
    for geometry in topology["objects"]["countries"]["geometries"]:
        used.update(set(arc_numbers(geometry.get("arcs", []))))
    (scale_x, scale_y), (first_x, first_y) = topology["transform"]["scale"], topology["transform"]["translate"]
    for number, arc in enumerate(topology["arcs"]):
        points = np.cumsum(np.asarray(arc, dtype=np.int64)[:, :2], axis=0)
        longitude, latitude = first_x + scale_x * points[:, 0], first_y + scale_y * points[:, 1]
        artificial = (np.abs(longitude) > 179.99) | (latitude < -89.9)
        for piece in pieces(points, artificial):
            yield (BORDER if used[number] > 1 else COAST), piece


def main() -> None:
    """Read the TopoJSON, write the npz."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("topojson", type=Path)
    parser.add_argument("npz", type=Path)
    arguments = parser.parse_args()
    topology = json.loads(arguments.topojson.read_text())
    kinds, parts = zip(*lines(topology), strict=True)
    steps = np.concatenate([np.diff(part, axis=0) for part in parts])
    limits = np.iinfo(np.int16)
    if steps.min() < limits.min or steps.max() > limits.max:
        raise SystemExit("a step does not fit in 16 bits")
    np.savez_compressed(
        arguments.npz,
        kind=np.asarray(kinds, dtype=np.uint8),
        size=np.asarray([len(part) for part in parts], dtype=np.int32),
        first=np.asarray([part[0] for part in parts], dtype=np.int32),
        steps=steps.astype(np.int16),
        scale=np.asarray(topology["transform"]["scale"]),
        translate=np.asarray(topology["transform"]["translate"], dtype=np.float64),
    )


if __name__ == "__main__":
    main()
