import subprocess
import sys

import pytest

from cornernet.models.config import VARIANTS
from cornernet.weights.zoo import PUBLISHED

BASE = "https://download.openmmlab.com/mmdetection/v2.0/cornernet/"


@pytest.mark.parametrize(
    ("name", "file", "recipe", "ap", "ap_tta"),
    [
        (
            "cornernet-hourglass104-10x5",
            "cornernet_hourglass104_mstest_10x5_210e_coco_20200824_185720-5fefbf1c.pth",
            "cornernet_hourglass104_10xb5-crop511-210e-mstest_coco",
            40.6,
            41.2,
        ),
        (
            "cornernet-hourglass104-8x6",
            "cornernet_hourglass104_mstest_8x6_210e_coco_20200825_150618-79b44c30.pth",
            "cornernet_hourglass104_8xb6-210e-mstest_coco",
            40.9,
            41.2,
        ),
        (
            "cornernet-hourglass104-32x3",
            "cornernet_hourglass104_mstest_32x3_210e_coco_20200819_203110-1efaea91.pth",
            "cornernet_hourglass104_32xb3-210e-mstest_coco",
            39.6,
            40.4,
        ),
    ],
)
def test_the_published_table(name: str, file: str, recipe: str, ap: float, ap_tta: float) -> None:
    entry = PUBLISHED[name]
    folder = file.split("_coco_")[0] + "_coco/"
    assert entry.url == BASE + folder + file
    assert (entry.file_name, entry.recipe, entry.ap, entry.ap_tta) == (file, recipe, ap, ap_tta)
    assert file.endswith(f"-{entry.sha256_prefix}.pth")
    assert entry.variant in VARIANTS


def test_the_plain_name_is_the_best_one() -> None:
    plain, best = PUBLISHED["cornernet-hourglass104"], PUBLISHED["cornernet-hourglass104-8x6"]
    assert (plain.url, plain.ap) == (best.url, best.ap)
    assert plain.ap == max(entry.ap for entry in PUBLISHED.values())


def test_the_table_needs_no_torch() -> None:
    code = "import sys, cornernet.weights.zoo; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
