"""Stores of rain that moves."""

import numpy as np
from scipy import ndimage

from ondee.grid import Grid
from ondee.store import Layout, Store, Stored

RAIN = Stored("radar_rain_rate", (), {}, {"units": "mm h-1", "product": "a radar"})
DAYS = ("2018-06-04", "2018-06-06")
SHAPE = (40, 48)
MOVE = (-1, 2)
"""Pixels per frame southwards and eastwards of the rain of the store."""


def field(seed, shape=(96, 96)):
    """Blobs of rain."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 3, mode="wrap")
    return np.clip(40 * (noise - 0.6 * noise.std()), 0, None).astype(np.float32)


def make_store(path, *, step=60, cell=2000, missing=True, blind=False, kinds=(0, 2)):
    """Two days of rain that moves; every pixel tells its frame and place, as far as it rains."""
    grid = Grid("+proj=laea +lat_0=46.5 +lon_0=2.5 +ellps=WGS84", 0, 0, cell, cell, SHAPE[1], SHAPE[0])
    slots = 24 * 60 // step
    splits = tuple(np.repeat(kinds, slots).tolist())
    store = Store.create(path, Layout(grid, DAYS, step, ("radar",), (RAIN,), splits, (4, *SHAPE), {}))
    for day in range(2):
        whole = field(day)
        frames = [np.roll(whole, (MOVE[0] * k, MOVE[1] * k), (0, 1))[: SHAPE[0], : SHAPE[1]] for k in range(slots)]
        rain = np.stack(frames)
        there = np.ones(slots, np.int16)
        if missing:
            rain[:, :, :6] = np.nan
            rain[10], there[10] = np.nan, 0  # a frame that is absent ends a run
        if blind:
            rain[:] = np.nan
        store.write(RAIN.name, slots * day, RAIN.packed(rain, path))
        store.write("radar_frames", slots * day, there)
        store.write("written", slots * day, np.ones(slots, np.uint8))
        store.commit(DAYS[day], {})
    store.finish({"statistics": {"train": {}}})
    return store
