from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from cornernet import __version__
from cornernet.cli import convert, evaluate, info, main, predict
from cornernet.cli.flags import flags_of
from cornernet.cli.options import FindingOptions, load_detector
from cornernet.corners.decode import DecodeConfig
from cornernet.data.images import MAX_PIXELS
from cornernet.errors import WeightsError
from cornernet.ops.soft_nms import SoftNMSConfig

HEAVY = ("torch", "cv2", "hotcoco", "matplotlib", "numpy")


def test_nothing_heavy_is_imported_before_the_arguments_are_checked():
    program = f"""
import sys, io, contextlib, json
import cornernet
from cornernet.cli.main import main
codes = []
for argv in (["--help"], ["--version"], ["nonsense"], ["predict", "--help"], ["predict", "--wrong"],
             ["predict", "a.jpg", "--weights", "w", "--conf", "7"], ["evaluate", "--help"], ["convert", "--help"],
             ["info", "--help"], ["evaluate", "--print-config"], ["train", "--help"], ["benchmark", "--help"],
             ["data", "check", "--help"]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        codes.append(main(argv))
print(json.dumps([codes, [m for m in {HEAVY!r} if m in sys.modules]]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[0, 0, 2, 0, 2, 2, 0, 0, 0, 0, 0, 0, 0], []]


def test_python_dash_m_is_the_command():
    done = subprocess.run([sys.executable, "-m", "cornernet", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"cornernet {__version__}\n")


@pytest.mark.parametrize("command", [predict, evaluate, convert, info])
def test_every_option_is_documented_and_shared_ones_are_alike(command):
    options = command.COMMAND.options
    flags = {flag.name: flag for flag in flags_of(options)}
    assert set(flags) == set(options.__dataclass_fields__)
    for flag in flags_of(FindingOptions):
        if flag.name in flags and command is not info:
            assert flags[flag.name].text == flag.text


def test_usage_errors(capsys):
    assert main.main(["predikt"]) == 2
    assert "did you mean predict?" in capsys.readouterr().err
    assert main.main(["predict", "a.jpg", "--weigths", "w"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "cornernet: error: expected a known flag, got --weigths: did you mean --weights? "
        "(cornernet predict --help lists what there is)\n"
    )
    assert main.main([]) == 2
    assert "usage: cornernet COMMAND" in capsys.readouterr().out


def _fails_with(monkeypatch, error: BaseException) -> int:
    def fail(_):
        raise error

    monkeypatch.setattr(info, "COMMAND", main.Command(options=info.InfoOptions, run=fail))
    return main.main(["info"])


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (WeightsError("expected weights,\ngot none"), 1, "cornernet: error: expected weights, got none"),
        (OSError(28, "No space left on device", "x.jpg"), 1, "cornernet: error: [Errno 28] No space left on device"),
        (KeyboardInterrupt(), 130, "cornernet: interrupted"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), 1, "memory is full: lower --batch"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 1, "memory is full: lower --batch"),
        (MemoryError(), 1, "memory is full: lower --batch"),
    ],
)
def test_what_happens_becomes_one_line_and_a_code(monkeypatch, capsys, error, code, line):
    monkeypatch.delenv("CORNERNET_DEBUG", raising=False)
    assert _fails_with(monkeypatch, error) == code
    captured = capsys.readouterr()
    assert line in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_debug_shows_the_traceback(monkeypatch, capsys):
    monkeypatch.setenv("CORNERNET_DEBUG", "1")
    assert _fails_with(monkeypatch, WeightsError("expected weights")) == 1
    assert "Traceback" in capsys.readouterr().err


def test_our_own_faults_are_not_hidden(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        _fails_with(monkeypatch, ZeroDivisionError())


def test_a_closed_pipe_ends_it_quietly():
    program = "import sys\nfrom cornernet.cli.main import main\nsys.exit(main(['--help']))"
    done = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    done.stdout.close()
    assert done.stderr.read() == b""
    assert done.wait() == 1


def test_the_defaults_are_the_packages():
    options = FindingOptions(weights="w")
    assert DecodeConfig(top_k=options.top_k, embedding_threshold=options.embedding_threshold) == DecodeConfig()
    nms = SoftNMSConfig(method=options.nms, sigma=options.nms_sigma, iou_threshold=options.nms_iou)
    assert nms == SoftNMSConfig()
    assert options.max_pixels == MAX_PIXELS


def test_thresholds_reach_the_detector(model_folder):
    options = FindingOptions(
        weights=str(model_folder), top_k=7, embedding_threshold=0.2, nms="linear", nms_sigma=0.4, nms_iou=0.6,
        max_pixels=123, device="cpu",
    )  # fmt: skip
    detector = load_detector(options)
    assert detector.max_pixels == 123
    assert detector._pipeline.decoding == DecodeConfig(top_k=7, embedding_threshold=0.2)
    assert detector._pipeline.nms == SoftNMSConfig(method="linear", sigma=0.4, iou_threshold=0.6)


@pytest.mark.parametrize(
    "wrong",
    [{"conf": 1.5}, {"conf": float("nan")}, {"batch": 0}, {"workers": 0}, {"scales": (0.0,)}, {"scales": ()},
     {"top_k": 0}, {"nms_sigma": 0.0}, {"nms_iou": 1.5}, {"embedding_threshold": -1.0}, {"max_det": 0},
     {"max_pixels": 0}],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(main.ConfigError, match=f"--{name.replace('_', '-')}"):
        FindingOptions(weights="w", **wrong)
