"""`python -m clew.local run | stop | reset`: what the make targets of the same names do."""

import argparse
import asyncio
import sys

from clew.local.home import Home
from clew.local.log import MergedLog
from clew.local.problems import StackError
from clew.local.services import JOBS, SERVICES
from clew.local.settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser(prog="clew-local", description="The local stack of Clew.")
    parser.add_argument("command", choices=["run", "stop", "reset"], help="bring it up, stop it, remove its data")
    command: str = parser.parse_args().command
    try:
        act(command, Settings.from_env())
    except StackError as error:
        sys.exit(f"clew: {error}")


def act(command: str, settings: Settings) -> None:
    home = Home(settings.home)
    match command:
        case "stop":
            print("stopped" if home.stop_holder() else f"nothing is running on {home.path}")
        case "reset":
            home.reset()
            print(f"removed the data in {home.path}")
        case _:
            run(settings)


def run(settings: Settings) -> None:
    from clew.local.supervisor import supervise  # brings every client along, a second that `stop` need not wait

    terminal = sys.stdout.isatty()
    if terminal and "CLEW_LOG_FORMAT" not in settings.environ:
        settings = settings.with_environ(CLEW_LOG_FORMAT="pretty")
    log = MergedLog(sys.stdout, colour=terminal)
    asyncio.run(supervise(settings, log, JOBS, SERVICES))


if __name__ == "__main__":
    main()
