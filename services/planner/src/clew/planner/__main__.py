"""`python -m clew.planner` runs the service until it is told to stop."""

from clew.chassis.service import start
from clew.planner.app import build
from clew.planner.settings import Settings

if __name__ == "__main__":
    start("planner", Settings, build)
