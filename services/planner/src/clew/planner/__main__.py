"""`python -m clew.planner` runs the planner."""

from clew.planner.app import build
from clew.planner.settings import Settings

if __name__ == "__main__":
    build(Settings.model_validate({})).run()
