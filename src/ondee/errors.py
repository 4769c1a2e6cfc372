"""The errors of ondee: what went wrong, where, and how to mend it."""

from __future__ import annotations

__all__ = ["ConfigError", "GridError", "OndeeError", "ReadError", "StoreError", "UnitError"]


class OndeeError(Exception):
    """An error in three lines.

    Parameters
    ----------
    what
        What is wrong, in the words of the user's data.
    where
        The file, key, variable or time at which it was found.
    fix
        What the user can do about it.

    Examples
    --------
    >>> print(OndeeError("rain_rate is in 'mm'", where="radar.h5", fix="read ACRR as rain_amount"))
    error  rain_rate is in 'mm'
    where  radar.h5
    fix    read ACRR as rain_amount
    """

    def __init__(self, what: str, *, where: object, fix: str) -> None:
        super().__init__(what)
        self.what = what
        self.where = str(where)
        self.fix = fix

    def __str__(self) -> str:
        return f"error  {_line(self.what)}\nwhere  {_line(self.where)}\nfix    {_line(self.fix)}"

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (type(self), self.what, self.where, self.fix)


def _line(text: str) -> str:
    r"""Give a text in one line: names of files may hold newlines, or signs that a terminal obeys.

    Examples
    --------
    >>> print(_line("a\nb é"))
    a\nb é
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _restore(kind: type[OndeeError], what: str, where: str, fix: str) -> OndeeError:
    """Rebuild an error that crossed a process border."""
    return kind(what, where=where, fix=fix)


class ReadError(OndeeError):
    """A file is not, or not wholly, what it says it is."""


class UnitError(OndeeError):
    """A variable is in another unit, or is another quantity, than the one needed."""


class GridError(OndeeError):
    """Two grids cannot be brought together, or a region lies outside a grid."""


class ConfigError(OndeeError):
    """A configuration or an option cannot be used as it stands."""


class StoreError(OndeeError):
    """A store cannot be made, continued or read."""
