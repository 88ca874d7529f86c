"""The operators `cornernet::corner_pool` and `cornernet::corner_pool_sum`, and which backend each device takes.

| device | one direction | the sum of two |
|---|---|---|
| CPU | `cpu.py` | each alone, then added |
| CUDA, ROCm | `triton_kernels.py` | `triton_kernels.py` |
| the same without Triton, and any other | `portable.py` | each alone, then added |

They are registered with PyTorch so that `torch.compile` keeps both passes in one graph. Inference stores nothing.
Training stores no indices: of one direction the input, which a ReLU before it stores as well, and the output; of a sum
only the two inputs, its backward pass pools once more.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cornernet.ops.available import has_triton
from cornernet.ops.corner_pool import cpu, portable

SUMMED_AT_ONCE: tuple[str, ...] = ("cuda",) if has_triton() else ()
"""Types of device on which the sum of two directions is one operator. Known on import: `torch.compile` cannot ask."""


@torch.library.custom_op("cornernet::corner_pool", mutates_args=())
def pool(x: Tensor, direction: str) -> Tensor:
    """Pool (N, C, H, W); this body serves the devices without a kernel of their own below."""
    return _pool_portable(x, direction)


@torch.library.custom_op("cornernet::corner_pool_backward", mutates_args=())
def pool_backward(grad: Tensor, x: Tensor, out: Tensor, direction: str) -> Tensor:
    """Return the gradient with respect to `x`, from the gradient with respect to `out` and both tensors."""
    return _pool_backward_portable(grad, x, out, direction)


@pool.register_kernel("cpu")
def _pool_cpu(x: Tensor, direction: str) -> Tensor:
    return cpu.forward(x, direction)


@pool_backward.register_kernel("cpu")
def _pool_backward_cpu(grad: Tensor, x: Tensor, out: Tensor, direction: str) -> Tensor:
    return cpu.backward(grad, x, out, direction)


@pool.register_kernel("cuda")
def _pool_cuda(x: Tensor, direction: str) -> Tensor:
    if not has_triton():
        return _pool_portable(x, direction)
    from cornernet.ops.corner_pool import triton_kernels

    return triton_kernels.forward(x, direction)


@pool_backward.register_kernel("cuda")
def _pool_backward_cuda(grad: Tensor, x: Tensor, out: Tensor, direction: str) -> Tensor:
    if not has_triton():
        return _pool_backward_portable(grad, x, out, direction)
    from cornernet.ops.corner_pool import triton_kernels

    return triton_kernels.backward(grad, x, out, direction)


@pool.register_fake
def _pool_fake(x: Tensor, direction: str) -> Tensor:
    return torch.empty_like(x)


@pool_backward.register_fake
def _pool_backward_fake(grad: Tensor, x: Tensor, out: Tensor, direction: str) -> Tensor:
    return torch.empty_like(x)


def _setup_context(ctx: Any, inputs: tuple[Tensor, str], output: Tensor) -> None:
    x, ctx.direction = inputs
    ctx.save_for_backward(x, output)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    x, out = ctx.saved_tensors
    return pool_backward(grad, x, out, ctx.direction), None


pool.register_autograd(_differentiate, setup_context=_setup_context)


@torch.library.custom_op("cornernet::corner_pool_sum", mutates_args=())
def pool_sum(first: Tensor, second: Tensor, first_direction: str, second_direction: str) -> Tensor:
    """Pool two maps (N, C, H, W) of one shape and dtype and add them; this body serves all but `SUMMED_AT_ONCE`."""
    pooled: Tensor = pool(first, first_direction).add_(pool(second, second_direction))
    return pooled


@pool_sum.register_kernel(SUMMED_AT_ONCE)
def _pool_sum_triton(first: Tensor, second: Tensor, first_direction: str, second_direction: str) -> Tensor:
    from cornernet.ops.corner_pool import triton_kernels

    return triton_kernels.forward_sum(first, second, first_direction, second_direction)


@pool_sum.register_fake
def _pool_sum_fake(first: Tensor, second: Tensor, first_direction: str, second_direction: str) -> Tensor:
    return torch.empty_like(first)


def _setup_sum_context(ctx: Any, inputs: tuple[Tensor, Tensor, str, str], output: Tensor) -> None:
    first, second, *ctx.directions = inputs
    ctx.save_for_backward(first, second)


def _differentiate_sum(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
    grad_first, grad_second = (
        pool_backward(grad, x, pool(x, direction), direction) if needed else None
        for x, direction, needed in zip(ctx.saved_tensors, ctx.directions, ctx.needs_input_grad[:2], strict=True)
    )
    return grad_first, grad_second, None, None


pool_sum.register_autograd(_differentiate_sum, setup_context=_setup_sum_context)


def _pool_portable(x: Tensor, direction: str) -> Tensor:
    """Pool in rows, which its gathers are quickest on, and give the result the memory format of `x`."""
    return torch.empty_like(x).copy_(portable.forward(x.contiguous(), direction))


def _pool_backward_portable(grad: Tensor, x: Tensor, out: Tensor, direction: str) -> Tensor:
    grad_x = portable.backward(grad.contiguous(), x.contiguous(), out.contiguous(), direction)
    return torch.empty_like(x).copy_(grad_x)
