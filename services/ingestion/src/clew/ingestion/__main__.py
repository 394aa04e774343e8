"""python -m clew.ingestion"""

from clew.ingestion.app import build
from clew.ingestion.settings import Settings

build(Settings()).run()  # pyright: ignore[reportCallIssue]  # from the environment
