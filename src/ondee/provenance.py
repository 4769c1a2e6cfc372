"""What made a result: the commit of ondee, versions of packages, the machine."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["commit", "machine", "version_of"]

_LONG = 64


def commit() -> str:
    """Commit of the checkout that ondee runs from; empty where it was installed otherwise."""
    folder = Path(__file__).resolve().parents[2] / ".git"
    try:
        if folder.is_file():  # a second working tree: the file names its folder
            folder = (folder.parent / folder.read_text(encoding="utf-8").partition("gitdir: ")[2].strip()).resolve()
        head = (folder / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head[:_LONG]
        name = head.removeprefix("ref: ")
        shared = folder / "commondir"
        common = (folder / shared.read_text(encoding="utf-8").strip()) if shared.is_file() else folder
        for place in (folder / name, common / name):
            if place.is_file():
                return place.read_text(encoding="utf-8").strip()[:_LONG]
        packed = (common / "packed-refs").read_text(encoding="utf-8").splitlines()
        return next((line.split()[0] for line in packed if line.endswith(f" {name}")), "")
    except (OSError, UnicodeDecodeError):
        return ""


def machine() -> str:
    """System, processor and Python, as ``Linux x86_64, Python 3.12.1``."""
    return f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"


def version_of(package: str) -> str:
    """Version of a package; empty where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
