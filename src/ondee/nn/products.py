"""Fully connected layers that are quick on processors of every make.

On a CPU PyTorch leaves products in single precision to MKL, which is slower than oneDNN on some processors. Large ones
are made by oneDNN here, as those of convolutions are, by the operator that PyTorch's own compiler calls. Results agree
to rounding. ``python -m benchmarks.tvae`` times both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["connected", "product"]

_ROWS, _PRODUCTS = 32, 2**23
"""Rows, and scalar products in a layer, from which on the choice is worth its while."""


def product(values: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Values times transposed weights, as :func:`torch.nn.functional.linear`.

    Parameters
    ----------
    values
        ``(N, inputs)``.
    weight
        ``(outputs, inputs)``.
    bias
        ``(outputs,)``.

    Returns
    -------
    Tensor
        ``(N, outputs)``.
    """
    return connected(values, [(weight, bias)])


def connected(values: Tensor, layers: Sequence[tuple[Tensor, Tensor | None]]) -> Tensor:
    """Fully connected layers one after the other, with rectifiers between them.

    Parameters
    ----------
    values
        ``(N, inputs)``.
    layers
        Of each its weight ``(outputs, inputs)`` and its bias ``(outputs,)``.

    Returns
    -------
    Tensor
        ``(N, outputs)`` of the last layer, which is not rectified.
    """
    if _suits(values, [weight for weight, _ in layers]):
        made: Tensor = _Connected.apply(values, *(part for layer in layers for part in layer))  # type: ignore[no-untyped-call]
        return made
    for weight, bias in layers[:-1]:
        values = functional.relu(functional.linear(values, weight, bias))
    return functional.linear(values, *layers[-1])


def _suits(values: Tensor, weights: Sequence[Tensor]) -> bool:
    """Whether oneDNN has these products, and they are large enough for the choice to matter."""
    return (
        values.device.type == "cpu"
        and values.dtype == torch.float32
        and values.ndim == 2
        and len(values) >= _ROWS
        and len(values) * max(weight.numel() for weight in weights) >= _PRODUCTS
        and all(weight.device.type == "cpu" and weight.dtype == torch.float32 for weight in weights)
        and torch._C._get_mkldnn_enabled()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


class _Connected(torch.autograd.Function):
    """Layers and their gradients, all products by oneDNN."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, *parts: Tensor | None) -> Tensor:
        weights, biases = parts[::2], parts[1::2]
        seen = [values]
        for place, (weight, bias) in enumerate(zip(weights, biases, strict=True), 1):
            seen.append(_made(seen[-1], weight, bias, is_rectified=place < len(weights)))
        ctx.save_for_backward(*seen[:-1], *weights)
        return seen[-1]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, missed: Tensor) -> tuple[Tensor | None, ...]:
        count = len(ctx.saved_tensors) // 2
        seen, weights = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        needed = ctx.needs_input_grad
        gradients: list[Tensor | None] = [None] * (2 * count)
        missed = missed.contiguous()
        for place in range(count - 1, -1, -1):
            if needed[2 * place + 1]:
                gradients[2 * place] = _gradient(missed, seen[place], weights[place])
            if needed[2 * place + 2]:
                gradients[2 * place + 1] = missed.sum(0)
            if place or needed[0]:
                missed = _made(missed, weights[place].T)
            if place:  # where the rectifier before let nothing through, nothing comes back
                missed = torch.ops.aten.threshold_backward(missed, seen[place], 0)
        return (missed if needed[0] else None, *gradients)


def _gradient(missed: Tensor, seen: Tensor, weight: Tensor) -> Tensor:
    """Gradient of a weight, which lies in memory as the weight does."""
    if weight.T.is_contiguous():
        return _made(seen.T, missed.T).T
    return _made(missed.T, seen.T)


def _made(values: Tensor, weight: Tensor | None, bias: Tensor | None = None, *, is_rectified: bool = False) -> Tensor:
    if bias is not None:
        bias = bias.contiguous()  # the operator reads it without its strides
    kind = "relu" if is_rectified else "none"
    made: Tensor = torch.ops.mkldnn._linear_pointwise(values.contiguous(), weight, bias, kind, [], "")
    return made
