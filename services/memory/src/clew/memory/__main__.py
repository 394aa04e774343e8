"""`python -m clew.memory` runs the service; with `migrate [REVISION]` it brings the schema to a revision instead."""

import sys

from clew.chassis.service import start
from clew.memory.app import build
from clew.memory.migrate import migrate
from clew.memory.settings import MigrationSettings, Settings

if __name__ == "__main__":
    if sys.argv[1:2] == ["migrate"]:
        target = MigrationSettings.model_validate({})
        migrate(target.database_url.get_secret_value(), target.namespace, *sys.argv[2:3])
    else:
        start("memory", Settings, build)
