"""`clew chat`: a conversation in the terminal. Each line is a message; its run is shown as it happens."""

import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread, current_thread, main_thread
from types import FrameType
from uuid import UUID

import click

from clew.cli.context import PATIENT, Cli, pass_cli, text_of
from clew.cli.errors import Failure, Refused
from clew.cli.follow import follow
from clew.cli.gateway import new_key
from clew.cli.safe import clean
from clew.cli.steering import settle
from clew.cli.transcript import Answer, Transcript

PROMPT = "you> "
HISTORY_LENGTH = 1000  # lines kept
SHOWN_MESSAGES = 4  # of the conversation that is taken up again

HELP = """Talk in the terminal: plan, tool calls, progress and words as they come.

\b
Keys:
  Ctrl-C  while a run goes on: cancel it; once more: leave it alone and go back to the prompt
  Ctrl-C  at the prompt: drop the line; on an empty line once more: leave
  Ctrl-D  leave

\b
Examples:
  clew chat
  clew chat --thread 0198c0de-9a3c-7c1e-8f7e-1c8f5d1d2a10

A run that asks whether it may make a call asks you here; `clew approve` answers it from elsewhere.
If the gateway goes away, the conversation waits for it and goes on where it was. When stdin is no terminal, each of its
lines is a message.
"""


@click.command(help=HELP)
@click.option("--thread", "thread_id", type=click.UUID, metavar="ID", help="Take up this conversation again.")
@click.option("--model", help="A model other than the platform's default.")
@pass_cli
def chat(cli: Cli, thread_id: UUID | None, model: str | None) -> None:
    cli.patience = PATIENT
    conversation = Conversation(cli, text_of(thread_id), model)
    try:
        if conversation.thread_id is not None:
            conversation.take_up(conversation.thread_id)
        with History(cli):
            converse(conversation)
    finally:
        if conversation.thread_id is not None:
            cli.err.note(f"resume with: clew chat --thread {conversation.thread_id}")


class Conversation:
    """One thread, seen from the terminal."""

    def __init__(self, cli: Cli, thread_id: str | None, model: str | None) -> None:
        self._cli = cli
        self._model = model
        self.thread_id = thread_id

    def take_up(self, thread_id: str) -> None:
        """Shows the last messages, and the run that is still under way."""
        thread = self._cli.client.thread(thread_id)
        self._cli.err.note(f"thread {thread.id}" + (f": {thread.title}" if thread.title else ""))
        for message in self._cli.client.messages(thread_id, SHOWN_MESSAGES):
            if message.role == "user":
                self._cli.out.text(PROMPT + message.text)
            else:
                self._cli.out.show(Answer(message.text))
                self._cli.out.end_words()
        if thread.current_run_id is not None and not self._cli.client.run(thread.current_run_id).ended:
            self._watch(thread.current_run_id, None)

    def say(self, text: str) -> None:
        """Sends a message and shows its run to the end. A refusal is shown, and the conversation goes on."""
        try:
            accepted = self._cli.client.send(text, self.thread_id, new_key(), self._model)
        except Refused as refused:
            self._cli.show_failure(refused)
            return
        self.thread_id = accepted.thread_id
        self._watch(accepted.run_id, accepted.cursor)

    def _watch(self, run_id: str, cursor: str | None) -> None:
        """Shows the run to its end; on the way, somebody at the terminal is asked what it wants to know."""
        transcript, asks = Transcript(), True
        while asks:
            cursor, asks = self._show(run_id, cursor, transcript)
            asks = asks and sys.stdin.isatty() and settle(self._cli, run_id, input)

    def _show(self, run_id: str, cursor: str | None, transcript: Transcript) -> tuple[str | None, bool]:
        """Shows what comes behind the cursor; where it stopped, and whether it did because the run needs a person."""
        waits = False
        with self._interruptible(run_id), suppress(KeyboardInterrupt):
            for event in follow(self._cli.gateway, run_id, cursor, self._cli.err.note):
                cursor, waits = event.cursor, event.needs_person
                for piece in transcript.feed(event):
                    self._cli.out.show(piece)
                if waits:
                    break
        self._cli.out.end_words()
        return cursor, waits

    @contextmanager
    def _interruptible(self, run_id: str) -> Generator[None]:
        """The first Ctrl-C asks the run to stop, beside what is being shown; the next one is a KeyboardInterrupt.

        Not an exception at once: that could strike inside code that swallows it, and the wish would be lost. Only the
        main thread is ever interrupted.
        """
        if current_thread() is not main_thread():
            yield
            return
        before = signal.getsignal(signal.SIGINT)

        def ask_to_stop(number: int, frame: FrameType | None) -> None:
            signal.signal(signal.SIGINT, before)
            Thread(target=self._cancel, args=[run_id], daemon=True).start()

        signal.signal(signal.SIGINT, ask_to_stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _cancel(self, run_id: str) -> None:
        self._cli.err.note("cancelling; Ctrl-C once more leaves the run to itself")
        try:
            self._cli.client.cancel(run_id)
        except Failure as failure:
            ended = isinstance(failure, Refused) and failure.problem.status == 409  # which its events will tell
            if not ended:
                self._cli.show_failure(failure)


def converse(conversation: Conversation) -> None:
    """Reads lines and says them until there are no more."""
    interactive, interrupted = sys.stdin.isatty(), False
    while True:
        try:
            line = input(PROMPT) if interactive else read_line()
        except EOFError:
            if interactive:
                print(file=sys.stderr)
            return
        except KeyboardInterrupt:
            print(file=sys.stderr)
            if interrupted:
                raise
            interrupted = True
            continue
        interrupted = False
        if line.strip():
            conversation.say(clean(line))


def read_line() -> str:
    """A line of a stdin that is no terminal. EOFError at its end."""
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\r\n")


class History:
    """The lines said before, for the arrow keys; kept in a file that only its owner may read."""

    def __init__(self, cli: Cli) -> None:
        self._cli = cli
        self._path = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "clew" / "history"

    def __enter__(self) -> None:
        if not sys.stdin.isatty():
            return
        import readline  # only where somebody types: importing it changes how a terminal is read

        if self._path.exists():
            with self._told("read"):
                readline.read_history_file(self._path)

    def __exit__(self, *_: object) -> None:
        if not sys.stdin.isatty():
            return
        import readline

        readline.set_history_length(HISTORY_LENGTH)
        with self._told("written"):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch(mode=0o600)
            readline.write_history_file(self._path)

    @contextmanager
    def _told(self, done: str) -> Generator[None]:
        """A history that cannot be kept is no reason not to talk."""
        try:
            yield
        except OSError as error:
            self._cli.err.note(f"the history cannot be {done}: {error}")
