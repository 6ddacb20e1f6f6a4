"""Evaluation of policies: fixed scenarios, recorded episodes, an independent referee, figures with intervals."""

from safepursuit.evaluation.evaluation import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]
