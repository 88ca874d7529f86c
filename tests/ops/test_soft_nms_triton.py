"""The Triton kernel of soft-NMS: interpreted on the CPU, compiled for a GPU, and run where there is one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from made_boxes import made

from cornernet.ops.soft_nms import SoftNMSConfig, soft_nms
from cornernet.ops.soft_nms.host import soft_nms_host

pytest.importorskip("triton", reason="Triton is published for Linux alone")


def test_equals_the_numpy_form_under_the_interpreter():
    program = Path(__file__).with_name("soft_nms_interpreted.py")
    run = subprocess.run([sys.executable, program], capture_output=True, text=True, encoding="utf-8", timeout=300)
    assert run.returncode == 0, run.stderr
    cases = json.loads(run.stdout)
    assert len(cases) == 21
    assert {name: mistakes for name, mistakes in cases.items() if mistakes} == {}


@pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION")
@pytest.mark.parametrize("method", [0, 1, 2])
def test_it_compiles_without_fused_rounding(tmp_path, monkeypatch, method):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from cornernet.ops.soft_nms import triton_kernel

    kernel = triton_kernel._kernel
    fixed = {"METHOD": method, "PRESENT_ABOVE": -0.1, "ABSENT": -1.0, "BLOCK": 1024}
    types = {"index_ptr": "*i64", "count_ptr": "*i64", "labels_ptr": "*i64", "entries": "i32", "places": "i32"}
    types |= dict.fromkeys(("sigma", "iou_threshold", "min_score"), "fp32")
    signature = {name: "constexpr" if name in fixed else types.get(name, "*fp32") for name in kernel.arg_names}
    source = ASTSource(
        fn=kernel,
        signature=signature,
        constexprs={(kernel.arg_names.index(name),): value for name, value in fixed.items()},
    )
    options = {"num_warps": 4, "enable_fp_fusion": False}
    code = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["ptx"]
    # Only the exponential's own arithmetic and division may be fused, neither of which rounds a coordinate.
    assert "ex2.approx" in code or method != 0
    assert ("fma.rn.f32" in code) is False


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["gaussian", "linear", "hard"])
@pytest.mark.parametrize(("entries", "classes"), [(1, 1), (200, 1), (1000, 80), (5000, 3)])
def test_on_a_gpu(method, entries, classes):
    boxes, scores, labels = made(3, entries, classes, side=1200.0)
    scores[1, ::3] = -1
    config = SoftNMSConfig(method=method)
    expected = soft_nms_host(boxes, scores, labels, config, 100)
    ours = soft_nms(boxes.cuda(), scores.cuda(), labels.cuda(), config=config)
    assert torch.equal(ours.count.cpu(), expected.count)
    torch.testing.assert_close(ours.scores.cpu(), expected.scores, rtol=2e-5, atol=1e-6)
    assert (ours.index.cpu() == expected.index).float().mean() > 0.99  # scores that decay to nearly the same may swap
