"""The Triton kernels of corner pooling: interpreted on the CPU, compiled for a GPU, and run where there is one."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cornernet.ops.corner_pool import corner_pool, corner_pool_sum, operators, reference

pytest.importorskip("triton", reason="Triton is published for Linux alone")

DIRECTIONS = ("top", "left", "bottom", "right")
LAYOUTS = ("contiguous", "channels_last", "transposed", "sliced", "expanded")


@pytest.fixture(scope="module")
def interpreted():
    """What the kernels got wrong under the interpreter, by case."""
    program = Path(__file__).with_name("corner_pool_interpreted.py")
    run = subprocess.run([sys.executable, program], capture_output=True, text=True, encoding="utf-8", timeout=300)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_equal_the_loop(interpreted, layout, direction):
    assert interpreted[f"{layout} {direction}"] == []


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_axis_in_chunks_equals_the_loop(interpreted, layout, direction):
    assert interpreted[f"chunks {layout} {direction}"] == []


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
def test_dtypes_equal_the_loop(interpreted, dtype, direction):
    assert interpreted[f"{dtype} {direction}"] == []


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_nan_as_in_the_loop(interpreted, direction):
    assert interpreted[f"nan {direction}"] == []


@pytest.mark.parametrize("second", DIRECTIONS)
@pytest.mark.parametrize("first", DIRECTIONS)
def test_sums_equal_the_loop(interpreted, first, second):
    assert interpreted[f"sum {first} {second}"] == []
    assert interpreted[f"chunks sum {first} {second}"] == []


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
def test_dtypes_of_sums_equal_the_loop(interpreted, dtype):
    assert interpreted[f"sum {dtype}"] == []


def compiled(kernel, dtype, *, step, chunk=64, width=32, long=False, **flags):
    """Return the machine-independent code of a kernel, compiled for an H100 although none is here."""
    import triton
    import triton.language as tl
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    fixed = {"FROM_END": True, "AXIS": int(step == 1), "CHUNK": chunk, "WIDTH": width, "LONG": long, "WIDE": tl.float32}
    fixed |= flags
    fixed |= {name: 1 for name in kernel.arg_names if name.endswith("_step" if step == 1 else "_stride2")}
    pointers = [name for name in kernel.arg_names if name.endswith("_ptr")]
    signature = {
        name: "constexpr" if name in fixed else f"*{dtype}" if name in pointers else "i32" for name in kernel.arg_names
    }
    source = ASTSource(
        fn=kernel,
        signature=signature,
        constexprs={(kernel.arg_names.index(name),): value for name, value in fixed.items()},
        attrs={(i,): [["tt.divisibility", 16]] for i, name in enumerate(kernel.arg_names) if name not in fixed},
    )
    return triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["ptx"]


@pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION")
@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
@pytest.mark.parametrize(
    ("name", "flags", "loaded"),
    [("_forward_kernel", {"ADD": False}, 1), ("_forward_kernel", {"ADD": True}, 2), ("_backward_kernel", {}, 3)],
)
def test_kernels_compile_and_move_sixteen_bytes_at_a_time(tmp_path, monkeypatch, name, flags, loaded, dtype):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from cornernet.ops.corner_pool import triton_kernels

    kernel = getattr(triton_kernels, name)
    loads, stores = "ld.global.v4", "st.global.v4"
    lanes_fastest = compiled(kernel, dtype, step=16, **flags)  # channels-last
    assert lanes_fastest.count(loads) == loaded * lanes_fastest.count(stores) > 0
    assert lanes_fastest.count("ld.global") == lanes_fastest.count(loads)
    axis_fastest = compiled(kernel, dtype, step=1, long=True, **flags)  # rows pooled along their own memory, in chunks
    assert axis_fastest.count("ld.global") == loaded * axis_fastest.count("st.global") > 0
    for code in (lanes_fastest, axis_fastest):
        assert ("cvt.rn.bf16" in code) == (dtype == "bf16")  # to the nearest, as PyTorch rounds


@pytest.mark.gpu
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_on_a_gpu(direction, dtype):
    layouts = {
        "contiguous": lambda x: x,
        "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
        "transposed": lambda x: x.transpose(-1, -2).contiguous().transpose(-1, -2),
        "sliced": lambda x: x[..., 1:, ::2],
    }
    torch.manual_seed(0)
    for shape, layout in itertools.product(
        [(2, 128, 128, 128), (1, 96, 96, 160), (1, 3, 5, 7), (1, 2, 700, 9)], layouts
    ):
        x = layouts[layout](torch.randint(-9, 99, shape, device="cuda").to(dtype)).requires_grad_()
        out = corner_pool(x, direction)
        grad = torch.randint(0, 2, out.shape, device="cuda").to(dtype)
        (ours,) = torch.autograd.grad(out, x, grad)
        axis = -2 if direction in ("top", "bottom") else -1
        flip = (axis,) if direction in ("top", "left") else ()
        source = x.detach().float().requires_grad_()
        expected = source.flip(flip).cummax(axis).values.flip(flip)
        (theirs,) = torch.autograd.grad(expected, source, grad.float())
        assert torch.equal(out.float(), expected)
        assert torch.equal(ours, theirs.to(dtype))
        assert out.stride() == torch.empty_like(x).stride()


@pytest.mark.gpu
@pytest.mark.parametrize("directions", tuple(itertools.product(DIRECTIONS, repeat=2)), ids=" ".join)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_sums_on_a_gpu_equal_two_poolings_to_the_last_bit(directions, dtype):
    layouts = {
        "contiguous": lambda x: x,
        "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
        "sliced": lambda x: x[..., 1:, ::2],
    }
    torch.manual_seed(0)
    shapes = [(2, 128, 128, 128), (1, 3, 5, 7), (1, 2, 700, 9), (0, 3, 4, 4)]
    for shape, one, other in itertools.product(shapes, layouts, layouts):
        first = layouts[one](torch.randn(shape, device="cuda").relu().to(dtype)).requires_grad_()
        second = layouts[other](torch.randn(shape, device="cuda").relu().to(dtype)).requires_grad_()
        ours = corner_pool_sum(first, second, directions)
        theirs = corner_pool(first, directions[0]) + corner_pool(second, directions[1])
        assert torch.equal(ours, theirs)
        assert ours.dtype == dtype
        grad = torch.randn_like(ours)
        pairs = zip(*(torch.autograd.grad(out, (first, second), grad) for out in (ours, theirs)), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.gpu
def test_on_a_gpu_the_operators_are_sound():
    x = torch.randn(2, 16, 20, 24, device="cuda", requires_grad=True)
    torch.library.opcheck(operators.pool, (x, "top"))
    y = torch.randn(2, 16, 20, 24, device="cuda").contiguous(memory_format=torch.channels_last).requires_grad_()
    torch.library.opcheck(operators.pool_sum, (x, y, "top", "left"))
    nan = x.detach().clone()
    nan[0, 0, 3, 3] = float("nan")
    assert torch.equal(corner_pool(nan, "left").isnan(), reference.forward(nan, "left").isnan())
