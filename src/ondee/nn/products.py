"""Matrix products that are quick on processors of every make.

On a CPU PyTorch leaves products in single precision to MKL, which takes half of the width of some processors' vectors
only. Large ones are made by oneDNN here, as those of convolutions are, by the operator that PyTorch's own compiler
calls. Results agree to rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Wide", "product"]

_ROWS, _PRODUCTS = 32, 2**23
"""Rows and scalar products from which on the choice is worth its while."""


class Wide(nn.Linear):
    """A fully connected layer of many weights."""

    def forward(self, values: Tensor) -> Tensor:
        """``(N, inputs)`` to ``(N, outputs)``."""
        return product(values, self.weight, self.bias)


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
    if not _suits(values, weight):
        return functional.linear(values, weight, bias)
    made: Tensor = _Product.apply(values, weight, bias)  # type: ignore[no-untyped-call]
    return made


def _suits(values: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN has this product, and it is large enough for the choice to matter."""
    return (
        values.device.type == weight.device.type == "cpu"
        and values.dtype == weight.dtype == torch.float32
        and values.ndim == 2
        and len(values) >= _ROWS
        and len(values) * weight.numel() >= _PRODUCTS
        and torch._C._get_mkldnn_enabled()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


class _Product(torch.autograd.Function):
    """A product and its gradients, all three by oneDNN."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(values, weight)
        return _made(values, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, missed: Tensor) -> tuple[Tensor | None, ...]:
        values, weight = ctx.saved_tensors
        missed = missed.contiguous()
        needs_values, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            _made(missed, weight.T) if needs_values else None,
            _made(missed.T, values.T) if needs_weight else None,
            missed.sum(0) if needs_bias else None,
        )


def _made(values: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if bias is not None:
        bias = bias.contiguous()  # the operator reads it without its strides
    made: Tensor = torch.ops.mkldnn._linear_pointwise(values.contiguous(), weight, bias, "none", [], "")
    return made
