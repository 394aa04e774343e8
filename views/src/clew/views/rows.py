"""From rows of the views to models. No queries and no decisions."""

from decimal import Decimal

from clew.contracts.conversation import UserMessageReceived
from clew.contracts.envelope import Event, derive
from clew.contracts.planning import Plan
from clew.contracts.registry import BY_NAME
from clew.contracts.usage import Usage
from clew.views.database import Row
from clew.views.models import Document, Message, OpenRun, Passage, Run, RunFailure, Suspension, Thread


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


def messages_of(row: Row, revision: int) -> list[Message]:
    """What was asked in a run, and the answer if there is one."""
    asked = Message.model_validate({**row, "role": "user", "created_at": row["asked_at"], "revision": revision})
    if row["status"] != "completed":
        return [asked]
    answer = {
        "message_id": derive(row["answered_by"], "answer"),
        "run_id": row["answered_by"],
        "role": "assistant",
        "text": row["output"],
        "content": [{"type": "text", "text": row["output"]}],
        "revision": revision,
        "created_at": row["ended_at"],
    }
    return [asked, Message.model_validate(answer)]


def event_of(row: Row) -> Event:
    """The event of the contracts that a row keeps."""
    return BY_NAME[row["type"]].model_validate_json(row["body"], extra="ignore")


def document_of(row: Row) -> Document:
    return Document.model_validate({**row, "id": row["document_id"]})


def passage_of(row: Row) -> Passage:
    return Passage.model_validate(row)


def open_run_of(row: Row) -> OpenRun:
    message = row["message"]
    asked = None if message is None else UserMessageReceived.model_validate_json(message, extra="ignore")
    return OpenRun.model_validate({**row, "message": asked, "suspension": suspension_of(row)})
