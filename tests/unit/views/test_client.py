"""What clients see of the log's events."""

from datetime import UTC, datetime
from uuid import UUID

from clew.contracts.conversation import TextPart, UserMessageReceived
from clew.contracts.envelope import Event, RunEvent, derive, root_stamp
from clew.contracts.execution import RunCompleted, TokenDelta
from clew.contracts.registry import EVENTS
from clew.contracts.usage import Usage
from clew.views.client import CLIENT_TYPES, ClientEvent, client_event, client_token
from clew.views.cursor import Cursor

RUN = UUID("00000000-0000-4000-8000-000000000001")
THREAD = UUID("00000000-0000-4000-8000-000000000002")
AT = datetime(2026, 11, 21, tzinfo=UTC)


def test_every_numbered_event_and_every_token_event_has_a_type_for_clients() -> None:
    numbered = {event for event in EVENTS if issubclass(event, RunEvent)}
    tokens: set[type[Event]] = {event for event in EVENTS if event.__name__.startswith("Token")}
    assert set(CLIENT_TYPES) == numbered | tokens


def test_a_message_is_shown_without_what_only_services_need() -> None:
    event = UserMessageReceived(
        **root_stamp(derive(RUN, "m"), "t1", AT),
        thread_id=THREAD,
        run_id=RUN,
        seq=0,
        message_id=RUN,
        content=(TextPart(text="hello"),),
        sent_by="ada",
        request_hash="abc",
    )
    shown = client_event(event)
    assert (shown.cursor, shown.type, shown.seq, shown.final) == (f"{RUN}:0", "message.received", 0, False)
    assert shown.data == {
        "message_id": str(RUN),
        "content": [{"type": "text", "text": "hello"}],
        "sent_by": "ada",
        "on_busy": "enqueue",
        "parent_run_id": None,
        "model": None,
        "parent_call": None,
        "budget": None,
        "sibling_of": None,
        "untrusted": False,
    }


def test_the_end_of_a_run_is_final_and_survives_json() -> None:
    event = RunCompleted(
        **root_stamp(derive(RUN, 9), "t1", AT),
        thread_id=THREAD,
        run_id=RUN,
        seq=9,
        output="42",
        usage=Usage(requests=1),
    )
    shown = client_event(event)
    assert shown.final
    assert ClientEvent.model_validate_json(shown.model_dump_json()) == shown


def test_a_token_is_shown_at_its_place_in_the_stream() -> None:
    event = TokenDelta(
        **root_stamp(derive(RUN, "d"), "t1", AT),
        thread_id=THREAD,
        run_id=RUN,
        call_id=RUN,
        step_id="answer",
        attempt=1,
        index=0,
        start=0,
        text="Hel",
    )
    shown = client_token(event, Cursor(RUN, 4, 2))
    assert (shown.cursor, shown.type, shown.seq) == (f"{RUN}:4.2", "token.delta", 4)
    assert shown.data == {"call_id": str(RUN), "step_id": "answer", "attempt": 1, "index": 0, "start": 0, "text": "Hel"}
