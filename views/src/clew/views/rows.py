"""From rows of the views to models. No queries and no decisions."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from itertools import zip_longest
from typing import Final, Literal, TypedDict
from uuid import UUID

from pydantic import JsonValue, TypeAdapter
from pydantic_core import from_json, to_json

from clew.contracts.conversation import UserMessageReceived
from clew.contracts.envelope import Event, derive
from clew.contracts.execution import AgentSpec, ToolSpec
from clew.contracts.planning import Plan
from clew.contracts.registry import BY_NAME
from clew.contracts.usage import Usage
from clew.views.database import Row
from clew.views.models import Capabilities, Document, Message, OpenRun, Passage, Run, RunFailure, Suspension, Thread

_MESSAGES: Final = TypeAdapter(list[Message])


def thread_of(row: Row) -> Thread:
    return Thread.model_validate({**row, "id": row["thread_id"]})


def run_of(row: Row) -> Run:
    cost: Decimal | None = row["cost_usd"]
    usage = Usage(
        requests=row["requests"],
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        cost_usd=None if cost is None else float(cost),
    )
    error = None if row["failure"] is None else RunFailure(reason=row["failure"], detail=row["error"])
    plan = None if row["plan"] is None else Plan.model_validate_json(row["plan"], extra="ignore")
    shaped = {"id": row["run_id"], "usage": usage, "cost": usage.cost_usd, "error": error, "plan": plan}
    return Run.model_validate({**row, **shaped, "suspension": suspension_of(row)})


def suspension_of(row: Row) -> Suspension | None:
    said = row["suspension"]
    return None if said is None else Suspension.model_validate(said)


class Said(TypedDict):
    """A `Message` before it is one: what JSON is made of in a fraction of the time."""

    message_id: UUID
    run_id: UUID
    role: Literal["user", "assistant"]
    text: str
    content: JsonValue
    revision: int
    created_at: datetime


def said_in(nodes: Sequence[Row]) -> list[Said]:
    """What was said in runs that stand one behind the other. A fork answers in place of the run before it."""
    said: list[Said] = []
    revision = 1
    for node, behind in zip_longest(nodes, nodes[1:]):
        if node["message_id"] is not None:
            revision = node["revision"]
            said.append(_question(node))
        if node["status"] == "completed" and not (behind and behind["fork"]):
            said.append(_answer(node, revision))
    return said


def messages_in(nodes: Sequence[Row]) -> list[Message]:
    return _MESSAGES.validate_json(to_json(said_in(nodes)), extra="ignore")


def _question(node: Row) -> Said:
    return {
        "message_id": node["message_id"],
        "run_id": node["run_id"],
        "role": "user",
        "text": node["text"],
        "content": from_json(node["content"]),
        "revision": node["revision"],
        "created_at": node["asked_at"],
    }


def _answer(node: Row, revision: int) -> Said:
    return {
        "message_id": derive(node["run_id"], "answer"),
        "run_id": node["run_id"],
        "role": "assistant",
        "text": node["output"],
        "content": [{"type": "text", "text": node["output"]}],
        "revision": revision,
        "created_at": node["ended_at"],
    }


def event_of(row: Row) -> Event:
    """The event of the contracts that a row keeps."""
    return BY_NAME[row["type"]].model_validate_json(row["body"], extra="ignore")


def document_of(row: Row) -> Document:
    return Document.model_validate({**row, "id": row["document_id"]})


def passage_of(row: Row) -> Passage:
    return Passage.model_validate(row)


def capabilities_of(rows: Sequence[Row]) -> Capabilities:
    """All that was announced, the oldest first; of two with one name the last."""
    agents: dict[str, AgentSpec] = {}
    tools: dict[str, ToolSpec] = {}
    for row in rows:
        offered = Capabilities.model_validate(row["body"])
        agents |= {agent.name: agent for agent in offered.agents}
        tools |= {tool.name: tool for tool in offered.tools}
    return Capabilities(agents=tuple(agents.values()), tools=tuple(tools.values()))


def open_run_of(row: Row) -> OpenRun:
    message = row["message"]
    asked = None if message is None else UserMessageReceived.model_validate_json(message, extra="ignore")
    return OpenRun.model_validate({**row, "message": asked, "suspension": suspension_of(row)})
