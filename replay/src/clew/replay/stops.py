"""Where a replay is to stop, and what is shown there: a call about to be answered, with everything at hand."""

import json
import pdb
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from pydantic import JsonValue

from clew.contracts.envelope import RunEvent
from clew.contracts.execution import CallEvent
from clew.executor.calls import Call
from clew.executor.execution import RunState
from clew.replay.errors import CannotReplay
from clew.replay.facts import RecordedCall
from clew.replay.verdict import Difference

Json: TypeAlias = dict[str, Any]  # Any: whatever JSON holds
WIDTH: Final = 400  # characters of what was asked and answered in the debugger's first words


class Stopped(Exception):
    """The replay came to where it was to stop, and goes no further."""

    def __init__(self, moment: Json) -> None:
        super().__init__("stopped")
        self.moment = moment


@dataclass(frozen=True)
class Stops:
    """`at` is a step, a tool, a call by its key or id, or `#SEQ`, the number of its first event; None: nowhere.

    `debugger`: there, and where the code diverges, Python's debugger is opened on this process's terminal; without it
    the replay ends there.
    """

    at: str | None = None
    debugger: bool = False

    def check(self, events: Sequence[RunEvent]) -> None:
        """CannotReplay when the record has nothing of that name."""
        calls = [event for event in events if isinstance(event, CallEvent)]
        names = {name for call in calls for name in _names(call.step_id, call.name, call.call_key, call.call_id)}
        if self.at is None or self.at in names | {f"#{call.seq}" for call in calls}:
            return
        some = sorted({call.step_id for call in calls} | {call.name for call in calls if call.kind == "tool"})
        raise CannotReplay(f"the run has no step, call or tool {self.at!r} to stop at; there are {', '.join(some)}")

    def reached(self, call: Call, request: JsonValue, recorded: RecordedCall, state: RunState) -> None:
        """Stops here if that was asked for: Stopped, or the debugger, until whoever sits there goes on."""
        names = _names(call.step_id, call.name, call.key, recorded.first.call_id) | {f"#{recorded.first.seq}"}
        if self.at not in names:
            return
        if not self.debugger:
            raise Stopped(_moment(call, request, recorded, state))
        _look(call, request, recorded, state)

    def diverged(self, difference: Difference, state: RunState) -> None:
        """Opens the debugger where the code left the record, below what it did there."""
        if self.debugger:
            _look_at_difference(difference, state)


def _names(step_id: str, name: str, key: str, call_id: object) -> set[str]:
    return {step_id, name, key, str(call_id)}


def _moment(call: Call, request: JsonValue, recorded: RecordedCall, state: RunState) -> Json:
    done = recorded.done
    return {
        "call": call.key,
        "seq": recorded.first.seq,
        "step": call.step_id,
        "kind": call.kind,
        "name": call.name,
        "asked": request,
        "answered": None if done is None else done.result if done.error is None else {"error": done.error},
        "steps": {step_id: step.status for step_id, step in state.steps.items()},
    }


def _look(call: Call, request: JsonValue, recorded: RecordedCall, state: RunState) -> None:
    """The frame in which the debugger stops: its arguments are the state at hand."""
    moment = _moment(call, request, recorded, state)
    _say(f"{call.kind} call {call.name} of step {call.step_id} ({call.key}, event {moment['seq']})")
    _say(f"asked:    {_short(request)}")
    _say(f"answered: {_short(moment['answered'])}")
    _say("at hand: call, request, recorded, state; `up` leads to the code that asks, `c` goes on, `q` leaves")
    _debugger().set_trace(sys._getframe())  # pyright: ignore[reportPrivateUsage]


def _look_at_difference(difference: Difference, state: RunState) -> None:
    for line in difference.lines():
        _say(line)
    _say("at hand: difference, state; `up` leads to the code that asks, `c` ends")
    _debugger().set_trace(sys._getframe())  # pyright: ignore[reportPrivateUsage]


def _debugger() -> pdb.Pdb:
    return pdb.Pdb(nosigint=True)


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= WIDTH else f"{text[:WIDTH]}…"


def _say(line: str) -> None:
    print(line, file=sys.stdout, flush=True)


NOWHERE: Final = Stops()
