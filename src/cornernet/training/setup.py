"""Everything a run trains with, built anew or from its checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import torch
from lightning.fabric import Fabric
from torch import nn

from cornernet.data.coco import CocoDataset
from cornernet.errors import ConfigError
from cornernet.models.build import build_model
from cornernet.models.cornernet import CornerNet
from cornernet.structures.classes import Classes
from cornernet.training.activations import checkpoint_residuals
from cornernet.training.average import WeightAverage
from cornernet.training.checkpoint import Progress, RunState, set_generators
from cornernet.training.data import training_loader
from cornernet.training.guard import can_fuse
from cornernet.training.largest_batch import largest_batch
from cornernet.training.loop import Session
from cornernet.training.module import TrainingModule
from cornernet.training.recipe import Recipe
from cornernet.weights.model import load_model
from cornernet.weights.native import record_from_json
from cornernet.weights.record import ModelRecord

Say = Callable[[str], None]


def open_session(
    fabric: Fabric, recipe: Recipe, train: CocoDataset, *, state: RunState | None, fit_batch: bool, say: Say
) -> Session:
    """The network, its data and its optimiser, on the device.

    Args:
        fabric: Launched.
        recipe: The recipe.
        train: The pictures to train on.
        state: What to go on from; None begins.
        fit_batch: Whether the batch is to be the largest that fits the device, in place of the recipe's.
        say: Takes a line for the user.

    Raises:
        CornerNetError: When the weights, the data or the batch do not fit the run.
    """
    network, record = _network(recipe, train.classes, state, say)
    if recipe.train.checkpointing:
        checkpoint_residuals(network)
    network.to(device=fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if fit_batch:
        recipe = replace(recipe, train=replace(recipe.train, batch=largest_batch(network, recipe, fabric, say)))
    loader, sampler = training_loader(
        train,
        recipe,
        record.preprocessing,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
        pin_memory=fabric.device.type == "cuda",
    )
    module: nn.Module = TrainingModule(
        network,
        recipe.loss,
        embedding_pictures=recipe.train.embedding_pictures,
        compiled=recipe.train.compile,
    )
    if recipe.train.sync_batch_norm and fabric.world_size > 1:
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
    fused = can_fuse(fabric.device, recipe.train)
    wrapped, optimiser = fabric.setup(module, _optimiser(module, recipe, fused=fused))
    average = WeightAverage(network, recipe.train.ema_decay) if recipe.train.ema else None
    session = Session(
        fabric=fabric,
        recipe=recipe,
        record=record,
        network=network,
        module=wrapped,
        optimiser=optimiser,
        loader=loader,
        sampler=sampler,
        average=average,
        progress=Progress.start() if state is None else state.progress,
    )
    if state is not None:
        for group in state.optimiser["param_groups"]:
            group["fused"] = fused or None  # this device's, not that of the run's first part
        optimiser.load_state_dict(state.optimiser)
        if average is not None and state.average is not None:
            average.load(state.average)
        fabric.strategy.precision.load_state_dict(state.scaler)
        set_generators(state.generators)
    options = recipe.optimiser
    if session.global_batch != options.base_batch:
        say(
            f"learning rate {session.base_lr:.3g}: {options.lr:g} is meant for {options.base_batch} pictures a step, "
            f"and a step here has {session.global_batch}"
        )
    return session


def _optimiser(module: nn.Module, recipe: Recipe, *, fused: bool) -> torch.optim.Optimizer:
    options = recipe.optimiser
    kind = torch.optim.Adam if options.name == "adam" else torch.optim.AdamW
    return kind(
        module.parameters(), lr=options.lr, betas=options.betas, weight_decay=options.weight_decay, fused=fused or None
    )


def _network(recipe: Recipe, classes: Classes, state: RunState | None, say: Say) -> tuple[CornerNet, ModelRecord]:
    if state is not None:
        record = record_from_json(json.loads(state.record))
        if record.classes != classes:
            raise ConfigError("expected the classes the run was begun with, got others in --data: begin a new run")
        network = build_model(record.architecture)
        network.load_state_dict(state.network)
    elif recipe.train.weights is not None:
        network, record = load_model(recipe.train.weights, num_classes=len(classes))
        if record.architecture != replace(recipe.model, num_classes=len(classes)):
            say(f"the network is that of the weights {recipe.train.weights}, not the recipe's")
        record = replace(record, classes=classes)
    else:
        architecture = replace(recipe.model, num_classes=len(classes))
        network = build_model(architecture)
        record = ModelRecord(architecture=architecture, preprocessing=recipe.preprocessing, classes=classes)
    return network.requires_grad_(True), record
