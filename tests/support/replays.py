"""Every run of a Clew under test, looked at afterwards in this process: it replays identically, and what is stored of
all of them holds together.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from warnings import catch_warnings, simplefilter

from clew.chassis.settings import DatabaseSettings
from clew.cli.errors import Failure
from clew.ops.verify.command import Tally
from clew.ops.verify.reading import everything
from clew.ops.verify.violation import Violation
from clew.replay.recording import Recording
from clew.replay.replaying import Replayer, registry
from clew.replay.source import sampled

EVER = datetime(2000, 1, 1, tzinfo=UTC)


async def broken(env: Mapping[str, str]) -> dict[str, list[Violation]]:
    """The invariants that do not hold over the whole log and its views. Dead letters are left out: tests plant some."""
    tally = Tally()
    await everything(settings(env), tally.take)
    return {name: found for name, found in tally.verdicts.items() if found and name != "I9"}


def settings(env: Mapping[str, str]) -> DatabaseSettings:
    fields = {field.validation_alias: name for name, field in DatabaseSettings.model_fields.items()}
    return DatabaseSettings.model_validate({fields[key]: value for key, value in env.items() if key in fields})


async def differing(env: Mapping[str, str], tenant_id: str = "local") -> dict[str, str]:
    """What is wrong with the replay of each run that began, by its id; empty when all are identical."""
    where = settings(env)
    wrong: dict[str, str] = {}
    with catch_warnings():
        simplefilter("ignore")  # tools that a test has made strange on purpose are built with a word about them
        replayer = Replayer(registry(env))
        async for recording in sampled(EVER, None, tenant_id, where):
            if (fault := await _fault(replayer, recording)) is not None:
                wrong[str(recording.run_id)] = fault
    return wrong


async def _fault(replayer: Replayer, recording: Recording) -> str | None:
    try:
        verdict = await replayer.replay(recording)
    except Failure as failure:
        return f"{type(failure).__name__}: {failure}"
    return None if verdict.difference is None else "\n".join(verdict.difference.lines())
