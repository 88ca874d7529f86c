"""The corner pooling operator inside PyTorch's machinery: opcheck, compile, export, ONNX."""

import contextlib
import subprocess
import sys
from typing import get_args

import onnxruntime
import pytest
import torch
from torch import nn
from torch.export import Dim

from cornernet.ops.corner_pool import Direction, corner_pool, operators, portable, reference

DIRECTIONS = get_args(Direction)


def numbers(*shape):
    return torch.randint(0, 9, shape, generator=torch.Generator().manual_seed(0)).float()


@contextlib.contextmanager
def without_cpu_kernels():
    """Let the CPU stand for a device that has no kernel of its own."""
    with (
        operators.pool.set_kernel_enabled("cpu", enabled=False),
        operators.pool_backward.set_kernel_enabled("cpu", enabled=False),
    ):
        yield


@pytest.mark.parametrize("direction", ["top", "right"])
@pytest.mark.parametrize("kernels", [contextlib.nullcontext, without_cpu_kernels], ids=["cpu", "portable"])
def test_opcheck(kernels, direction):
    x = numbers(2, 3, 5, 4)
    with kernels():
        for example in (x, x.contiguous(memory_format=torch.channels_last), x[:, :, ::2, 1:], x[:0]):
            torch.library.opcheck(operators.pool, (example.detach().requires_grad_(), direction))
            args = (torch.ones_like(example), example, reference.forward(example, direction), direction)
            torch.library.opcheck(operators.pool_backward, args)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_device_without_kernels_takes_the_portable_form(direction):
    x = numbers(2, 3, 5, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    with without_cpu_kernels():
        out = corner_pool(x, direction)
        out.backward(torch.ones_like(out))
    assert torch.equal(out, reference.forward(x.detach(), direction))
    assert torch.equal(x.grad, reference.backward(torch.ones_like(out), x.detach(), out.detach(), direction))


def test_cuda_without_triton_takes_the_portable_form(monkeypatch):
    monkeypatch.setattr(operators, "has_triton", lambda: False)
    x = numbers(1, 2, 5, 4)
    out = operators._pool_cuda(x, "top")
    assert torch.equal(out, reference.forward(x, "top"))
    grad_x = operators._pool_backward_cuda(torch.ones_like(x), x, out, "top")
    assert torch.equal(grad_x, reference.backward(torch.ones_like(x), x, out, "top"))


def test_import_needs_no_triton():
    code = "import sys; sys.modules['triton'] = None; from cornernet.ops.corner_pool import corner_pool"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("dynamic", [False, True])
def test_compile_keeps_both_passes_in_one_graph(dynamic):
    def loss(x):
        return (corner_pool(x.relu(), "top") + corner_pool(x, "left")).square().sum()

    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    for size in ((2, 3, 5, 4), (1, 3, 6, 8)):
        ours, theirs = numbers(*size).sub(4).requires_grad_(), numbers(*size).sub(4).requires_grad_()
        compiled(ours).backward()
        loss(theirs).backward()
        assert torch.equal(ours.grad, theirs.grad)


class Pools(nn.Module):
    """The four directions behind a convolution that halves the size, as in a network."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 3, stride=2, padding=1)

    def forward(self, x):
        x = self.stem(x)
        return tuple(corner_pool(x, direction) for direction in DIRECTIONS)


def test_onnx_with_free_sizes(tmp_path):
    model = Pools().eval()
    path = tmp_path / "pools.onnx"
    torch.onnx.export(
        model,
        (torch.randn(1, 1, 32, 48),),
        path,
        dynamo=True,
        dynamic_shapes=({0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC},),
        verbose=False,
    )
    session = onnxruntime.InferenceSession(path)
    for size in ((1, 1, 32, 48), (2, 1, 7, 130), (3, 1, 2, 1), (1, 1, 600, 9)):
        x = torch.randn(size)
        outputs = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        features = model.stem(x).detach()
        for direction, output in zip(DIRECTIONS, outputs, strict=True):
            torch.testing.assert_close(torch.from_numpy(output), reference.forward(features, direction))


def test_export_gives_plain_operators_and_few_when_sizes_are_known():
    program = torch.export.export(Pools().eval(), (torch.randn(1, 1, 32, 48),))
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert all(target.startswith("aten.") for target in targets)
    assert targets.count("aten.maximum.default") == 2 * 4 + 2 * 5  # maps of 16 x 24


def test_export_reaches_the_longest_axis():
    model = Pools().eval()
    program = torch.export.export(model, (torch.randn(1, 1, 8, 8),), dynamic_shapes=({3: Dim.DYNAMIC},))
    features = torch.zeros(1, 1, 8, 2 * portable.LONGEST_DYNAMIC)
    features[..., 0] = 1
    right = program.module()(features)[DIRECTIONS.index("right")]
    assert torch.equal(right, model.stem(features).cummax(-1).values)
    with pytest.raises(AssertionError, match=str(2 * portable.LONGEST_DYNAMIC)):
        program.module()(torch.zeros(1, 1, 8, 2 * portable.LONGEST_DYNAMIC + 1))
