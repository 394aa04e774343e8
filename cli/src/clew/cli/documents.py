"""`clew documents`: adding files, listing and searching them."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from clew.cli.context import Cli, as_json, pass_cli
from clew.cli.errors import NotCompleted
from clew.cli.lines import Line
from clew.cli.safe import fold, one_line
from clew.cli.uploads import File, ingested, upload
from clew.cli.wire import Document

PASSAGE = 300  # characters of a passage that are shown
ADD_HELP = """Upload files and wait until they can be searched. Prints id, status, chunks and name of each.

\b
Examples:
  clew documents add handbook.md notes.txt
  clew documents add --no-wait --json *.md | jq -r .id
"""


@click.group()
def documents() -> None:
    """Files that agents can search in."""


@documents.command(help=ADD_HELP)
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(True, dir_okay=False, path_type=Path)
)
@click.option("--wait/--no-wait", default=True, help="Wait for the ingestion (default), or only for the upload.")
@click.option("--timeout", type=click.FloatRange(min=0), default=120.0, show_default=True, help="Seconds per file.")
@as_json
@pass_cli
def add(cli: Cli, files: Sequence[Path], wait: bool, timeout: float, as_json: bool) -> None:
    failed: list[str] = []
    for path in files:
        file = File.read(path)
        with bar(cli, file) as progress:
            document_id = upload(cli.client, file, progress)
        document = ingested(cli.client, document_id, timeout) if wait else cli.client.document(document_id)
        show(cli, document, as_json)
        if document.status == "failed":
            failed.append(f"{document.filename}: {document.error}")
    if failed:
        raise NotCompleted("; ".join(failed))


@documents.command(name="list")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many at most.")
@as_json
@pass_cli
def list_documents(cli: Cli, limit: int, as_json: bool) -> None:
    """List documents, the newest first: id, status, bytes, chunks, name.

    \b
    Examples:
      clew documents list
      clew documents list --json | jq -r 'select(.status == "failed") | .error'
    """
    found = cli.client.documents(limit)
    if as_json:
        for document in found:
            cli.out.json(document.json)
        return
    rows = [(d.id, d.status, str(d.size), "" if d.chunks is None else str(d.chunks), d.filename) for d in found]
    cli.out.table(("DOCUMENT", "STATUS", "BYTES", "CHUNKS", "NAME"), rows)


@documents.command()
@click.argument("query")
@click.option("--limit", type=click.IntRange(1, 50), default=5, show_default=True, help="How many passages at most.")
@as_json
@pass_cli
def search(cli: Cli, query: str, limit: int, as_json: bool) -> None:
    """Find the passages that fit QUERY best: id, name, heading, text.

    \b
    Examples:
      clew documents search "notice period"
      clew documents search --json "notice period" | jq -r .text
    """
    found = cli.client.search(query, limit)
    if as_json:
        for passage in found:
            cli.out.json(passage.json)
        return
    if not cli.out.fancy:
        cli.out.table((), [(p.document_id, p.filename, p.heading or "", fold(p.text, PASSAGE)) for p in found])
        return
    for passage in found:
        place = " · ".join(filter(None, (passage.filename, passage.heading)))
        cli.out.line(Line("▪", one_line(place), "strong"))
        cli.out.line(Line(" ", fold(passage.text, PASSAGE)))


def show(cli: Cli, document: Document, as_json: bool) -> None:
    """A document that was just added."""
    if as_json:
        cli.out.json(document.json)
        return
    chunks = "" if document.chunks is None else str(document.chunks)
    cli.out.table(("DOCUMENT", "STATUS", "CHUNKS", "NAME"), [(document.id, document.status, chunks, document.filename)])


class Advance:
    """Moves a bar on; called with the number of bytes that have arrived."""

    def __init__(self, progress: Progress, file: File) -> None:
        self._progress = progress
        self._task = progress.add_task(one_line(file.path.name), total=file.size)

    def __call__(self, size: int) -> None:
        self._progress.advance(self._task, size)


@contextmanager
def bar(cli: Cli, file: File) -> Generator[Advance]:
    """A progress bar on stderr where that is a terminal; elsewhere one line when the file is there."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    with Progress(*columns, console=cli.err.console, transient=True, disable=not cli.err.fancy) as progress:
        yield Advance(progress, file)
    if not cli.err.fancy:
        cli.err.line(Line("·", f"{one_line(file.path.name)}: {file.size} bytes uploaded", "quiet"))
