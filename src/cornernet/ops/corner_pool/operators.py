"""The operator `cornernet::corner_pool`, and which backend each device takes.

| device | backend |
|---|---|
| CPU | `cpu.py` |
| CUDA, ROCm | `triton_kernels.py`, or `portable.py` where Triton is not installed |
| any other | `portable.py` |

It is registered with PyTorch so that `torch.compile` keeps both passes in one graph. Inference stores nothing; training
stores the input, which a ReLU before it stores as well, and the output: no indices.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cornernet.ops.available import has_triton
from cornernet.ops.corner_pool import cpu, portable


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


def _pool_portable(x: Tensor, direction: str) -> Tensor:
    """Pool in rows, which its gathers are quickest on, and give the result the memory format of `x`."""
    return torch.empty_like(x).copy_(portable.forward(x.contiguous(), direction))


def _pool_backward_portable(grad: Tensor, x: Tensor, out: Tensor, direction: str) -> Tensor:
    grad_x = portable.backward(grad.contiguous(), x.contiguous(), out.contiguous(), direction)
    return torch.empty_like(x).copy_(grad_x)
