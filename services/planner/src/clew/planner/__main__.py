"""`python -m clew.planner` runs the planner."""

from clew.planner.app import build
from clew.planner.settings import Settings

build(Settings()).run()  # pyright: ignore[reportCallIssue]  # the environment fills the required fields in
