"""`cornernet data`: datasets drawn, checked, described, looked at and converted."""

from __future__ import annotations

from cornernet.cli.command import Group

COMMAND = Group(
    text="Datasets in COCO format: draw, check, describe, view and convert them.",
    commands={
        "synth": "draw a small dataset of shapes to try everything with",
        "check": "find what is wrong with a dataset",
        "stats": "describe a dataset in numbers and histograms",
        "view": "draw training batches as the network gets them",
        "convert": "turn a YOLO or Pascal VOC dataset into COCO format",
    },
)
