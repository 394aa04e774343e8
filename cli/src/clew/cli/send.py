"""`clew send`: one message, and with `--wait` its answer."""

import sys
from uuid import UUID

import click

from clew.cli.context import Cli, as_json, ascii_only, pass_cli, text_of
from clew.cli.errors import NotCompleted
from clew.cli.follow import follow
from clew.cli.gateway import new_key
from clew.cli.lines import Line
from clew.cli.transcript import Transcript
from clew.cli.wire import Accepted

EXAMPLES = """Say something, in a new thread unless one is given. TEXT `-` reads it from stdin.

\b
Examples:
  clew send --wait "what is 17% of 2,340?"
  clew send --thread "$THREAD" --wait "and in London?"
  git diff | clew send --wait -
  clew send --json "Find flights to London" | jq -r .run_id

Without --wait it prints the run's id as soon as the message is in the log. With --wait the answer goes to stdout and,
on a terminal, what happens on the way to stderr; with --json it is the whole run.
"""


@click.command(help=EXAMPLES)
@click.argument("text")
@click.option("--thread", "thread_id", type=click.UUID, metavar="ID", help="Say it in this thread.")
@click.option("--wait", is_flag=True, help="Wait for the answer and print it.")
@click.option("--model", help="A model other than the platform's default.")
@click.option("--key", callback=ascii_only, help="Idempotency-Key; sending again under the same key changes nothing.")
@as_json
@pass_cli
def send(
    cli: Cli, text: str, thread_id: UUID | None, wait: bool, model: str | None, key: str | None, as_json: bool
) -> None:
    accepted = cli.client.send(message_text(text), text_of(thread_id), key or new_key(), model)
    follow_up = f"thread {accepted.thread_id}; see the answer with: clew events --follow {accepted.run_id}"
    show_accepted(cli, accepted, follow_up, wait=wait, as_json=as_json)


def message_text(text: str) -> str:
    """The text as given, or all of stdin for `-`. UsageError for nothing, and for what is no UTF-8."""
    try:
        content = sys.stdin.buffer.read().decode() if text == "-" else text
        content.encode()
    except UnicodeError:
        raise click.UsageError("the text is not valid UTF-8") from None
    if not content.strip():
        raise click.UsageError("there is no text to send")
    return content


def show_accepted(cli: Cli, accepted: Accepted, follow_up: str, *, wait: bool, as_json: bool) -> None:
    """Prints what a message began: the answer, if it is waited for, else the run's id and how to go on."""
    if wait:
        _wait_for_answer(cli, accepted, as_json)
    elif as_json:
        cli.out.json(accepted.json)
    else:
        cli.out.text(accepted.run_id)
        cli.err.note(follow_up)


def _wait_for_answer(cli: Cli, accepted: Accepted, as_json: bool) -> None:
    """Prints the answer once it is there. NotCompleted when there will be none."""
    transcript = Transcript()
    try:
        for event in follow(cli.gateway, accepted.run_id, accepted.cursor, cli.err.note):
            for piece in transcript.feed(event):
                if cli.err.fancy and isinstance(piece, Line):
                    cli.err.line(piece)
            if event.needs_person:
                break
    except KeyboardInterrupt:
        cli.err.note(f"the run goes on; see it with: clew events --follow {accepted.run_id}")
        raise
    run = cli.client.run(accepted.run_id)
    if as_json:
        cli.out.json(run.json)
    elif run.output is not None:
        cli.out.text(run.output)
    if run.status != "completed":
        detail = f": {run.error}" if run.error else ""
        raise NotCompleted(f"run {run.id} is {run.status}{detail}")
