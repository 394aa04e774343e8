"""Who in this process waits for new runs of a thread, and what was just begun there.

Only a short cut: runs that came in through another replica are found by asking the views again and again.
"""

import asyncio
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from uuid import UUID

from clew.contracts.envelope import Position


class News:
    def __init__(self) -> None:
        self._mailboxes: defaultdict[UUID, set[asyncio.Queue[Position]]] = defaultdict(set)

    def tell(self, thread_id: UUID, position: Position) -> None:
        """A run of the thread begins at `position`. Whoever has not yet read the last news reads this instead."""
        for mailbox in self._mailboxes.get(thread_id, ()):
            if mailbox.full():
                mailbox.get_nowait()
            mailbox.put_nowait(position)

    @contextmanager
    def of(self, thread_id: UUID) -> Generator[asyncio.Queue[Position]]:
        """A mailbox that holds the latest news of the thread."""
        mailbox: asyncio.Queue[Position] = asyncio.Queue(maxsize=1)
        self._mailboxes[thread_id].add(mailbox)
        try:
            yield mailbox
        finally:
            self._mailboxes[thread_id].discard(mailbox)
            if not self._mailboxes[thread_id]:
                del self._mailboxes[thread_id]
