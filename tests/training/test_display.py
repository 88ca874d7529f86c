"""What stands on standard error while a network trains: lines in a file, a bar on a terminal, nothing elsewhere."""

import sys

import pytest

from cornernet.training.display import open_display

VALUES = {
    "epoch": 2.0, "det": 1.25, "pull": 0.5, "push": 0.25, "off": 0.125, "lr": 5e-4, "pictures_per_second": 12.34,
    "memory_gb": 1.26,
}  # fmt: skip


def test_lines_in_a_file(capsys):
    display = open_display(3, 30, 0, shown=True)
    for step in (1, 2, 30):
        display.train(VALUES, step, 60.0 if step < 30 else 0.0)
    display.look(1, 2)
    display.say("epoch 3: AP 0.5")
    display.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "cornernet: epoch 2/3, step 1/30: det 1.250  pull 0.500  push 0.250  off 0.125  lr 0.0005, 12.3 pictures/s, "
        "1.3 GB, 60 s left",
        "cornernet: epoch 2/3, step 30/30: det 1.250  pull 0.500  push 0.250  off 0.125  lr 0.0005, 12.3 pictures/s, "
        "1.3 GB, 0 s left",
        "cornernet: epoch 3: AP 0.5",
    ]


def test_a_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    display = open_display(3, 30, 4, shown=True)
    display.train(VALUES, 5, 7200.0)
    display.look(1, 2)
    display.say("epoch 2: AP 0.5 [best]")
    display.close()
    captured = capsys.readouterr()
    assert "epoch 2: AP 0.5 [best]" in captured.err
    assert captured.out == ""


def test_nothing_on_other_processes(capsys):
    display = open_display(3, 30, 0, shown=False)
    display.train(VALUES, 1, 1.0)
    display.say("text")
    display.look(1, 2)
    display.close()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("seconds", "text"), [(89, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h")])
def test_durations(capsys, seconds, text):
    open_display(1, 9, 0, shown=True).train(VALUES, 1, seconds)
    assert capsys.readouterr().err.endswith(f", {text} left\n")
