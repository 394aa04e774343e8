"""Who in this process waits for new runs of a thread, and which were just begun there.

Only a short cut: runs that came in through another replica are found by asking the views again and again.
"""

import asyncio
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from typing import TypeAlias
from uuid import UUID

from clew.gateway.auth import Principal

Key: TypeAlias = tuple[
    str, UUID
]  # tenant and thread: who may write to a thread is not always checked before it is said
MAILBOX = 16  # runs that are told and not yet taken; what does not fit is found by asking


class News:
    def __init__(self) -> None:
        self._mailboxes: defaultdict[Key, set[asyncio.Queue[UUID]]] = defaultdict(set)

    def tell(self, teller: Principal, thread_id: UUID, run_id: UUID) -> None:
        """The message that begins a run of the thread is in the log."""
        for mailbox in self._mailboxes.get((teller.tenant_id, thread_id), ()):
            if not mailbox.full():
                mailbox.put_nowait(run_id)

    @contextmanager
    def of(self, listener: Principal, thread_id: UUID) -> Generator[asyncio.Queue[UUID]]:
        """A mailbox for the runs of the thread that begin from now on."""
        key = (listener.tenant_id, thread_id)
        mailbox: asyncio.Queue[UUID] = asyncio.Queue(maxsize=MAILBOX)
        self._mailboxes[key].add(mailbox)
        try:
            yield mailbox
        finally:
            self._mailboxes[key].discard(mailbox)
            if not self._mailboxes[key]:
                del self._mailboxes[key]
