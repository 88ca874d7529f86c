"""When a network is recorded, how long a recording is kept, and what happens where none can be made."""

import logging

import torch

from cornernet.inference.graphs import GraphedNetwork
from cornernet.structures.maps import CornerMaps


def network(canvases):
    return CornerMaps(*(canvases * i for i in range(1, 7)))


class Recorder:
    """Plays back what it was shown with, as CUDA does: from one input's memory into one output's."""

    def __init__(self):
        self.recorded, self.replayed = [], []

    def __call__(self, network, example, pool):
        self.recorded.append(tuple(example.shape))

        def replay(canvases):
            assert canvases.shape == example.shape
            self.replayed.append(tuple(canvases.shape))
            return network(canvases)

        return replay


def ones(side):
    return torch.ones(1, 3, side, side)


def test_a_shape_is_recorded_when_it_comes_again_and_replayed_from_then_on():
    recorder = Recorder()
    graphed = GraphedNetwork(network, capture=recorder)
    for count, recorded, replayed in ((1, 0, 0), (2, 1, 1), (3, 1, 2)):
        maps = graphed(count * ones(8))
        assert torch.equal(maps.br_off, 6 * count * ones(8))
        assert (len(recorder.recorded), len(recorder.replayed)) == (recorded, replayed)
    graphed(ones(16))
    assert recorder.recorded == [(1, 3, 8, 8)]


def test_the_recording_used_longest_ago_goes_first():
    recorder = Recorder()
    graphed = GraphedNetwork(network, capture=recorder, most=2)
    for side in (8, 8, 16, 16, 8, 24, 24):  # 16 was used before 8
        graphed(ones(side))
    assert [shape[2] for shape in recorder.recorded] == [8, 16, 24]
    graphed(ones(8))
    assert len(recorder.recorded) == 3
    graphed(ones(16))
    assert [shape[2] for shape in recorder.recorded] == [8, 16, 24, 16]


def test_a_failed_recording_is_said_once_and_results_still_come(caplog):
    def fail(network, example, pool):
        raise RuntimeError("CUDA error: operation not permitted\nCompile with DSA")

    graphed = GraphedNetwork(network, capture=fail)
    with caplog.at_level(logging.WARNING, "cornernet"):
        for _ in range(4):
            assert torch.equal(graphed(ones(8)).tl_heat, ones(8))
    assert [record.message for record in caplog.records] == [
        "no CUDA graph could be recorded, going on without: CUDA error: operation not permitted"
    ]
