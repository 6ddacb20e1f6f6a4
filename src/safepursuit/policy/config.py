"""The parameters of network and head."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from safepursuit import ranges

WIDEST = 65_536
"""Units of a layer: beyond it the memory of any machine is spent before that is noticed."""


@dataclass(frozen=True)
class PolicyConfig:
    """The parameters of network and head."""

    network: Annotated[str, tyro.conf.arg(prefix_name=False)] = "trunk"
    """Network of actor and critic; `safepursuit list networks` names them."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the tanh layers of actor and critic."""
    disc_width: int = 16
    """Width of the layer shared by all discs."""
    normalise: bool = True
    """Standardise the ego features by their running mean and variance."""
    initial_std: float = 0.5
    """Exploration noise at the start, in half-widths of the actuator box."""
    min_std: float = 0.05
    max_std: float = 1.0
    penalty: float = 0.1
    """λ of the distance penalty of BarrierNet and of PPO with the shield in the loop."""
    learned_gains: bool = True
    """Let the network set BarrierNet's class-K gains; otherwise they are `shield.gain`."""
    min_gain: float = 0.05
    """γ_min of learned gains."""
    safe_set: Literal["polygon", "box"] = "polygon"
    """What CBF-Beta distributes its actions over: theorem 2's polygon or theorem 1's box."""
    qp_gradient: bool = True
    """Pass the policy gradient through the projection; False is for ablations."""

    def __post_init__(self) -> None:
        ranges.check(
            self,
            "policy",
            at_least_1=("hidden", "disc_width"),
            positive_share=("min_gain",),
            not_negative=("penalty",),
        )
        if not self.hidden:
            raise ValueError("policy hidden must name the width of at least one layer.")
        if max(*self.hidden, self.disc_width) > WIDEST:
            raise ValueError(
                f"policy hidden and disc_width may be at most {WIDEST:,}, not {max(*self.hidden, self.disc_width):,}."
            )
        if not 0 < self.min_std < self.initial_std < self.max_std:
            raise ValueError(
                f"policy initial_std {self.initial_std:g} must lie between min_std {self.min_std:g} > 0 and max_std "
                f"{self.max_std:g}."
            )
        if self.safe_set not in ("polygon", "box"):
            raise ValueError(f"policy safe_set must be 'polygon' or 'box', not {self.safe_set!r}.")
