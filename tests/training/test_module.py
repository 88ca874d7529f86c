"""What a step differentiates: on its own, shared by processes, with less memory, in half precision."""

import copy
import functools
import os
from contextlib import nullcontext

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from cornernet.corners.losses import LossConfig, corner_loss
from cornernet.corners.targets import corner_targets
from cornernet.models.build import build_model
from cornernet.models.config import CornerNetConfig
from cornernet.training.activations import checkpoint_residuals
from cornernet.training.module import TERMS, TrainingModule

SMALL = CornerNetConfig(
    num_classes=3, stacks=2, channels=(8, 8), blocks=(1, 1), stem_channels=8, feature_channels=8, pool_channels=8,
    head_channels=8,
)  # fmt: skip
SIDE = 32


def network(seed=0, *, frozen=False):
    torch.manual_seed(seed)
    model = build_model(SMALL).train()
    if frozen:
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
    return model


def batch(pictures, counts, seed=0):
    g = torch.Generator().manual_seed(seed)
    corners = torch.rand(sum(counts), 2, 2, generator=g) * SIDE
    return (
        torch.randn(pictures, 3, SIDE, SIDE, generator=g),
        torch.cat([corners.amin(1), corners.amax(1)], 1),
        torch.randint(0, 3, (sum(counts),), generator=g),
        torch.arange(pictures).repeat_interleave(torch.tensor(counts)),
    )


def gradients(module, args):
    module.zero_grad(set_to_none=True)
    terms = module(*args)
    terms.sum().backward()
    return terms.detach(), {n: p.grad.clone() for n, p in module.named_parameters()}


def test_nothing_of_a_step_waits_for_the_device(monkeypatch):
    """Tensors on the meta device have no values: whatever asked for one would raise."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which meta tensors do not have
    images, boxes, labels, image_index = (tensor.to("meta") for tensor in batch(4, [2, 0, 1, 5]))
    module = TrainingModule(network().to("meta"), LossConfig(), embedding_pictures=4)
    terms = module(images, boxes, labels, image_index)
    terms.sum().backward()
    assert all(p.grad.device.type == "meta" for p in module.parameters())


def test_the_terms_are_the_losses():
    model, args = network(frozen=True), batch(4, [2, 0, 1, 5])
    terms, grads = gradients(TrainingModule(model, LossConfig(), embedding_pictures=4), args)
    targets = corner_targets(
        *args[1:], batch_size=4, num_classes=3, map_size=(SIDE // 4, SIDE // 4), input_size=(SIDE, SIDE)
    )
    losses = corner_loss(model.all_stacks(args[0]), targets)
    torch.testing.assert_close(terms, torch.stack([getattr(losses, name) for name in TERMS]).detach())
    assert all(grad.isfinite().all() for grad in grads.values())


def test_embedding_terms_do_not_grow_with_the_batch():
    model = network(frozen=True)
    args = batch(2, [3, 2])
    doubled = (torch.cat([args[0]] * 2), args[1].repeat(2, 1), args[2].repeat(2), torch.cat([args[3], args[3] + 2]))
    module = TrainingModule(model, LossConfig(), embedding_pictures=6)
    torch.testing.assert_close(module(*args), module(*doubled))


@pytest.mark.parametrize("counts", [[0], [1], [300], [0, 0, 3]])
def test_batches_at_the_edges_give_finite_gradients(counts):
    module = TrainingModule(network(), LossConfig(), embedding_pictures=6)
    terms, grads = gradients(module, batch(len(counts), counts))
    assert terms.isfinite().all()
    assert all(grad.isfinite().all() for grad in grads.values())
    if sum(counts) == 0:
        assert terms[1:].tolist() == [0, 0, 0]


def test_losses_are_float32_under_autocast():
    module, args = TrainingModule(network(), LossConfig(), embedding_pictures=6), batch(2, [2, 1])
    with torch.autocast("cpu", torch.bfloat16):
        terms = module(*args)
    assert terms.dtype == torch.float32
    torch.testing.assert_close(terms, module(*args), rtol=0.05, atol=0.02)
    terms.sum().backward()


def test_recomputing_activations_changes_nothing():
    plain, args = network(), batch(2, [2, 1])
    saving = copy.deepcopy(plain)
    checkpoint_residuals(saving)
    ours, theirs = (TrainingModule(m, LossConfig(), embedding_pictures=6) for m in (saving, plain))
    torch.testing.assert_close(gradients(ours, args), gradients(theirs, args), rtol=0, atol=0)
    torch.testing.assert_close(saving.state_dict(), plain.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(saving.eval()(args[0]).tl_heat, plain.eval()(args[0]).tl_heat, rtol=0, atol=0)


@pytest.mark.parametrize("saving", [False, True])
@pytest.mark.parametrize("half", [False, True])
def test_the_whole_step_compiles_into_one_graph_for_any_number_of_boxes(monkeypatch, half, saving):
    torch.compiler.reset()
    plain = network()
    other = copy.deepcopy(plain)
    if saving:
        checkpoint_residuals(other)
    theirs = TrainingModule(plain, LossConfig(), embedding_pictures=6)
    # Without a C++ compiler; a step that is not one graph raises.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager", fullgraph=True))
    ours = TrainingModule(other, LossConfig(), embedding_pictures=6, compiled=True)
    for step, counts in enumerate([[2, 1], [0, 0], [1, 0], [0, 1], [30, 40]]):
        args = batch(2, counts, seed=step)
        with (
            torch.autocast("cpu", torch.bfloat16, enabled=half),
            torch.compiler.set_stance("fail_on_recompile" if step else "default"),
        ):
            torch.testing.assert_close(gradients(ours, args), gradients(theirs, args))
    torch.testing.assert_close(other.state_dict(), plain.state_dict())


def _one_of_two(rank, port, folder, compiled, counts):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    images, boxes, labels, picture = batch(4, counts)
    own = (picture // 2) == rank
    share = (images[2 * rank : 2 * rank + 2], boxes[own], labels[own], picture[own] - 2 * rank)
    torch.compile = functools.partial(torch.compile, backend="aot_eager")
    module = TrainingModule(network(frozen=True), LossConfig(), embedding_pictures=4, compiled=compiled)
    terms, _ = gradients(DistributedDataParallel(module), share)
    dist.all_reduce(terms)
    if rank == 0:
        torch.save({"terms": terms / 2, "grads": {n: p.grad for n, p in module.named_parameters()}}, folder / "got.pt")
    dist.barrier()
    os._exit(0)  # gloo's threads now and then abort a process that ends in the ordinary way


@pytest.mark.parametrize(
    ("compiled", "counts"),
    [(False, [2, 0, 1, 5]), (True, [2, 0, 1, 5]), (False, [0, 0, 1, 0]), (False, [0, 0, 0, 0])],
)
def test_two_processes_have_the_gradient_of_one(tmp_path, compiled, counts):
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    mp.spawn(_one_of_two, (port, tmp_path, compiled, counts), nprocs=2)
    got = torch.load(tmp_path / "got.pt", weights_only=True)
    terms, grads = gradients(TrainingModule(network(frozen=True), LossConfig(), embedding_pictures=4), batch(4, counts))
    torch.testing.assert_close(got["terms"], terms)
    for name, grad in grads.items():
        torch.testing.assert_close(got["grads"][name], grad, rtol=1e-4, atol=1e-6)
