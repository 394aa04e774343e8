"""`python -m clew.gateway` runs the service until it is told to stop."""

from clew.gateway.app import build
from clew.gateway.settings import Settings

if __name__ == "__main__":
    build(Settings()).run()  # pyright: ignore[reportCallIssue]  # fields come from the environment
