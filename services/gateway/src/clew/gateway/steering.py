"""What a caller may say to a run: decisions about its calls, words for it, to go on, to fork, to answer again.

Like `commands`, for every transport. What is checked here spares a client from waiting in vain; what counts is decided
where the log is read: of two decisions the first one there, of a word that comes too late its own run.
"""

from typing import Literal
from uuid import UUID

from clew.contracts.conversation import (
    ApprovalDecided,
    RunForkRequested,
    RunResumeRequested,
    UserMessageReceived,
)
from clew.contracts.envelope import Position, RunScoped
from clew.contracts.execution import ApprovalRequested, CallEvent
from clew.contracts.topics import topic_of
from clew.gateway.arguments import check_arguments
from clew.gateway.commands import SAME_KEY, Asked, accepted_message, append, ids_of, known_run, message_received, stamp
from clew.gateway.content import message_parts
from clew.gateway.deps import Deps
from clew.gateway.errors import Conflict, Invalid, NotFound, Unavailable
from clew.gateway.reading import find_run, look_up
from clew.gateway.schemas import MessageAccepted
from clew.gateway.steering_schemas import (
    ApprovalAccepted,
    ApprovalCreate,
    ForkAccepted,
    ForkCreate,
    RegenerateCreate,
    SignalAccepted,
    SteerAccepted,
    SteerCreate,
)
from clew.views.approvals import SETTLING, Approval, asked
from clew.views.cursor import Cursor
from clew.views.models import Run

FOR_OPERATORS = ("diverged", "journal", "operator")  # suspensions that end when an operator says so
QUESTIONS = topic_of(ApprovalRequested).name  # where runs ask what a person is to decide
DELEGATE = "delegate"  # no tool that is announced, and yet a call with effects: a step that begins a run of its own
OF_A_FORK = ("instructions", "tool_results", "tools", "allow_effects")  # what a message has no use for


async def decide(
    deps: Deps, ask: Asked, run_id: UUID, call_id: UUID, body: ApprovalCreate
) -> tuple[ApprovalAccepted, Position]:
    """Answers what a run asks about a call. Conflict when it is decided, NotFound when nothing was asked."""
    _check_parts(body)
    run = await find_run(deps, ask.caller, run_id)
    event = ApprovalDecided(
        **stamp(deps, ask, "decision"),
        thread_id=run.thread_id,
        run_id=run_id,
        call_id=call_id,
        decision=body.decision,
        arguments=body.arguments,
        result=body.result,
        note=body.note,
        decided_by=ask.caller.subject,
    )
    if not await _said_before(deps, ask, event):
        await _check_decision(deps, ask, run, call_id, body)
    position = await append(deps, ask, [event], event.event_id, {"run_id": str(run_id), "call_id": str(call_id)})
    return ApprovalAccepted(run_id=run_id, thread_id=run.thread_id, call_id=call_id), position


async def steer(deps: Deps, ask: Asked, run_id: UUID, body: SteerCreate) -> tuple[SteerAccepted, Position]:
    """A message for a run that is under way. Conflict when it has ended. Nothing is lost: see the planner's `Steer`."""
    run = await find_run(deps, ask.caller, run_id)
    content = message_parts(body.content)
    event = message_received(deps, ask, run.thread_id, content, on_busy="steer", parent_run_id=run_id)
    if await known_run(deps, ask, event.run_id) is None and deps.recent.get(event.run_id) is None:
        _check_open(run)
    position = await append(deps, ask, [event], event.run_id, ids_of(event) | {"run_id": str(run_id)})
    deps.news.tell(ask.caller, run.thread_id, event.run_id)
    accepted = SteerAccepted(
        run_id=run_id, thread_id=run.thread_id, message_id=event.message_id, message_run_id=event.run_id
    )
    return accepted, position


async def resume(deps: Deps, ask: Asked, run_id: UUID) -> tuple[SignalAccepted, Position]:
    """Lets a run go on whose code or journal was put right: operators know. Conflict when it is not suspended for
    that, Forbidden for others."""
    ask.caller.check("operator")
    run = await find_run(deps, ask.caller, run_id)
    event = RunResumeRequested(
        **stamp(deps, ask, "resume"), thread_id=run.thread_id, run_id=run_id, requested_by=ask.caller.subject
    )
    if not await _said_before(deps, ask, event):
        _check_open(run)
        if run.suspension is None:
            raise Conflict(f"The run is not suspended: it is {run.status}.")
        if run.suspension.reason not in FOR_OPERATORS:
            raise Conflict(f"The run waits for something else: {run.suspension.reason}.")
    position = await append(deps, ask, [event], event.event_id, {"run_id": str(run_id)})
    return SignalAccepted(run_id=run_id, thread_id=run.thread_id), position


async def regenerate(deps: Deps, ask: Asked, run_id: UUID, body: RegenerateCreate) -> tuple[MessageAccepted, Position]:
    """The same message again, in a run beside the one it began. Of a fork it is the message of the run it came from."""
    run = await find_run(deps, ask.caller, run_id)
    while run.forked_from is not None:
        run = await find_run(deps, ask.caller, run.forked_from)
    first = await deps.views.tenant(ask.caller.tenant_id).run_events(run.id, upto=0)
    if not first or not isinstance(message := first[0], UserMessageReceived):
        raise Unavailable("The views do not have the message of the run yet; try again.")
    again = message_received(
        deps,
        ask,
        run.thread_id,
        message.content,
        model=body.model or message.model,
        untrusted=message.untrusted,
        sibling_of=run.id,
    )
    return await _begin(deps, ask, again)


async def fork(deps: Deps, ask: Asked, run_id: UUID, body: ForkCreate) -> tuple[ForkAccepted, Position]:
    """A new run from a recorded moment of this one, or a message that follows it."""
    run = await find_run(deps, ask.caller, run_id)
    if body.message is not None:
        return await _fork_with_message(deps, ask, run, body)
    event = RunForkRequested(
        **stamp(deps, ask, "fork"),
        thread_id=run.thread_id,
        run_id=ask.id("run"),
        forked_from=run_id,
        after_seq=body.after_seq,
        model=body.model,
        instructions=body.instructions,
        tool_results=body.tool_results,
        tools=body.tools,
        allow_effects=body.allow_effects,
        requested_by=ask.caller.subject,
    )
    if not await _said_before(deps, ask, event):
        await _check_fork(deps, ask, run, body)
    ids = {"run_id": str(event.run_id), "thread_id": str(run.thread_id)}
    position = await append(deps, ask, [event], event.run_id, ids)
    deps.news.tell(ask.caller, run.thread_id, event.run_id)
    cursor = str(Cursor(event.run_id, 1))  # a fork shares message and plan, and its own events begin behind them
    accepted = ForkAccepted(run_id=event.run_id, thread_id=run.thread_id, message_id=None, cursor=cursor)
    return accepted, position


async def _fork_with_message(deps: Deps, ask: Asked, run: Run, body: ForkCreate) -> tuple[ForkAccepted, Position]:
    for field in OF_A_FORK:
        if field in body.model_fields_set:
            raise Invalid.field(f"#/{field}", "a message begins a run that is planned anew; leave it out")
    _check_there(run, body.after_seq)
    content = message_parts(body.message or ())
    event = message_received(deps, ask, run.thread_id, content, model=body.model, parent_run_id=run.id)
    accepted, position = await _begin(deps, ask, event)
    return ForkAccepted.model_validate(accepted.model_dump()), position


async def _begin(deps: Deps, ask: Asked, event: UserMessageReceived) -> tuple[MessageAccepted, Position]:
    await known_run(deps, ask, event.run_id)
    position = await append(deps, ask, [event], event.run_id, ids_of(event))
    deps.news.tell(ask.caller, event.thread_id, event.run_id)
    return accepted_message(event), position


async def _said_before(deps: Deps, ask: Asked, event: RunScoped) -> bool:
    """Whether an earlier request under the same key said the same. Conflict when it said something else."""
    if not ask.repeatable:
        return False
    made = event.run_id if isinstance(event, RunForkRequested) else event.event_id
    if deps.recent.get(made) is not None:
        return True  # `append` compares what was asked
    signals = await deps.views.tenant(ask.caller.tenant_id).signals(event.run_id)
    before = next((signal for signal in signals if signal.event_id == event.event_id), None)
    if before is not None and before.model_copy(update={"occurred_at": event.occurred_at}) != event:
        raise Conflict(SAME_KEY)
    return before is not None


def _check_open(run: Run) -> None:
    if run.ended:
        raise Conflict(f"The run has ended: it is {run.status}.")


def _check_parts(body: ApprovalCreate) -> None:
    """Each decision brings its own part, and no other one's."""
    given = body.model_fields_set
    if body.decision == "edit" and body.arguments is None:
        raise Invalid.field("#/arguments", "an edit needs the arguments that the call is to be made with")
    if body.decision == "done" and "result" not in given:
        raise Invalid.field("#/result", "what was done by hand needs its result; it may be null")
    parts: dict[str, Literal["edit", "done"]] = {"arguments": "edit", "result": "done"}
    for field, decision in parts.items():
        if field in given and body.decision != decision:
            raise Invalid.field(f"#/{field}", f"only the decision {decision!r} brings it")


async def _check_decision(deps: Deps, ask: Asked, run: Run, call_id: UUID, body: ApprovalCreate) -> None:
    _check_open(run)
    views = deps.views.tenant(ask.caller.tenant_id)

    async def waiting() -> Approval | None:
        approvals = {approval.call_id: approval for approval in await views.approvals(run.id)}
        return approvals.get(call_id)

    missing = f"The run asks for no decision about a call {call_id}."
    try:
        approval = await look_up(deps, call_id, waiting, QUESTIONS, missing)
    except NotFound:  # only here do the views know all that the run asked: a call may be asked about a second time
        if call_id in asked(await views.run_events(run.id, kinds=SETTLING)).ever:
            raise Conflict("It is decided already.") from None
        raise
    if body.decision == "edit":
        await _check_edit(deps, ask, approval, body)


async def _check_edit(deps: Deps, ask: Asked, approval: Approval, body: ApprovalCreate) -> None:
    if approval.about == "in_doubt":
        raise Invalid.field("#/decision", "the call may have been made as it was: approve, deny, or done")
    tools = (await deps.views.tenant(ask.caller.tenant_id).capabilities()).tools
    tool = next((tool for tool in tools if tool.name == approval.tool), None)
    if tool is not None and body.arguments is not None:
        check_arguments(tool, body.arguments)


def _check_there(run: Run, after_seq: int) -> None:
    """Invalid for an event that an ended run will never have; Conflict for one that a run does not have yet."""
    if after_seq <= run.last_seq:
        return
    if run.ended:
        raise Invalid.field("#/after_seq", f"the last event of the run is {run.last_seq}")
    raise Conflict(f"The run has no event {after_seq} yet: its last one so far is {run.last_seq}.")


async def _check_fork(deps: Deps, ask: Asked, run: Run, body: ForkCreate) -> None:
    _check_there(run, body.after_seq)
    if body.after_seq < 1:
        raise Invalid.field("#/after_seq", "there is no plan to go on from before event 1")
    views = deps.views.tenant(ask.caller.tenant_id)
    if run.plan is None and run.forked_from is None:
        raise Conflict("The run has no plan that a fork could go on with.")
    if body.tool_results:
        made = [event for event in await views.recorded(run.id) if isinstance(event, CallEvent)]
        calls = {str(event.call_id) for event in made if event.kind == "tool"}
        for call_id in body.tool_results:
            if call_id not in calls:
                raise Invalid.field(f"#/tool_results/{call_id}", "the run has no such tool call")
    known = {tool.name for tool in (await views.capabilities()).tools} if body.allow_effects else set[str]()
    known.add(DELEGATE)
    for index, name in enumerate(body.allow_effects):
        if name not in known:
            raise Invalid.field(f"#/allow_effects/{index}", f"no executor offers a tool {name!r}")
