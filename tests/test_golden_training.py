"""The reference's own numbers, from boxes to four optimiser steps, in float64.

In float32, batch norm over four pictures turns rounding into 0.1 % of the loss within one step.
"""

import numpy as np
import pytest
import torch

from cornernet.corners.losses import corner_loss
from cornernet.corners.targets import corner_targets
from cornernet.models.build import build_model
from cornernet.weights.keymaps import to_mmdetection
from cornernet.weights.record import MMDETECTION
from synthetic import GOLDEN, TINY, filled_state, synthetic_image

SIDE, CELLS, SEED = 255, 64, 7


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "tiny_training.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="module")
def targets(golden):
    counts = torch.from_numpy(golden["counts"])
    return corner_targets(
        torch.from_numpy(golden["boxes"]).double(),
        torch.from_numpy(golden["labels"]),
        torch.arange(len(counts)).repeat_interleave(counts),
        batch_size=len(counts),
        num_classes=TINY.num_classes,
        map_size=(CELLS, CELLS),
        input_size=(SIDE, SIDE),
    )


def test_targets(golden, targets):
    assert golden["counts"][-1] == 0, "the last picture has no boxes"
    for ours, theirs in (("tl", "topleft"), ("br", "bottomright")):
        heat = getattr(targets, f"{ours}_heat").numpy()
        np.testing.assert_allclose(heat, golden[f"target.{theirs}_heatmap"], rtol=1e-12, atol=0)
        last = getattr(targets, f"{ours}_last")
        cell, picture = getattr(targets, f"{ours}_cell")[last], targets.image_index[last]
        offsets = torch.zeros(len(heat), CELLS * CELLS, 2, dtype=torch.float64)
        offsets[picture, cell] = getattr(targets, f"{ours}_off")[last]
        expected = golden[f"target.{theirs}_offset"].reshape(len(heat), 2, -1).transpose(0, 2, 1)
        np.testing.assert_allclose(offsets.numpy(), expected, rtol=1e-12, atol=0)


def test_four_steps(golden, targets):
    model = build_model(TINY)
    names = to_mmdetection({name: name for name in model.state_dict()})  # theirs -> ours
    shapes = {theirs: tuple(model.state_dict()[ours].shape) for theirs, ours in names.items()}
    model.load_state_dict({names[theirs]: tensor for theirs, tensor in filled_state(shapes).items()})
    model.double().train()
    rgb = np.stack([synthetic_image(SIDE, SIDE, SEED + i)[..., ::-1] for i in range(len(golden["counts"]))])
    # The reference's pictures were float32 before they were made float64.
    rgb = ((rgb - np.array(MMDETECTION.mean)) / np.array(MMDETECTION.std)).astype(np.float32)
    images = torch.from_numpy(rgb).permute(0, 3, 1, 2).double().contiguous()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
    losses, norms = [], []
    for step in range(len(golden["losses"])):
        terms = corner_loss(model.all_stacks(images), targets)
        optimizer.zero_grad()
        terms.total.backward()
        if step == 0:
            gradients = {f"grad_norm.{n}": p.grad for n, p in to_mmdetection(dict(model.named_parameters())).items()}
            assert set(gradients) == {name for name in golden if name.startswith("grad_norm.")}
            for name, gradient in gradients.items():
                np.testing.assert_allclose(gradient.norm().item(), golden[name], rtol=1e-6, err_msg=name)
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 35.0).item())
        optimizer.step()
        losses.append([terms.det.item(), terms.pull.item(), terms.push.item(), terms.off.item()])
    np.testing.assert_allclose(losses, golden["losses"], rtol=1e-6)
    np.testing.assert_allclose(norms, golden["total_grad_norm"], rtol=1e-6)
