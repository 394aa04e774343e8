"""The support for services under test can do what tests need of it: end, kill, restart, and show the log."""

import os
from pathlib import Path

import pytest

from clew.local.services import answers_ok
from tests.support.services import ServiceProcess, running
from tests.support.small_stack import SERVER

QUICK_FAILURE = "import sys; print('no such database', flush=True); sys.exit(1)"


async def test_a_service_is_killed_and_started_again_on_the_same_port(tmp_path: Path) -> None:
    async with running("small", {}, tmp_path, arguments=("-c", SERVER)) as service:
        first = service.pid
        await service.kill()
        assert not service.running
        await service.start()
        assert service.pid != first
        assert await answers_ok("127.0.0.1", service.port, "/readyz")
    assert not service.running


async def test_a_restart_stops_in_good_order(tmp_path: Path) -> None:
    async with running("small", {}, tmp_path, arguments=("-c", SERVER)) as service:
        await service.restart()
        assert service.log_path.read_text().count("told to stop") == 1
        assert service.log_path.read_text().count("serving as") == 2


async def test_a_service_that_fails_to_start_shows_its_last_lines(tmp_path: Path) -> None:
    service = ServiceProcess("small", {}, tmp_path, arguments=("-c", QUICK_FAILURE))
    with pytest.raises(AssertionError, match="last lines of small ---\nno such database"):
        await service.start()


async def test_a_failing_block_prints_the_last_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        async with running("small", {}, tmp_path, arguments=("-c", SERVER)):
            os.fstat(1 // 0)
    assert "serving as" in capsys.readouterr().out


def test_a_namespace_is_legal_and_names_its_module(namespace: str) -> None:
    assert namespace.startswith("serviceproce")
    assert len(namespace) == 20
    assert namespace.isalnum()
