"""Two safety architectures: one that brakes by theorem 1 alone, and one that trusts its network.

safepursuit train --plugin examples/plugins/head.py --method brake
safepursuit attack-head brake --plugin examples/plugins/head.py
"""

from safepursuit import shield as safety
from safepursuit.plugins import head
from safepursuit.policy.unprojected import UnprojectedHead
from safepursuit.shield import Shielded


@head("brake")
class BrakeHead(UnprojectedHead):
    """PPO whose speed is governed by theorem 1: it brakes before what it meets and never steers around it."""

    hard = True
    promises = True

    def project(self, nominal, situation) -> Shielded:
        return safety.unfiltered(nominal, situation.around, robot=self.robot, governor=self.shield)

    def protect(self, nominal, situation) -> Shielded:
        return self.project(nominal, situation)

    def auxiliary_loss(self, distribution):
        return 0 * distribution.gaussian.mean[0]


@head("bold")
class BoldHead(BrakeHead):
    """PPO that does what its network says. It declares nothing, and so it promises nothing, whatever it inherits."""

    def protect(self, nominal, situation) -> Shielded:
        return safety.unfiltered(nominal, situation.around, robot=self.robot)
