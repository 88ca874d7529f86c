"""Losses against the formulas written out object by object, their edges, and their gradients."""

import math
import shutil
from dataclasses import fields

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from cornernet.corners.losses import LossConfig, LossTerms, corner_loss
from cornernet.corners.targets import corner_targets
from cornernet.errors import ConfigError
from cornernet.structures.maps import CornerMaps
from cornernet.structures.targets import CornerTargets

TERMS = ("det", "pull", "push", "off")
HEIGHT, WIDTH = 6, 9


def batch(pictures, *, classes=2, embedding=1, seed=0, dtype=torch.float64, spread=1.0):
    """Random maps of one stack, and targets of random boxes: one for each entry, which is the box's picture."""
    g = torch.Generator().manual_seed(seed)
    n = max(pictures, default=0) + 2  # the last picture has no box
    points = torch.rand(len(pictures), 2, 2, generator=g, dtype=dtype) * torch.tensor([4 * WIDTH, 4 * HEIGHT])
    targets = corner_targets(
        torch.cat([points.amin(1), points.amax(1)], 1),
        torch.randint(0, classes, (len(pictures),), generator=g),
        torch.tensor(pictures, dtype=torch.int64),
        batch_size=n,
        num_classes=classes,
        map_size=(HEIGHT, WIDTH),
        input_size=(4 * HEIGHT, 4 * WIDTH),
    )
    channels = {"heat": classes, "emb": embedding, "off": 2}
    maps = CornerMaps(
        **{
            f.name: spread * torch.randn(n, channels[f.name[3:]], HEIGHT, WIDTH, generator=g, dtype=dtype)
            for f in fields(CornerMaps)
        }
    )
    return require_grad(maps), targets


def require_grad(maps):
    return CornerMaps(**{name: value.detach().requires_grad_() for name, value in vars(maps).items()})


def gradients(terms, maps):
    return torch.autograd.grad(terms.total, list(vars(maps).values()))


def written_out(maps, targets, config):
    """The four losses of one stack with a loop over corners, pictures, objects and pairs."""
    det = off = pull = push = 0.0
    for corner in ("tl", "br"):
        p, t = getattr(maps, f"{corner}_heat").sigmoid(), getattr(targets, f"{corner}_heat")
        positive = (t == 1).double()
        loss = -positive * (p + 1e-12).log() * (1 - p) ** config.alpha
        loss = loss - (1 - t) ** config.gamma * (1 - p + 1e-12).log() * p**config.alpha
        det = det + loss.sum() / max(1, positive.sum()) / 2
        kept = {}  # a later box takes the cell
        for picture, cell, offset in zip(
            targets.image_index.tolist(),
            getattr(targets, f"{corner}_cell").tolist(),
            getattr(targets, f"{corner}_off"),
            strict=True,
        ):
            kept[picture, cell] = offset
        for (picture, cell), offset in kept.items():
            for d in (getattr(maps, f"{corner}_off").flatten(2)[picture, :, cell] - offset).abs():
                off = off + (d * d / 2 / config.beta if d < config.beta else d - config.beta / 2) / len(kept) / 2
    for picture in range(len(maps.tl_emb)):
        mine = (targets.image_index == picture).nonzero().flatten().tolist()
        tl = [maps.tl_emb.flatten(2)[picture, :, targets.tl_cell[m]] for m in mine]
        br = [maps.br_emb.flatten(2)[picture, :, targets.br_cell[m]] for m in mine]
        centers = [(a + b) / 2 for a, b in zip(tl, br, strict=True)]
        for a, b, c in zip(tl, br, centers, strict=True):
            pull = pull + ((a - c) ** 2 + (b - c) ** 2).sum() / len(mine)
        for i, a in enumerate(centers):
            for j, b in enumerate(centers):
                if i != j:
                    hinge = (config.margin - (a - b).sum().abs()).relu()
                    push = push + hinge / (len(mine) * (len(mine) - 1))
    zero = sum(value.sum() for value in vars(maps).values()) * 0
    return LossTerms(
        zero + config.heat_weight * det,
        zero + config.pull_weight * pull,
        zero + config.push_weight * push,
        zero + config.offset_weight * off,
    )


def assert_terms_close(ours, theirs, **tolerance):
    for name in TERMS:
        values = getattr(ours, name), getattr(theirs, name)
        torch.testing.assert_close(*values, msg=lambda message, name=name: f"{name}: {message}", **tolerance)


configs = st.builds(
    LossConfig,
    alpha=st.sampled_from([1.0, 2.0, 2.5]),
    gamma=st.sampled_from([2.0, 4.0]),
    margin=st.sampled_from([0.3, 1.0, 4.0]),
    beta=st.sampled_from([0.2, 1.0]),
    heat_weight=st.just(0.5),
    pull_weight=st.just(0.25),
    push_weight=st.just(2.0),
    offset_weight=st.just(3.0),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 2), max_size=9),
    st.integers(1, 3),
    st.integers(0, 10**6),
    st.one_of(st.just(LossConfig()), configs),
)
def test_equals_the_formulas(pictures, embedding, seed, config):
    maps, targets = batch(pictures, embedding=embedding, seed=seed)
    ours, theirs = corner_loss([maps], targets, config), written_out(maps, targets, config)
    assert_terms_close(ours, theirs, rtol=1e-9, atol=1e-12)
    for a, b in zip(gradients(ours, maps), gradients(theirs, maps), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


def test_gradcheck():
    maps, targets = batch([0, 0, 1, 0, 0], embedding=2)

    def loss(*values):
        terms = corner_loss([CornerMaps(*values)], targets)
        return terms.det, terms.pull, terms.push, terms.off

    assert torch.autograd.gradcheck(loss, tuple(vars(maps).values()))


def test_stacks_add_up():
    first, targets = batch([0, 1, 1, 0])
    second, _ = batch([0, 1, 1, 0], seed=1)
    both, a, b = (corner_loss(stacks, targets) for stacks in ([first, second], [first], [second]))
    for name in TERMS:
        torch.testing.assert_close(getattr(both, name), getattr(a, name) + getattr(b, name))
    assert both.total == both.det + both.pull + both.push + both.off


@pytest.mark.parametrize(("pictures", "silent"), [([], TERMS[1:]), ([0], ["push"]), ([0, 1], ["push"])])
def test_terms_without_objects_are_zero(pictures, silent):
    maps, targets = batch(pictures)
    terms = corner_loss([maps], targets)
    assert [name for name in TERMS if getattr(terms, name) == 0] == list(silent)
    for name in TERMS:
        grads = torch.autograd.grad(
            getattr(terms, name),
            list(vars(maps).values()),
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        assert all(g.isfinite().all() for g in grads)
        assert any(g.any() for g in grads) != (name in silent), name
    assert all(g is not None for g in gradients(terms, maps)), "every branch has a gradient, as distributed runs want"


def test_two_boxes_in_one_cell():
    """Of one object or two, nobody knows: full margin, and no direction to be pushed in."""
    maps, _ = batch([0])
    boxes = torch.tensor([[1.0, 1, 20, 20], [2, 2, 21, 21]], dtype=torch.float64)
    zeros = torch.zeros(2, dtype=torch.int64)
    sizes = {"batch_size": 2, "num_classes": 2, "map_size": (HEIGHT, WIDTH), "input_size": (4 * HEIGHT, 4 * WIDTH)}
    targets = corner_targets(boxes, zeros, zeros, **sizes)
    assert targets.tl_cell.unique().numel() == targets.br_cell.unique().numel() == 1
    terms = corner_loss([maps], targets)
    assert terms.push.item() == pytest.approx(0.1)
    assert_terms_close(terms, written_out(maps, targets, LossConfig()))
    (push,) = torch.autograd.grad(terms.push, maps.tl_emb)
    assert not push.any()


def test_many_objects_push_as_the_matrix_of_pairs_does():
    g = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 4, (1500,), generator=g)
    maps, targets = batch(pictures.tolist(), spread=20.0)  # 54 cells: most objects share theirs with others
    terms = corner_loss([maps], targets)
    picture, tl, br = targets.image_index, maps.tl_emb.flatten(2), maps.br_emb.flatten(2)
    center = (tl[picture, 0, targets.tl_cell] + br[picture, 0, targets.br_cell]) / 2
    pairs = (picture[:, None] == picture) & ~torch.eye(len(picture), dtype=torch.bool)
    count = torch.bincount(picture)
    weight = pairs / (count * (count - 1))[picture][:, None]
    expected = 0.1 * ((1 - (center[:, None] - center).abs()).relu() * weight).sum()
    torch.testing.assert_close(terms.push, expected)
    ours, theirs = (
        torch.autograd.grad(t, [maps.tl_emb, maps.br_emb], retain_graph=True) for t in (terms.push, expected)
    )
    torch.testing.assert_close(ours, theirs)


def test_order_of_boxes_does_not_matter():
    maps, _ = batch([0, 1])
    g = torch.Generator().manual_seed(3)
    boxes = torch.rand(12, 4, generator=g, dtype=torch.float64) * 10
    boxes[:, 2:] += 12
    labels, pictures = torch.randint(0, 2, (2, 12), generator=g)
    sizes = {"batch_size": 3, "num_classes": 2, "map_size": (HEIGHT, WIDTH), "input_size": (4 * HEIGHT, 4 * WIDTH)}
    terms = []
    for order in (torch.arange(12), pictures.argsort(stable=True)):  # the same order within a picture
        terms.append(corner_loss([maps], corner_targets(boxes[order], labels[order], pictures[order], **sizes)))
    assert_terms_close(*terms)


@pytest.mark.parametrize("logit", [-1e4, -100.0, -20.0, 20.0, 100.0, 1e4])
def test_saturated_logits_keep_loss_and_gradient(logit):
    maps, targets = batch([0, 0, 1], dtype=torch.float32)
    maps = require_grad(CornerMaps(**{**vars(maps), "tl_heat": torch.full_like(maps.tl_heat, logit)}))
    terms = corner_loss([maps], targets)
    (heat,) = torch.autograd.grad(terms.det, maps.tl_heat)
    assert terms.det.isfinite()
    assert heat.isfinite().all()
    # Where the answer is as wrong as can be, the loss is a line in the logit; where it is right, flat.
    ones, zeros = targets.tl_heat == 1, targets.tl_heat == 0
    wrong, right, slope = (ones, zeros, -1.0) if logit < 0 else (zeros, ones, 1.0)
    assert wrong.any()
    assert right.any()
    torch.testing.assert_close(heat[wrong], (slope / ones.sum() / 2).expand(int(wrong.sum())))
    assert heat[right].abs().max() < 1e-6


@pytest.mark.parametrize("scale", [1e3, 1e8, 1e30])
def test_huge_embeddings_stay_finite(scale):
    maps, targets = batch([0, 0, 0, 1, 1], dtype=torch.float32)
    maps = require_grad(CornerMaps(**{**vars(maps), "tl_emb": maps.tl_emb * scale, "br_emb": maps.tl_emb * scale}))
    terms = corner_loss([maps], targets)
    assert terms.push.isfinite()
    assert 0 <= terms.push <= 0.2 * (1 + 1e-6)


@pytest.mark.parametrize("where", [f.name for f in fields(CornerMaps)])
def test_a_nan_is_not_swallowed(where):
    maps, targets = batch([0, 0, 1, 1])
    poisoned = CornerMaps(**{**vars(maps), where: torch.full_like(getattr(maps, where), torch.nan)})
    assert corner_loss([poisoned], targets).total.isnan()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_computed_in_float32_whatever_the_autocast(dtype):
    maps, targets = batch([0, 0, 1], dtype=torch.float32)
    maps = CornerMaps(**{name: value.to(dtype) for name, value in vars(maps).items()})
    with torch.autocast("cpu", torch.bfloat16):
        ours = corner_loss([maps], targets)
    expected = corner_loss([maps if dtype == torch.float64 else maps.float()], targets)
    for name in (*TERMS, "total"):
        value = getattr(ours, name)
        assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert torch.equal(value, getattr(expected, name))


def test_memory_layout_does_not_matter():
    maps, targets = batch([0, 0, 1])
    last = CornerMaps(**{k: v.detach().to(memory_format=torch.channels_last) for k, v in vars(maps).items()})
    assert_terms_close(corner_loss([last], targets), corner_loss([maps], targets))


def test_mean_counts_make_the_halves_of_a_batch_equal_the_whole():
    """As two processes do it: the mean of their losses is that of one with the whole batch."""
    halves = [batch([0, 0, 0], seed=0), batch([0], seed=5)]
    maps = CornerMaps(**{f.name: torch.cat([getattr(m, f.name) for m, _ in halves]) for f in fields(CornerMaps)})
    whole = {f.name: torch.cat([getattr(t, f.name) for _, t in halves]) for f in fields(CornerTargets)}
    whole["image_index"] = torch.tensor([0, 0, 0, len(halves[0][0].tl_heat)])
    expected = corner_loss([maps], CornerTargets(**whole))
    counts = torch.stack([targets.counts() for _, targets in halves]).mean(0)
    parts = [corner_loss([m], t, counts=counts) for m, t in halves]
    torch.testing.assert_close((parts[0].det + parts[1].det) / 2, expected.det)
    torch.testing.assert_close((parts[0].off + parts[1].off) / 2, expected.off)
    torch.testing.assert_close(parts[0].pull + parts[1].pull, expected.pull)
    torch.testing.assert_close(parts[0].push + parts[1].push, expected.push)


@pytest.mark.parametrize(
    "wrong", [{"alpha": 0.5}, {"gamma": -1.0}, {"margin": 0.0}, {"beta": 0.0}, {"push_weight": math.nan}]
)
def test_config_is_checked(wrong):
    with pytest.raises(ConfigError, match=f"expected {next(iter(wrong))} "):
        LossConfig(**wrong)


def test_shapes_that_do_not_fit_are_refused():
    maps, targets = batch([0])
    with pytest.raises(ConfigError, match="one stack or more"):
        corner_loss([], targets)
    other, _ = batch([0], classes=3)
    with pytest.raises(
        ConfigError, match=r"expected heatmaps of the targets' shape .*\(2, 2, 6, 9\), got \(2, 3, 6, 9\)"
    ):
        corner_loss([maps, other], targets)


def test_waits_for_no_value():
    with FakeTensorMode():  # has no values: whoever asks for one fails
        maps, targets = batch([0, 0, 1])
        terms = corner_loss([maps], targets)
        assert all(g.shape == v.shape for g, v in zip(gradients(terms, maps), vars(maps).values(), strict=True))


def test_compiles_once_for_any_number_of_boxes():
    torch.compiler.reset()
    compiled = torch.compile(corner_loss, backend="aot_eager", fullgraph=True)
    for step, pictures in enumerate(([0, 1, 1], [1, 0, 0, 0, 1], [0, 1] * 10)):
        maps, targets = batch(pictures)
        for name in ("image_index", "tl_cell", "br_cell", "tl_off", "br_off", "tl_last", "br_last"):
            torch._dynamo.mark_dynamic(getattr(targets, name), 0)
        with torch.compiler.set_stance("fail_on_recompile" if step else "default"):
            ours = compiled([maps], targets)
        theirs = corner_loss([maps], targets)
        assert_terms_close(ours, theirs)
        for a, b in zip(gradients(ours, maps), gradients(theirs, maps), strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_a_single_object_compiles(monkeypatch):
    """Of code for several threads: the gradient of indexing a tensor of one element does not."""
    torch.compiler.reset()
    monkeypatch.setattr(torch._inductor.config.cpp, "threads", 2)
    maps, targets = batch([7])
    ours, theirs = torch.compile(corner_loss, fullgraph=True)([maps], targets), corner_loss([maps], targets)
    assert_terms_close(ours, theirs)
    for a, b in zip(gradients(ours, maps), gradients(theirs, maps), strict=True):
        torch.testing.assert_close(a, b)
