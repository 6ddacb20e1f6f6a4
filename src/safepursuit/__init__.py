"""Safe reinforcement learning for pursuit-evasion between ground robots."""

__version__ = "0.1.0"
