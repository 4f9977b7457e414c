"""Runs blocking work beside the event loop."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from typing import TypeVar

THREAD_NAME = "blocking-work"

T = TypeVar("T")


async def in_daemon_thread(work: Callable[[], T]) -> T:
    """Run blocking work in a thread that, unlike asyncio.to_thread's, does not keep the process alive."""
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
    outcome.set_running_or_notify_cancel()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 (it is raised where the outcome is awaited)
            outcome.set_exception(error)

    threading.Thread(target=run, name=THREAD_NAME, daemon=True).start()
    return await asyncio.wrap_future(outcome)


def still_working() -> bool:
    """Return whether a thread of `in_daemon_thread` is running."""
    return any(thread.name == THREAD_NAME for thread in threading.enumerate())
