"""Weights made by tests go into a folder of their own; one small validation is made once for many tests."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]  # helpers, and benchmarks
os.environ.setdefault("ONDEE_CACHE", tempfile.mkdtemp(prefix="ondee-cache-"))


@pytest.fixture(scope="session")
def compared(tmp_path_factory):
    """A folder with six half hours of IMERG and radar across a midnight, and ``out``, their finished validation."""
    from observed import compare

    return compare(tmp_path_factory.mktemp("compared"))
