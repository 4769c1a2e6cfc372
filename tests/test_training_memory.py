"""Memory that a training frees stays with its process, unless the user has said otherwise."""

import os
import platform
import subprocess
import sys

import pytest

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has no mallopt")
SCRIPT = """
import resource
from ondee.training.memory import keep_memory
{call}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for step in range(40):
    if step == 20:
        begun = faults()
    blocks = [bytearray(b"1") * (5 * 2**20) for _ in range(8)]
    del blocks
print(faults() - begun)
"""


def asked(script, **environment):
    # What another library of this process has set, as dask does for its workers, is not the user's here.
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    told = subprocess.run(
        [sys.executable, "-c", script], env={**ours, **environment}, capture_output=True, text=True, check=True
    )
    return told.stdout.split()


@glibc
def test_blocks_are_taken_from_what_was_freed():
    pages = 20 * 8 * 5 * 2**20 // 4096
    (given_back,) = asked(SCRIPT.format(call=""))
    assert int(given_back) > pages / 2
    (kept,) = asked(SCRIPT.format(call="assert keep_memory()"))
    assert int(kept) < int(given_back) / 2


@glibc
def test_what_the_user_has_set_is_left():
    script = "from ondee.training.memory import keep_memory; print(keep_memory())"
    assert asked(script) == ["True"]
    assert asked(script, MALLOC_ARENA_MAX="2", GLIBC_TUNABLES="glibc.malloc.tcache_count=5") == ["True"]
    for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"):
        assert asked(script, **{name: "1048576"}) == ["False"]
    assert asked(script, GLIBC_TUNABLES="glibc.malloc.trim_threshold=1048576") == ["False"]
