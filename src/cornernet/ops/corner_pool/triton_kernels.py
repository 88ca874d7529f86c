# Triton itself is not typed:
# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator"
"""Corner pooling on a GPU: one Triton kernel forward, one backward, each reading and writing every element once.

Of a sum of two poolings the second run of the forward kernel adds what the first wrote: five passes over memory, where
two poolings and an addition take seven.

A program takes a tile: the pooled axis (in chunks, when it is long) by some lanes, the other three axes flattened. All
loads of a tile are in flight together, and the running maximum is a scan inside the registers. Tensors come with their
own strides. Lanes are counted with their fastest axis innermost, and the tile is turned so that neighbouring threads
touch neighbouring memory, whichever axis that is.

Scans run forward only and the pointers descend where a direction asks for it: `reverse=True` has open faults upstream.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from cornernet.ops.corner_pool.direction import axis_of, starts_at_end

_TILE = 4096  # elements; at four warps, 32 registers a thread for each tensor
_LONGEST_CHUNK = 256
_FEWEST_LANES = 32  # bfloat16 lanes in 64 bytes, two memory sectors


def forward(x: Tensor, direction: str) -> Tensor:
    """Pool (N, C, H, W) of any strides into a new tensor of the same memory format."""
    out = torch.empty_like(x)
    _launch(_forward_kernel, (x, out), direction, starts_at_end(direction), ADD=False)
    return out


def forward_sum(first: Tensor, second: Tensor, first_direction: str, second_direction: str) -> Tensor:
    """Pool two maps of one shape and dtype and add them, rounding as PyTorch does; the first's memory format is kept.

    A maximum is exact and halves are added in float32, as `a + b` adds them, so the sum is rounded once either way.
    """
    out = forward(first, first_direction)
    _launch(_forward_kernel, (second, out), second_direction, starts_at_end(second_direction), ADD=True)
    return out


def backward(grad: Tensor, x: Tensor, out: Tensor, direction: str) -> Tensor:
    """Give each input the gradients of the outputs that took it; sums are made in float32 (float64 for float64)."""
    grad_x = torch.empty_like(x)
    _launch(_backward_kernel, (grad, x, out, grad_x), direction, not starts_at_end(direction))
    return grad_x


def _launch(
    kernel: triton.JITFunction, tensors: tuple[Tensor, ...], direction: str, from_end: bool, **flags: bool
) -> None:
    """Run a kernel over all lanes: the tensors, their strides along the lanes' axes and the pooled one, the sizes."""
    written = tensors[-1]  # dense, in the order of the input's axes
    if written.numel() == 0:
        return
    axis = axis_of(direction) % 4
    lanes = sorted((i for i in range(4) if i != axis), key=written.stride, reverse=True)
    length, count = written.shape[axis], written.numel() // written.shape[axis]
    chunk = min(triton.next_power_of_2(length), _LONGEST_CHUNK)
    width = min(triton.next_power_of_2(count), max(_TILE // chunk, _FEWEST_LANES))
    with torch.cuda.device_of(written):
        kernel[(triton.cdiv(count, width),)](
            *tensors,
            *(t.stride(i) for t in tensors for i in (*lanes, axis)),
            count,
            *(written.shape[i] for i in lanes[1:]),
            length,
            FROM_END=from_end,
            AXIS=1 if written.stride(axis) == 1 else 0,
            CHUNK=chunk,
            WIDTH=width,
            LONG=length > chunk,
            WIDE=tl.float64 if written.dtype == torch.float64 else tl.float32,
            num_warps=4 if chunk * width <= _TILE else 8,
            **flags,
        )


@triton.jit
def _lanes(count, size1, size2, AXIS: tl.constexpr, WIDTH: tl.constexpr):
    """This program's lanes as indices of the three axes, shaped to lie across the tile, and which of them exist."""
    lane = tl.expand_dims(tl.program_id(0) * WIDTH + tl.arange(0, WIDTH), AXIS)
    rest = lane // size2
    return (rest // size1).to(tl.int64), (rest % size1).to(tl.int64), (lane % size2).to(tl.int64), lane < count


@triton.jit
def _last(tile, order, chunk_end, AXIS: tl.constexpr):
    """The tile's last line in the order of the walk, to be carried into the next chunk."""
    return tl.expand_dims(tl.sum(tl.where(order == chunk_end - 1, tile, 0.0), AXIS), AXIS)


@triton.jit
def _maximum(a, b):
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _forward_kernel(
    x_ptr,
    out_ptr,
    x_stride0,
    x_stride1,
    x_stride2,
    x_step,
    out_stride0,
    out_stride1,
    out_stride2,
    out_step,
    count,
    size1,
    size2,
    length,
    FROM_END: tl.constexpr,
    AXIS: tl.constexpr,
    CHUNK: tl.constexpr,
    WIDTH: tl.constexpr,
    LONG: tl.constexpr,
    WIDE: tl.constexpr,
    ADD: tl.constexpr,
):
    i0, i1, i2, exists = _lanes(count, size1, size2, AXIS, WIDTH)
    x_ptr += i0 * x_stride0 + i1 * x_stride1 + i2 * x_stride2
    out_ptr += i0 * out_stride0 + i1 * out_stride1 + i2 * out_stride2
    carried = tl.expand_dims(tl.full((WIDTH,), float("-inf"), WIDE), AXIS)
    for start in range(0, length, CHUNK):
        order = tl.expand_dims(start + tl.arange(0, CHUNK), 1 - AXIS)
        cell = (length - 1 - order if FROM_END else order).to(tl.int64)
        here = exists & (order < length)
        best = tl.load(x_ptr + cell * x_step, mask=here, other=float("-inf")).to(WIDE)
        if ADD:  # loaded before the scan, to be in flight with the rest
            first = tl.load(out_ptr + cell * out_step, mask=here, other=0.0).to(WIDE)
        best = tl.associative_scan(best, AXIS, _maximum)
        if LONG:
            best = _maximum(best, carried)
            carried = _last(best, order, start + CHUNK, AXIS)
        if ADD:
            best += first
        tl.store(out_ptr + cell * out_step, best.to(out_ptr.dtype.element_ty), mask=here)


@triton.jit
def _join(sum_a, flags_a, sum_b, flags_b):
    """Join two neighbouring stretches of the walk.

    A stretch is the sum that has arrived at its last cell and two flags: 1 where that cell is a record, which keeps the
    sum, and 2 where a cell before it is one, which kept what had come earlier.
    """
    kept = (flags_a & 1) | (flags_b & 2)
    return tl.where(kept != 0, sum_b, sum_a + sum_b), flags_b | tl.where(flags_a != 0, 2, 0)


@triton.jit
def _backward_kernel(
    grad_ptr,
    x_ptr,
    out_ptr,
    grad_x_ptr,
    grad_stride0,
    grad_stride1,
    grad_stride2,
    grad_step,
    x_stride0,
    x_stride1,
    x_stride2,
    x_step,
    out_stride0,
    out_stride1,
    out_stride2,
    out_step,
    grad_x_stride0,
    grad_x_stride1,
    grad_x_stride2,
    grad_x_step,
    count,
    size1,
    size2,
    length,
    FROM_END: tl.constexpr,
    AXIS: tl.constexpr,
    CHUNK: tl.constexpr,
    WIDTH: tl.constexpr,
    LONG: tl.constexpr,
    WIDE: tl.constexpr,
):
    i0, i1, i2, exists = _lanes(count, size1, size2, AXIS, WIDTH)
    grad_ptr += i0 * grad_stride0 + i1 * grad_stride1 + i2 * grad_stride2
    x_ptr += i0 * x_stride0 + i1 * x_stride1 + i2 * x_stride2
    out_ptr += i0 * out_stride0 + i1 * out_stride1 + i2 * out_stride2
    grad_x_ptr += i0 * grad_x_stride0 + i1 * grad_x_stride1 + i2 * grad_x_stride2
    carried = tl.expand_dims(tl.full((WIDTH,), 0.0, WIDE), AXIS)
    for start in range(0, length, CHUNK):
        order = tl.expand_dims(start + tl.arange(0, CHUNK), 1 - AXIS)
        cell = (length - 1 - order if FROM_END else order).to(tl.int64)
        here = exists & (order < length)
        grad = tl.load(grad_ptr + cell * grad_step, mask=here, other=0.0).to(WIDE)
        x = tl.load(x_ptr + cell * x_step, mask=here, other=0.0)
        out = tl.load(out_ptr + cell * out_step, mask=here, other=0.0)
        record = (x < out) == 0  # a NaN output keeps its own gradient
        total, flags = tl.associative_scan((grad, record.to(tl.int32)), AXIS, _join)
        if LONG:
            total += tl.where((flags & 2) == 0, carried, 0.0)
            carried = _last(tl.where(record, 0.0, total), order, start + CHUNK, AXIS)
        kept = tl.where(record, total, 0.0)
        tl.store(grad_x_ptr + cell * grad_x_step, kept.to(grad_x_ptr.dtype.element_ty), mask=here)
