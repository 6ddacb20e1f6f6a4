"""A JAX function as a differentiable function of PyTorch tensors, through DLPack.

The function has its batch last, the tensors have theirs first. JAX receives a view with the axes exchanged, without a
copy.

Copied are a tensor that is contiguous neither as it is nor with its batch last (a slice with gaps, an expanded tensor),
and, by JAX, a tensor whose memory is not aligned to 64 bytes. All others enter and leave without a copy, on their
device. Results are contiguous and belong to PyTorch.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import torch
from torch.utils.dlpack import from_dlpack

Function: TypeAlias = Callable[..., tuple[jax.Array, tuple[jax.Array, ...]]]
"""Arrays → the differentiable result, and verdicts without derivatives; all with the batch last."""


def call(function: Function, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """`function` of tensors whose batch comes first: its result, then its verdicts, with the batch first again.

    Differentiable once, with respect to every tensor that requires a gradient; compiled once per shape, precision and
    choice of such tensors. `function` must be the same object in every call. A batch may be empty. float64 is computed
    in float64 whatever JAX's global precision.

    Raises TypeError where the tensors are not all float32 or all float64, ValueError where they are on different
    devices, RuntimeError where JAX cannot use their device.
    """
    _check(tensors)
    if tensors[0].shape[0] == 0:  # computed with one element, which is then dropped
        return tuple(output[:0] for output in call(function, *map(_with_one, tensors)))
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return _Differentiable.apply(function, *tensors)
    with _precision(tensors[0]):
        result, verdicts = _forward(function)(*map(_to_jax, tensors))
        return _to_torch([result, *verdicts])


class _Differentiable(torch.autograd.Function):
    """JAX's result, and JAX's pull-back as its derivative."""

    @staticmethod
    def forward(ctx: Any, function: Function, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ctx.wanted = ctx.needs_input_grad[1:]
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)  # JAX reads their memory: PyTorch raises if it is changed before `backward`
        with _precision(tensors[0]):
            result, verdicts, ctx.pull_back = _forward_and_pull_back(function, ctx.wanted)(*map(_to_jax, tensors))
            outputs = _to_torch([result, *verdicts])
        ctx.mark_non_differentiable(*outputs[1:])
        return outputs

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor | None, *_: None) -> tuple[torch.Tensor | None, ...]:
        if cotangent is None:  # means zero
            return (None, *(None for _ in ctx.wanted))
        inputs = ctx.saved_tensors  # raises if one has changed
        with _precision(cotangent):
            gradients = _to_torch(_apply(ctx.pull_back, _to_jax(cotangent)))
        if torch.is_grad_enabled():  # `create_graph`: a second derivative may follow
            gradients = _Underivable.apply(len(gradients), *gradients, cotangent, *inputs)
        each = iter(gradients)
        return (None, *(next(each) if wanted else None for wanted in ctx.wanted))


class _Underivable(torch.autograd.Function):
    """The first `count` tensors unchanged; a derivative of them with respect to any of the tensors is an error.

    PyTorch's `once_differentiable` would return zero unless the cotangent itself requires a gradient.
    """

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(tensor.view_as(tensor) for tensor in tensors[:count])

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise RuntimeError("the safety layer has first derivatives only; do not differentiate its gradients again.")


@cache
def _forward(function: Function) -> Callable[..., tuple[jax.Array, list[jax.Array]]]:
    @jax.jit
    def forward(*arrays):
        result, verdicts = function(*arrays)
        return _batch_first(result), [_batch_first(verdict) for verdict in verdicts]

    return forward


@cache
def _forward_and_pull_back(function: Function, wanted: tuple[bool, ...]) -> Callable[..., tuple[Any, ...]]:
    """The same, and the pull-back to the `wanted` arrays, with the residuals in it."""

    @jax.jit
    def forward(*arrays):
        def of_wanted(*chosen):
            values = iter(chosen)
            return function(*(next(values) if want else array for want, array in zip(wanted, arrays, strict=True)))

        chosen = [array for want, array in zip(wanted, arrays, strict=True) if want]
        result, pull_back, verdicts = jax.vjp(of_wanted, *chosen, has_aux=True)
        return _batch_first(result), [_batch_first(verdict) for verdict in verdicts], pull_back

    return forward


@jax.jit
def _apply(pull_back, cotangent):
    return [_batch_first(gradient) for gradient in pull_back(cotangent)]


def _batch_first(array: jax.Array) -> jax.Array:
    return jnp.moveaxis(array, -1, 0)


def _with_one(tensor: torch.Tensor) -> torch.Tensor:
    return torch.cat([tensor, tensor.new_ones((1, *tensor.shape[1:]))]) if tensor.shape[0] == 0 else tensor


def _check(tensors: Sequence[torch.Tensor]) -> None:
    precisions = {tensor.dtype for tensor in tensors}
    if len(precisions) > 1 or not precisions.issubset((torch.float32, torch.float64)):
        found = ", ".join(sorted(map(str, precisions)))
        raise TypeError(f"all tensors must be float32, or all float64, not {found}.")
    devices = {tensor.device for tensor in tensors}
    if len(devices) > 1:
        raise ValueError(f"all tensors must be on the same device, not on {', '.join(sorted(map(str, devices)))}.")


def _precision(tensor: torch.Tensor) -> Any:
    """A context in which JAX computes in the tensor's precision, in this thread only."""
    return jax.enable_x64(tensor.dtype == torch.float64)


def _to_jax(tensor: torch.Tensor) -> jax.Array:
    """The same memory as a JAX array with the batch last."""
    tensor = tensor.detach()
    batch_last = tensor.movedim(0, -1)
    if not (tensor.is_contiguous() or batch_last.is_contiguous()):
        batch_last = tensor.contiguous().movedim(0, -1)
    try:
        return jax.dlpack.from_dlpack(batch_last)
    except (RuntimeError, ValueError, BufferError, TypeError) as refusal:
        raise RuntimeError(
            f"JAX cannot take over a tensor on {tensor.device} ({refusal}); move it to the CPU, or install JAX for "
            "that device."
        ) from refusal


def _to_torch(arrays: Sequence[jax.Array]) -> tuple[torch.Tensor, ...]:
    """The same memory as tensors, after the computation: from then on PyTorch may overwrite its inputs."""
    return tuple(from_dlpack(array) for array in jax.block_until_ready(arrays))
