"""Which projections filled a set of tables, each with its version. No revision of the tables: alembic knows those.

It stands in the comment on the schema, which stays with the tables when a rebuild gives them another name. What reads
and writes tables of one name holds a lock on the name meanwhile, so that tables of other versions never come under
somebody who does not know them.
"""

import re
from collections.abc import Mapping
from typing import Final, LiteralString

from clew.memory.projections import ALL, EVENTS, VOID_EVENTS

VERSIONS: Final[Mapping[str, int]] = {
    "offsets": 1,  # how far was read, and under which claim: what counts is found by rules as well
    **{projection.table.name: projection.version for projection in (EVENTS, *ALL, VOID_EVENTS)},
}
NOTED: Final[LiteralString] = (
    "SELECT coalesce(obj_description(oid, 'pg_namespace'), '') FROM pg_namespace WHERE nspname = %s"
)
# A writer's, for as long as it is connected; it waits while tables of other versions are swapped in.
HOLD: Final[LiteralString] = "SELECT pg_advisory_lock_shared(hashtext('clew writers'), hashtext(%s))"
# Nobody else writes from here on to the end of the transaction: writers are cut off, and look again when they are back.
FENCE: Final = """
DO $$
DECLARE writers integer := hashtext('clew writers'); target integer := hashtext('{schema}');
BEGIN
    WHILE NOT pg_try_advisory_xact_lock(writers, target) LOOP
        PERFORM pg_terminate_backend(pid) FROM pg_locks
        WHERE locktype = 'advisory' AND mode = 'ShareLock' AND objsubid = 2
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND classid = (writers::bigint & 4294967295)::oid AND objid = (target::bigint & 4294967295)::oid;
        PERFORM pg_sleep(0.01);
    END LOOP;
END $$
"""
_WORD: Final = "projections: "


def note(versions: Mapping[str, int] = VERSIONS) -> str:
    """What a schema says that these projections filled."""
    return _WORD + ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))


def differences(noted: str, here: Mapping[str, int] = VERSIONS) -> dict[str, str]:
    """The projections that did not fill the tables as they are `here`, each with what is wrong; every one of them
    when the schema's note cannot be read."""
    there = {name: int(version) for name, version in re.findall(r"(\w+) (\d+)", noted) if noted.startswith(_WORD)}
    if not there:
        return dict.fromkeys(here, "of an unknown version")
    named = sorted(name for name in {*there, *here} if there.get(name) != here.get(name))
    return {name: _difference(there.get(name), here.get(name)) for name in named}


def told(found: Mapping[str, str]) -> str:
    """The differences as part of a sentence."""
    if {*found.values()} == {"of an unknown version"}:
        return "what filled the tables is not known"
    return ", ".join(f"{name} {what}" for name, what in found.items())


def _difference(there: int | None, here: int | None) -> str:
    if there is None:
        return "is new"
    return "is not known here" if here is None else f"has version {there} and not {here}"
