"""Soft-NMS: both backends against an obvious loop over boxes."""

from math import exp

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from made_boxes import made
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from cornernet.errors import ConfigError
from cornernet.ops.soft_nms import Kept, SoftNMSConfig, soft_nms
from cornernet.ops.soft_nms.host import soft_nms_host
from cornernet.ops.soft_nms.portable import soft_nms_portable

BACKENDS = [soft_nms_host, soft_nms_portable]
METHODS = ["gaussian", "linear", "hard"]


def loop(boxes: Tensor, scores: Tensor, labels: Tensor, config: SoftNMSConfig, max_det: int) -> list[tuple[int, float]]:
    """One picture, one box at a time, as the docstring says it: (entry, decayed score), best first."""
    score = {i: float(s) for i, s in enumerate(scores) if s > -0.1}
    reach = max((float(boxes[i].max()) for i in score), default=0.0)
    shift = labels.float()[:, None] * (torch.tensor(reach) + 1)
    box = (boxes + shift).numpy()
    area = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    kept = []
    while score and len(kept) < max_det:
        pick = max(score, key=lambda i: (score[i], -i))
        kept.append((pick, score.pop(pick)))
        for i in list(score):
            if labels[i] == labels[pick]:
                w = min(box[i, 2], box[pick, 2]) - max(box[i, 0], box[pick, 0])
                h = min(box[i, 3], box[pick, 3]) - max(box[i, 1], box[pick, 1])
                shared = w * h if w > 0 and h > 0 else np.float32(0)
                iou = shared / (area[i] + area[pick] - shared) if shared > 0 else np.float32(0)
                if config.method == "gaussian":
                    score[i] *= exp(-(float(iou) ** 2) / config.sigma)
                elif iou >= np.float32(config.iou_threshold):
                    score[i] *= 1 - float(iou) if config.method == "linear" else 0.0
            if score[i] < config.min_score:
                del score[i]
    return kept


def assert_same(kept: Kept, expected: list[list[tuple[int, float]]]) -> None:
    assert kept.index.dtype == kept.count.dtype == torch.int64
    assert kept.scores.dtype == torch.float32
    for n, want in enumerate(expected):
        count = len(want)
        assert int(kept.count[n]) == count
        assert kept.index[n, :count].tolist() == [i for i, _ in want]
        np.testing.assert_allclose(kept.scores[n, :count].numpy(), [s for _, s in want], rtol=2e-5)
        assert (kept.index[n, count:] == -1).all()
        assert (kept.scores[n, count:] == -1).all()


@st.composite
def pictures(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor]:
    """Few boxes on a coarse grid: overlaps, equal boxes, boxes without area or turned inside out, rejected ones."""
    m = draw(st.integers(0, 12))
    boxes = draw(hnp.arrays(np.float32, (m, 4), elements=st.integers(0, 6).map(float)))
    scores = draw(hnp.arrays(np.float32, m, elements=st.sampled_from([-1.0, -0.1, -0.05, 0.0, 0.0005, 0.3, 0.7, 1.0])))
    labels = draw(hnp.arrays(np.int64, m, elements=st.integers(0, 2)))
    return torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(labels)


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=150, deadline=None)
@given(picture=pictures(), method=st.sampled_from(METHODS), max_det=st.integers(1, 14), threshold=st.floats(0.05, 0.95))
def test_equals_the_loop_on_any_boxes(backend, picture, method, max_det, threshold):
    boxes, scores, labels = picture
    config = SoftNMSConfig(method=method, iou_threshold=threshold)
    if not len(scores):
        kept = soft_nms(boxes[None], scores[None], labels[None], config=config, max_det=max_det)
    else:
        kept = backend(boxes[None], scores[None], labels[None], config, max_det)
    # Scores that decay makes equal may differ in the last bit between Python and float32: no order to compare then.
    want = loop(boxes, scores, labels, config, max_det)
    assert int(kept.count[0]) == len(want)
    got = kept.scores[0, : len(want)].numpy()
    np.testing.assert_allclose(got, [s for _, s in want], rtol=2e-5)
    apart = np.diff([s for _, s in want]) < -1e-4
    if len(want) and apart.all() and len(want) < max_det:
        assert kept.index[0, : len(want)].tolist() == [i for i, _ in want]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("m", "classes"), [(1, 1), (2, 1), (200, 1), (300, 80)])
def test_batch_equals_the_loop_on_each_picture(backend, method, m, classes):
    boxes, scores, labels = made(3, m, classes)
    scores[1, ::3] = -1
    config = SoftNMSConfig(method=method)
    expected = [loop(b, s, c, config, 50) for b, s, c in zip(boxes, scores, labels, strict=True)]
    assert_same(backend(boxes, scores, labels, config, 50), expected)


def test_thousand_boxes_of_eighty_classes():
    boxes, scores, labels = made(2, 1000, 80, side=1200)
    expected = [loop(b, s, c, SoftNMSConfig(), 100) for b, s, c in zip(boxes, scores, labels, strict=True)]
    for backend in BACKENDS:
        assert_same(backend(boxes, scores, labels, SoftNMSConfig(), 100), expected)


def test_rounding_is_that_of_boxes_shifted_by_class():
    """Without the shift by 79 * 1025 pixels the decayed score would be 0.5 * exp(-2 * iou^2) of the plain boxes."""
    boxes = torch.tensor([[[10.3, 10.3, 13.7, 13.9], [10.4, 10.7, 13.8, 14.2], [0.0, 0.0, 1024.0, 1024.0]]])
    scores, labels = torch.tensor([[0.9, 0.5, 0.1]]), torch.tensor([[79, 79, 0]])
    (shifted_a, shifted_b), plain = (boxes[0, :2] + 79 * 1025.0).double(), boxes[0, :2].double()

    def decayed(a: Tensor, b: Tensor) -> float:
        shared = (torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])).prod()
        iou = shared / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared)
        return float(0.5 * torch.exp(-2 * iou * iou))

    assert abs(decayed(shifted_a, shifted_b) - decayed(*plain)) > 1e-4
    for backend in BACKENDS:
        got = backend(boxes, scores, labels, SoftNMSConfig(), 3).scores[0].tolist()
        assert min(abs(s - decayed(shifted_a, shifted_b)) for s in got) < 1e-6


def test_hard_is_greedy_suppression():
    boxes, scores, labels = made(1, 300, 4)
    config = SoftNMSConfig(method="hard", iou_threshold=0.3)
    kept: list[int] = []
    for i in scores[0].argsort(descending=True).tolist():
        b = boxes[0, i].double()
        for j in (j for j in kept if labels[0, j] == labels[0, i]):
            a = boxes[0, j].double()
            w, h = (torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])).clamp(min=0)
            if w * h / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - w * h) >= 0.3:
                break
        else:
            kept.append(i)
    for backend in BACKENDS:
        got = backend(boxes, scores, labels, config, 300)
        assert got.index[0, : len(kept)].tolist() == kept
        assert int(got.count) == len(kept)
        torch.testing.assert_close(got.scores[0, : len(kept)], scores[0, kept])


@pytest.mark.parametrize("backend", BACKENDS)
def test_order_of_entries_does_not_matter(backend):
    boxes, scores, labels = made(1, 200, 3)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(5))
    plain = backend(boxes, scores, labels, SoftNMSConfig(), 100)
    mixed = backend(boxes[:, order], scores[:, order], labels[:, order], SoftNMSConfig(), 100)
    assert torch.equal(order[mixed.index[0]], plain.index[0])
    torch.testing.assert_close(mixed.scores, plain.scores)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("method", METHODS)
def test_ties_go_to_the_first_entry(backend, method):
    boxes = torch.tensor([[[0.0, 0, 2, 2], [10, 10, 12, 12], [20, 20, 22, 22], [30, 30, 32, 32]]])
    kept = backend(boxes, torch.full((1, 4), 0.5), torch.tensor([[1, 0, 1, 0]]), SoftNMSConfig(method=method), 4)
    assert kept.index.tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_identical_boxes(backend):
    boxes, scores = torch.tensor([[[3.0, 4, 9, 8]] * 3]), torch.tensor([[0.5, 0.9, 0.7]])
    labels = torch.tensor([[2, 2, 1]])
    soft = backend(boxes, scores, labels, SoftNMSConfig(), 9)
    assert soft.index.tolist() == [[1, 2, 0]]
    assert soft.scores[0].tolist() == pytest.approx([0.9, 0.7, 0.5 * exp(-2)])
    for method in ("linear", "hard"):
        assert backend(boxes, scores, labels, SoftNMSConfig(method=method), 9).index.tolist() == [[1, 2, -1]]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("method", METHODS)
def test_boxes_without_area_decay_nothing(backend, method):
    boxes = torch.tensor([[[5.0, 5, 5, 5], [5, 5, 5, 5], [5, 2, 5, 9], [0, 0, 9, 9], [8, 8, 3, 3]]])
    scores = torch.tensor([[0.9, 0.8, 0.7, 0.6, 0.5]])
    config = SoftNMSConfig(method=method, iou_threshold=0.1)
    kept = backend(boxes, scores, torch.zeros(1, 5, dtype=torch.int64), config, 5)
    assert kept.index.tolist() == [[0, 1, 2, 3, 4]]
    torch.testing.assert_close(kept.scores, scores)


@pytest.mark.parametrize("backend", BACKENDS)
def test_rejected_and_broken_entries_never_take_part(backend):
    boxes = torch.tensor([[[0.0, 0, 9, 9]] * 5])
    boxes[0, 2, 1], boxes[0, 3, 2] = torch.nan, torch.inf
    boxes = torch.cat([boxes, boxes])
    scores = torch.tensor([[-1.0, -0.1, 0.9, 0.9, torch.nan], [-1.0, 0.4, 0.9, 0.9, torch.inf]])
    kept = backend(boxes, scores, torch.full((2, 5), 7), SoftNMSConfig(), 5)
    assert kept.count.tolist() == [0, 1]
    assert kept.index.tolist() == [[-1] * 5, [1, -1, -1, -1, -1]]
    assert kept.scores[1].tolist() == pytest.approx([0.4, -1, -1, -1, -1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_first_pick_is_kept_whatever_its_score(backend):
    boxes, scores, labels = made(1, 5, 1)
    kept = backend(boxes, scores * 1e-5, labels, SoftNMSConfig(), 5)
    assert kept.count.tolist() == [1]
    assert kept.index[0, 0] == scores.argmax()


@pytest.mark.parametrize(("n", "m", "max_det"), [(0, 5, 3), (2, 0, 3), (2, 5, 0), (0, 0, 0)])
def test_nothing(n, m, max_det):
    kept = (
        soft_nms(*made(n, m, 2), max_det=max_det) if n else soft_nms(*(t[:0] for t in made(1, m, 2)), max_det=max_det)
    )
    assert kept.index.shape == kept.scores.shape == (n, min(m, max_det))
    assert kept.count.tolist() == [0] * n
    assert (kept.index.dtype, kept.scores.dtype, kept.count.dtype) == (torch.int64, torch.float32, torch.int64)


def test_half_precision_is_computed_in_float32():
    boxes, scores, labels = made(1, 50, 2)
    half = soft_nms(boxes.half(), scores.half(), labels)
    full = soft_nms(boxes.half().float(), scores.half().float(), labels)
    assert torch.equal(half.index, full.index)
    assert torch.equal(half.scores, full.scores)


def test_the_cpu_takes_the_host_form_and_inputs_stay_as_they_are(monkeypatch):
    monkeypatch.setattr("cornernet.ops.soft_nms.soft_nms_portable", None)
    boxes, scores, labels = made(1, 20, 2)
    before = boxes.clone(), scores.clone(), labels.clone()
    soft_nms(boxes.requires_grad_(), scores, labels)
    for now, then in zip((boxes, scores, labels), before, strict=True):
        assert torch.equal(now, then)


def test_no_control_flow_depends_on_data():
    """Tensors without numbers go through: whatever looked at a value or a count would raise."""
    with FakeTensorMode():
        kept = soft_nms(torch.rand(2, 30, 4), torch.rand(2, 30), torch.zeros(2, 30, dtype=torch.int64), max_det=10)
        assert (kept.index.shape, kept.count.shape) == ((2, 10), (2,))
    meta = soft_nms(*(t.to("meta") for t in made(2, 30, 2)), max_det=10)
    assert meta.index.shape == (2, 10)


def test_compiles_into_one_graph():
    def run(boxes: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
        return soft_nms(boxes, scores, labels, max_det=5).scores

    picture = made(2, 20, 2)
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*picture), run(*picture))


@pytest.mark.parametrize(
    "options",
    [
        {"method": "soft"},
        {"sigma": 0.0},
        {"sigma": float("nan")},
        {"min_score": 0.0},
        {"iou_threshold": 1.5},
        {"iou_threshold": float("nan")},
    ],
)
def test_wrong_options_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        SoftNMSConfig(**options)


def test_wrong_arguments_are_refused():
    boxes, scores, labels = made(1, 5, 2)
    with pytest.raises(ConfigError, match=r"\(1, 5, 4\), \(1, 5\) and \(5,\)"):
        soft_nms(boxes, scores, labels[0])
    with pytest.raises(ConfigError, match="expected boxes"):
        soft_nms(boxes[..., :3], scores, labels)
    with pytest.raises(ConfigError, match="max_det"):
        soft_nms(boxes, scores, labels, max_det=-1)
