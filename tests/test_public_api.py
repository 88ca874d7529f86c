"""What the package promises: its public names, and that importing it is cheap."""

import subprocess
import sys

import cornernet

PUBLIC = [
    "Classes",
    "ConfigError",
    "CornerMaps",
    "CornerNetConfig",
    "CornerNetError",
    "DatasetError",
    "Detections",
    "Detector",
    "ImageError",
    "MissingExtraError",
    "ModelRecord",
    "Preprocessing",
    "WeightsError",
    "__version__",
    "build_model",
]


def test_public_names_are_there_and_no_others():
    assert cornernet.__all__ == PUBLIC
    assert all(getattr(cornernet, name) is not None for name in PUBLIC)


def test_unknown_name():
    assert not hasattr(cornernet, "Detektor")


def test_import_needs_no_torch():
    heavy = "{'torch', 'cv2', 'numpy', 'hotcoco', 'matplotlib', 'lightning'}"
    code = f"import sys, cornernet; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
