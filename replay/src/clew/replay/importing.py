"""`clew run import`: recordings that others exported, kept so that commands find them by the run."""

from pathlib import Path
from typing import Final

import click

from clew.cli.context import Cli, as_json, pass_cli
from clew.replay.errors import EXIT_CODES
from clew.replay.library import Change, Library
from clew.replay.recording import read_of, text_of

WORDS: Final[dict[Change, str]] = {
    "new": "imported",
    "there": "was there already",
    "longer": "replaced: the run has come further since",
    "replaced": "replaced",
}
HELP = f"""Import recordings. The commands events, view, why, diff, replay, export and to-test find them by their run.

They are kept in a folder of this machine, CLEW_RECORDINGS or ~/.local/share/clew/recordings; nothing is sent to Clew
and nothing runs. All files are checked before any is kept. Importing one again changes nothing; a recording of the same
run made later replaces the earlier one; any other one is refused.

\b
Examples:
  clew run import run.clew.jsonl && clew run replay "$RUN"
  clew run import incident/*.jsonl

{EXIT_CODES}
"""


@click.command("import", help=HELP)
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--force", is_flag=True, help="Replace another recording of the same run.")
@as_json
@pass_cli
def import_recordings(cli: Cli, files: tuple[Path, ...], force: bool, as_json: bool) -> None:
    library = Library.of()
    texts = {file: text_of(file) for file in files}
    recordings = {file: read_of(file, text) for file, text in texts.items()}
    changes: dict[Path, Change] = {file: library.change(recordings[file], texts[file], force=force) for file in files}
    for file, change in changes.items():
        recording = recordings[file]
        path = library.path(recording.run_id) if change == "there" else library.keep(recording, texts[file])
        if as_json:
            cli.out.json({"run_id": str(recording.run_id), "file": str(path), "change": change})
        else:
            cli.out.text(str(recording.run_id))
        events = f"{len(recording.events)} events"
        cli.err.note(f"{file.name}: {WORDS[change]}, {events}, nothing ran; see clew run replay {recording.run_id}")
