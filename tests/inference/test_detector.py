"""The detector's doors: what goes in, what comes out, in which order, and what is refused."""

import io

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from cornernet.corners.decode import DecodeConfig
from cornernet.errors import ConfigError, CornerNetError, ImageError
from cornernet.inference.detector import Detector
from cornernet.inference.stream import read_ahead
from cornernet.models.build import build_model
from cornernet.models.config import CornerNetConfig
from cornernet.structures.classes import Classes
from cornernet.structures.detections import Detections
from cornernet.weights.record import MMDETECTION, ModelRecord

NARROW = CornerNetConfig(
    num_classes=2, channels=(8, 8), blocks=(1, 1), stem_channels=4, feature_channels=8, pool_channels=4, head_channels=8
)
RECORD = ModelRecord(architecture=NARROW, preprocessing=MMDETECTION, classes=Classes(("cat", "dog"), (17, 18)))


def narrow_model():
    torch.manual_seed(0)
    model = build_model(NARROW)
    for corner in (model.heads[-1].top_left, model.heads[-1].bottom_right):
        corner.heat.out.weight.data.mul_(20)  # scores that differ from cell to cell
    return model


@pytest.fixture(scope="module")
def detector():
    return Detector(narrow_model(), RECORD, device="cpu")


def picture(height=60, width=90, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def same(a, b):
    """Equal but for what batching does to the last bits of a convolution."""
    assert len(a) == len(b)
    assert np.allclose(a.scores, b.scores, atol=1e-5)
    assert np.allclose(a.boxes, b.boxes, atol=1e-2)
    return True


def test_every_kind_of_picture_gives_the_same(detector, tmp_path):
    rgb = picture()
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), rgb[..., ::-1])
    expected = detector.predict(rgb)
    assert isinstance(expected, Detections)
    assert len(expected) > 0
    assert expected.image_size == (60, 90)
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG")
    tensor = torch.from_numpy(rgb).permute(2, 0, 1)
    for x in (path, str(path), buffer.getvalue(), Image.fromarray(rgb), tensor, tensor.float() / 255):
        assert same(detector.predict(x), expected)
    assert detector.predict(str(path)).source == str(path)
    assert expected.source is None


def test_one_gives_one_and_many_give_a_list(detector):
    pictures = [picture(60, 90), picture(61, 33, seed=1)]
    alone = [detector.predict(p) for p in pictures]
    for many in (pictures, tuple(pictures), iter(pictures), (p for p in pictures)):
        found = detector.predict(many)
        assert isinstance(found, list)
        assert all(same(a, b) for a, b in zip(found, alone, strict=True))
    assert detector.predict([]) == []
    assert len(detector.predict([pictures[0]])) == 1
    stack = np.stack([pictures[0]] * 3)
    assert [len(d) for d in detector.predict(stack)] == [len(alone[0])] * 3
    assert len(detector.predict(torch.from_numpy(stack).permute(0, 3, 1, 2))) == 3


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_mixed_sizes_keep_their_order(detector, batch):
    sizes = [(60, 90), (150, 40), (61, 95), (60, 90), (1, 1), (200, 130), (150, 44)]
    pictures = [picture(*size, seed=i) for i, size in enumerate(sizes)]
    found = detector.predict(pictures, batch=batch)
    assert [d.image_size for d in found] == sizes
    assert all(same(d, detector.predict(p)) for d, p in zip(found, pictures, strict=True))


def test_conf_and_max_det_only_cut_the_list(detector):
    everything = detector.predict(picture())
    middle = float(np.median(everything.scores))
    assert same(detector.predict(picture(), conf=middle), everything[everything.scores >= middle])
    assert same(detector.predict(picture(), max_det=7), everything[:7])
    assert len(detector.predict(picture(), conf=1.0)) == 0


def test_tta_is_symmetric(detector):
    """With both views merged, the mirrored picture's boxes are the mirrored boxes."""
    rgb = picture(60, 90)
    plain = detector.predict(rgb, tta=True)
    mirrored = detector.predict(np.ascontiguousarray(rgb[:, ::-1]), tta=True)
    boxes = np.float32([90, 0, 90, 0]) + mirrored.boxes[:, [2, 1, 0, 3]] * np.float32([-1, 1, -1, 1])
    assert np.allclose(plain.scores, mirrored.scores, atol=1e-4)
    nearest = np.abs(plain.boxes[:, None] - boxes).max(-1).min(1)
    assert nearest.max() < 0.01


def test_scales_stay_within_the_picture_s_pixels(detector):
    found = detector.predict(picture(120, 80), scales=(0.5, 1.0, 1.5), tta=True)
    assert len(found) == 100
    assert found.boxes[:, [0, 2]].max() < 80 * 1.2
    assert np.all(np.diff(found.scores) <= 0)
    one = detector.predict(picture(120, 80), scales=(1.0,))
    assert same(one, detector.predict(picture(120, 80)))


def test_stream_is_lazy_and_reports_what_it_cannot_read(detector, tmp_path):
    good = tmp_path / "good.png"
    cv2.imwrite(str(good), picture())
    bad = tmp_path / "bad.jpg"
    bad.write_text("not a picture")
    taken = []

    def sources():
        for i in range(1000):
            taken.append(i)
            yield good

    stream = detector.stream(sources(), workers=2)
    next(stream)
    stream.close()
    assert len(taken) < 20
    reported = []
    pairs = list(detector.stream([good, bad, good], on_error=lambda source, error: reported.append((source, error))))
    assert len(pairs) == 2
    assert pairs[0][0].shape == (60, 90, 3)
    assert [source for source, _ in reported] == [bad]
    with pytest.raises(ImageError, match=r"bad\.jpg"):
        detector.predict([good, bad])
    with pytest.raises(ImageError, match="expected a picture"):
        detector.predict(3.5)


@pytest.mark.parametrize("batch", [1, 2])
def test_with_a_device_ahead_of_the_host_results_and_errors_keep_their_order(tmp_path, batch):
    """On an accelerator a window is launched before the one before it is read back."""
    waiting = Detector(narrow_model(), RECORD, device="cpu")
    ahead = Detector(narrow_model(), RECORD, device="cpu")
    ahead.device = torch.device("meta")  # the pipeline stays on the CPU
    bad = tmp_path / "bad.jpg"
    bad.write_text("not a picture")
    sizes = [(60, 90), (60, 90), (200, 90), (61, 33), (200, 91), (60, 90), (30, 300)] * 3
    pictures = [picture(height, width, seed=i) for i, (height, width) in enumerate(sizes)]
    sources = [*pictures[:9], bad, *pictures[9:]]
    found = []
    for detector in (waiting, ahead):
        reported = []
        found.append(list(detector.stream(sources, batch=batch, on_error=lambda s, e, to=reported: to.append(s))))
        assert reported == [bad]
    assert [pixels.shape[:2] for pixels, _ in found[1]] == sizes
    assert all(same(a, b) for (_, a), (_, b) in zip(*found, strict=True))
    before = []
    with pytest.raises(ImageError, match=r"bad\.jpg"):
        before.extend(ahead.stream(sources, batch=1))
    assert len(before) <= 9
    assert ahead.predict([]) == []


def test_errors_come_in_turn():
    def read(source):
        if source == 2:
            raise ImageError("two")
        return np.zeros((1, 1, 3), np.uint8)

    reads = list(read_ahead(range(5), read, workers=3, ahead=4))
    assert [r.source for r in reads] == list(range(5))
    assert [r.error is None for r in reads] == [True, True, False, True, True]


def test_corner_maps_are_of_the_canvas(detector):
    placed = detector.corner_maps(picture(60, 90))
    assert placed.placement.canvas == (127, 127)
    assert placed.maps.tl_heat.shape == (1, 2, 32, 32)
    assert placed.maps.tl_heat.dtype == torch.float32


def test_decode_options_reach_the_decoder():
    strict = Detector(narrow_model(), RECORD, device="cpu", decoding=DecodeConfig(embedding_threshold=0.0, top_k=10))
    assert len(strict.predict(picture())) <= 10


def test_nan_from_the_network_is_an_error_not_an_empty_list():
    model = narrow_model()
    model.stem.conv.conv.weight.data[0, 0, 0, 0] = float("nan")
    with pytest.raises(CornerNetError, match="expected finite network outputs"):
        Detector(model, RECORD, device="cpu").predict(picture())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"conf": 1.5}, "conf between 0 and 1"),
        ({"conf": float("nan")}, "conf between 0 and 1"),
        ({"max_det": 0}, "max_det"),
        ({"batch": 0}, "batch"),
        ({"scales": ()}, "at least one test scale"),
        ({"scales": (0.0,)}, "test scale"),
    ],
)
def test_options_out_of_range(detector, options, message):
    with pytest.raises(ConfigError, match=message):
        detector.predict(picture(), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "gpu"}, "expected a device"),
        ({"device": "cuda:99"}, "expected a device"),
        ({"device": "cpu", "dtype": "int8"}, "expected a dtype"),
    ],
)
def test_devices_and_types_that_cannot_be_had(options, message):
    with pytest.raises(ConfigError, match=message):
        Detector(narrow_model(), RECORD, **options)


def test_low_precision_where_the_cpu_has_it():
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        with pytest.raises(ConfigError, match="has no bfloat16 instructions"):
            Detector(narrow_model(), RECORD, device="cpu", dtype="bfloat16")
        return
    found = Detector(narrow_model(), RECORD, device="cpu", dtype="bfloat16").predict(picture())
    expected = Detector(narrow_model(), RECORD, device="cpu").predict(picture())
    assert abs(float(found.scores[0] - expected.scores[0])) < 0.05


def test_record_must_be_the_model_s():
    with pytest.raises(ConfigError, match="expected the record of this model"):
        Detector(build_model(NARROW, num_classes=3), RECORD, device="cpu")
