"""The sum of two directions of corner pooling: as two poolings, and as the operator that takes both at once."""

import itertools
import subprocess
import sys
from typing import get_args

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from cornernet.errors import ConfigError
from cornernet.ops.corner_pool import Direction, corner_pool, corner_pool_sum, operators, reference

DIRECTIONS = get_args(Direction)
PAIRS = tuple(itertools.product(DIRECTIONS, repeat=2))
SHAPES = [(2, 3, 5, 7), (1, 2, 8, 12), (1, 1, 1, 1), (1, 2, 6, 1), (0, 3, 4, 4), (2, 3, 0, 4)]
LAYOUTS = {
    "contiguous": lambda x: x.contiguous(),
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "transposed": lambda x: x.transpose(-1, -2).contiguous().transpose(-1, -2),
    "sliced": lambda x: x.repeat_interleave(2, -1).repeat_interleave(3, -2)[..., ::3, ::2],
    "expanded": lambda x: x[:, :1, :, :1].expand(x.shape),
}


@pytest.fixture(params=["composed", "at once"])
def way(request, monkeypatch):
    """Both ways on the CPU: the operator's own body stands for a device with a kernel."""
    devices = ("cpu",) if request.param == "at once" else ()
    monkeypatch.setattr("cornernet.ops.corner_pool.SUMMED_AT_ONCE", devices)
    return request.param


def ties(shape, seed, dtype=torch.float32):
    """Few different numbers with fractions, so that there are ties, and sums that are rounded."""
    numbers = torch.randint(-1, 4, shape, generator=torch.Generator().manual_seed(seed)).clamp(min=0)
    return (numbers * 0.37 + numbers.square() * 11.3).to(dtype)


def with_gradients(pool, first, second, grad):
    first, second = first.detach().requires_grad_(), second.detach().requires_grad_()
    out = pool(first, second)
    return out.detach(), *torch.autograd.grad(out, (first, second), grad)


def assert_as_the_loop(first, second, directions):
    grad = torch.randint(-9, 9, first.shape, generator=torch.Generator().manual_seed(2)).to(first.dtype)
    out, *grads = with_gradients(lambda a, b: corner_pool_sum(a, b, directions), first, second, grad)
    pooled = [reference.forward(x, d) for x, d in zip((first, second), directions, strict=True)]
    assert torch.equal(out, pooled[0] + pooled[1])
    assert out.dtype == first.dtype
    for x, p, direction, ours in zip((first, second), pooled, directions, grads, strict=True):
        assert torch.equal(ours, reference.backward(grad, x, p, direction))


@pytest.mark.parametrize("directions", PAIRS, ids=" ".join)
def test_directions(way, directions):
    for shape in SHAPES:
        assert_as_the_loop(ties(shape, 0), ties(shape, 1), directions)


@pytest.mark.parametrize(("first", "second"), tuple(itertools.product(LAYOUTS, repeat=2)))
def test_layouts(way, first, second):
    for shape, directions in itertools.product(SHAPES, (("top", "left"), ("right", "bottom"))):
        assert_as_the_loop(LAYOUTS[first](ties(shape, 0)), LAYOUTS[second](ties(shape, 1)), directions)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_dtypes(way, dtype):
    assert_as_the_loop(ties((2, 3, 6, 5), 0, dtype), ties((2, 3, 6, 5), 1, dtype), ("bottom", "right"))


def test_one_map_pooled_twice(way):
    x = ties((1, 2, 5, 4), 0).requires_grad_()
    corner_pool_sum(x, x, ("top", "left")).sum().backward()
    ours, x.grad = x.grad, None
    (corner_pool(x, "top") + corner_pool(x, "left")).sum().backward()
    assert torch.equal(ours, x.grad)


def test_nan_infinities_and_gradients(way):
    first, second, grad = ties((1, 2, 5, 6), 0), ties((1, 2, 5, 6), 1), ties((1, 2, 5, 6), 2)
    first[0, 0, 2, 3], first[0, 1, 1, 1], second[0, 1, 3, 4] = float("nan"), float("inf"), float("-inf")
    second[0, 1, 0, 5] = float("nan")
    ours = with_gradients(lambda a, b: corner_pool_sum(a, b, ("top", "left")), first, second, grad)
    theirs = with_gradients(lambda a, b: corner_pool(a, "top") + corner_pool(b, "left"), first, second, grad)
    assert ours[0].isnan().any()
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a.isnan(), b.isnan())
        assert torch.equal(a.nan_to_num(-7), b.nan_to_num(-7))


def test_gradcheck(way):
    numbers = torch.randperm(2 * 2 * 2 * 4 * 5, generator=torch.Generator().manual_seed(0)).double().view(2, 2, 2, 4, 5)
    first, second = numbers[0].requires_grad_(), LAYOUTS["channels_last"](numbers[1]).requires_grad_()
    torch.autograd.gradcheck(lambda a, b: corner_pool_sum(a, b, ("left", "bottom")), (first, second))


@pytest.mark.parametrize("wanted", [0, 1])
def test_gradient_of_one_map_alone(way, wanted):
    maps = [ties((1, 2, 5, 4), 0), ties((1, 2, 5, 4), 1)]
    maps[wanted].requires_grad_()
    corner_pool_sum(*maps, ("top", "right")).sum().backward()
    alone = maps[wanted].detach().clone().requires_grad_()
    corner_pool(alone, ("top", "right")[wanted]).sum().backward()
    assert torch.equal(maps[wanted].grad, alone.grad)
    assert maps[1 - wanted].grad is None


def test_the_first_s_memory_format_is_kept(way):
    for first, second in itertools.product(LAYOUTS.values(), repeat=2):
        x, y = first(ties((2, 3, 5, 4), 0)), second(ties((2, 3, 5, 4), 1))
        assert corner_pool_sum(x, y, ("top", "left")).stride() == torch.empty_like(x).stride()


def test_at_once_autograd_keeps_the_inputs_alone(way):
    maps = [ties((1, 2, 5, 4), seed).requires_grad_() for seed in (0, 1)]
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.data_ptr()), lambda x: x):
        corner_pool_sum(*maps, ("top", "left"))
    inputs = {x.data_ptr() for x in maps}
    assert inputs <= set(kept)
    assert len(kept) == {"at once": 2, "composed": 4}[way]


def test_inference_stores_nothing(way):
    maps = ties((1, 2, 4, 4), 0), ties((1, 2, 4, 4), 1)
    with torch.inference_mode():
        assert corner_pool_sum(*maps, ("top", "left")).is_inference()
    assert corner_pool_sum(*maps, ("top", "left")).grad_fn is None


def test_autocast_changes_no_dtype(way):
    with torch.autocast("cpu", torch.bfloat16):
        for dtype in (torch.float32, torch.bfloat16):
            assert_as_the_loop(ties((1, 2, 5, 4), 0, dtype), ties((1, 2, 5, 4), 1, dtype), ("top", "left"))


@pytest.mark.parametrize("dynamic", [False, True])
def test_compile_keeps_both_passes_in_one_graph(way, dynamic):
    def loss(x):
        return corner_pool_sum(x.relu(), x, ("top", "left")).square().sum()

    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    for size in ((2, 3, 5, 4), (1, 3, 6, 8)):
        ours, theirs = (ties(size, 0).sub(4).requires_grad_() for _ in range(2))
        compiled(ours).backward()
        loss(theirs).backward()
        assert torch.equal(ours.grad, theirs.grad)


def test_export_gives_plain_operators(way):
    class Sum(torch.nn.Module):
        def forward(self, first, second):
            return corner_pool_sum(first, second, ("top", "left"))

    maps = ties((1, 2, 8, 16), 0), ties((1, 2, 8, 16), 1)
    program = torch.export.export(Sum(), maps)
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert all(target.startswith("aten.") for target in targets)
    assert torch.equal(program.module()(*maps), corner_pool_sum(*maps, ("top", "left")))


@pytest.mark.parametrize("second", LAYOUTS)
def test_opcheck(second):
    maps = ties((2, 3, 5, 4), 0), LAYOUTS[second](ties((2, 3, 5, 4), 1))
    for args in (maps, maps[::-1]):
        torch.library.opcheck(operators.pool_sum, (*(x.detach().requires_grad_() for x in args), "top", "right"))


def test_opcheck_of_nothing():
    torch.library.opcheck(operators.pool_sum, (torch.zeros(0, 3, 5, 4), torch.zeros(0, 3, 5, 4), "top", "right"))


@pytest.mark.parametrize(
    ("device", "expected"),
    [("cuda", ["corner_pool_sum"]), ("meta", ["corner_pool", "corner_pool", "add"])],
)
def test_each_device_takes_its_way(monkeypatch, device, expected):
    monkeypatch.setattr("cornernet.ops.corner_pool.SUMMED_AT_ONCE", ("cuda",))
    called = []

    class Listening(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            called.append(func.overloadpacket.__name__)
            return func(*args, **(kwargs or {}))

    with FakeTensorMode():  # so that a CUDA tensor needs no CUDA
        x = torch.empty(1, 2, 5, 4, device=device)
        with torch.no_grad(), Listening():
            out = corner_pool_sum(x, x, ("top", "left"))
        assert out.device == x.device
    assert [name for name in called if name != "device"] == expected


@pytest.mark.parametrize("installed", [False, True])
def test_one_kernel_where_triton_is(installed):
    if installed:
        pytest.importorskip("triton", reason="Triton is published for Linux alone")
    without = "" if installed else "import sys; sys.modules['triton'] = None; "
    code = f"{without}from cornernet.ops.corner_pool import operators; print(operators.SUMMED_AT_ONCE)"
    printed = subprocess.check_output([sys.executable, "-c", code], text=True, timeout=120)
    assert printed.strip() == ("('cuda',)" if installed else "()")


@pytest.mark.parametrize("directions", [("top", "up"), (None, "left")])
def test_wrong_direction(directions):
    with pytest.raises(ConfigError, match="expected direction to be one of top, left, bottom, right, got"):
        corner_pool_sum(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), directions)


def test_wrong_axes():
    with pytest.raises(ConfigError, match=r"expected x of four axes \(N, C, H, W\), got shape"):
        corner_pool_sum(torch.zeros(3, 4), torch.zeros(3, 4), ("top", "left"))


@pytest.mark.parametrize(
    "second", [torch.zeros(1, 1, 2, 3), torch.zeros(1, 1, 2, 2).double(), torch.zeros(1, 1, 2, 2, device="meta")]
)
def test_maps_that_differ(way, second):
    with pytest.raises(ConfigError, match=r"expected two maps of one shape, dtype and device, got \(1, 1, 2, 2\)"):
        corner_pool_sum(torch.zeros(1, 1, 2, 2), second, ("top", "left"))
