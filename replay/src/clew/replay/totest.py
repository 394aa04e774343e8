"""`clew run to-test`: a pytest test that replays one run, with the recording beside it."""

from pathlib import Path
from uuid import UUID

import click

from clew.cli.context import Cli, pass_cli
from clew.replay.command import given
from clew.replay.errors import EXIT_CODES
from clew.replay.export import redacted, redacting, tenant_option
from clew.replay.recording import Recording, written
from clew.replay.redaction import Rules

HELP = f"""Write a test that replays a run, with the recording beside it: it passes while the code does the same.

Nothing runs. The names of the two files are printed, in the folder --into. The test is pytest's, and calls no model
and no tool; tools of your own are found by CLEW_TOOLS_PATH.

\b
Examples:
  clew run to-test "$RUN" --into tests/runs
  clew run to-test --from run.clew.jsonl --redact sent_by

{EXIT_CODES}
"""
TEST = '''"""Today's code does what was recorded of a run. Written by `clew run to-test`; the recording lies beside it.

Run {run_id}, {events} events, last of all {last} at {at}. Tools of your own are found by CLEW_TOOLS_PATH.
"""

from pathlib import Path

from clew.replay.testing import assert_replays


def test_run_{name}_does_what_was_recorded() -> None:
    assert_replays(Path(__file__).with_suffix(".clew.jsonl"))
'''


@click.command("to-test", help=HELP)
@click.argument("run_id", type=click.UUID, metavar="[RUN]", required=False)
@click.option(
    "--from", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A recording, not a run."
)
@click.option(
    "--into",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=".",
    show_default=True,
    help="Where to; it is made if it is not there.",
)
@click.option("--force", is_flag=True, help="Write over a test of the same run.")
@redacting
@tenant_option
@pass_cli
def to_test(
    cli: Cli, run_id: UUID | None, file: Path | None, folder: Path, force: bool, rules: Rules | None, tenant: str
) -> None:
    recording, path = given(run_id, file, tenant)
    if file is None:
        path.unlink()
    test, record = named(recording, folder)
    if not force and (test.exists() or record.exists()):
        raise click.UsageError(f"there is a test of this run already: {test} (--force writes over it)")
    folder.mkdir(parents=True, exist_ok=True)
    record.write_bytes("".join(written(*redacted(recording, rules))).encode())
    test.write_text(text_of(recording))
    for made in (test, record):
        cli.out.text(str(made))
    cli.err.note(f"nothing ran; try it with: pytest {test}")


def named(recording: Recording, folder: Path) -> tuple[Path, Path]:
    """The test and its recording."""
    stem = f"test_run_{recording.run_id.hex[:12]}"
    return folder / f"{stem}.py", folder / f"{stem}.clew.jsonl"


def text_of(recording: Recording) -> str:
    """The text of the test."""
    last = recording.events[-1]
    return TEST.format(
        run_id=recording.run_id,
        events=len(recording.events),
        last=last.type_name(),
        at=f"{last.occurred_at:%Y-%m-%d %H:%M:%S} UTC",
        name=recording.run_id.hex[:12],
    )
