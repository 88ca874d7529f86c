"""Targets against a loop over boxes and cells, their edges, and that nothing in them waits for the device."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from cornernet.corners.gaussian import gaussian_radius
from cornernet.corners.targets import corner_targets
from cornernet.errors import ConfigError

SIZES = {"batch_size": 2, "num_classes": 3, "map_size": (12, 20), "input_size": (47, 79)}


def looped(boxes, labels, pictures, *, batch_size, num_classes, map_size, input_size, min_overlap=0.3):
    """Heatmaps (2, N, C, H, W), offset maps (2, N, 2, H, W) and cells (2, M): a box, a corner, a cell at a time."""
    height, width = map_size
    heat = boxes.new_zeros(2, batch_size, num_classes, height, width)
    offset = boxes.new_zeros(2, batch_size, 2, height, width)
    cells = torch.zeros(2, len(boxes), dtype=torch.int64)
    ratio_x, ratio_y = width / input_size[1], height / input_size[0]
    for m, (box, label, picture) in enumerate(zip(boxes, labels.tolist(), pictures.tolist(), strict=True)):
        left, right = box[0] * ratio_x, box[2] * ratio_x
        top, bottom = box[1] * ratio_y, box[3] * ratio_y
        sides = torch.tensor([math.ceil(bottom - top), math.ceil(right - left)], dtype=torch.float64)
        radius = max(0, int(gaussian_radius(sides[0], sides[1], min_overlap)))
        sigma = (2 * radius + 1) / 6
        for corner, (x, y) in enumerate([(left, top), (right, bottom)]):
            column, row = int(min(x, width - 1)), int(min(y, height - 1))
            for i in range(max(0, row - radius), min(height, row + radius + 1)):
                for j in range(max(0, column - radius), min(width, column + radius + 1)):
                    value = math.exp(-((i - row) ** 2 + (j - column) ** 2) / (2 * sigma**2))
                    heat[corner, picture, label, i, j] = max(heat[corner, picture, label, i, j].item(), value)
            offset[corner, picture, :, row, column] = torch.stack([x - column, y - row])
            cells[corner, m] = row * width + column
    return heat, offset, cells


def offset_maps(targets):
    """(2, N, 2, H, W): the offsets of each cell's last box, laid out as the network's maps."""
    n, _, height, width = targets.tl_heat.shape
    maps = []
    for corner in ("tl", "br"):
        last = getattr(targets, f"{corner}_last")
        flat = targets.tl_off.new_zeros(n, height * width, 2)
        places = targets.image_index[last], getattr(targets, f"{corner}_cell")[last]
        assert len(set(zip(*(p.tolist() for p in places), strict=True))) == last.sum(), "one box per cell"
        flat[places] = getattr(targets, f"{corner}_off")[last]
        maps.append(flat.transpose(1, 2).view(n, 2, height, width))
    return torch.stack(maps)


def assert_equals_the_loop(boxes, labels, pictures, **sizes):
    heat, offset, cells = looped(boxes, labels, pictures, **sizes)
    targets = corner_targets(boxes, labels, pictures, **sizes)
    ours = torch.stack([targets.tl_heat, targets.br_heat])
    torch.testing.assert_close(ours, heat, rtol=16 * torch.finfo(boxes.dtype).eps, atol=0)
    assert torch.equal(ours == 1, heat == 1), "a corner's own cell is exactly 1, no other"
    assert torch.equal(offset_maps(targets), offset)
    assert torch.equal(torch.stack([targets.tl_cell, targets.br_cell]), cells)
    assert torch.equal(targets.image_index, pictures)
    return targets


def random_boxes(count, input_size, seed=0, dtype=torch.float32):
    g = torch.Generator().manual_seed(seed)
    points = torch.rand(count, 2, 2, generator=g, dtype=dtype) * torch.tensor(input_size[::-1], dtype=dtype)
    return torch.cat([points.amin(1), points.amax(1)], 1)


@st.composite
def batches(draw):
    """Boxes on and inside the border, points, duplicates, boxes as large as the picture; pictures in any order."""
    n, c = draw(st.integers(1, 3)), draw(st.sampled_from([1, 2, 40]))
    height, width = draw(st.integers(1, 14)), draw(st.integers(1, 25))
    pixels = (draw(st.integers(4 * height - 3, 4 * height)), draw(st.integers(4 * width - 3, 4 * width)))
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))

    def side(size):
        ends = st.one_of(st.sampled_from([0, size]), st.integers(0, size), st.floats(0, size, width=32))
        return st.tuples(ends, ends).map(sorted)

    box = st.tuples(side(pixels[1]), side(pixels[0])).map(lambda s: [s[0][0], s[1][0], s[0][1], s[1][1]])
    rows = draw(st.lists(st.tuples(box, st.integers(0, c - 1), st.integers(0, n - 1)), max_size=8))
    rows += draw(st.lists(st.sampled_from(rows), max_size=3)) if rows else []
    boxes = torch.tensor([r[0] for r in rows], dtype=dtype).reshape(-1, 4)
    labels, pictures = (torch.tensor([r[i] for r in rows], dtype=torch.int64) for i in (1, 2))
    sizes = {"batch_size": n, "num_classes": c, "map_size": (height, width), "input_size": pixels}
    return boxes, labels, pictures, sizes


@settings(max_examples=150, deadline=None)
@given(batches(), st.sampled_from([0.1, 0.3, 0.7]))
def test_equals_the_loop(batch, min_overlap):
    boxes, labels, pictures, sizes = batch
    assert_equals_the_loop(boxes, labels, pictures, **sizes, min_overlap=min_overlap)


def test_three_hundred_boxes_in_a_picture():
    sizes = {"batch_size": 3, "num_classes": 5, "map_size": (64, 64), "input_size": (255, 255)}
    boxes = random_boxes(310, (255, 255))
    boxes[:200, 2:] = boxes[:200, :2] + (boxes[:200, 2:] - boxes[:200, :2]) / 8  # mostly small, as in crowds
    pictures = torch.cat([torch.ones(300, dtype=torch.int64), torch.zeros(10, dtype=torch.int64)])
    targets = assert_equals_the_loop(boxes, torch.arange(310) % 5, pictures, **sizes)
    assert targets.tl_heat[2].count_nonzero() == targets.br_heat[2].count_nonzero() == 0


def test_largest_box_fills_the_largest_window():
    sizes = {"batch_size": 1, "num_classes": 1, "map_size": (128, 128), "input_size": (511, 511)}
    box = torch.tensor([[0.0, 0.0, 511.0, 511.0]])
    zero = torch.zeros(1, dtype=torch.int64)
    targets = assert_equals_the_loop(box, zero, zero, **sizes)
    assert targets.tl_heat.count_nonzero() == 29 * 29  # radius 28, cut off by the picture's corner


def test_corner_on_the_border_lies_in_the_last_cell():
    box, zero = torch.tensor([[0.0, 0.0, 79.0, 47.0]]), torch.zeros(1, dtype=torch.int64)
    targets = corner_targets(box, zero, zero, **SIZES)
    assert (targets.tl_cell.item(), targets.br_cell.item()) == (0, 12 * 20 - 1)
    assert (targets.tl_off.tolist(), targets.br_off.tolist()) == ([[0, 0]], [[1, 1]])


def test_later_box_of_a_picture_keeps_the_cell():
    boxes = torch.tensor([[8.5, 8, 20, 20], [9, 8, 30, 30], [10, 9, 40, 40], [9.5, 8, 20.5, 20]])
    targets = corner_targets(boxes, torch.tensor([0, 1, 2, 0]), torch.tensor([1, 0, 1, 0]), **SIZES)
    assert targets.tl_cell.unique().numel() == 1
    assert targets.tl_last.tolist() == [False, False, True, True]  # whatever the class
    assert targets.br_last.all()
    assert targets.counts().tolist() == [4, 4, 2, 4]


def test_without_boxes():
    targets = corner_targets(
        torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), **SIZES
    )
    assert targets.tl_heat.shape == targets.br_heat.shape == (2, 3, 12, 20)
    assert targets.tl_heat.count_nonzero() == targets.br_heat.count_nonzero() == 0
    assert targets.tl_off.shape == targets.br_off.shape == (0, 2)
    assert targets.tl_last.shape == targets.tl_cell.shape == targets.image_index.shape == (0,)
    assert targets.counts().tolist() == [0, 0, 0, 0]


def test_boxes_are_clamped_to_the_input():
    boxes = torch.tensor([[-30.0, 5.0, 500.0, 90.0], [10.0, -9.0, 30.0, 20.0]])
    inside = torch.tensor([[0.0, 5.0, 79.0, 47.0], [10.0, 0.0, 30.0, 20.0]])
    labels = torch.zeros(2, dtype=torch.int64)
    ours, theirs = (corner_targets(b, labels, labels, **SIZES) for b in (boxes, inside))
    for name, value in vars(ours).items():
        assert torch.equal(value, getattr(theirs, name)), name


@pytest.mark.parametrize(
    ("given_as", "targets_in"),
    [(torch.float16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)],
)
def test_dtypes(given_as, targets_in):
    boxes = random_boxes(4, SIZES["input_size"]).to(given_as)
    labels = torch.zeros(4, dtype=torch.int64)
    targets = corner_targets(boxes, labels, labels, **SIZES)
    assert {t.dtype for t in (targets.tl_heat, targets.br_heat, targets.tl_off, targets.br_off)} == {targets_in}
    assert targets.counts().dtype == targets_in


@pytest.mark.parametrize(
    "shapes", [((3, 5), (3,), (3,)), ((3, 4), (2,), (3,)), ((3, 4), (3,), (2,)), ((4,), (1,), (1,))]
)
def test_shapes_that_do_not_fit_are_refused(shapes):
    boxes, labels, pictures = (torch.zeros(shape, dtype=torch.int64) for shape in shapes)
    with pytest.raises(ConfigError, match=r"expected boxes \(M, 4\)"):
        corner_targets(boxes.float(), labels, pictures, **SIZES)


def test_waits_for_no_value():
    with FakeTensorMode():  # has no values: whoever asks for one fails
        index = torch.zeros(6, dtype=torch.int64)
        targets = corner_targets(torch.rand(6, 4), index, index, **SIZES)
    assert targets.tl_heat.shape == (2, 3, 12, 20)


def test_compiles_once_for_any_number_of_boxes():
    torch.compiler.reset()
    compiled = torch.compile(corner_targets, backend="aot_eager", fullgraph=True, dynamic=True)
    for count in (7, 3, 40):
        boxes = random_boxes(count, SIZES["input_size"])
        labels, pictures = torch.arange(count) % 3, torch.arange(count) % 2
        with torch.compiler.set_stance("fail_on_recompile" if count != 7 else "default"):
            ours = compiled(boxes, labels, pictures, **SIZES)
        theirs = corner_targets(boxes, labels, pictures, **SIZES)
        for name, value in vars(ours).items():
            torch.testing.assert_close(value, getattr(theirs, name), msg=name)
