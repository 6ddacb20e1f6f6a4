import jax
import jax.numpy as jnp
from dataclasses import replace
from safepursuit.ppo.config import *
from safepursuit.ppo.rollout import *
from safepursuit.ppo.update import *
from safepursuit.policy import build_policy


def test_it():
    cfg = TrainConfig(num_envs=4, rollout_length=8, ppo=PPOConfig(minibatches=2))
    for cfg in (cfg, replace(cfg, method="ppo", evader="flee")):
        pol = build_policy(jax.random.key(0), cfg.method, cfg.policy, cfg.game.robot, cfg.shield)
        learned, _ = eqx.partition(pol, trainable(pol))
        opt = optimiser(cfg.ppo).init(learned)
        s = rules.initial(jax.random.key(0), cfg.game, 4)
        pl = Players(s, jnp.zeros(4))
        pl, ro = play(pol, pl, fresh_starts(jax.random.key(1), cfg), jax.random.key(2), cfg)
        update(pol, opt, ro, jax.random.key(3), jnp.asarray(1e-3), cfg.ppo)
