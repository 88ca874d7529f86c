"""Decoding: against an obvious loop over cells and pairs, the reference's pairs, and at the edges."""

from dataclasses import fields, replace
from math import exp
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from cornernet.corners.decode import CornerPairs, DecodeConfig, decode
from cornernet.corners.peaks import top_peaks
from cornernet.errors import ConfigError
from cornernet.ops.soft_nms import soft_nms
from cornernet.structures.maps import CornerMaps

GOLDEN = Path(__file__).parents[1] / "golden"


def random_maps(n: int, c: int, h: int, w: int, e: int = 1, seed: int = 0) -> CornerMaps:
    g = torch.Generator().manual_seed(seed)

    def made(channels: int, spread: float, centre: float) -> Tensor:
        return torch.randn(n, channels, h, w, generator=g) * spread + centre

    return CornerMaps(
        tl_heat=made(c, 2, -3), br_heat=made(c, 2, -3), tl_emb=made(e, 0.5, 0), br_emb=made(e, 0.5, 0),
        tl_off=made(2, 0.5, 0.5), br_off=made(2, 0.5, 0.5),
    )  # fmt: skip


def converted(maps: CornerMaps, change) -> CornerMaps:
    return CornerMaps(**{f.name: change(getattr(maps, f.name)) for f in fields(maps)})


def loop_peaks(heat: Tensor, k: int, window: int) -> list[tuple[float, int, int, int]]:
    """(logit, class, y, x) of one picture's local maxima, best first."""
    reach, found = window // 2, []
    for c, plane in enumerate(heat.tolist()):
        for y, row in enumerate(plane):
            for x, value in enumerate(row):
                rows = plane[max(0, y - reach) : y + reach + 1]
                if value >= max(max(r[max(0, x - reach) : x + reach + 1]) for r in rows):
                    found.append((value, c, y, x))
    return sorted(found, reverse=True)[:k]


def loop_pairs(
    maps: CornerMaps, size: tuple[int, int], origin: tuple[float, float], config: DecodeConfig
) -> list[tuple[float, int, list[float]]]:
    """(score, class, box) of the accepted pairs of a single picture, best first."""
    height, width = maps.tl_heat.shape[2:]
    corners = []
    for heat, emb, off in ((maps.tl_heat, maps.tl_emb, maps.tl_off), (maps.br_heat, maps.br_emb, maps.br_off)):
        kind = []
        for logit, c, y, x in loop_peaks(heat[0], config.top_k, config.peak_window):
            px = max(0.0, (x + float(off[0, 0, y, x])) * size[1] / width - origin[0])
            py = max(0.0, (y + float(off[0, 1, y, x])) * size[0] / height - origin[1])
            kind.append((1 / (1 + exp(-logit)), c, px, py, emb[0, :, y, x]))
        corners.append(kind)
    pairs = []
    for ps, pc, px, py, pe in corners[0]:
        for qs, qc, qx, qy, qe in corners[1]:
            far = float(((pe - qe) ** 2).sum()) ** 0.5 > config.embedding_threshold
            if pc == qc and not far and qx > px and qy > py:
                pairs.append(((ps + qs) / 2, pc, [px, py, qx, qy]))
    return sorted(pairs, reverse=True)[: config.pairs]


def assert_pairs(pairs: CornerPairs, n: int, expected: list[tuple[float, int, list[float]]]) -> None:
    """Accepted pairs of picture n are the expected ones (order of all but equal scores included)."""
    count = int((pairs.scores[n] != -1).sum())
    assert count == len(expected)
    assert (pairs.scores[n, count:] == -1).all()
    scores = pairs.scores[n, :count].tolist()
    assert scores == pytest.approx([s for s, _, _ in expected], abs=1e-6)
    got = sorted(zip([round(s, 5) for s in scores], pairs.labels[n].tolist(), pairs.boxes[n].tolist(), strict=False))
    want = sorted((round(s, 5), c, b) for s, c, b in expected)
    assert [c for _, c, _ in got] == [c for _, c, _ in want]
    np.testing.assert_allclose([b for *_, b in got], [b for *_, b in want], atol=1e-3)


@pytest.mark.parametrize("window", [1, 3, 5, 9])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "sliced", "bfloat16", "float16"])
def test_peaks_equal_the_loop(window, layout):
    heat = torch.stack([torch.randperm(3 * 9 * 7, generator=torch.Generator().manual_seed(s)) for s in range(2)])
    heat = heat.view(2, 3, 9, 7).float() - 90
    form = {
        "contiguous": heat,
        "channels_last": heat.contiguous(memory_format=torch.channels_last),
        "sliced": torch.stack([heat, heat], -1).repeat(1, 2, 1, 1, 1)[:, :3, :, :, 1],
        "bfloat16": heat.bfloat16(),
        "float16": heat.half(),
    }[layout]
    peaks = top_peaks(form, 10, window)
    assert peaks.logits.dtype == form.dtype
    for n in range(2):
        want = loop_peaks(heat[n], 10, window)
        count = len(want)
        got = [t[n, :count].tolist() for t in (peaks.logits, peaks.labels, peaks.ys, peaks.xs)]
        assert list(zip(*got, strict=True)) == want
        assert (peaks.logits[n, count:] == -torch.inf).all()


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (2, 3, 1, 1), (1, 2, 1, 40), (1, 2, 40, 1), (2, 7, 33, 65), (0, 2, 4, 4)]
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_peaks_equal_max_pooling_and_a_full_top_k(shape, layout):
    """The two-stage choice is exact, with plenty of ties: values on a grid of 20."""
    heat = torch.randint(-10, 10, shape, generator=torch.Generator().manual_seed(1)).float()
    heat = heat.contiguous(memory_format=layout)
    kept = heat.where(heat == torch.nn.functional.max_pool2d(heat, 3, 1, 1), -torch.inf) if len(heat) else heat
    k = min(50, shape[1] * shape[2] * shape[3])
    peaks = top_peaks(heat, k)
    assert torch.equal(peaks.logits, kept.flatten(1).topk(k).values)
    cells = (peaks.labels * shape[2] + peaks.ys) * shape[3] + peaks.xs
    assert torch.equal(kept.contiguous().flatten(1).gather(1, cells), peaks.logits)
    for row in cells:
        assert len(set(row.tolist())) == k


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)),
    embedding=st.integers(1, 3),
    top_k=st.integers(1, 30),
    window=st.sampled_from([1, 3, 5]),
    threshold=st.sampled_from([0.0, 0.5, 2.0]),
    pairs=st.integers(1, 60),
    origin=st.sampled_from([(0.0, 0.0), (11.0, 5.0), (-3.5, 200.0)]),
)
def test_equals_the_loop(seed, shape, embedding, top_k, window, threshold, pairs, origin):
    maps = random_maps(1, *shape, e=embedding, seed=seed)
    config = DecodeConfig(top_k=top_k, peak_window=window, embedding_threshold=threshold, pairs=pairs)
    peaks = min(len(loop_peaks(h[0], 10**6, window)) for h in (maps.tl_heat, maps.br_heat))
    config = replace(config, top_k=min(config.top_k, peaks))  # with fewer peaks than K: a test of its own below
    got = decode(maps, (shape[1] * 4 - 1, shape[2] * 4 - 1), origin=torch.tensor([origin]), config=config)
    expected = loop_pairs(maps, (shape[1] * 4 - 1, shape[2] * 4 - 1), origin, config)
    assert got.scores.shape == (1, min(pairs, config.top_k**2))
    assert_pairs(got, 0, expected)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_equals_the_reference(layout):
    """The pairs MMDetection 3.3.0 accepts of these maps, before soft-NMS."""
    with np.load(GOLDEN / "tiny_maps_127x255.npz") as z:
        maps = CornerMaps(**{f.name: torch.from_numpy(z[f"{f.name}.1"]) for f in fields(CornerMaps)})
    maps = converted(maps, lambda t: t.contiguous(memory_format=layout))
    got = decode(maps, (127, 255))
    with np.load(GOLDEN / "decode_pairs_127x255.npz") as z:
        boxes, scores, labels = z["boxes"], z["scores"], z["labels"]
    count = len(scores)
    assert count == 391
    assert got.scores.shape == (1, 1000)
    assert (got.scores[0, count:] == -1).all()
    np.testing.assert_allclose(got.scores[0, :count], scores, atol=1e-7)
    np.testing.assert_allclose(got.boxes[0, :count], boxes, atol=1e-5)
    np.testing.assert_array_equal(got.labels[0, :count], labels)


def test_batch_equals_singles():
    maps = random_maps(3, 4, 16, 24)
    origin = torch.tensor([[0.0, 0], [8, 3], [20, 40]])
    together = decode(maps, (63, 95), origin=origin)
    assert (together.boxes.dtype, together.scores.dtype, together.labels.dtype) == (
        torch.float32, torch.float32, torch.int64,
    )  # fmt: skip
    for n in range(3):
        alone = decode(converted(maps, lambda t, n=n: t[n : n + 1]), (63, 95), origin=origin[n : n + 1])
        count = int((alone.scores != -1).sum())
        assert count > 20
        torch.testing.assert_close(together.scores[n], alone.scores[0])
        torch.testing.assert_close(together.boxes[n, :count], alone.boxes[0, :count])
        assert torch.equal(together.labels[n, :count], alone.labels[0, :count])


def single_object(h: int = 8, w: int = 8) -> CornerMaps:
    """One box from cell (1, 2) to cell (5, 6) of class 1 of 2; one peak a kind, all else equal and low."""
    tl_heat, br_heat = torch.full((1, 2, h, w), -9.0), torch.full((1, 2, h, w), -9.0)
    tl_heat[0, 1, 1, 2], br_heat[0, 1, 5, 6] = 2.0, 1.0
    zeros = torch.zeros(1, 1, h, w)
    return CornerMaps(tl_heat, br_heat, zeros, zeros, torch.full((1, 2, h, w), 0.25), torch.full((1, 2, h, w), 0.75))


def test_one_object_by_hand():
    pairs = decode(single_object(), (31, 63), config=DecodeConfig(top_k=1))
    assert pairs.boxes.tolist() == [[[2.25 * 63 / 8, 1.25 * 31 / 8, 6.75 * 63 / 8, 5.75 * 31 / 8]]]
    assert pairs.scores.tolist() == [[pytest.approx((1 / (1 + exp(-2)) + 1 / (1 + exp(-1))) / 2)]]
    assert pairs.labels.tolist() == [[1]]


@pytest.mark.parametrize(
    ("origin", "box"),
    [
        ((10, 2), [8, 3, 17, 21]),
        ((20, 2), [0, 3, 7, 21]),
        ((20, 22), [0, 0, 7, 1]),
        ((27, 0), None),  # the right edge falls on 0, as the left one does
        ((0, 23), None),
        ((99, 99), None),
    ],
)
def test_origin_is_subtracted_before_clamping_at_zero(origin, box):
    maps = single_object()
    maps.tl_off.copy_(torch.tensor([0.25, 0.25])[None, :, None, None] + torch.tensor([2.25, 0.0])[None, :, None, None])
    pairs = decode(maps, (32, 32), origin=torch.tensor([origin]), config=DecodeConfig(top_k=1))
    assert (pairs.scores[0, 0] >= 0) == (box is not None)
    if box is not None:
        assert pairs.boxes[0, 0].tolist() == box


def test_embedding_distance_decides():
    for e, gap, accepted in [(1, 0.5, True), (1, 0.5001, False), (2, 0.35, True), (2, 0.36, False)]:
        maps = replace(single_object(), tl_emb=torch.zeros(1, e, 8, 8), br_emb=torch.full((1, e, 8, 8), -gap))
        pairs = decode(maps, (32, 32), config=DecodeConfig(top_k=1))
        assert (pairs.scores[0, 0] >= 0) == accepted
        wider = decode(maps, (32, 32), config=DecodeConfig(top_k=1, embedding_threshold=0.6))
        assert wider.scores[0, 0] >= 0


def test_fewer_peaks_than_corners_asked_for():
    """All cells slope up to one peak: corners 2 to 10 have probability 0, as in the reference."""
    slope = -(torch.arange(8.0)[:, None] + torch.arange(8.0)[None])
    tl, br = slope[None, None] + 2, slope.flip(0, 1)[None, None] + 1
    flat = torch.zeros(1, 1, 8, 8)
    pairs = decode(
        CornerMaps(tl, br, flat, flat, flat.expand(1, 2, 8, 8), flat.expand(1, 2, 8, 8)),
        (32, 32),
        config=DecodeConfig(top_k=10),
    )
    p, q = 1 / (1 + exp(-2)), 1 / (1 + exp(-1))
    assert pairs.scores[0, 0] == pytest.approx((p + q) / 2)
    assert pairs.boxes[0, 0].tolist() == [0, 0, 28, 28]
    rest = pairs.scores[0, 1:].unique()
    assert all(min(abs(s - v) for v in (p / 2, q / 2, 0, -1)) < 1e-6 for s in rest.tolist())


@pytest.mark.parametrize(("c", "h", "w"), [(1, 1, 1), (3, 1, 1), (1, 4, 5), (80, 2, 2)])
def test_more_corners_asked_for_than_cells(c, h, w):
    k = min(100, c * h * w)
    pairs = decode(random_maps(2, c, h, w), (h * 4, w * 4), config=DecodeConfig(embedding_threshold=9.0))
    assert pairs.boxes.shape == (2, min(1000, k * k), 4)
    assert torch.isfinite(pairs.boxes).all()
    accepted = pairs.boxes[pairs.scores >= 0]
    assert (accepted[:, 2:] > accepted[:, :2]).all()


def test_all_cells_equal():
    """Every cell is a peak; any choice of corners will do, but none may come twice."""
    flat = torch.zeros(1, 1, 6, 6)
    pairs = decode(CornerMaps(flat, flat, flat, flat, flat.expand(1, 2, 6, 6), flat.expand(1, 2, 6, 6)), (24, 24))
    boxes = pairs.boxes[pairs.scores >= 0]
    assert len(boxes) == 15 * 15  # left < right and top < bottom among six
    assert len(boxes.unique(dim=0)) == 15 * 15
    assert (pairs.scores[pairs.scores >= 0] == 0.5).all()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("name", [f.name for f in fields(CornerMaps)])
def test_numbers_that_are_not_finite_give_no_box(name, value):
    maps = random_maps(1, 2, 9, 9)
    spoilt = decode(replace(maps, **{name: torch.full_like(getattr(maps, name), value)}), (36, 36))
    assert torch.isfinite(spoilt.boxes).all()
    assert torch.isfinite(spoilt.scores).all()
    if "heat" not in name or value != value:
        assert (spoilt.scores == -1).all()
    one = getattr(maps, name).clone()
    one[0, 0, 4, 4] = value
    pairs = decode(replace(maps, **{name: one}), (36, 36))
    assert torch.isfinite(pairs.boxes).all()
    assert (pairs.scores > 0).any()
    assert ((pairs.scores == -1) | (pairs.scores >= 0)).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_maps_are_decoded_in_float32(dtype):
    half = converted(random_maps(2, 3, 12, 12), lambda t: t.to(dtype))
    got, want = decode(half, (47, 47)), decode(half.float(), (47, 47))
    torch.testing.assert_close(got.scores, want.scores, rtol=0, atol=0)
    assert got.boxes.dtype == torch.float32
    strict = want.scores[0, :50].diff() < 0  # ties, frequent in half precision, may come in another order
    count = int(strict.logical_not().int().argmax()) if not strict.all() else 50
    torch.testing.assert_close(got.boxes[0, :count], want.boxes[0, :count], rtol=0, atol=0)


def both(maps: CornerMaps) -> tuple[Tensor, Tensor]:
    pairs = decode(maps, (31, 47), origin=maps.tl_off[:, :, 0, 0])
    kept = soft_nms(pairs.boxes, pairs.scores, pairs.labels, max_det=5)
    return kept.scores, kept.index


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_no_control_flow_depends_on_data(layout):
    """Tensors without numbers go through: whatever looked at a value or a count would raise."""
    maps = converted(random_maps(2, 3, 8, 12), lambda t: t.contiguous(memory_format=layout))
    with FakeTensorMode() as mode:
        scores, index = both(converted(maps, mode.from_tensor))
    assert scores.shape == index.shape == (2, 5)
    assert both(converted(maps, lambda t: t.to("meta")))[0].shape == (2, 5)


def test_compiles_into_one_graph():
    maps = random_maps(2, 3, 8, 12)
    scores, index = torch.compile(both, fullgraph=True, backend="aot_eager")(maps)
    plain_scores, plain_index = both(maps)
    torch.testing.assert_close(scores, plain_scores)
    assert torch.equal(index, plain_index)


def test_exports_with_any_picture_size():
    class Decoder(torch.nn.Module):
        def forward(self, maps: CornerMaps) -> CornerPairs:
            height, width = maps.tl_heat.shape[2:]
            return decode(maps, (height * 4, width * 4), config=DecodeConfig(top_k=20))

    height, width = torch.export.Dim("height", min=8, max=512), torch.export.Dim("width", min=8, max=512)
    dynamic = {f.name: {2: height, 3: width} for f in fields(CornerMaps)}
    program = torch.export.export(
        Decoder(), (random_maps(1, 3, 8, 12),), dynamic_shapes=([dynamic[f.name] for f in fields(CornerMaps)],)
    )
    other = random_maps(1, 3, 17, 10, seed=4)
    got, want = program.module()(other), Decoder()(other)
    torch.testing.assert_close(got.scores, want.scores)
    count = int((want.scores >= 0).sum())
    torch.testing.assert_close(got.boxes[:, :count], want.boxes[:, :count])


@pytest.mark.parametrize(
    "options",
    [
        {"top_k": 0}, {"top_k": 1.5}, {"peak_window": 4}, {"peak_window": -1}, {"pairs": 0},
        {"embedding_threshold": -0.1}, {"embedding_threshold": float("nan")},
    ],
)  # fmt: skip
def test_wrong_options_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        DecodeConfig(**options)
