"""Errors come back whole from other processes."""

import inspect
import pickle

import pytest

from cornernet import errors

KINDS = [kind for kind in vars(errors).values() if inspect.isclass(kind) and kind is not errors.MissingExtraError]


@pytest.mark.parametrize(
    "error",
    [*(kind("one line") for kind in KINDS), errors.MissingExtraError("matplotlib", "plots", "drawing curves")],
    ids=lambda error: type(error).__name__,
)
def test_pickles(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
