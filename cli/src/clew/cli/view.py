"""`clew run view`, `clew run why` and `clew thread view`: recorded moments, shown. Nothing runs."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import click
from rich.text import Text
from rich.tree import Tree

from clew.cli import causes, moment, raw, spans
from clew.cli.context import Cli, as_json, pass_cli
from clew.cli.errors import NoMoment, Refused, Unknown
from clew.cli.imported import Moments
from clew.cli.safe import clean, fold
from clew.cli.wire import Json, Run

ANSWER = 60  # characters of an answer in a tree
T = TypeVar("T")

VIEW_HELP = """Show what was known of a run at one of its moments: nothing runs, no recorded call is made again.

Without --at that is now. A moment is the number of an event (see `clew events RUN`), or a time such as
2026-03-02T09:30:00Z. Each call has the number of its first event; long arguments and results are folded. With --raw
each event is printed as it is, with topic, partition and offset; what does not count has `void`, which says why.

\b
Examples:
  clew run view "$RUN"
  clew run view "$RUN" --at 12 --full
  clew run view "$RUN" --timeline
  clew run view "$RUN" --raw | jq -r '[.topic, .partition, .offset, .type] | @tsv'
  clew run view "$RUN" --json | jq .usage
"""
WHY_HELP = """Walk from a call back to the message: who asked for it, on what grounds.

CALL is a call's id or the begin of it, its key, or the number of its first event as `clew run view` prints it.

\b
Examples:
  clew run why "$RUN" '#12'
  clew run why "$RUN" 0198c0de
"""
THREAD_HELP = """Draw the tree of a thread's runs: which message answers which, and what was forked from what.

\b
Examples:
  clew thread view "$THREAD"
  clew thread view "$THREAD" --json | jq -r .id
"""


class Moment(click.ParamType["int | datetime"]):
    """The number of an event, or a time."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> "int | datetime":
        try:
            return int(value) if str(value).isdigit() else datetime.fromisoformat(value).astimezone()
        except ValueError:
            self.fail(f"{value!r} is neither an event's number nor a time like 2026-03-02T09:30:00Z", param, ctx)


@click.command("view", help=VIEW_HELP)
@click.argument("run_id", type=click.UUID, metavar="RUN")
@click.option("--at", type=Moment(), metavar="SEQ|TIME", help="The moment: an event's number, or a time.")
@click.option("--timeline", "timeline", is_flag=True, help="Draw spans and waits.")
@click.option("--full", is_flag=True, help="Fold nothing; and the messages that the models saw.")
@click.option(
    "--raw",
    "as_raw",
    is_flag=True,
    help="Print the events, each with its place in the log, and what does not count.",
)
@as_json
@pass_cli
def view(
    cli: Cli, run_id: UUID, at: int | datetime | None, timeline: bool, full: bool, as_raw: bool, as_json: bool
) -> None:
    name = str(run_id)
    told = cli.looking(name)
    seq = found(lambda: _seq(told, name, at), f"there is no run {name}")
    if timeline:
        return _timeline(cli, told, name, as_json)
    if as_raw:
        return raw.show(cli, told, name, seq)
    state = _state(told, name, seq, conversations=full or as_json)
    if as_json:
        return cli.out.json(state)
    for word, value in moment.header(state):
        cli.out.console.print(Text(f"{word:<8}", "dim") + Text(clean(value)), soft_wrap=True)
    cli.out.tree(moment.tree(state, full))
    for line in (*moment.approvals(state), *moment.heard(state), *(moment.conversations(state) if full else ())):
        cli.out.text(line)
    if state.get("output") is not None:
        cli.out.text("\n" + state["output"])
    void = told.void(name) if at is None else ()  # at an earlier moment nobody knew of it
    for line in (*takeovers(state), *raw.said_of_void(void, name)):
        cli.out.note(line)


def _seq(told: Moments, run_id: str, at: int | datetime | None) -> int | None:
    """The event's number. NoMoment when the run had not begun by then."""
    if not isinstance(at, datetime):
        return at
    known = [event.seq for event in told.events(run_id) if event.occurred_at <= at]
    if not known:
        raise NoMoment(f"run {run_id} had not begun at {at.isoformat()}")
    return max(known)


def takeovers(state: Json) -> Iterator[str]:
    """Who took the run up again and why, and what calls were in doubt, in order."""
    told = {one["seq"]: _resumed(one) for one in state.get("resumptions") or ()}
    told |= {seq: "a call was begun before, and nobody knew its end" for seq in state.get("doubts") or ()}
    yield from (f"#{seq} {told[seq]}" for seq in sorted(told))


def _resumed(one: Json) -> str:
    cause = {"takeover": "taken over by another executor"}.get(one["cause"], one["cause"])
    return f"resumed: {cause} (attempt {one['attempt']})"


def _state(told: Moments, run_id: str, seq: int | None, *, conversations: bool = True) -> Json:
    try:
        ask = partial(told.state, run_id, seq, conversations=conversations)
        return found(ask, f"there is no run {run_id}")
    except Refused as refused:
        if refused.problem.status == 422 and refused.problem.errors:
            raise NoMoment(f"there is no event {seq}: {refused.problem.errors[0][1]}") from refused
        raise


def _timeline(cli: Cli, told: Moments, run_id: str, as_json: bool) -> None:
    timeline = found(lambda: told.timeline(run_id), f"there is no run {run_id}")
    if as_json:
        return cli.out.json(timeline)
    columns = (cli.out.console.width,) if cli.out.fancy else ()
    for row in spans.drawn(timeline, *columns):
        cli.out.console.print(row, soft_wrap=not cli.out.fancy)


@click.command("why", help=WHY_HELP)
@click.argument("run_id", type=click.UUID, metavar="RUN")
@click.argument("call", metavar="CALL")
@as_json
@pass_cli
def why(cli: Cli, run_id: UUID, call: str, as_json: bool) -> None:
    told = cli.looking(str(run_id))
    state = _state(told, str(run_id), None)
    named = causes.find(state["calls"], call)
    if named is None:
        raise Unknown(f"run {run_id} has no call {call}; `clew run view {run_id}` lists them")
    for cause in causes.walk(state, list(told.events(str(run_id))), named):
        if as_json:
            cli.out.json(cause.json)
        else:
            number = "" if cause.seq is None else f"#{cause.seq}"
            line = Text.assemble((f"{number:>5} ", "dim"), (f"{cause.what:<8} ", "bold"), clean(cause.text))
            cli.out.console.print(line, soft_wrap=not cli.out.fancy)


@click.group()
def thread() -> None:
    """Conversations."""


@thread.command("view", help=THREAD_HELP)
@click.argument("thread_id", type=click.UUID, metavar="THREAD")
@as_json
@pass_cli
def view_thread(cli: Cli, thread_id: UUID, as_json: bool) -> None:
    name = str(thread_id)
    known = found(lambda: cli.client.thread(name), f"there is no thread {name}")
    runs = cli.client.thread_runs(name)
    if as_json:
        for run in runs:
            cli.out.json(run.json)
        return
    title = f"thread {known.id}" + (f": {clean(known.title)}" if known.title else "")
    cli.out.tree(family(title, runs, known.current_run_id))


def family(title: str, runs: Sequence[Run], current: str | None) -> Tree:
    """The runs below what they answer or were forked from; those whose place is not known at the root."""
    root = Tree(Text(title, "bold"), guide_style="dim")
    known = {run.id for run in runs}
    below: dict[str | None, list[Run]] = {}
    for run in runs:
        up = run.json.get("forked_from") or run.json.get("parent_run_id")
        below.setdefault(up if up in known else None, []).append(run)
    todo: list[tuple[Tree, Run]] = [(root, run) for run in reversed(below.get(None, []))]
    while todo:
        branch, run = todo.pop()
        node = branch.add(_line(run, run.id == current))
        todo += [(node, child) for child in reversed(below.get(run.id, []))]
    return root


def _line(run: Run, current: bool) -> Text:
    told = fold(run.output or run.error or "", ANSWER)
    marks = (" (fork)" if run.json.get("forked_from") else "") + (" ← newest" if current else "")
    colour = {"completed": "green", "failed": "red", "cancelled": "red"}.get(run.status, "yellow")
    return Text.assemble(f"{run.id} ", (run.status, colour), marks, f"  {told}")


def found(ask: Callable[[], T], missing: str) -> T:
    """The answer. Unknown, saying `missing`, where the API has none."""
    try:
        return ask()
    except Refused as refused:
        if refused.problem.status == 404:
            raise Unknown(missing) from refused
        raise
