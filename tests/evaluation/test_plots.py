from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from coco_cases import make_dataset, make_results, random_case

from cornernet.errors import MissingExtraError
from cornernet.evaluation.coco_ap import evaluate_boxes
from cornernet.evaluation.confusion import ConfusionMatrix, confusion_matrix
from cornernet.evaluation.plots import plot_confusion, plot_pr_curves
from cornernet.structures.figures import require_plots


def ink(path: Path) -> np.ndarray:
    """Where the picture is not white."""
    image = cv2.imread(str(path))
    assert image is not None
    return (image < 250).any(axis=2)


@pytest.mark.parametrize("classes", [2, 81])  # of which the last has no boxes
def test_pictures_appear_whole(tmp_path: Path, classes: int) -> None:
    dataset, results = random_case(0, classes=classes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_pr_curves(evaluate_boxes(dataset, results), tmp_path / "pr.png")
        plot_confusion(confusion_matrix(dataset, results), tmp_path / "confusion.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["confusion.png", "pr.png"]
    for name in ("confusion.png", "pr.png"):
        assert ink(tmp_path / name).mean() > 0.01


def test_names_are_taken_as_they_are(tmp_path: Path) -> None:
    """Dollar signs are formulas to matplotlib, and a line whose label starts with _ is left out of a legend."""
    boxes = [(1, 1, [0, 0, 20, 20]), (1, 2, [50, 50, 20, 20])]
    dataset = make_dataset([1], {1: r"$\nonsense$", 2: "_hidden" * 20}, boxes)
    results = make_results([(*b, 0.5) for b in boxes])
    plot_pr_curves(evaluate_boxes(dataset, results), tmp_path / "pr.svg")
    plot_confusion(confusion_matrix(dataset, results), tmp_path / "confusion.svg")
    assert (tmp_path / "pr.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_nothing_found_is_drawn_too(tmp_path: Path) -> None:
    dataset = make_dataset([1], {1: "a"}, [(1, 1, [0, 0, 9, 9])])
    plot_pr_curves(evaluate_boxes(dataset, []), tmp_path / "pr.png")
    plot_confusion(confusion_matrix(dataset, []), tmp_path / "confusion.png")
    assert ink(tmp_path / "pr.png").any()
    assert ink(tmp_path / "confusion.png").any()


def test_more_classes_than_fit_are_drawn_without_all_names(tmp_path: Path) -> None:
    count = 400
    counts = np.eye(count + 1, dtype=np.int64)
    plot_confusion(ConfusionMatrix(counts, tuple(map(str, range(count))), 0.5, 0.3), tmp_path / "confusion.png")
    assert ink(tmp_path / "confusion.png").any()


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    dataset, results = random_case(0)
    message = r"matplotlib.*pip install 'cornernet\[plots\]'"
    with pytest.raises(MissingExtraError, match=message):
        require_plots()
    with pytest.raises(MissingExtraError, match=message):
        plot_pr_curves(evaluate_boxes(dataset, results), tmp_path / "pr.png")
    with pytest.raises(MissingExtraError, match=message):
        plot_confusion(confusion_matrix(dataset, results), tmp_path / "confusion.png")
    assert list(tmp_path.iterdir()) == []


def test_importing_needs_neither_matplotlib_nor_torch() -> None:
    code = (
        "import sys, cornernet.evaluation.plots, cornernet.evaluation.report; "
        "sys.exit(' '.join({'matplotlib', 'torch'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
