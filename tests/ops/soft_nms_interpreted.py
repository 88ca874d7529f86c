"""Run the Triton kernel of soft-NMS on the CPU, under Triton's interpreter, and hold it against the NumPy form.

A program of its own, because Triton reads TRITON_INTERPRET when it is first imported. Prints one line of JSON: the
cases that were run and the mistakes that were found in each.
"""

import json
import os

os.environ["TRITON_INTERPRET"] = "1"

import torch
from made_boxes import made

from cornernet.ops.soft_nms.host import soft_nms_host
from cornernet.ops.soft_nms.triton_kernel import soft_nms_triton
from cornernet.ops.soft_nms.types import SoftNMSConfig


def mistakes(boxes, scores, labels, *, max_det=30, **options):
    config = SoftNMSConfig(**options)
    ours = soft_nms_triton(boxes, scores, labels, config, max_det)
    expected = soft_nms_host(boxes, scores, labels, config, max_det)
    found = []
    for name in ("index", "count"):
        if not torch.equal(getattr(ours, name), getattr(expected, name)):
            found.append(f"{name} {getattr(ours, name).tolist()} and not {getattr(expected, name).tolist()}")
    if ours.scores.dtype != torch.float32 or not torch.allclose(ours.scores, expected.scores, rtol=2e-5, atol=1e-9):
        found.append(f"scores {ours.scores.tolist()} and not {expected.scores.tolist()}")
    return found


def main() -> None:
    cases = {}
    for method in ("gaussian", "linear", "hard"):
        for entries, classes in ((1, 1), (2, 1), (40, 1), (150, 80)):
            cases[f"{method} {entries} of {classes}"] = mistakes(*made(2, entries, classes), method=method)
    boxes, scores, labels = made(2, 60, 3)
    holes = scores.clone()
    holes[0, ::2], holes[1] = -1, -1
    cases["holes"] = mistakes(boxes, holes, labels)
    cases["ties"] = mistakes(boxes, torch.full_like(scores, 0.5), labels, method="hard")
    cases["at the threshold"] = mistakes(boxes, torch.linspace(-0.2, 0, 60).expand(2, 60), labels)
    broken, wrong = boxes.clone(), scores.clone()
    broken[0, 3, 1], broken[1, 5, 2], wrong[0, 7], wrong[1, 9] = torch.nan, torch.inf, torch.nan, torch.inf
    cases["not finite"] = mistakes(broken, wrong, labels)
    flat = boxes.clone()
    flat[..., 2:] = flat[..., :2]
    cases["no area"] = mistakes(flat, scores, labels)
    cases["much below the minimum"] = mistakes(boxes, scores * 0.004, labels, min_score=0.002)
    cases["more places than entries"] = mistakes(boxes[:, :5], scores[:, :5], labels[:, :5], max_det=50)
    cases["no pictures"] = mistakes(boxes[:0], scores[:0], labels[:0])
    cases["strides"] = mistakes(boxes.repeat(1, 2, 1)[:, ::2], scores.T.contiguous().T, labels.T.contiguous().T)
    print(json.dumps(cases))


if __name__ == "__main__":
    main()
