"""Configuration files over dataclasses: defaults < file, every key checked."""

import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_type_hints

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import AliasEvent, CollectionEndEvent, CollectionStartEvent, YAMLError

T = TypeVar("T")

LARGEST = 1_000_000
"""Bytes of a configuration file."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The fast one of libyaml, where PyYAML has it."""

_DEEPEST = 20
"""Levels of keys and lists."""


class ConfigurationError(ValueError):
    """A configuration file that cannot be used; the message is one sentence for the user."""


def load(defaults: T, file: Path) -> T:
    """The dataclass `defaults` overlaid with the values of a YAML file.

    Raises ConfigurationError for a missing or malformed file, an unknown key (naming the nearest) or a value of the
    wrong type, and ValueError where the dataclass refuses a value.
    """
    try:
        if file.stat().st_size > LARGEST:
            raise ConfigurationError(f"configuration file {file} is larger than {LARGEST:,} bytes.")
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(f"configuration file {file} does not exist.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(str(file), error) from None
    return parse(defaults, text, str(file))


def parse(defaults: T, text: str, source: str) -> T:
    """`load` of a text; `source` is its name in messages.

    Nothing but the text is read: interpolations (`${…}`), which could name the environment, are refused, and so are
    aliases (`*name`), of which a few lines can expand to any size.
    """
    try:
        _check_events(text, source)
        content = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except (YAMLError, OmegaConfBaseException, RecursionError) as error:
        raise _unreadable(source, error) from None
    except ConfigurationError:
        raise
    except ValueError as error:  # a number that is none, such as a date in the 13th month
        raise _unreadable(source, error) from None
    except AssertionError:  # OmegaConf's word for a number
        content = None
    if not isinstance(content, Mapping):
        raise ConfigurationError(f"configuration file {source} must hold keys and values.")
    return _overlay(defaults, content, source, "")


def _check_events(text: str, source: str) -> None:
    """Raise ConfigurationError for an alias, and for a depth that no configuration has."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, AliasEvent):
            raise ConfigurationError(f"configuration file {source} uses an alias (*name): write the value out.")
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > _DEEPEST:
            raise ConfigurationError(f"configuration file {source} cannot be read: it is nested too deeply.")


def changed(config: T, changes: Mapping[str, Any]) -> T:
    """The dataclass with fields replaced by name, its own or those of dataclasses inside it; outer fields come first.

    Raises TypeError for an unknown name (naming the nearest), and ValueError where a dataclass refuses a value.
    """
    inner = [one.name for one in dataclasses.fields(config) if dataclasses.is_dataclass(getattr(config, one.name))]  # type: ignore[arg-type]
    own = {one.name for one in dataclasses.fields(config)}  # type: ignore[arg-type]
    homes = {name: part for part in inner[::-1] for name in _names(getattr(config, part))} | dict.fromkeys(own, "")
    parts: dict[str, dict[str, Any]] = {}
    for name, value in changes.items():
        if name not in homes:
            hint = nearest(name, list(homes)) or f"; known are {', '.join(homes)}"
            raise TypeError(f"unknown keyword {name!r}{hint}")
        parts.setdefault(homes[name], {})[name] = tuple(value) if isinstance(value, list) else value
    outer = parts.pop("", {})
    deeper = {part: changed(getattr(config, part), some) for part, some in parts.items()}
    return dataclasses.replace(config, **deeper | outer)  # type: ignore[type-var]


def numbers(config: Any) -> Iterator[tuple[str, float]]:
    """Every number of a dataclass and of those inside it, with its name, such as ppo.clip."""
    for one in dataclasses.fields(config):
        value = getattr(config, one.name)
        if dataclasses.is_dataclass(value):
            yield from ((f"{one.name}.{name}", number) for name, number in numbers(value))
        else:
            parts = value if isinstance(value, tuple) else (value,)
            yield from ((one.name, part) for part in parts if isinstance(part, int | float))


def _names(config: Any) -> set[str]:
    """The names of all fields of a dataclass and of those inside it."""
    own = {one.name: getattr(config, one.name) for one in dataclasses.fields(config)}
    return set(own).union(*(_names(value) for value in own.values() if dataclasses.is_dataclass(value)))


def _unreadable(source: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(f"configuration file {source} cannot be read: {' '.join(str(error).split())}.")


def dump(config: Any) -> str:
    """The configuration as YAML, as `load` reads it."""
    return OmegaConf.to_yaml(OmegaConf.create(dataclasses.asdict(config)))


def nearest(word: str, known: list[str]) -> str:
    """A clause such as “; did you mean 'seed'?”, empty if no name is near."""
    match = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {match[0]!r}?" if match else ""


def _overlay(config: T, values: Mapping, source: str, prefix: str) -> T:
    fields = {field.name for field in dataclasses.fields(config)}  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    # Plain values first: the default of a part may depend on them.
    for key, value in sorted(values.items(), key=lambda item: _is_part(config, item[0])):
        name = f"{prefix}{key}"
        if key not in fields:
            hint = nearest(str(key), sorted(fields)) or f"; known are {', '.join(sorted(fields))}."
            raise ConfigurationError(f"{source}: unknown key {name!r}{hint}")
        current = getattr(config, key)
        if _is_part(config, key):
            current = config.default_part(key, changes) if hasattr(config, "default_part") else current
            if not isinstance(value, Mapping):
                raise ConfigurationError(f"{source}: {name} must hold keys and values, not {_shown(value)}.")
            changes[key] = _overlay(current, value, source, f"{name}.")
        else:
            changes[key] = _converted(value, current, source, name, _alternatives(config, key))
    return dataclasses.replace(config, **changes)  # type: ignore[type-var]


def _is_part(config: Any, key: Any) -> bool:
    """Whether this field is a dataclass of its own."""
    return isinstance(key, str) and dataclasses.is_dataclass(getattr(config, key, None))


@cache
def _hints(owner: type) -> dict[str, Any]:
    return get_type_hints(owner)


def _alternatives(config: Any, key: str) -> tuple[type, ...]:
    """The types that a field such as `int | None` allows; empty where there is only one."""
    owner: type = type(config)
    hint = _hints(owner)[key]
    return get_args(hint) if isinstance(hint, UnionType) else ()


def _converted(value: Any, current: Any, source: str, name: str, alternatives: tuple[type, ...] = ()) -> Any:
    """`value` in the type of the default that it replaces, or of one of its alternatives."""
    if value is None and NoneType in alternatives:
        return None
    if current is None:
        current = next(kind for kind in alternatives if kind is not NoneType)()
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "a word", tuple: "a list"}
    kind = type(current)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        with suppress(OverflowError):
            return float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind is tuple and isinstance(value, list):
        like = list(current) + [current[-1]] * (len(value) - len(current))
        return tuple(_converted(one, default, source, name) for one, default in zip(value, like, strict=False))
    if isinstance(value, str) and "${" in value:
        raise ConfigurationError(
            f"{source}: {name} is {_shown(value)}: interpolations are not read, write the value out."
        )
    if type(value) is not kind:
        raise ConfigurationError(f"{source}: {name} must be {kinds.get(kind, kind.__name__)}, not {_shown(value)}.")
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
