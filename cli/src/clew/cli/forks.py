"""`clew run fork`: a new run that goes on from a recorded moment of another one."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

import click

from clew.cli.context import Cli, as_json, pass_cli
from clew.cli.gateway import new_key
from clew.cli.send import message_text, show_accepted
from clew.cli.wire import Json

MODES = ("live", "recorded", "stub")
HELP = """Fork a run: a new run that shares its past up to an event and goes on from there.

What it shares is answered from the record and costs nothing. Tools with effects are muted: they are answered as
recorded where name and arguments match (`--tools recorded`, the default) or with a note that nothing was done, unless
--allow-effects names them. With --message it is a message that follows the run, planned anew.

\b
Examples:
  clew run fork "$RUN" --at 14 --model anthropic:claude-opus-4-7
  clew run fork "$RUN" --at 14 --instructions shorter.md --tools stub --wait
  clew run fork "$RUN" --at 14 --tool-result "$CALL=result.json" --dry-run
"""


@dataclass(frozen=True)
class Shared:
    """What a fork does not pay for: calls that were over by then, and those that it makes anew."""

    models: int
    tools: int
    left_open: int

    def less(self, other: "Shared") -> "Shared":
        """What one has beyond the other."""
        return Shared(max(self.models - other.models, 0), max(self.tools - other.tools, 0), self.left_open)

    def __str__(self) -> str:
        open_calls = f"; {self.left_open} begun and not finished by then count as not made" if self.left_open else ""
        return f"{_many(self.models, 'model request')} and {_many(self.tools, 'tool call')} are reused{open_calls}"


NOTHING = Shared(0, 0, 0)


def _tool_results(context: click.Context, option: click.Parameter, values: Sequence[str]) -> Json:
    """The results by call id. What is JSON in the file is that, all else is text."""
    results: Json = {}
    for value in values:
        call_id, separator, path = value.partition("=")
        try:
            key = str(UUID(call_id))
            text = Path(path).read_text()
        except (OSError, ValueError) as error:
            raise click.BadParameter(f"{value!r} is not CALL=FILE: {error}") from None
        if not separator:
            raise click.BadParameter(f"{value!r} is not CALL=FILE")
        results[key] = _value(text)
    return results


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _text_of_file(context: click.Context, option: click.Parameter, value: Path | None) -> str | None:
    if value is None:
        return None
    try:
        return value.read_text()
    except (OSError, UnicodeError) as error:
        raise click.BadParameter(f"{value} cannot be read: {error}") from None


@click.command("fork", help=HELP)
@click.argument("run_id", type=click.UUID, metavar="RUN")
@click.option("--at", "after_seq", type=click.IntRange(min=1), required=True, help="The last event that is shared.")
@click.option("--model", help="Another model from there on.")
@click.option("--message", help="Say this after the run instead.")
@click.option(
    "--instructions",
    type=click.Path(path_type=Path),
    callback=_text_of_file,
    metavar="FILE",
    help="Instead of those of each agent.",
)
@click.option(
    "--tool-result",
    "tool_results",
    multiple=True,
    callback=_tool_results,
    metavar="CALL=FILE",
    help="What this call is to have returned: JSON, or text.",
)
@click.option("--tools", type=click.Choice(MODES), help="What tools with effects are answered with.")
@click.option("--allow-effects", multiple=True, metavar="TOOL", help="A tool that is called all the same.")
@click.option("--dry-run", is_flag=True, help="Only say what would be reused.")
@click.option("--wait", is_flag=True, help="Wait for the answer and print it.")
@as_json
@pass_cli
def fork(
    cli: Cli,
    run_id: UUID,
    after_seq: int,
    message: str | None,
    dry_run: bool,
    wait: bool,
    as_json: bool,
    **changes: object,
) -> None:
    body: Json = {"after_seq": after_seq} | {name: value for name, value in changes.items() if value}
    if message is not None:
        body["message"] = message_text(message)
    told = _announce(cli, str(run_id), body)
    if dry_run:
        if as_json:
            cli.out.json(told)
        return
    accepted = cli.client.fork(str(run_id), body, new_key())
    follow_up = f"see what comes of it with: clew events --follow {accepted.run_id}"
    show_accepted(cli, accepted, follow_up, wait=wait, as_json=as_json)


def _announce(cli: Cli, run_id: str, body: Json) -> Json:
    """Says what is reused and what is not, before anything is begun; the numbers, for programs."""
    if "message" in body:
        cli.err.note("0 recorded calls are reused: a message that follows the run is planned anew, and its tools run")
        return {"reused": asdict(NOTHING), "made_from_there": None}
    before, whole = shared(cli.client.calls(run_id, body["after_seq"])), shared(cli.client.calls(run_id))
    cli.err.note(f"{before}; what follows is live: {behind(before, whole)}")
    allowed = ", ".join(body.get("allow_effects", ()))
    how = "answered as recorded" if body.get("tools", "recorded") == "recorded" else "not called"
    but = f", but these run: {allowed}" if allowed else ""
    cli.err.note(f"tools with effects are muted ({how}){but}")
    return {"reused": asdict(before), "made_from_there": asdict(whole.less(before))}


def shared(calls: Sequence[Json]) -> Shared:
    """What a fork reuses of the calls that were known at its moment."""
    over = [call["kind"] for call in calls if is_over(call)]
    return Shared(over.count("model"), over.count("tool"), len(calls) - len(over))


def behind(before: Shared, whole: Shared) -> str:
    """What the run itself did after the moment: the best that anybody can say of what is to come."""
    after = whole.less(before)
    made = f"{_many(after.models, 'model request', '')} and {_many(after.tools, 'tool call', '')}"
    return f"the run itself made {made} from there, and this one may make others"


def is_over(call: Json) -> bool:
    return call["status"] == "completed" or (call["status"] == "failed" and call["kind"] == "tool")


def _many(number: int, what: str, kind: str = "recorded ") -> str:
    return f"{number} {kind}{what}{'' if number == 1 else 's'}"
