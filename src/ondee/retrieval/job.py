"""A retrieval from run and scenes to a file: planned, drawn block by block, resumed where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ondee import __version__, engine
from ondee import run as runs
from ondee.errors import ConfigError
from ondee.generative.noise import Noise
from ondee.output import locked
from ondee.progress import track
from ondee.retrieval.archive import Layout, Parts, check_out, refuse_large_moments, refuse_large_netcdf, signature_of
from ondee.retrieval.options import Options, Retrieved, moment
from ondee.retrieval.products import PRODUCTS, chosen, ensemble_products
from ondee.retrieval.scenes import Images, scenes_of
from ondee.retrieval.tiles import Drawn, Span, Work, draw, evaluation_seconds, tiles
from ondee.retriever.protocol import Retriever, Sampling

__all__ = ["plan", "retrieve"]


@dataclass(frozen=True)
class _Job:
    """All that a process must know to take part; plain values, so that it can be sent."""

    run: str
    scenes: str
    options: Options
    out: str
    weights: str
    threads: int


@dataclass(frozen=True)
class _Block:
    """One task: some moments in a row."""

    job: _Job
    first: int
    last: int


@dataclass(frozen=True)
class _Opened:
    """A job with its model in memory and its scenes open."""

    retriever: Retriever
    images: Images
    sampling: Sampling
    chosen: NDArray[np.int64]
    layout: Layout
    members: int
    work: Work
    batch: int

    def noise(self, seed: int, indices: Sequence[int] | NDArray[np.int64]) -> Noise:
        """Noise of some moments: keyed by the minute, whatever is retrieved beside it."""
        minutes = self.images.times[indices].astype("datetime64[m]").astype(np.int64)
        return Noise(
            seed,
            tuple(int(minute) for minute in minutes),
            tuple(range(self.members)),
            persistence=self.sampling.persistence,
            step=self.images.step,
        )

    def draw(self, seed: int, indices: NDArray[np.int64]) -> Drawn:
        """Members of some moments."""
        shape = self.images.grid.shape
        with _memory_errors(self.work):
            return draw(
                self.retriever, self.reader(indices), shape, self.noise(seed, indices), self.sampling, self.work
            )

    def reader(self, indices: NDArray[np.int64]) -> Any:
        """Reads windows of some moments."""

        def read(rows: Span, columns: Span) -> Any:
            return self.images.condition(indices, rows, columns)

        return read


def plan(run: str | Path, scenes: str | Path, out: str | Path, options: Options, *, force: bool = False) -> Retrieved:
    """Tell what a retrieval would do; one evaluation is made to tell its time.

    Parameters
    ----------
    run, scenes, out, options, force
        As of :func:`retrieve`.
    """
    place = check_out(out, force=force)
    job, opened = _opened(run, scenes, place, options, workers=1)
    refuse_large_netcdf(place, opened.layout)
    indices = opened.chosen[: opened.batch]
    noise = opened.noise(options.seed, indices)
    shape = opened.images.grid.shape
    with _memory_errors(opened.work):
        seconds = evaluation_seconds(
            opened.retriever, opened.reader(indices), shape, noise, opened.sampling, opened.work
        )
    batches = sum(-(-(last - first) // opened.batch) for first, last in opened.layout.blocks)
    made = _told(job, opened)
    return replace(made, bytes=opened.layout.bytes, seconds=seconds * batches, dry_run=True)


def retrieve(
    run: str | Path,
    scenes: str | Path,
    out: str | Path,
    options: Options | None = None,
    *,
    workers: int = 1,
    force: bool = False,
) -> Retrieved:
    """Retrieve rain from every moment of some scenes whose newest image is there.

    Parameters
    ----------
    run
        Folder of a run, or name of one that ondee ships.
    scenes
        A store, or a file or folder of images on a grid with the run's size of pixels.
    out
        A name that ends in ``.zarr`` or ``.nc``. It appears when it is whole; work cut short goes on from
        ``NAME.parts``.
    options
        What is retrieved; the defaults where None.
    workers
        Processes; each takes a block of moments.
    force
        Replace what is there.

    Returns
    -------
    Retrieved

    Raises
    ------
    ConfigError
        If options cannot be used, or the model was not made for such scenes.
    ReadError
        If run or scenes cannot be read.
    StoreError
        If the disk refuses, another retrieval is at work there, or was begun and not finished.
    """
    begin = time.perf_counter()
    place = check_out(out, force=force)
    job, opened = _opened(run, scenes, place, options or Options(), workers=workers)
    made = _told(job, opened)
    refuse_large_netcdf(place, opened.layout)
    held = signature_of(place)
    if held == opened.layout.attributes["signature"]:
        return replace(made, kept=made.moments, bytes=_size(place))
    if place.exists() and not force:
        raise ConfigError(
            "there is another retrieval" if held else "something is there already",
            where=place,
            fix="choose another name, or replace it with --force",
        )
    parts = Parts(place)
    with locked(parts.folder):
        parts.begin(opened.layout, force=force)
        todo = [_Block(job, *span) for span in opened.layout.blocks if not parts.is_done(span[0])]
        for _ in track(engine.run(_retrieve_block, todo, workers=workers), f"retrieving {place.name}", len(todo)):
            pass
        parts.finish()
    written = sum(block.last - block.first for block in todo)
    seconds = time.perf_counter() - begin
    return replace(made, written=written, kept=made.moments - written, bytes=_size(place), seconds=seconds)


def _retrieve_block(block: _Block) -> int:
    """Draw and write the moments of a block."""
    if block.job.threads:
        torch.set_num_threads(block.job.threads)
    opened = _open(block.job)
    made: dict[str, list[NDArray[np.float32]]] = {}
    frames: list[NDArray[np.bool_]] = []
    odds = opened.retriever.odds.cpu().numpy()
    for first in range(block.first, block.last, opened.batch):
        drawn = opened.draw(block.job.options.seed, opened.chosen[first : min(first + opened.batch, block.last)])
        frames.append(drawn.frames)
        for rain in drawn.rain:
            for name, field in ensemble_products(rain, opened.layout.products, odds).items():
                made.setdefault(name, []).append(field)
    variables = {name: np.stack(fields) for name, fields in made.items()}
    if not opened.layout.members:
        variables = {name: values[:, 0] for name, values in variables.items()}
    Parts(Path(block.job.out)).write(block.first, {**variables, "frames_seen": np.concatenate(frames).astype(np.int8)})
    return block.last - block.first


# ---- opening


def _opened(run: str | Path, scenes: str | Path, out: Path, options: Options, *, workers: int) -> tuple[_Job, _Opened]:
    """A job, and what it opens."""
    _refuse_to_replace(out, run, scenes)
    weights = _digest(runs.load(run))
    threads = max(1, (os.cpu_count() or 1) // workers) if workers > 1 else 0
    job = _Job(str(run), str(scenes), options, str(out), weights, threads)
    _open.cache_clear()  # scenes may have grown since
    opened = _open(job)
    refuse_large_moments(opened.layout, max(1, min(workers, len(opened.layout.blocks))))
    return job, opened


@contextmanager
def _memory_errors(work: Work) -> Iterator[None]:
    """Say what to ask less of where the memory of the device is not enough.

    Raises
    ------
    ConfigError
        If torch or NumPy could not have the memory that they wanted.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error)
        if not isinstance(error, MemoryError) and "allocate" not in text and "out of memory" not in text:
            raise
        raise ConfigError(
            "the memory is too small for what is computed together",
            where=f"--tile {work.tile}, {work.members} members together",
            fix="give a smaller --tile, or fewer fields at a time with --batch 1; no result depends on them",
        ) from error


def _refuse_to_replace(out: Path, *sources: str | Path) -> None:
    """Refuse to write where run or scenes lie: --force would remove them.

    Raises
    ------
    ConfigError
        If `out` is one of the sources, or one lies in it.
    """
    for source in sources:
        if Path(source).exists() and Path(source).resolve().is_relative_to(out.resolve()):
            raise ConfigError(
                "the rain would take the place of what it is made from", where=out, fix="choose another name for --out"
            )


@lru_cache(maxsize=1)
def _open(job: _Job) -> _Opened:
    options = job.options
    retriever = runs.load(job.run, "cuda" if torch.cuda.is_available() else "cpu")
    images = scenes_of(job.scenes, retriever, split=options.split)
    sampling = options.sampling(retriever.sampling)
    wanted = _within(images.times, options, job.scenes)
    members = options.members if retriever.stochastic else 1
    names = chosen(options.products, members, stochastic=retriever.stochastic)
    group = min(members, options.batch)
    about = _about(job, retriever, images, sampling, names, wanted)
    layout = Layout(
        images.grid,
        images.times[wanted],
        images.step,
        members if retriever.stochastic else 0,
        retriever.predictors.minutes,
        names,
        about,
    )
    work = Work(options.tile, group)
    together = min(layout.block, max(1, options.batch // group))
    return _Opened(retriever, images, sampling, wanted, layout, members, work, together)


def _within(times: NDArray[np.datetime64], options: Options, where: object) -> NDArray[np.int64]:
    """Indices of the moments that are asked for."""
    kept = np.ones(times.shape, bool)
    for name in ("start", "end"):
        text = getattr(options, name)
        if text is None:
            continue
        edge = moment(text, where=f"--{name}")
        micro = times.astype("datetime64[us]")
        kept &= micro >= edge if name == "start" else micro < edge
    found = np.flatnonzero(kept)
    if not found.size:
        there = f"{str(times.min())[:16]} to {str(times.max())[:16]} UTC" if times.size else "none"
        raise ConfigError(
            "no moment that is asked for has its newest image",
            where=where,
            fix=f"widen --start and --end, or choose another --split; there are images of {there}",
        )
    return found


def _digest(retriever: Retriever) -> str:
    """Hash of all weights and scalings."""
    found = hashlib.sha256()
    for name, tensor in sorted(retriever.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def _about(
    job: _Job,
    retriever: Retriever,
    images: Images,
    sampling: Sampling,
    names: Sequence[str],
    wanted: NDArray[np.int64],
) -> dict[str, Any]:
    """Attributes of the file; its signature stands for all that the values depend on."""
    model = type(retriever).__module__.rsplit(".", 1)[-1].replace("_", "-")
    run = Path(job.run).name or Path(job.run).resolve().name
    told: dict[str, Any] = {
        "title": "rain retrieved from infrared images",
        "product": f"rain from infrared, {run}",
        "source": f"infrared images: {images.product}",
        "run": f"{run} {job.weights[:12]}",
        "model": model,
        "seed": job.options.seed,
        "sampling": json.dumps(sampling.model_dump()) if retriever.stochastic else "one field, nothing is drawn",
        "version": f"ondee {__version__}, torch {torch.__version__}",
    }
    stamps = images.times[wanted].astype("datetime64[s]").astype(np.int64)
    depends = {
        **told,
        "weights": job.weights,
        "settings": repr(retriever.settings),
        "members": job.options.members if retriever.stochastic else 1,
        "products": [PRODUCTS[name].variable for name in names],
        "predictors": asdict(retriever.predictors),
        "grid": images.grid.digest,
        "scenes": images.stamp,
        "times": hashlib.sha256(stamps.tobytes()).hexdigest(),
    }
    signature = hashlib.sha256(json.dumps(depends, sort_keys=True, default=str).encode()).hexdigest()
    return {**told, "signature": signature}


# ---- telling


def _told(job: _Job, opened: _Opened) -> Retrieved:
    retriever, layout = opened.retriever, opened.layout
    padded = [-(-side // retriever.multiple) * retriever.multiple for side in layout.grid.shape]
    cut = tiles((padded[0], padded[1]), opened.work.tile, retriever.reach, retriever.multiple)
    stages = retriever.stages(opened.sampling)
    return Retrieved(
        job.out,
        str(layout.attributes["run"]),
        str(layout.attributes["model"]),
        job.scenes,
        layout.grid.describe(),
        len(layout.times),
        str(layout.times[0])[:16],
        str(layout.times[-1])[:16],
        layout.members,
        tuple(layout.layers),
        opened.sampling.model_dump() if retriever.stochastic else {},
        len(cut),
        retriever.reach,
        opened.sampling.evaluations if retriever.stochastic else len(stages),
    )


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
