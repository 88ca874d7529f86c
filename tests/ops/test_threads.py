import os
import subprocess
import sys
import threading

import pytest
import torch

from cornernet.ops.threads import on_threads


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    return request.param


def test_work_is_shared_out_whole(threads):
    todo, done, calls = iter(range(50)), [], []

    def task():
        calls.append(threading.get_ident())
        done.extend(todo)

    on_threads(task, threads)
    assert sorted(done) == list(range(50))
    assert len(calls) == threads


def test_calls_run_beside_each_other():
    meeting = threading.Barrier(3, timeout=30)
    on_threads(meeting.wait, 3)  # no call would come back if they took turns


def test_each_thread_computes_alone_and_others_stay_as_they_were(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    seen = []
    on_threads(lambda: seen.append(torch.get_num_threads()), threads)
    assert seen == ([4] if threads == 1 else [1] * threads)
    assert torch.get_num_threads() == 4
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen[-1] == 4
    torch.set_num_threads(before)


def test_inference_mode_comes_along_and_gradients_do_not(threads):
    weight = torch.ones(2, requires_grad=True)
    for mode in (torch.inference_mode, torch.no_grad):
        seen = []
        with mode():
            on_threads(lambda seen=seen: seen.append((weight * 2).is_inference()), threads)
        assert seen == [mode is torch.inference_mode] * threads


def test_an_error_comes_out_when_all_have_ended(threads):
    ended = []

    def task():
        ended.append(True)
        raise ValueError("of one thread")

    with pytest.raises(ValueError, match="of one thread"):
        on_threads(task, threads)
    assert len(ended) == threads


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked on this system")
def test_a_forked_process_has_threads_of_its_own():
    code = """
import os, torch
from cornernet.ops.threads import on_threads
done = []
on_threads(lambda: done.append(1), 2)
if child := os.fork():
    raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
on_threads(lambda: done.append(1), 2)
os._exit(len(done))
"""
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], timeout=60, check=False).returncode == 4
