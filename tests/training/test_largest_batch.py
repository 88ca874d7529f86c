"""The search for the largest batch, with a device that says what fits."""

import pytest
import torch
from tiny_runs import CPU, TINY

from cornernet.models.build import build_model
from cornernet.training import largest_batch as searched
from cornernet.training.machine import launch
from cornernet.training.recipe import load_recipe, override


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 7, 30, 100, 777, 10**6])
def test_what_is_found_fits_with_room_to_spare(limit):
    tried = []

    def fits(batch):
        tried.append(batch)
        return batch <= limit

    batch = searched.search(fits)
    assert 1 <= batch <= 1024
    if limit >= 2:
        assert batch * 1.1 <= limit
        assert batch >= min(1024, 0.7 * limit - 3)
    assert len(tried) <= 20


def test_a_step_fits_a_cpu_and_leaves_no_gradients():
    recipe = override(load_recipe("demo"), TINY)
    module = searched.TrainingModule(build_model(recipe.model).train(), recipe.loss, embedding_pictures=1.0)
    assert searched._fits(module, 2, recipe, launch(recipe, CPU))
    assert all(p.grad is None for p in module.parameters())


def test_memory_that_is_full_does_not_fit(monkeypatch):
    recipe = override(load_recipe("demo"), TINY)

    def full(*_):
        raise torch.OutOfMemoryError("full")

    module = searched.TrainingModule(build_model(recipe.model), recipe.loss, embedding_pictures=1.0)
    monkeypatch.setattr(module, "forward", full)
    assert not searched._fits(module, 2, recipe, launch(recipe, CPU))
