"""The loop in which agents act, games are stepped and restarted, and steps are recorded."""

from safepursuit.play.loop import Step, advance, play

__all__ = ["Step", "advance", "play"]
