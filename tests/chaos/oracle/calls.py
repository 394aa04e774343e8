"""I2, I3, I7: what is done is not done again, and what is cancelled does nothing more."""

import json
from collections import defaultdict
from collections.abc import Iterator
from uuid import UUID

from clew.contracts.conversation import ApprovalDecided
from clew.contracts.execution import ApprovalRequested, CallCompleted, CallStarted, RunCancelled
from clew.ops.verify.calls import a_cancelled_run_writes_nothing
from clew.ops.verify.facts import Logged
from clew.ops.verify.violation import Violation, lines
from tests.chaos.facts import Facts
from tests.chaos.oracle.clock import CLOCK
from tests.chaos.script import CALL_TOKEN, Asked
from tests.support.outside import Entry


def no_finished_call_is_made_again(facts: Facts) -> Iterator[Violation]:
    """I2: no tool's body begins and no model is asked after the call's completion was valid in the log."""
    began: dict[str, list[Entry]] = defaultdict(list)
    for entry in facts.ledger:
        if entry.mark == "begun":
            began[entry.token].append(entry)
    for token, completed in _completed_tools(facts).items():
        again = [entry for entry in began[token] if entry.at > completed.at + CLOCK]
        if again:
            yield Violation("I2", f"{token} was finished and made again", [str(completed), *lines(began[token])])
    yield from _asked_after_the_answer(facts)


def _asked_after_the_answer(facts: Facts) -> Iterator[Violation]:
    """A process may be frozen between the start of a request, which is in its journal, and its sending: what nobody
    can prevent, as the model knows of no owners. So there may be as many requests as were begun before the answer."""
    asked: dict[tuple[str, str, int], list[Asked]] = defaultdict(list)
    for request in facts.asked:
        asked[request.token, request.step_id, request.round].append(request)
    starts: dict[UUID, list[float]] = defaultdict(list)
    for logged in facts.log:
        if isinstance(logged.event, CallStarted):
            starts[logged.event.call_id].append(logged.event.occurred_at.timestamp())
    for place, answer in _completed_requests(facts).items():
        assert isinstance(answer.event, CallCompleted)
        late = [request for request in asked[place] if request.at > answer.at + CLOCK]
        begun = sum(at <= answer.at + CLOCK for at in starts[answer.event.call_id])
        if late and len(asked[place]) > begun:
            yield Violation("I2", f"the model had answered and was asked again: {late}", [str(answer)])


def no_effect_is_repeated(facts: Facts) -> Iterator[Violation]:
    """I3: an `idempotent` call has one key and its effect happens once; an `ask` call's body runs once, and once more
    for each time that a person said so."""
    keys: dict[str, set[str]] = defaultdict(set)
    tokens: dict[str, set[str]] = defaultdict(set)
    for effect in facts.effects:
        if effect.kind == "keyed":
            keys[effect.token].add(effect.key)
            tokens[effect.key].add(effect.token)
    for token, used in keys.items():
        if len(used) > 1:
            yield Violation("I3", f"{token} took effect {len(used)} times, under different keys", sorted(used))
    for key, named in tokens.items():
        if len(named) > 1:
            yield Violation("I3", f"{len(named)} calls share the key {key}", sorted(named))
    yield from _asked_too_often(facts)


def a_cancelled_run_is_still(facts: Facts) -> Iterator[Violation]:
    """I7: nothing of a cancelled run is written, begun or asked for behind its final event. A request that its step had
    begun before it, and sent when its process woke up, is no breach (`_asked_after_the_answer` says why)."""
    yield from a_cancelled_run_writes_nothing(facts)
    begun: dict[tuple[UUID, str], list[float]] = defaultdict(list)
    for logged in facts.log:
        if isinstance(logged.event, CallStarted) and logged.event.kind == "model":
            begun[logged.event.run_id, logged.event.step_id].append(logged.event.occurred_at.timestamp())
    for run_id in facts.by_run:
        final = facts.final(run_id)
        if final is None or not isinstance(final.event, RunCancelled):
            continue
        token, end = facts.token_of.get(run_id), final.at + CLOCK
        asked: dict[str, list[Asked]] = defaultdict(list)
        for request in facts.asked:
            if request.token == token:
                asked[request.step_id].append(request)
        late: list[object] = [e for e in facts.ledger if e.mark == "begun" and _run(e.token) == token and e.at > end]
        for step_id, requests in asked.items():
            if len(requests) > sum(at <= end for at in begun[run_id, step_id]):
                late += (request for request in requests if request.at > end)
        if late:
            yield Violation("I7", f"run {run_id} was cancelled and began something", [str(final), *lines(late)])


def _run(token: str) -> str:
    return token.partition("/")[0]


def _completed_tools(facts: Facts) -> dict[str, Logged]:
    """The completion of each tool call, by the token that its result holds, however a journal wraps results."""
    found: dict[str, Logged] = {}
    for logged in _completions(facts):
        event = logged.event
        assert isinstance(event, CallCompleted)
        if event.kind == "tool":
            named = CALL_TOKEN.search(json.dumps(event.result))
            assert named, f"the oracle is blind: it cannot tell which call this completes: {event}"
            found.setdefault(named[0], logged)
    return found


def _completed_requests(facts: Facts) -> dict[tuple[str, str, int], Logged]:
    """The n-th answer of the model in each step of each run: requests of one step follow one another."""
    counts: dict[tuple[UUID, str], int] = defaultdict(int)
    found: dict[tuple[str, str, int], Logged] = {}
    for logged in _completions(facts):
        event = logged.event
        assert isinstance(event, CallCompleted)
        if event.kind == "model" and event.run_id in facts.token_of:
            number = counts[event.run_id, event.step_id]
            counts[event.run_id, event.step_id] += 1
            found[facts.token_of[event.run_id], event.step_id, number] = logged
    return found


def _completions(facts: Facts) -> Iterator[Logged]:
    return (logged for logged in facts.log if logged.counts and isinstance(logged.event, CallCompleted))


def _asked_too_often(facts: Facts) -> Iterator[Violation]:
    orders = _orders(facts)
    began: dict[str, list[Entry]] = defaultdict(list)
    for entry in facts.ledger:
        if entry.mark == "begun" and entry.tool in ("post", "sign"):
            began[entry.token].append(entry)
    for token, entries in began.items():
        if len(entries) > 1 + orders[token]:
            said = f"{token} was executed {len(entries)} times, of which a person ordered {orders[token]} again"
            yield Violation("I3", said, lines(entries))


def _orders(facts: Facts) -> dict[str, int]:
    """How often a person who was asked about a call in doubt said: do it again."""
    names: dict[UUID, str] = {}
    in_doubt: set[UUID] = set()
    orders: dict[str, int] = defaultdict(int)
    for logged in facts.log:
        match logged.event:
            case CallStarted(call_id=call_id, request={"token": str(token)}) if logged.counts:
                names[call_id] = token
            case ApprovalRequested(call_id=call_id, about="in_doubt") if logged.counts:
                in_doubt.add(call_id)
            case _:
                pass
    for logged in facts.log:
        event = logged.event
        if isinstance(event, ApprovalDecided) and logged.counts and event.call_id in in_doubt & set(names):
            orders[names[event.call_id]] += event.decision in ("approve", "edit")
    return orders
