"""What the executors can do, as they announce it: the agents and tools that a plan may name.

Every planner needs every announcement, so it follows the (compacted, short) topic by itself from its beginning, not
through the consumer group.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from clew.chassis.errors import LogUnreachable
from clew.chassis.log import LogReader
from clew.chassis.records import Decoder
from clew.contracts.codec import DecodeError
from clew.contracts.execution import AgentSpec, CapabilitiesAnnounced, ToolSpec

AWAY = 1.0  # seconds between two tries to reach a log that is away
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Capabilities:
    """Agents and tools by name."""

    agents: Mapping[str, AgentSpec] = field(default_factory=dict[str, AgentSpec])
    tools: Mapping[str, ToolSpec] = field(default_factory=dict[str, ToolSpec])


class Announcements:
    """The latest word of each source, and what they can do together."""

    def __init__(self, log: LogReader, decoder: Decoder) -> None:
        self._log = log
        self._decoder = decoder
        self._by_source: dict[str, CapabilitiesAnnounced] = {}
        self._some_agent = asyncio.Event()

    async def follow(self) -> None:
        """Reads the topic for ever, and from its beginning again after the log was away."""
        while True:
            try:
                await self._read()
            except LogUnreachable as error:
                log.warning("the announcements wait for the log: %s", error)
                await asyncio.sleep(AWAY)

    async def _read(self) -> None:
        """What cannot be read is memory's to park; here the source's last word stands."""
        async for record in self._log.follow("capabilities"):
            try:
                event = await self._decoder.event(record)
            except DecodeError as error:
                log.warning("an announcement cannot be read: %s", error)
                continue
            if isinstance(event, CapabilitiesAnnounced):
                self.on_capabilities_announced(event)

    def on_capabilities_announced(self, event: CapabilitiesAnnounced) -> None:
        self._by_source[event.source] = event
        if self.known.agents:
            self._some_agent.set()

    @property
    def known(self) -> Capabilities:
        """All sources together; where two name the same agent or tool, the source that sorts last."""
        announced = [self._by_source[source] for source in sorted(self._by_source)]
        return Capabilities(
            agents={agent.name: agent for event in announced for agent in event.agents},
            tools={tool.name: tool for event in announced for tool in event.tools},
        )

    async def some(self) -> Capabilities:
        """What is known; waits until some executor has announced an agent, for without one no plan can be run."""
        await self._some_agent.wait()
        return self.known

    async def missing(self) -> str | None:
        """Why the planner is not ready, if it is not."""
        return None if self._some_agent.is_set() else "no executor has announced its agents yet"
