"""`python -m clew.executor` runs the service until it is told to stop."""

from clew.chassis.service import start
from clew.executor.app import build
from clew.executor.settings import Settings

if __name__ == "__main__":
    start("executor", Settings, build)
