"""Intervals of scores: blocks of time are drawn anew by reweighting their sums; the memory of days is reckoned with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError, GridError
from ondee.score.catalogue import MEASURES
from ondee.score.limits import Array, Bounds, Kind, limits
from ondee.score.sums import finish, pool

__all__ = ["Kind", "block_length", "bootstrap", "check_draws", "intervals", "predecessors"]


MOST_BLOCKS = 1000
"""Above this number, neighbouring blocks are joined: the jackknife scores the archive once without each."""
_BATCH = 50
"""Replicates whose sums are added at once."""
_HELD = 1 << 21
"""Most sums of replicates that are divided at once: to divide many small tables takes longer than one of 16 MB."""
_DRAW = "resample"
_UNITS = {"m": 60, "h": 3600, "D": 86400}


def bootstrap(
    sums: xr.Dataset,
    *,
    block: str = "1D",
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    kind: Kind = "adjusted",
    against: str | Sequence[str] | None = None,
) -> xr.Dataset:
    r"""Give each score of an archive its interval, from the sums of its days.

    Blocks of time are drawn with replacement; a replicate weights the sums of each block with the number of times it
    was drawn, adds them and divides (Efron and Tibshirani 1993, ch. 6 and 8). The same draw serves every estimate,
    stratum and score. The plain percentiles of the replicates are too narrow: they take the blocks as independent, and
    the spread of few and unequal days as known. The ``adjusted`` interval is, on a scale :math:`g` that respects the
    score's range (:math:`\arcsin\sqrt\cdot` between two bounds, a square root above or below one, the score itself
    otherwise),

    .. math:: g(\hat\theta) \pm t_{\nu}\,\hat\sigma\,\sqrt{L},\quad
        L=\frac{1+\hat\rho}{1-\hat\rho},\quad
        \nu=\frac{2(\sum\psi_b^2)^2}{L\,[\sum\psi_b^4-(\sum\psi_b^2)^2/B]}

    with :math:`B` blocks and :math:`\psi_b` the jackknife influence of a block, centred: :math:`\hat\sigma` is the
    larger of the spread of the replicates and the jackknife's error, :math:`L` the length of the memory of the
    influences (:math:`\hat\rho` their lag-1 correlation, corrected for its bias, not below 0), and :math:`\nu` the
    degrees of freedom that their kurtosis leaves, between 2 and :math:`B-1`. An interval goes no further beyond the
    replicates than they spread, and that of a score which can only be one of the given scales (``skilful_scale``) is
    the plain one of the replicates.

    Parameters
    ----------
    sums
        From a score with ``over=("y", "x")`` or :func:`~ondee.score.merge`; they must keep ``time``.
    block
        Length of a block: ``"1D"``, ``"6h"``, ``"5D"``. A block without data is no block. More than 1000 are joined
        to longer ones.
    replicates
        Number of replicates, at least 100.
    seed
        Of the draws. The result does not depend on the order of variables, times or estimates. Blocks count in which
        any of the estimates has data.
    level
        Probability with which the interval is to hold the true value.
    kind
        ``"adjusted"``, or ``"percentile"`` of the replicates.
    against
        Name on the dimension ``estimate``: differences to it are given too, paired day by day. Of several names, the
        differences have a dimension ``reference``.

    Returns
    -------
    xarray.Dataset
        ``finish(pool(sums, "time"))``; for each score ``<name>_low`` and ``<name>_high``; with `against` also
        ``<name>_difference``, ``<name>_difference_low`` and ``<name>_difference_high`` for scores that have the
        dimension ``estimate``. NaN where fewer than two blocks count or more than half the replicates are undefined.

    Raises
    ------
    ConfigError
        If a setting cannot be used.
    GridError
        If the sums have no ``time``.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from ondee.score import event
    >>> from ondee.score.resampling import bootstrap
    >>> rng = np.random.default_rng(0)
    >>> time = np.datetime64("2018-06-01", "ns") + np.arange(40) * np.timedelta64(1, "D")
    >>> rain = rng.gamma(0.3, 4.0, (2, 40, 50)) * rng.gamma(1.0, 1.0, (1, 40, 1))
    >>> estimate, truth = (xr.DataArray(field, dims=("time", "x"), coords={"time": time}) for field in rain)
    >>> made = bootstrap(event(estimate, truth, over="x", thresholds=[1.0]))
    >>> bool(made.critical_success_index_low < made.critical_success_index < made.critical_success_index_high)
    True
    """
    _require(sums, replicates, level, kind, against)
    table, starts, span = _blocks(sums, block_length(block))
    constant = sums.drop_dims("time")
    whole = finish(pool(sums, "time"))

    def scored(weights: Array) -> dict[str, Array]:
        """Scores of the sums so weighted, ``(draw, …)``."""
        data = {name: ((_DRAW, *dims), _weighted(weights, values)) for name, (dims, values) in table.items()}
        made = finish(constant.assign(data).assign_attrs(sums.attrs))
        return {str(name): _ordered(made[name], len(weights), whole[name].dims) for name in whole.data_vars}

    batch = _batch(sum(values[:1].size for _, values in table.values()))
    drawn, without = _evaluate(scored, len(starts), replicates, seed, batch, jackknife=kind == "adjusted")
    previous = predecessors(starts, span)
    wanted = [] if against is None else [against] if isinstance(against, str) else list(against)
    names = [*map(str, whole["estimate"].values)] if wanted else []
    result = whole.copy()
    for name in map(str, whole.data_vars):
        low, high = MEASURES[name].bounds
        how: Kind | Literal["steps"] = "steps" if MEASURES[name].stepped else kind
        value, draws, left = whole[name].values[np.newaxis].astype(float), drawn[name], without.get(name)
        if (value < low).any():  # a quantity that is positive for rain, of something that is not
            low = -np.inf
        _put(result, name, whole[name], limits(value, draws, left, (low, high), previous, level, how), level)
        if not wanted or "estimate" not in whole[name].dims:
            continue
        axis = 1 + whole[name].dims.index("estimate")
        parts = []
        for place in (names.index(one) for one in wanted):
            gap, drawn_gap = _gap(value, place, axis), _gap(draws, place, axis)
            left_gap = None if left is None else _gap(left, place, axis)
            ends = limits(gap, drawn_gap, left_gap, (low - high, high - low), previous, level, how, paired=True)
            parts.append(_difference(whole[name], gap[0], ends, level))
        alone = isinstance(against, str)
        made = parts[0] if alone else xr.concat(parts, dim=xr.Variable("reference", wanted), combine_attrs="override")
        result = result.assign(made)
    return result.assign_attrs(
        block=f"{int(span / np.timedelta64(60, 's'))} min",
        blocks=len(starts),
        replicates=replicates,
        seed=seed,
        level=level,
        interval=kind,
    )


def intervals(
    sums: Array,
    score: Callable[[Array], Array],
    *,
    bounds: Bounds = (-np.inf, np.inf),
    previous: NDArray[np.int64] | None = None,
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    kind: Kind = "adjusted",
) -> Array:
    """Interval of one score from an array of sums; :func:`bootstrap` for those who have no Dataset.

    Parameters
    ----------
    sums
        Sums by block, ``(block, …)``.
    score
        Sums ``(draw, …)`` to scores ``(draw, …)``, NaN where undefined.
    bounds
        Smallest and largest value of the score.
    previous
        For each block the position of the one just before it, −1 where there is none; the blocks have no order
        where None, and count as independent.
    replicates, seed, level, kind
        As in :func:`bootstrap`.

    Returns
    -------
    numpy.ndarray
        Lower and upper ends, ``(2, …)``; NaN with fewer than two blocks.
    """

    def scored(weights: Array) -> dict[str, Array]:
        return {"": score(_weighted(weights, sums))}

    whole = scored(np.ones((1, len(sums))))[""]
    order = np.full(len(sums), -1) if previous is None else previous
    drawn, without = _evaluate(scored, len(sums), replicates, seed, _BATCH, jackknife=kind == "adjusted")
    return limits(whole, drawn[""], without.get(""), bounds, order, level, kind)


def block_length(block: str) -> np.timedelta64:
    """Length of a block of time from text.

    Parameters
    ----------
    block
        ``"30m"``, ``"1h"``, ``"6h"``, ``"1D"``, ``"5D"``: a divisor of a day of at least half an hour, or whole days.

    Raises
    ------
    ConfigError
        If it is something else.

    Examples
    --------
    >>> block_length("6h")
    np.timedelta64(21600,'s')
    """
    number, unit = block[:-1], block[-1:]
    seconds = int(number) * _UNITS[unit] if number.isdecimal() and unit in _UNITS else 0
    if seconds < 1800 or (seconds < 86400 and 86400 % seconds) or (seconds > 86400 and seconds % 86400):
        raise ConfigError(
            f"{block!r} is no length of a block",
            where="block",
            fix="use 30m, 1h, 3h, 6h, 1D, 5D: a divisor of a day, or whole days",
        )
    return np.timedelta64(seconds, "s")


def predecessors(starts: NDArray[np.datetime64], span: np.timedelta64) -> NDArray[np.int64]:
    """Position of the block that ends where each begins, −1 where there is none.

    Parameters
    ----------
    starts
        Starts of blocks, ascending.
    span
        Their length.
    """
    place = np.arange(len(starts)) - 1
    place[1:][np.diff(starts) != span] = -1
    return place


# ---- blocks


def _weighted(weights: Array, sums: Array) -> Array:
    """Sums of each draw: weights ``(draw, block)`` on sums ``(block, …)``, of which there may be none."""
    flat = sums.reshape(len(sums), int(np.prod(sums.shape[1:])))
    made = np.empty((len(weights), flat.shape[1]))
    for begun in range(0, len(weights), _BATCH):  # a product of another size may round its sums in another way
        np.matmul(weights[begun : begun + _BATCH], flat, out=made[begun : begun + _BATCH])
    return made.reshape(len(weights), *sums.shape[1:])


_Table = dict[str, tuple[tuple[str, ...], Array]]


def _blocks(sums: xr.Dataset, span: np.timedelta64) -> tuple[_Table, NDArray[np.datetime64], np.timedelta64]:
    """Sums by block ``(block, …)`` with their further dimensions, starts of the blocks, and their length."""
    second = sums["time"].values.astype("datetime64[s]").astype(np.int64)
    length = int(span / np.timedelta64(1, "s"))
    while len(np.unique(second // length)) > MOST_BLOCKS:
        length *= 2
    order = np.argsort(second, kind="stable")
    number = second[order] // length
    firsts = np.flatnonzero(np.diff(number, prepend=number[0] - 1)) if number.size else number
    table: _Table = {}
    used = np.zeros(len(firsts), bool)
    for name, values in sums.items():
        if "time" not in values.dims:
            continue
        ordered = values.transpose("time", ...)
        array = np.asarray(ordered.values, float)[order]
        array = np.add.reduceat(array, firsts, axis=0) if len(firsts) else array
        used |= (array != 0).any(axis=tuple(range(1, array.ndim)))
        table[str(name)] = tuple(map(str, ordered.dims[1:])), array
    starts = (number[firsts] * length).astype("datetime64[s]")[used]
    return {name: (dims, array[used]) for name, (dims, array) in table.items()}, starts, np.timedelta64(length, "s")


def _ordered(values: xr.DataArray, draws: int, dims: tuple[Any, ...]) -> Array:
    """Values ``(draw, *dims)``; repeated where they do not depend on the draw."""
    if _DRAW not in values.dims:
        values = values.expand_dims({_DRAW: draws})
    return np.asarray(values.transpose(_DRAW, *dims).values, float)


def _gap(values: Array, place: int, axis: int) -> Array:
    """Difference of all estimates to one."""
    return np.asarray(values - np.take(values, [place], axis))


def _difference(like: xr.DataArray, values: Array, ends: Array, level: float) -> xr.Dataset:
    """Differences of a score to one estimate, with their interval."""
    name = f"{like.name}_difference"
    made = like.copy(data=np.asarray(values)).rename(name)
    made.attrs["long_name"] = f"{made.attrs.get('long_name', name)}, difference"
    result = made.to_dataset()
    _put(result, name, made, ends, level)
    return result


def _put(result: xr.Dataset, name: str, like: xr.DataArray, ends: Array, level: float) -> None:
    """Add the two ends of an interval."""
    for suffix, word, values in (("low", "lower", ends[0]), ("high", "upper", ends[1])):
        end = like.copy(data=np.asarray(values))
        end.attrs["long_name"] = f"{like.attrs.get('long_name', name)}, {word} end of the {100 * level:g} % interval"
        result[f"{name}_{suffix}"] = end


# ---- replicates

_Scored = Callable[[Array], Mapping[str, Array]]


def _evaluate(
    scored: _Scored, blocks: int, replicates: int, seed: int, batch: int, *, jackknife: bool
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Scores of the drawn blocks ``(replicate, …)``, and of all blocks but one ``(block, …)``."""
    drawn = _gathered(scored, _draws(blocks, replicates, seed, batch))
    if not jackknife:
        return drawn, {}
    return drawn, _gathered(scored, _leaving_one_out(blocks, batch))


def _batch(width: int) -> int:
    """How many replicates of so many sums are divided at once, in whole batches of sums."""
    return max(1, _HELD // (_BATCH * max(1, width))) * _BATCH


def _draws(blocks: int, replicates: int, seed: int, batch: int) -> Iterator[Array]:
    """How often each block was drawn, in batches ``(replicate, block)``."""
    rng = np.random.default_rng(seed)
    for begun in range(0, replicates, batch):
        size = min(batch, replicates - begun)
        if blocks == 0:
            yield np.zeros((size, 0))
        else:
            yield rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=size).astype(float)


def _leaving_one_out(blocks: int, batch: int) -> Iterator[Array]:
    """Weights of all blocks but one, in batches."""
    for begun in range(0, max(blocks, 1), batch):
        yield 1.0 - np.eye(min(batch, blocks - begun), blocks, begun)


def _gathered(scored: _Scored, weights: Iterator[Array]) -> dict[str, Array]:
    batches = [scored(batch) for batch in weights]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


# ---- checks


def _require(sums: xr.Dataset, replicates: int, level: float, kind: str, against: str | Sequence[str] | None) -> None:
    """Refuse what gives no interval."""
    if "time" not in sums.dims or "time" not in sums.coords or sums["time"].dtype.kind != "M":
        raise GridError(
            "the sums keep no times, so there are no days to draw",
            where="ondee.score.bootstrap",
            fix="score with over=('y', 'x'), so that the dimension time stays, with its coordinate",
        )
    check_draws(replicates, level)
    if kind not in get_args(Kind):
        raise ConfigError(
            f"{kind!r} is no kind of interval", where="kind", fix="use one of: " + ", ".join(get_args(Kind))
        )
    names = [*map(str, sums["estimate"].values)] if "estimate" in sums.coords and "estimate" in sums.dims else []
    absent = [one for one in ([against] if isinstance(against, str) else against or ()) if one not in names]
    if absent:
        raise ConfigError(
            f"there is no estimate {absent[0]!r} to compare with",
            where="against",
            fix="use one of: " + ", ".join(names) if names else "give sums with a dimension 'estimate' of names",
        )


def check_draws(replicates: int, level: float) -> None:
    """Refuse numbers of replicates and levels that give no interval.

    Parameters
    ----------
    replicates, level
        As in :func:`bootstrap`.

    Raises
    ------
    ConfigError
        If they cannot be used.
    """
    if replicates < 100:
        raise ConfigError(
            f"{replicates} replicates are too few for an interval", where="replicates", fix="use 1000, at least 100"
        )
    if not 0 < level < 1:
        raise ConfigError(f"{level} is no probability", where="level", fix="use a number such as 0.95")
