"""A run's numbers, written as they come: CSV and TensorBoard always, Weights & Biases and MLflow when asked for."""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cornernet.errors import MissingExtraError
from cornernet.structures.files import write_atomic


class Log(ABC):
    """Where numbers go."""

    @abstractmethod
    def write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Notes values of one kind ("train" or "val") after a step."""

    def close(self) -> None:  # noqa: B027, most have something to do
        """Nothing more will come."""


class CsvLog(Log):
    """`train.csv` and `val.csv`, a line each time, on the disk at once."""

    def __init__(self, folder: Path, step: int) -> None:
        """Goes on behind `step`: lines after it, of a part of the run that is done again, are removed."""
        self._folder = folder
        for path in (folder / "train.csv", folder / "val.csv"):
            if path.exists():
                rows = read_csv(path)
                kept = [row for row in rows if row["step"] <= step]
                write_atomic(path, _lines([list(kept[0]), *([*row.values()] for row in kept)]) if kept else "")

    def write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Adds a line."""
        path = self._folder / f"{kind}.csv"
        row = {"step": step, **values}
        new = not path.exists() or path.stat().st_size == 0
        with path.open("a", encoding="utf-8", newline="") as file:
            file.write(_lines([list(row)] * new + [[*row.values()]]))


def read_csv(path: Path) -> list[dict[str, float]]:
    """The whole lines of a file that `CsvLog` wrote, none where there is no file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if None not in row.values()]
    return [{name: float(value or "nan") for name, value in row.items()} for row in rows]


def _lines(rows: Sequence[Sequence[object]]) -> str:
    return "".join(",".join(_text(value) for value in row) + "\n" for row in rows)


def _text(value: object) -> str:
    """Shortest text that reads back as the same number."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else str(value)


class TensorBoardLog(Log):
    """Event files below `tensorboard/`; what came after `step` is hidden."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Adds them."""
        for name, value in values.items():
            self._writer.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Sends what is left."""
        self._writer.close()


class WandbLog(Log):
    """A Weights & Biases run, found again by the folder's name when it goes on."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        import wandb

        name = folder.resolve().name
        self._run = wandb.init(project="cornernet", name=name, id=name, resume="allow", dir=folder, config=dict(config))

    def write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Adds them."""
        self._run.log({f"{kind}/{name}": value for name, value in values.items()}, step=step)

    def close(self) -> None:
        """Sends what is left."""
        self._run.finish()


class MlflowLog(Log):
    """An MLflow run in the experiment "cornernet"."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        import mlflow

        self._mlflow = mlflow
        mlflow.set_experiment("cornernet")
        mlflow.start_run(run_name=folder.resolve().name)
        mlflow.log_dict(dict(config), "recipe.json")

    def write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Adds them."""
        self._mlflow.log_metrics({f"{kind}/{name}": value for name, value in values.items()}, step=step)

    def close(self) -> None:
        """Sends what is left."""
        self._mlflow.end_run()


_TRACKERS: dict[str, type[WandbLog] | type[MlflowLog]] = {"wandb": WandbLog, "mlflow": MlflowLog}


def check_trackers(names: Sequence[str]) -> None:
    """Makes sure before the work that trackers can be had.

    Raises:
        MissingExtraError: When the package of one is absent.
    """
    for name in names:
        if find_spec(name) is None:
            raise MissingExtraError(name, name, f"--run.trackers {name}")


def open_logs(folder: Path, step: int, trackers: Sequence[str], config: Mapping[str, Any]) -> list[Log]:
    """All logs of a run that has done `step` steps.

    Raises:
        MissingExtraError: When the package of a tracker is absent.
    """
    check_trackers(trackers)
    return [CsvLog(folder, step), TensorBoardLog(folder, step), *(_TRACKERS[name](folder, config) for name in trackers)]
