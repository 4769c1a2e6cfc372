"""The settings of a validation in a YAML file: how satellite rain is compared, and when a number may be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import BaseModel, create_model, model_validator

from ondee.config import Part, load
from ondee.errors import ConfigError
from ondee.validation.faults import Rules
from ondee.validation.settings import Settings

__all__ = ["load_settings"]


def load_settings(path: str | Path | None, given: Mapping[str, Any]) -> Settings:
    """Settings of a file, with those that are given beside it in their stead.

    Parameters
    ----------
    path
        YAML file with any fields of :class:`~ondee.validation.Settings`, and those of
        :class:`~ondee.validation.faults.Rules` below ``rules``; the defaults where None.
    given
        Fields of :class:`~ondee.validation.Settings`, which override the file.

    Raises
    ------
    ConfigError
        If the file cannot be read, a key is unknown or a value cannot be used; the error names the line.
    """
    held: dict[str, Any] = {} if path is None else _plain(load(path, _FILE, page="docs/validate.md"))
    return _settings(held | dict(given))


def _plain(part: BaseModel) -> dict[str, Any]:
    """What a file says, without the defaults of what it does not say."""
    return part.model_dump(exclude_unset=True)


def _settings(held: Mapping[str, Any]) -> Settings:
    rules = held.get("rules", {})
    return Settings(**{**held, "rules": Rules(**rules) if isinstance(rules, Mapping) else rules})


class _Checked(Part):
    """Settings that are tried as a whole, so that an error of theirs names the line."""

    @model_validator(mode="after")
    def _usable(self) -> _Checked:
        try:
            _settings(_plain(self))
        except ConfigError as error:
            raise ValueError(_told(error, type(self))) from error
        return self


def _told(error: ConfigError, model: type[BaseModel]) -> str:
    """A refusal, begun with the keys that it is about, by which its line is found."""
    key = str(error.where).removeprefix("--").replace("-", "_")
    word = error.what.split()[0]
    if key == "rules":
        known = {field.name for field in fields(Rules)}
        return f"rules: {word}: {error.what}; {error.fix}" if word in known else f"rules: {error.what}; {error.fix}"
    named = next((name for name in (key, word) if name in model.model_fields), "")
    return f"{named}: {error.what}; {error.fix}" if named else f"{error.what}; {error.fix}"


def _modelled(name: str, kind: type, base: type[Part], parts: Mapping[str, type[BaseModel]]) -> type[Part]:
    """A model with the fields of a dataclass and their defaults, so that neither can lack what the other has."""
    hints = get_type_hints(kind)
    made: dict[str, Any] = {}
    for field in fields(kind):
        inner = parts.get(field.name)
        default = field.default if field.default is not MISSING else None
        made[field.name] = (hints[field.name], default) if inner is None else (inner, inner())
    return create_model(name, __base__=base, **made)


_RULES = _modelled("_Rules", Rules, Part, {})
_FILE = _modelled("_File", Settings, _Checked, {"rules": _RULES})
