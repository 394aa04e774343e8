"""`python -m clew.gateway` runs the service until it is told to stop."""

from clew.chassis.service import start
from clew.gateway.app import build
from clew.gateway.settings import Settings

if __name__ == "__main__":
    start("gateway", Settings, build)
