"""Figures of a page, which also lie beside it as files."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from urllib.parse import quote

from ondee.output import check_target, whole
from ondee.report.parts import image

__all__ = ["kept"]

_KINDS = {".png": "png", ".svg": "svg+xml"}


def kept(
    about: tuple[str, str, str],
    held: Mapping[str, bytes],
    folder: Path,
    beside: Path,
    *,
    shown: str = ".svg",
    force: bool = False,
) -> str:
    """Write the files of a figure and give it as HTML under its heading, with links to them.

    Parameters
    ----------
    about
        Name, which is the anchor and the name of the files; title; and caption: what it shows and how to read it.
    held
        The files by their endings, ``.png`` and ``.svg``.
    folder
        Where they go; it must exist.
    beside
        Folder of the page.
    shown
        Ending of the one that is put into the page.
    force
        Overwrite files that exist.

    Raises
    ------
    ConfigError
        If a file exists and `force` is not set.
    StoreError
        If the disk refuses.
    """
    name, title, caption = about
    for suffix, written in held.items():
        saved = check_target(folder / f"{name}{suffix}", (suffix,), force=force)
        with whole(saved, force=force) as draft:
            draft.write_bytes(written)
    near = folder.relative_to(beside) if folder.is_relative_to(beside) else folder
    links = " ".join(f'<a href="{quote((near / name).as_posix())}{suffix}">{suffix[1:].upper()}</a>' for suffix in held)
    return (
        f'<article id="{escape(name)}">\n<h3>{escape(title)}</h3>\n<figure>\n'
        f"{image(held[shown], _KINDS[shown], title)}\n"
        f'<figcaption>{escape(caption)} <span class="files">{links}</span></figcaption>\n</figure>\n</article>'
    )
