"""The real parts for tests: one native stack a session on free ports, started by the first test that asks.

`CLEW_TEST_HOME` names a data folder to keep between sessions (a warm start saves the first layout of Postgres
and Kafka); without it the folder is temporary. Parts whose URL is set in the environment are used as they are.
The stack gives up Postgres' safety against a crash of the machine: tests kill servers, not machines.
"""

import asyncio
import os
import re
from collections.abc import Generator
from pathlib import Path

import pytest

from clew.local.home import Home
from clew.local.settings import DEFAULT_BUCKET, given_parts
from clew.local.stack import Stack, free_ports

NAMESPACE_LENGTH = 20  # the longest CLEW_NAMESPACE


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """The stack itself, for tests that stop, kill and start its parts (and leave all of them running)."""
    kept = os.environ.get("CLEW_TEST_HOME")
    home = Home(Path(kept).resolve() if kept else tmp_path_factory.mktemp("stack"))
    # A loop of its own that is never made the current one: the tests' loops stay as their plugin left them.
    with home.claim(), asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        native = Stack(home, free_ports(), silent, given=given_parts(os.environ), durable=False)
        try:
            runner.run(native.start())
            yield native
        finally:
            runner.run(native.stop())


@pytest.fixture(scope="session")
def stack_env(stack: Stack) -> dict[str, str]:
    """The environment variables of the four parts, as a service reads them."""
    return {"S3_BUCKET": DEFAULT_BUCKET, **stack.env}


@pytest.fixture(scope="module")
def namespace(request: pytest.FixtureRequest) -> str:
    """A CLEW_NAMESPACE that no other test module has, and no earlier session on the same data."""
    letters = re.sub("[^a-z0-9]", "", request.node.name.rpartition("/")[2].removeprefix("test_").removesuffix(".py"))
    unique = os.urandom(4).hex()
    return letters[: NAMESPACE_LENGTH - len(unique)] + unique


def silent(name: str, line: str) -> None:
    """What becomes of a part is told by exceptions; what it writes is in the logs folder of the stack's home."""
