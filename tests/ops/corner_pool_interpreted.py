"""Run the Triton kernels of corner pooling on the CPU, under Triton's interpreter, and hold them against the loop.

A program of its own, because Triton reads TRITON_INTERPRET when it is first imported. Prints one line of JSON: the
cases that were run and the mistakes that were found in each.
"""

import itertools
import json
import os

os.environ["TRITON_INTERPRET"] = "1"

import torch

from cornernet.ops.corner_pool import operators, reference, triton_kernels

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}
SHAPES = [(2, 1, 3, 5), (1, 2, 6, 1), (1, 1, 1, 1), (1, 3, 0, 2), (0, 1, 2, 2)]
LAYOUTS = {
    "contiguous": lambda x: x.contiguous(),
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "transposed": lambda x: x.transpose(-1, -2).contiguous().transpose(-1, -2),
    "sliced": lambda x: x.repeat_interleave(2, -1).repeat_interleave(3, -2)[..., ::3, ::2],
    "expanded": lambda x: x[:, :, :, :1].expand(x.shape),
}


def mistakes(layout: str, dtype: str, direction: str) -> list[str]:
    found = []
    torch.manual_seed(0)
    for shape in SHAPES:
        x = LAYOUTS[layout](torch.randint(0, 4, shape).to(DTYPES[dtype]))
        grad = torch.randint(0, 6, shape).to(DTYPES[dtype])
        out = reference.forward(x, direction)
        ours = triton_kernels.forward(x, direction)
        if not torch.equal(ours, out) or ours.dtype != x.dtype or ours.stride() != torch.empty_like(x).stride():
            found.append(f"forward {shape}: {ours.tolist()} and not {out.tolist()}")
        expected = reference.backward(grad, x, out, direction)
        ours = triton_kernels.backward(grad, x, out, direction)
        if not torch.equal(ours, expected) or ours.dtype != x.dtype:
            found.append(f"backward {shape}: {ours.tolist()} and not {expected.tolist()}")
    return found


def mistakes_in_sums(dtype: str, first_direction: str, second_direction: str) -> list[str]:
    found = []
    torch.manual_seed(0)
    # The interpreter cuts bfloat16 off where a GPU rounds it, so these sums must need no rounding.
    step = 1 if dtype == "bfloat16" else 0.37
    pairs = [("channels_last", "channels_last"), *zip(LAYOUTS, [*LAYOUTS][1:] + [*LAYOUTS][:1], strict=True)]
    for (one, other), shape in itertools.product(pairs, SHAPES):
        first = LAYOUTS[one]((step * torch.randint(0, 4, shape)).to(DTYPES[dtype]))
        second = LAYOUTS[other]((step * 9 * torch.randint(0, 4, shape)).to(DTYPES[dtype]))
        expected = reference.forward(first, first_direction) + reference.forward(second, second_direction)
        ours = operators._pool_sum_triton(first, second, first_direction, second_direction)
        if not torch.equal(ours, expected) or ours.stride() != torch.empty_like(first).stride():
            found.append(f"{one} and {other} {shape}: {ours.tolist()} and not {expected.tolist()}")
    return found


def mistakes_with_nan(direction: str) -> list[str]:
    x = torch.randint(0, 4, (1, 1, 4, 5), generator=torch.Generator().manual_seed(0)).float()
    x[..., 2, 2] = float("nan")
    grad = torch.arange(20.0).view_as(x)
    out = reference.forward(x, direction)
    same = torch.equal(triton_kernels.forward(x, direction).nan_to_num(-7), out.nan_to_num(-7))
    kept = torch.equal(triton_kernels.backward(grad, x, out, direction), reference.backward(grad, x, out, direction))
    other = x.flip(-1, -2)
    summed = triton_kernels.forward_sum(x, other, direction, direction)
    expected = out + reference.forward(other, direction)
    added = torch.equal(summed.nan_to_num(-7), expected.nan_to_num(-7))
    return [part for part, right in (("forward", same), ("backward", kept), ("sum", added)) if not right]


def main() -> None:
    directions = ("top", "left", "bottom", "right")
    cases = {}
    for layout, direction in itertools.product(LAYOUTS, directions):
        cases[f"{layout} {direction}"] = mistakes(layout, "float32", direction)
    for dtype, direction in itertools.product(DTYPES, directions):
        cases[f"{dtype} {direction}"] = mistakes("channels_last", dtype, direction)
    for direction in directions:
        cases[f"nan {direction}"] = mistakes_with_nan(direction)
    for first, second in itertools.product(directions, repeat=2):
        cases[f"sum {first} {second}"] = mistakes_in_sums("float32", first, second)
    for dtype in DTYPES:
        cases[f"sum {dtype}"] = mistakes_in_sums(dtype, "top", "left")
    triton_kernels._LONGEST_CHUNK = 2  # so that a short axis takes the way of a long one
    for layout, direction in itertools.product(LAYOUTS, directions):
        cases[f"chunks {layout} {direction}"] = mistakes(layout, "float32", direction)
    for first, second in itertools.product(directions, repeat=2):
        cases[f"chunks sum {first} {second}"] = mistakes_in_sums("float32", first, second)
    print(json.dumps(cases))


if __name__ == "__main__":
    main()
