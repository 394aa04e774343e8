"""`python -m clew.memory` runs the service. Other words do one thing and end: `migrate [REVISION]` brings the schema
to a revision, `rebuild` and `verify` read the whole log again beside the live tables.
"""

import sys

from clew.chassis.service import start
from clew.memory.app import build
from clew.memory.migrate import migrate
from clew.memory.rebuild_command import main
from clew.memory.settings import MigrationSettings, Settings

if __name__ == "__main__":
    if sys.argv[1:2] == ["migrate"]:
        target = MigrationSettings.model_validate({})
        migrate(target.database_url.get_secret_value(), target.namespace, *sys.argv[2:3])
    elif sys.argv[1:2] in (["rebuild"], ["verify"]):
        main(sys.argv[1], sys.argv[2:])
    else:
        start("memory", Settings, build)
