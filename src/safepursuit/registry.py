"""Registries: choices by name, built in or from plugins."""

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Registry(dict[str, T]):
    """Values by name, in order of registration; `kind` names one of them in messages."""

    def __init__(self, kind: str, **values: T) -> None:
        super().__init__({name.replace("_", "-"): value for name, value in values.items()})
        self.kind = kind

    def add(self, name: str) -> Callable[[Any], Any]:
        """A decorator that registers under this name. Raises ValueError where another value has it."""

        def register(value: Any) -> Any:
            known = self.setdefault(name, value)
            if known is not value:
                raise ValueError(f"{self.kind} {name!r} exists already: choose another name.")
            return value

        return register

    def find(self, name: str) -> T:
        """The value of this name. Raises ValueError, listing the known names, where there is none."""
        if name not in self:
            raise ValueError(f"unknown {self.kind} {name!r}; known are {', '.join(self)}.")
        return self[name]

    def summary(self, name: str) -> str:
        """The first sentence of its documentation; empty where Python runs without (PYTHONOPTIMIZE=2)."""
        value: Any = self[name]
        text = " ".join((value.__doc__ or "").split())
        generated = f"{getattr(value, '__name__', '')}("  # by `dataclass`
        return "" if not text or text.startswith(generated) else text.split(". ")[0].rstrip(".") + "."
