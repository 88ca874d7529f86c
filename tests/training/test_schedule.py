"""The learning rate against the reference's own schedulers, written out, and at its ends."""

import pytest

from cornernet.training.options import ScheduleOptions
from cornernet.training.schedule import lr_factor


def test_the_published_schedule():
    options = ScheduleOptions()
    assert lr_factor(options, 0, 100) == pytest.approx(1 / 3)
    assert lr_factor(options, 1, 100) == pytest.approx(1 / 3 + 2 / 3 / 499)  # MMEngine's LinearLR(end=500)
    assert lr_factor(options, 250, 100) == pytest.approx(1 / 3 + 2 / 3 * 250 / 499)
    assert lr_factor(options, 499, 100) == lr_factor(options, 17_999, 100) == 1
    assert lr_factor(options, 18_000, 100) == pytest.approx(0.1)
    assert lr_factor(options, 20_999, 100) == pytest.approx(0.1)


def test_warmup_and_milestones_multiply():
    options = ScheduleOptions(warmup=11, warmup_from=0.5, milestones=(1, 2), factor=0.1, epochs=3)
    assert [round(lr_factor(options, s, 5), 9) for s in (0, 5, 10, 14)] == [0.5, 0.075, 0.01, 0.01]


def test_cosine_ends_where_it_should_and_only_falls():
    options = ScheduleOptions(kind="cosine", warmup=0, final=0.02, epochs=4)
    factors = [lr_factor(options, s, 25) for s in range(100)]
    assert factors[0] == 1
    assert factors[-1] == pytest.approx(0.02)
    assert factors == sorted(factors, reverse=True)
    assert lr_factor(options, 500, 25) == pytest.approx(0.02)


@pytest.mark.parametrize("warmup", [0, 1, 2])
def test_short_warmups(warmup):
    options = ScheduleOptions(kind="constant", warmup=warmup, warmup_from=0.25)
    assert [lr_factor(options, s, 10) for s in range(3)] == [0.25 if warmup else 1, 1, 1]
