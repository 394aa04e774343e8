"""`clew approve` and `clew steer`, and how `clew chat` asks a person what a run wants to know."""

import json
from collections.abc import Callable
from uuid import UUID

import click

from clew.cli import lines
from clew.cli.context import Cli, as_json, pass_cli
from clew.cli.errors import Refused
from clew.cli.safe import clean
from clew.cli.send import message_text
from clew.cli.wire import Approval, Json

CHOICES = "[y]es, [n]o, [e]dit, [d]one by hand, [l]ater? "
CHOICES_IN_DOUBT = "[y]es, do it again, [n]o, give it up, [d]one, with this result, [l]ater? "
APPROVE_HELP = """Answer what a run asks about a call; without an option, approve it.

`clew run RUN` shows which calls wait, and `--json` all about them.

\b
Examples:
  clew approve "$RUN" "$CALL"
  clew approve "$RUN" "$CALL" --deny "not on a Sunday"
  clew approve "$RUN" "$CALL" --edit '{"to": "ada@example.org"}'
  clew approve "$RUN" "$CALL" --done '{"ticket": 42}'
"""
STEER_HELP = """Say something to a run under way, which hears it before its next model request.

If the run ends first, the message becomes a run of its own. TEXT `-` reads it from stdin.

\b
Examples:
  clew steer "$RUN" "in euros, please"
"""


def as_json_value(context: click.Context, parameter: click.Parameter, value: str | None) -> object:
    """The value of an option that holds JSON, in a list of one; None without the option."""
    if value is None:
        return None
    try:
        return [json.loads(value)]
    except ValueError as error:
        raise click.BadParameter(f"this is not JSON: {error}") from None


@click.command(help=APPROVE_HELP)
@click.argument("run_id", type=click.UUID, metavar="RUN")
@click.argument("call_id", type=click.UUID, metavar="CALL")
@click.option("--edit", callback=as_json_value, metavar="JSON", help="Make the call with these arguments instead.")
@click.option("--deny", metavar="NOTE", help="Do not make it; the model is told why.")
@click.option("--done", callback=as_json_value, metavar="JSON", help="It was done by hand, with this result.")
@as_json
@pass_cli
def approve(
    cli: Cli,
    run_id: UUID,
    call_id: UUID,
    edit: list[object] | None,
    deny: str | None,
    done: list[object] | None,
    as_json: bool,
) -> None:
    if sum(option is not None for option in (edit, deny, done)) > 1:
        raise click.UsageError("--edit, --deny and --done exclude each other")
    decision: Json = {"decision": "approve"}
    if edit is not None:
        decision = {"decision": "edit", "arguments": edit[0]}
    elif deny is not None:
        decision = {"decision": "deny"} | ({"note": deny} if deny.strip() else {})
    elif done is not None:
        decision = {"decision": "done", "result": done[0]}
    cli.client.decide(str(run_id), str(call_id), decision)
    if as_json:
        return cli.out.json({"run_id": str(run_id), "call_id": str(call_id), **decision})
    cli.err.note(f"recorded; see what comes of it with: clew events --follow {run_id}")


@click.command(help=STEER_HELP)
@click.argument("run_id", type=click.UUID, metavar="RUN")
@click.argument("text")
@as_json
@pass_cli
def steer(cli: Cli, run_id: UUID, text: str, as_json: bool) -> None:
    own = cli.client.steer(str(run_id), message_text(text))
    if as_json:
        return cli.out.json({"run_id": str(run_id), "message_run_id": own})
    cli.err.note(f"recorded; if the run ends before it hears it, the message is answered by run {own}")


def settle(cli: Cli, run_id: str, read: Callable[[str], str]) -> bool:
    """Asks a person about each call that waits, with `read`; whether there is an answer to each.

    What is put off or refused is told together with the command that answers it.
    """
    waiting = cli.client.run(run_id).approvals
    answered = [_ask(cli, run_id, approval, read) for approval in waiting]
    return bool(answered) and all(answered)


def _ask(cli: Cli, run_id: str, approval: Approval, read: Callable[[str], str]) -> bool:
    call = lines.call({"name": approval.tool, "request": approval.arguments})
    doubt = "it may have been done already; do it again" if approval.in_doubt else clean(approval.reason)
    cli.err.note(f"{call} waits for you: {doubt}")
    try:
        while (decision := _decision(read, in_doubt=approval.in_doubt)) is not None:
            try:
                cli.client.decide(run_id, approval.call_id, decision)
            except Refused as refused:
                cli.show_failure(refused)
                if refused.problem.status != 422:
                    return refused.problem.status == 409  # somebody else was quicker
            else:
                return True
    except (EOFError, KeyboardInterrupt):
        cli.err.note("")
    cli.err.note(f"later: clew approve {run_id} {approval.call_id}")
    return False


def _decision(read: Callable[[str], str], *, in_doubt: bool) -> Json | None:
    """What the person decides; None for later. Asks again until it can be understood."""
    while True:
        match read(CHOICES_IN_DOUBT if in_doubt else CHOICES).strip().lower()[:1]:
            case "y":
                return {"decision": "approve"}
            case "n":
                why = read("why (the model is told; may be empty): ").strip()
                return {"decision": "deny"} | ({"note": why} if why else {})
            case "e" if not in_doubt:
                return {"decision": "edit", "arguments": _json(read, "arguments, as JSON: ")}
            case "d":
                return {"decision": "done", "result": _json(read, "result, as JSON: ")}
            case "l":
                return None
            case _:
                continue


def _json(read: Callable[[str], str], prompt: str) -> object:
    while True:
        try:
            return json.loads(read(prompt))
        except ValueError:
            continue
