"""The learning rate as a function of the step, so that a resumed run needs no memory of it."""

from __future__ import annotations

import math

from cornernet.training.options import ScheduleOptions


def lr_factor(options: ScheduleOptions, step: int, steps_per_epoch: int) -> float:
    """What the learning rate is multiplied by at a step.

    Both ramps count as MMEngine's do: the first step has `warmup_from`, step `warmup` - 1 the whole rate, and a
    milestone acts from the first step of the epoch of that number (counted from 0) on.

    Args:
        options: Kind and numbers.
        step: Optimiser steps done before this one.
        steps_per_epoch: How many an epoch has.
    """
    factor = 1.0
    if step < options.warmup - 1:
        factor = options.warmup_from + (1 - options.warmup_from) * step / (options.warmup - 1)
    elif options.warmup == 1 and step == 0:
        factor = options.warmup_from
    if options.kind == "step":
        epoch = step // steps_per_epoch
        return factor * options.factor ** sum(epoch >= milestone for milestone in options.milestones)
    if options.kind == "cosine":
        done = step / max(1, options.epochs * steps_per_epoch - 1)
        return factor * (options.final + (1 - options.final) * (1 + math.cos(math.pi * min(1.0, done))) / 2)
    return factor
