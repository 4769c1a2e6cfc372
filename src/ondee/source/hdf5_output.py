"""HDF5 files that appear whole, or not at all, even where the disk is full."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from ondee.output import whole

__all__ = ["whole_hdf5"]


@contextmanager
def whole_hdf5(path: Path, *, force: bool = False) -> Iterator[h5py.File]:
    """Give an HDF5 file to fill; as by :func:`ondee.output.whole`, but it is made in memory.

    The HDF5 library cannot close a file that a full disk refuses, and takes the process with it.

    Parameters
    ----------
    path
        The file to make.
    force
        Replace a file that exists.

    Raises
    ------
    StoreError
        If the file exists and `force` is not set, or the disk refuses.
    """
    with whole(path, force=force) as draft:
        with h5py.File(draft, "w", driver="core", backing_store=False) as file:
            yield file
            file.flush()
            image = file.id.get_file_image()
        draft.write_bytes(image)
