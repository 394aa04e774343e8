"""`python -m clew.executor` runs the executor."""

from clew.executor.app import build
from clew.executor.settings import Settings

build(Settings()).run()  # pyright: ignore[reportCallIssue]  # the environment fills the required fields in
