"""Progress bars on standard error, silent when that is not a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

__all__ = ["track"]

_Item = TypeVar("_Item")


def track(items: Iterable[_Item], description: str, total: int | None = None) -> Iterator[_Item]:
    """Give the items one after the other and show how many are done.

    Parameters
    ----------
    items
        Anything iterable.
    description
        What is being done, in words.
    total
        Number of items; found from `items` where it has a length.

    Examples
    --------
    >>> list(track([1, 2], "counting"))
    [1, 2]
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield from items
        return
    if total is None and isinstance(items, Sized):
        total = len(items)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(description, total=total)
        for item in items:
            yield item
            progress.advance(task)
