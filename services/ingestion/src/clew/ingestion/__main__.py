"""`python -m clew.ingestion` runs the service."""

from clew.ingestion.app import build
from clew.ingestion.settings import Settings

if __name__ == "__main__":
    build(Settings.model_validate({})).run()
