"""Plugins: extensions from files of the user's own, without editing the package.

    from safepursuit.plugins import evader

    @evader("zigzag")
    def zigzag(key, sight, robot): ...

`--plugin FILE.py` (repeatable) or `load` runs such a file; installed packages use the entry-point group
`safepursuit.plugins`. Signatures are those of the built-in counterparts: `players.Player`, `policy.Head`,
`robot.Unicycle`, `game.sensors.Sensor`, `game.rules.RewardRule`, `scene.Generator`, `policy.network.Trunk`.
"""

import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from safepursuit.game import REWARDS, SENSORS
from safepursuit.players import EVADERS, PURSUERS
from safepursuit.policy import HEADS, NETWORKS
from safepursuit.registry import Registry
from safepursuit.robot import ROBOTS
from safepursuit.scene import SCENES

GROUP = "safepursuit.plugins"

REGISTRIES: Mapping[str, Registry[Any]] = {
    "methods": HEADS,
    "evaders": EVADERS,
    "pursuers": PURSUERS,
    "robots": ROBOTS,
    "sensors": SENSORS,
    "rewards": REWARDS,
    "scenes": SCENES,
    "networks": NETWORKS,
}
"""Everything that can be chosen by name."""

head, evader, pursuer, robot, sensor, reward, scene, network = (registry.add for registry in REGISTRIES.values())


class PluginError(ValueError):
    """A plugin that cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True)
class Plugin:
    """A file's name and text, passed by value to other processes."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def module(self) -> str:
        """The name under which it is imported, so that its classes can be pickled."""
        return f"safepursuit_plugin_{self.sha256[:16]}"


_LOADED: dict[str, Plugin] = {}


def load(file: Path) -> Plugin:
    """Run a plugin file. Raises PluginError where it cannot be read or fails."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PluginError(f"plugin {file} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    plugin = Plugin(file.name, text)
    install([plugin])
    return plugin


def install(plugins: Sequence[Plugin]) -> None:
    """Run plugins, each once per process. Raises PluginError where one fails, and removes what it has registered."""
    for plugin in plugins:
        if plugin.sha256 in _LOADED:
            continue
        module = ModuleType(plugin.module)
        before = {name: dict(registry) for name, registry in REGISTRIES.items()}
        sys.modules[plugin.module] = module
        try:
            exec(compile(plugin.text, plugin.name, "exec"), module.__dict__)
        except Exception as error:
            del sys.modules[plugin.module]
            for name, registry in REGISTRIES.items():
                for added in set(registry) - set(before[name]):
                    del registry[added]
            raise PluginError(f"plugin {plugin.name} failed: {type(error).__name__}: {error}") from error
        _LOADED[plugin.sha256] = plugin


def loaded() -> tuple[Plugin, ...]:
    """The plugin files that this process has run, in order."""
    return tuple(_LOADED.values())


def load_installed() -> None:
    """Import the plugins of installed packages. Raises PluginError where one fails."""
    for point in entry_points(group=GROUP):
        try:
            point.load()
        except Exception as error:
            raise PluginError(f"the installed plugin {point.name} failed: {type(error).__name__}: {error}") from error
