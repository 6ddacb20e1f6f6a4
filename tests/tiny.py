"""One tiny training run, shared by the test modules: what is compiled for it once serves them all."""

from safepursuit.game import Game
from safepursuit.policy import PolicyConfig
from safepursuit.ppo import PPOConfig, TrainConfig
from safepursuit.scene import Arena

GAMES, STEPS, HORIZON, ITERATIONS = 4, 8, 12, 5

TINY = TrainConfig(
    timesteps=GAMES * STEPS * ITERATIONS,
    num_envs=GAMES,
    rollout_length=STEPS,
    seed=7,
    checkpoint_every=2,
    game=Game(Arena(half_extents=(3.0, 3.0), radius_range=(0.3, 0.5)), horizon=HORIZON, start_distance=(0.51, 0.8)),
    policy=PolicyConfig(hidden=(8,), disc_width=4),
    ppo=PPOConfig(minibatches=2, epochs=2),
)
"""Short episodes at close quarters: every rollout sees captures, time-outs and restarts."""
