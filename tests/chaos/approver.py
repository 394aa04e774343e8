"""The person who is asked: follows the log for requests that count, thinks a little, and answers over the gateway.

What is answered follows from the call alone, so that a question that comes twice gets one answer.
"""

import asyncio
import time
from uuid import UUID

from aiokafka.errors import KafkaError

from clew.chassis.claims import CLAIMED_TOPIC, Claims
from clew.chassis.errors import LogUnreachable
from clew.contracts.execution import ApprovalRequested
from tests.chaos.clients import PATIENCE, Clients, GaveUp
from tests.chaos.facts import Json
from tests.support.log import Log

THINKS = 0.7  # seconds
_TYPE = ("ce_type", ApprovalRequested.ce_type().encode())


class Approver:
    """`decided` says what was answered to each call."""

    def __init__(self, log: Log, clients: Clients) -> None:
        self._log = log
        self._clients = clients
        self.decided: dict[UUID, str] = {}

    async def run(self) -> None:
        """Answers until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    await self._follow(group)
                except (KafkaError, LogUnreachable):  # it reads from the start: what was answered is remembered
                    await asyncio.sleep(1)

    async def _follow(self, group: asyncio.TaskGroup) -> None:
        claims: dict[int, Claims] = {}
        async for record in self._log.reader.follow(CLAIMED_TOPIC):
            valid = claims.setdefault(record.partition, Claims()).counts(record.headers)
            if not valid or _TYPE not in record.headers:
                continue
            request = await self._log.decoder.event(record)
            if isinstance(request, ApprovalRequested) and request.event_id not in self.decided:
                answer = decision(request)
                self.decided[request.event_id] = str(answer["decision"])
                group.create_task(self._answer(request, answer))

    async def _answer(self, request: ApprovalRequested, answer: Json) -> None:
        await asyncio.sleep(THINKS)
        path = f"/v1/runs/{request.run_id}/approvals/{request.call_id}"
        began = time.monotonic()
        while (response := await self._clients.post(path, answer, f"decide {request.event_id}")).status_code == 404:
            if time.monotonic() - began > PATIENCE:
                raise GaveUp(f"POST {path}: unknown for {PATIENCE:g} s: {response.text}")
            await asyncio.sleep(THINKS)  # who reads the log may know of the question before the views do
        assert response.status_code in (202, 409), response.text


def decision(request: ApprovalRequested) -> Json:
    """The body of the answer. In doubt: again, done by hand, or given up; else: yes, no, or with other arguments."""
    choice = request.call_id.int % 4
    token = str(request.arguments["token"])
    if request.about == "in_doubt":
        done: Json = {"decision": "done", "result": f"{token} done by hand"}
        return ({"decision": "approve"}, done, {"decision": "deny", "note": "leave it"}, done)[choice]
    edited: Json = {"decision": "edit", "arguments": {**request.arguments, "seconds": 0.01}}
    yes: Json = {"decision": "approve"}
    return (yes, yes, {"decision": "deny", "note": "better not"}, edited)[choice]
