"""A JAX function as a differentiable function of PyTorch tensors, through DLPack.

The function is written as everything below is: components first, batch last. The tensors have their batch in front. No
data is moved for that: JAX receives a view with the axes exchanged, and the compiled program reads it as it lies.

What is copied: a tensor that neither lies in order, (batch, …), nor in order with its batch last, before it enters
(a slice with gaps, an expanded tensor); a tensor whose memory is not aligned to 64 bytes, by JAX. Everything else
enters and leaves without a copy, on the device where it is. Results are contiguous and belong to PyTorch.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import torch
from torch.utils.dlpack import from_dlpack

Function: TypeAlias = Callable[..., tuple[jax.Array, tuple[jax.Array, ...]]]
"""Arrays → the result that carries derivatives, and verdicts that carry none; all with the batch last."""

PRECISIONS = (torch.float32, torch.float64)


def call(function: Function, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """`function` of tensors whose batch comes first: its result, then its verdicts, with the batch first again.

    Differentiable once, with respect to every tensor that asks for it; compiled for each shape, precision and choice of
    such tensors, and then kept. `function` must be the same object at every call. A batch may be empty. float64 is
    computed in float64 whatever JAX's global precision, which is left alone.

    Raises TypeError where the tensors are not all float32 or all float64, ValueError where they are on different
    devices, RuntimeError where JAX cannot use their device.
    """
    _check(tensors)
    if tensors[0].shape[0] == 0:  # an empty batch is computed with one element in it, which is then dropped
        return tuple(output[:0] for output in call(function, *map(_with_one, tensors)))
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return _Differentiable.apply(function, *tensors)
    with _precision(tensors[0]):
        result, verdicts = _forward(function)(*map(_to_jax, tensors))
        return _to_torch([result, *verdicts])


class _Differentiable(torch.autograd.Function):
    """What JAX keeps for the derivative stays in JAX; its pull-back is applied when PyTorch asks."""

    @staticmethod
    def forward(ctx: Any, function: Function, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ctx.wanted = ctx.needs_input_grad[1:]
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)  # JAX reads their memory: PyTorch is to notice if they are changed in between
        with _precision(tensors[0]):
            result, verdicts, ctx.pull_back = _forward_and_pull_back(function, ctx.wanted)(*map(_to_jax, tensors))
            outputs = _to_torch([result, *verdicts])
        ctx.mark_non_differentiable(*outputs[1:])
        return outputs

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor | None, *_: None) -> tuple[torch.Tensor | None, ...]:
        if cotangent is None:  # zero, in PyTorch's shorthand
            return (None, *(None for _ in ctx.wanted))
        inputs = ctx.saved_tensors  # raises if one was changed
        with _precision(cotangent):
            gradients = _to_torch(_apply(ctx.pull_back, _to_jax(cotangent)))
        if torch.is_grad_enabled():  # somebody means to differentiate again
            gradients = _Underivable.apply(len(gradients), *gradients, cotangent, *inputs)
        each = iter(gradients)
        return (None, *(next(each) if wanted else None for wanted in ctx.wanted))


class _Underivable(torch.autograd.Function):
    """The first `count` tensors as they are, but a derivative of them with respect to any of the tensors is an error.

    PyTorch's `once_differentiable` would let it pass as zero unless the cotangent itself asks for a gradient.
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
    """The same, and the pull-back to the arrays that are wanted: a value that holds what the derivative needs."""

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
    if len(precisions) > 1 or not precisions.issubset(PRECISIONS):
        found = ", ".join(sorted(map(str, precisions)))
        raise TypeError(f"all tensors must be float32, or all float64, not {found}.")
    devices = {tensor.device for tensor in tensors}
    if len(devices) > 1:
        raise ValueError(f"all tensors must be on the same device, not on {', '.join(sorted(map(str, devices)))}.")


def _precision(tensor: torch.Tensor) -> Any:
    """JAX reckons in the tensor's precision inside this context, and in this thread only."""
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
    """The same memory as tensors, once it is filled: from then on PyTorch may write where JAX has read."""
    return tuple(from_dlpack(array) for array in jax.block_until_ready(arrays))
