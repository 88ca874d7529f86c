"""`cornernet data convert`: datasets in other formats to COCO's."""

from __future__ import annotations

from cornernet.cli.command import Group

COMMAND = Group(
    text="Convert a dataset to COCO format: a new folder with annotations/instances_SPLIT.json and the pictures.",
    commands={
        "yolo": "from data.yaml or classes.txt, images and labels",
        "voc": "from Annotations, JPEGImages and ImageSets",
    },
)
