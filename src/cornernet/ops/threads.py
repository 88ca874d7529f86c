"""Work in blocks on several threads, each of which computes alone.

PyTorch shares each operation between its threads and waits for all of them at its end. Where small operations follow
one another, on a machine that does other things as well, some thread is always late, and the others wait for it
thousands of times. Threads that take whole blocks wait once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from threading import Barrier

import torch


def on_threads(task: Callable[[], None], threads: int) -> None:
    """Call a task once on each of some threads, and wait for all of them; for one thread, just call it.

    The calls share out the work between them, from one iterator, say. Within, each operation stays on its own thread.
    Gradients are not recorded. An exception of a call is raised once all calls have ended.
    """
    if threads == 1:
        task()
        return
    inference = torch.is_inference_mode_enabled()  # known to each thread alone

    def call() -> None:
        with torch.inference_mode(inference), torch.no_grad():
            task()

    calls: list[Future[None]] = [_pool(threads).submit(call) for _ in range(threads)]
    wait(calls)
    for future in calls:
        future.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Start threads on which PyTorch computes alone."""
    pool = ThreadPoolExecutor(threads, "cornernet", initializer=_compute_alone)
    before = torch.get_num_threads()
    started = Barrier(threads)
    wait([pool.submit(started.wait) for _ in range(threads)])
    torch.set_num_threads(before)  # the number set last, on any thread, is what threads to come begin with
    return pool


def _compute_alone() -> None:
    torch.set_num_threads(1)
    torch.get_num_threads()  # a thread that has not asked yet would take the number set last after all


if hasattr(os, "register_at_fork"):  # threads do not live on in a process that is forked off
    os.register_at_fork(after_in_child=_pool.cache_clear)
