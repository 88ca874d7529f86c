"""Gaussian radii against the reference's numbers and against their definition."""

import json

import torch
from hypothesis import given
from hypothesis import strategies as st

from cornernet.corners.gaussian import gaussian_radius
from synthetic import GOLDEN


def test_equals_the_reference_on_every_golden_size():
    golden = json.loads((GOLDEN / "gaussian_radius.json").read_text())
    sizes = torch.tensor([[int(v) for v in name.split("x")] for name in golden], dtype=torch.float64)
    radius = gaussian_radius(sizes[:, 0], sizes[:, 1], min_overlap=0.3).floor().clamp(min=0)
    assert radius.tolist() == list(golden.values())


def iou(a, b):
    inter = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    area = sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b))
    return inter / (area - inter)


@given(st.floats(1, 200), st.floats(1, 200), st.floats(0.1, 0.9))
def test_corners_moved_by_the_radius_still_overlap_enough(height, width, overlap):
    sizes = torch.tensor([height, width], dtype=torch.float64)
    r = gaussian_radius(sizes[0], sizes[1], overlap).item()
    box = (0, 0, width, height)
    moved = [(-r, -r, width + r, height + r), (r, r, width - r, height - r), (r, r, width + r, height + r)]
    overlaps = [iou(box, m) for m in moved]
    assert min(overlaps) > overlap - 1e-6
    assert min(abs(o - overlap) for o in overlaps) < 1e-6, "one of the three cases sets the radius"


def test_empty():
    assert gaussian_radius(torch.zeros(0), torch.zeros(0)).shape == (0,)
