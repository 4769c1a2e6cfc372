"""Which retrievals there are: a module of this room, or a file of the user's own."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

import ondee.retriever
from ondee.errors import ConfigError
from ondee.retriever.protocol import Retriever

__all__ = ["names", "retriever"]

_NOT_MODELS = ("protocol", "registry")


def names() -> list[str]:
    """Names of the models that ondee ships, in alphabetical order.

    Examples
    --------
    >>> "flow" in names() and "unet" in names()
    True
    """
    found = (module.name for module in pkgutil.iter_modules(ondee.retriever.__path__))
    return sorted(name.replace("_", "-") for name in found if name not in _NOT_MODELS)


def retriever(name: str) -> type[Retriever]:
    """The class of a model.

    Parameters
    ----------
    name
        Name of a model that ondee ships, or path of a Python file that holds one.

    Raises
    ------
    ConfigError
        If there is no such model, or the file holds not exactly one.
    """
    module = _from_file(Path(name)) if name.endswith(".py") else _shipped(name)
    found = [
        entry
        for entry in vars(module).values()
        if inspect.isclass(entry) and issubclass(entry, Retriever) and entry.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise ConfigError(
            f"{len(found)} models are defined there",
            where=name,
            fix="define one class derived from ondee.retriever.Retriever in the file; docs/extending.md shows it",
        )
    return found[0]


def _shipped(name: str) -> ModuleType:
    if name not in names():
        raise ConfigError(
            f"there is no model {name!r}",
            where="model",
            fix="use one of " + ", ".join(names()) + ", or the path of a .py file with a model of your own",
        )
    return importlib.import_module(f"ondee.retriever.{name.replace('-', '_')}")


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(
            "there is no such file", where=path, fix="give the path of the Python file that holds the model"
        )
    spec = importlib.util.spec_from_file_location(f"ondee_model_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError("this is no Python module", where=path, fix="give the path of a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where pydantic looks for the names in annotations
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[spec.name]
        raise ConfigError(
            f"the file does not run: {type(error).__name__}: {error}",
            where=path,
            fix="mend the file; --debug shows where",
        ) from error
    return module
