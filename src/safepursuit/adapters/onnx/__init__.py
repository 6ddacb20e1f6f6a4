"""A trained pursuer as one ONNX file: normaliser, network, constraint rows, projection and speed clamp.

    model = export(trainer.policy, trainer.config)
    write(model, Path("pursuer.onnx"))
    compare(Path("pursuer.onnx"), trainer.policy, trainer.config)   # against JAX, on 10,000 states
    latency(Path("pursuer.onnx"))                                   # of single calls on one thread

`controller` says what the file computes and what its inputs and outputs mean. Everything here needs the extra [export].
"""

try:
    import onnx  # noqa: F401
    import onnxruntime  # noqa: F401
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "exporting needs the extra [export]: pip install 'safepursuit[export]'.", name=missing.name
    ) from missing

from safepursuit.adapters.onnx.checking import Comparison, compare, latency, session
from safepursuit.adapters.onnx.describing import training_of
from safepursuit.adapters.onnx.exporting import export, write

__all__ = ["Comparison", "compare", "export", "latency", "session", "training_of", "write"]
