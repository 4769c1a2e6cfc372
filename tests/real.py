"""Where the real files lie, if this machine has them; tests that read them skip where it has not."""

import os
from pathlib import Path

import pytest

_CANDIDATES = (
    os.environ.get("ONDEE_REAL_DATA", ""),
    str(Path(__file__).resolve().parents[2] / "shared" / "data"),
)
DATA = next((Path(place) for place in _CANDIDATES if place and Path(place).is_dir()), None)


def path(relative: str) -> Path:
    """A real file, by its place below the data folder."""
    assert DATA is not None, "mark the test with real.needs(…)"
    return DATA / relative


def needs(*relatives: str) -> pytest.MarkDecorator:
    """Skip unless the real files are here."""
    absent = DATA is None or not all((DATA / relative).exists() for relative in relatives)
    return pytest.mark.skipif(absent, reason="the real files are not on this machine (set ONDEE_REAL_DATA)")
