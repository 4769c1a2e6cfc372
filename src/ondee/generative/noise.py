"""Noise that depends on what it is for, never on how the work was cut.

A value is keyed by (seed, stream, key of the sample, member, row, column): rows and columns are those of the whole
field, so that a tile draws what the field would have drawn there, and the key is a moment for a retrieval and a
count for training.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["BLOCK", "Noise", "drawn_integers", "keyed", "mixed"]

BLOCK = 64
"""Side of the blocks of the lattice on which noise is drawn, pixels."""
_AT_ONCE = 16
"""Normal numbers that PyTorch makes at once: of whole blocks of them, fewer are the first of more."""
_FADED = 1e-3
"""Share of a moment's noise that is no longer followed into later moments."""


@dataclass(frozen=True)
class Noise:
    """Standard normal and uniform noise on a window of the lattice.

    Parameters
    ----------
    seed
        Seed of everything drawn.
    keys
        One integer for each sample of the batch: its moment (minutes since 1970), or its number in a training.
    members
        Numbers of the members of an ensemble.
    rows, columns
        Window on the whole field, pixels: first, and one past the last.
    persistence
        Correlation of the normal noise of moments `step` apart; 0 for noise that is new at every moment.
    step
        Difference of the keys of neighbouring moments, used with `persistence`.
    device
        Where the tensors go; the values do not depend on it.

    Notes
    -----
    The generator is Philox4x64 [1]_: its counter holds block, member and key, and no state goes from draw to draw. That
    of vectors is PyTorch's, a Mersenne twister, seeded for each of them by 32 bits mixed from seed, stream and key.
    Persistence is an AR(1) process in its moving-average form, cut where it has faded to 0.001 and
    scaled back to variance 1: a moment can be drawn without those before it.

    References
    ----------
    .. [1] J. K. Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011.

    Examples
    --------
    >>> whole = Noise(7, keys=(0,), rows=(0, 200), columns=(0, 100)).normal("start")
    >>> part = Noise(7, keys=(0,), rows=(50, 90), columns=(60, 100)).normal("start")
    >>> bool((whole[..., 50:90, 60:100] == part).all())
    True
    """

    seed: int
    keys: Sequence[int]
    members: Sequence[int] = (0,)
    rows: tuple[int, int] = (0, BLOCK)
    columns: tuple[int, int] = (0, BLOCK)
    persistence: float = 0.0
    step: int = 15
    device: torch.device | str = "cpu"

    def window(self, rows: tuple[int, int], columns: tuple[int, int]) -> Noise:
        """The same noise on another window of the whole field."""
        return replace(self, rows=rows, columns=columns)

    def of(self, members: Sequence[int]) -> Noise:
        """The same noise for other members."""
        return replace(self, members=tuple(members))

    def normal(self, stream: str) -> Tensor:
        """Standard normal ``(B, M, H, W)``, float32."""
        fields = [[self._persistent(stream, key, member) for member in self.members] for key in self.keys]
        return torch.from_numpy(np.array(fields)).to(self.device)

    def uniform(self, stream: str) -> Tensor:
        """Uniform on [0, 1), ``(B, M, H, W)``, float32."""
        fields = [[self._field(stream, key, member, uniform=True) for member in self.members] for key in self.keys]
        return torch.from_numpy(np.array(fields)).to(self.device)

    def scalars(self, stream: str, *, uniform: bool = False) -> Tensor:
        """One standard normal or uniform number for each sample, ``(B,)``, float32."""
        drawn = []
        for key in self.keys:
            generator = self._generator(stream, key, 0, -1, -1)
            drawn.append(generator.random() if uniform else generator.standard_normal())
        return torch.tensor(drawn, dtype=torch.float32, device=self.device)

    def vectors(self, stream: str, count: int) -> Tensor:
        """So many standard normal numbers for each sample, ``(B, count)``, float32: for what lies on no lattice.

        They are PyTorch's own, three times as quick as those of the lattice where a step of learning needs many.
        """
        drawn = torch.empty(len(self.keys), -(-count // _AT_ONCE) * _AT_ONCE, dtype=torch.float32)
        generator = torch.Generator()
        for key, row in zip(self.keys, drawn, strict=True):
            row.normal_(generator=generator.manual_seed(_state(self.seed, stream, key)))
        return drawn[:, :count].to(self.device)

    def _persistent(self, stream: str, key: int, member: int) -> NDArray[np.float32]:
        """Normal noise of a moment: its own, and what is left of that of the moments before."""
        if self.persistence <= 0:
            return self._field(stream, key, member)
        lags = int(np.ceil(np.log(_FADED) / np.log(self.persistence))) + 1
        weights = self.persistence ** np.arange(lags)
        weights = (weights / np.sqrt(np.square(weights).sum())).astype(np.float32)
        made: NDArray[np.float32] = weights[0] * self._field(stream, key, member)
        for lag in range(1, lags):
            made += weights[lag] * self._field(stream, key - lag * self.step, member)
        return made

    def _field(self, stream: str, key: int, member: int, *, uniform: bool = False) -> NDArray[np.float32]:
        (top, bottom), (left, right) = self.rows, self.columns
        made = np.empty((bottom - top, right - left), np.float32)
        for row in range(top // BLOCK, -(-bottom // BLOCK)):
            for column in range(left // BLOCK, -(-right // BLOCK)):
                generator = self._generator(stream, key, member, row, column)
                draw = generator.random if uniform else generator.standard_normal
                block = draw((BLOCK, BLOCK), np.float32)
                y, x = row * BLOCK, column * BLOCK
                rows = slice(max(y, top) - top, min(y + BLOCK, bottom) - top)
                columns = slice(max(x, left) - left, min(x + BLOCK, right) - left)
                there = (slice(max(top - y, 0), min(bottom - y, BLOCK)), slice(max(left - x, 0), min(right - x, BLOCK)))
                made[rows, columns] = block[there]
        return made

    def _generator(self, stream: str, key: int, member: int, row: int, column: int) -> np.random.Generator:
        return keyed(self.seed, stream, key, member, row, column)


def keyed(seed: int, stream: str, key: int, member: int = 0, row: int = -1, column: int = -1) -> np.random.Generator:
    """A generator of its own for each seed, stream, key, member and block of the lattice; -1 where there is no block.

    Parameters
    ----------
    seed, stream, key, member
        As of :class:`Noise`.
    row, column
        Block of the lattice.
    """
    name = _named(stream)
    place = ((row & 0xFFFFFFFF) << 32) | (column & 0xFFFFFFFF)
    counter = np.array([0, int(member), int(key) & 0xFFFFFFFFFFFFFFFF, place], np.uint64)
    philox = np.random.Philox(counter=counter, key=np.array([int(seed) & 0xFFFFFFFFFFFFFFFF, name], np.uint64))
    return np.random.Generator(philox)


@functools.lru_cache(maxsize=1024)
def _named(stream: str) -> int:
    return int.from_bytes(hashlib.blake2b(stream.encode(), digest_size=8).digest(), "little")


_WORD = 0xFFFFFFFFFFFFFFFF
_GOLDEN = 0x9E3779B97F4A7C15


def mixed(value: int) -> int:
    """64 bits that look like chance, one to one: the finaliser of splitmix64 (G. L. Steele et al., OOPSLA 2014)."""
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _WORD
    return value ^ (value >> 31)


def drawn_integers(seed: int, stream: str, key: int, sizes: Sequence[int], attempt: int = 0) -> list[int]:
    """A few integers for a seed, stream and key, each from 0 to below its size: quicker than a generator.

    Parameters
    ----------
    seed, stream, key
        As of :class:`Noise`.
    sizes
        How many values each may have.
    attempt
        Number of the draw, where the first one was of no use.

    Examples
    --------
    >>> all(0 <= value < 6 for value in drawn_integers(7, "dice", 0, [6, 6, 6]))
    True
    """
    state = mixed((_state(seed, stream, key) + attempt * _GOLDEN) & _WORD)
    return [mixed((state + place * _GOLDEN) & _WORD) * size >> 64 for place, size in enumerate(sizes, 1)]


def _state(seed: int, stream: str, key: int) -> int:
    """64 bits of their own for each seed, stream and key."""
    return mixed((mixed((int(seed) ^ _named(stream)) & _WORD) + int(key) * _GOLDEN) & _WORD)
