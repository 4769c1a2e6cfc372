"""Weights made by tests go into a folder of their own; one small validation is made once for many tests."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

LONG = (
    "test_readme",
    "test_build",
    "test_training",
    "test_docs",
    "test_retrieval",
    "test_retriever_tiled",
    "test_retriever_toys",
    "test_batches",
    "test_benchmarks_retrieval",
    "test_world_archive",
    "test_validation_run",
    "test_plot_verification",
    "test_retriever_rivals",
    "test_verification",
    "test_training_latents",
    "test_report",
    "test_validation_sums",
    "test_command_encode",
    "test_verification_ensemble",
    "test_verification_real",
    "test_world_ambiguity",
)
"""Files that take longest, the longest first."""

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]  # helpers, and benchmarks
os.environ.setdefault("ONDEE_CACHE", tempfile.mkdtemp(prefix="ondee-cache-"))


def pytest_collection_modifyitems(config, items):
    """Where processes share the work, let the longest files begin: the last of them would keep all others waiting."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


@pytest.fixture(scope="session")
def compared(tmp_path_factory):
    """A folder with six half hours of IMERG and radar across a midnight, and ``out``, their finished validation."""
    from observed import compare

    return compare(tmp_path_factory.mktemp("compared"))
