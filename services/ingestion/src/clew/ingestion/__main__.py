"""`python -m clew.ingestion` runs the service until it is told to stop."""

from clew.chassis.service import start
from clew.ingestion.app import build
from clew.ingestion.settings import Settings

if __name__ == "__main__":
    start("ingestion", Settings, build)
