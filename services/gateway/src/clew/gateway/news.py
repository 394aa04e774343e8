"""Who in this process waits for new runs of a thread, and which were just begun there.

Runs that came in through another replica are told of by Redis; what nobody tells is found by asking the views.
"""

import asyncio
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from typing import TypeAlias
from uuid import UUID

from clew.gateway.auth import Principal

Key: TypeAlias = tuple[str, UUID]  # tenant too: who may write to a thread is not always checked before it is said
MOST = 1000  # runs that are told and not yet taken; what does not fit is found by asking


class Mailbox:
    """The runs that somebody is to be told of."""

    def __init__(self) -> None:
        self._told: asyncio.Queue[UUID] = asyncio.Queue(maxsize=MOST)

    def tell(self, run_id: UUID) -> None:
        if not self._told.full():
            self._told.put_nowait(run_id)

    async def next(self, until: float) -> UUID | None:
        """The next run; None when there is none until then, on the loop's clock."""
        try:
            async with asyncio.timeout_at(until):
                return await self._told.get()
        except TimeoutError:
            return None


class News:
    """The mailboxes of this process, by the thread that they are about."""

    def __init__(self) -> None:
        self._mailboxes: defaultdict[Key, set[Mailbox]] = defaultdict(set)

    def tell(self, teller: Principal, thread_id: UUID, run_id: UUID) -> None:
        """The message that begins a run of the thread is in the log."""
        for mailbox in self._mailboxes.get((teller.tenant_id, thread_id), ()):
            mailbox.tell(run_id)

    @contextmanager
    def of(self, listener: Principal, thread_id: UUID) -> Generator[Mailbox]:
        """A mailbox for the runs of the thread that begin from now on."""
        key, mailbox = (listener.tenant_id, thread_id), Mailbox()
        self._mailboxes[key].add(mailbox)
        try:
            yield mailbox
        finally:
            self._mailboxes[key].discard(mailbox)
            if not self._mailboxes[key]:
                del self._mailboxes[key]
