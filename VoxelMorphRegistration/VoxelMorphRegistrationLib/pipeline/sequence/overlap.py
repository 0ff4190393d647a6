"""Three things at a time: the next frame is read, the network works on this one, and the one before is finished.

Reading and finishing keep to one core each and wait for disks, the network takes all cores; one after the other they
would leave cores idle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")
Asked = TypeVar("Asked")
Finished = TypeVar("Finished")


def overlapped(
    items: Sequence[Item],
    read: Callable[[Item], Read],
    ask: Callable[[Item, Future[Read]], Asked],
    finish: Callable[[Item, Asked], Finished],
    alone: Callable[[Item], bool],
) -> Iterator[Finished]:
    """What ``finish(item, ask(item, read(item)))`` returns, item by item, in order; memory for three of them.

    ``ask`` runs in the caller's thread, the others in one thread each. An item that goes ``alone`` is asked about when
    all before it are finished. What ``ask`` and ``finish`` raise ends the whole; the caller may end it, too.
    """
    with ThreadPoolExecutor(1, "next frame") as ahead, ThreadPoolExecutor(1, "frame before") as behind:
        reading = ahead.submit(read, items[0]) if items else None
        finishing: Future[Finished] | None = None
        for number, item in enumerate(items):
            if finishing is not None and alone(item):
                yield finishing.result()
                finishing = None
            assert reading is not None
            current = reading
            reading = ahead.submit(read, items[number + 1]) if number + 1 < len(items) else None
            before, finishing = finishing, behind.submit(finish, item, ask(item, current))
            del current  # or the frame would be kept while the next one is worked on
            if before is not None:
                yield before.result()
        if finishing is not None:
            yield finishing.result()
