"""The process manager with small real programs: order, restarts, stopping, and what it leaves behind."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest

from clew.local.problems import free_port

DEADLINE = 40  # seconds for anything that the manager does in these tests


class Manager:
    """The manager as a child of the test, with its log as it comes."""

    def __init__(self, env: dict[str, str], *arguments: str) -> None:
        command = [sys.executable, "-m", "tests.support.small_stack", *arguments]
        self.popen = subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_line(self, pattern: str, count: int = 1) -> str:
        """The count-th line that matches, once it has come."""
        end = monotonic() + DEADLINE
        while monotonic() < end:
            found = [line for line in self.lines if re.search(pattern, line)]
            if len(found) >= count:
                return found[count - 1]
            sleep(0.02)
        raise AssertionError("\n".join([f"no line like {pattern!r} among:", *self.lines]))

    def service_pid(self, name: str, count: int = 1) -> int:
        return int(self.wait_line(rf"^{name} .*serving as", count).split()[-1])

    def wait_end(self) -> int:
        code = self.popen.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return code

    def _read(self) -> None:
        assert self.popen.stdout is not None
        with self.popen.stdout as stream:
            self.lines.extend(line.rstrip() for line in iter(stream.readline, ""))

    def index(self, pattern: str) -> int:
        return next(index for index, line in enumerate(self.lines) if re.search(pattern, line))


class EveryBucket(BaseHTTPRequestHandler):
    """As much of S3 as the manager asks of an endpoint that is given: the bucket is there."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a request is no news."""


@pytest.fixture(scope="module")
def s3_endpoint() -> Generator[str]:
    with HTTPServer(("127.0.0.1", 0), EveryBucket) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def env(tmp_path: Path, s3_endpoint: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": os.getcwd(),
        "CLEW_HOME": str(tmp_path / "home"),
        "CLEW_GATEWAY_PORT": str(free_port()),
        "KAFKA_BOOTSTRAP_SERVERS": "elsewhere:9092",
        "DATABASE_URL": "postgresql://elsewhere/clew",
        "REDIS_URL": "redis://elsewhere",
        "S3_ENDPOINT": s3_endpoint,
        "S3_ACCESS_KEY": "key",
        "S3_SECRET_KEY": "secret",
    }


@pytest.fixture
def start(env: dict[str, str]) -> Generator[Callable[..., Manager]]:
    started: list[Manager] = []

    def _start(*arguments: str) -> Manager:
        started.append(Manager(env, *arguments))
        return started[-1]

    yield _start
    for manager in started:
        manager.popen.terminate()
        manager.wait_end()


def alive(pid: int) -> bool:
    """A zombie counts as gone: in a container nobody may collect it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_gone(pid: int) -> bool:
    end = monotonic() + DEADLINE
    while alive(pid) and monotonic() < end:
        sleep(0.02)
    return not alive(pid)


def test_jobs_end_before_services_start_and_sigterm_stops_all_in_order(start: Callable[..., Manager]) -> None:
    manager = start()
    manager.wait_line("the gateway is at")
    pids = [manager.service_pid("alpha"), manager.service_pid("beta")]
    manager.popen.send_signal(signal.SIGTERM)
    assert manager.wait_end() == 0
    assert manager.index("done once") < manager.index("serving as") < manager.index("the gateway is at")
    assert manager.index("told to stop") < manager.index("clew .*stopped; the data stay")
    assert len([line for line in manager.lines if "told to stop" in line]) == 2
    assert not any(alive(pid) for pid in pids)


def test_each_line_carries_the_name_of_its_process_and_no_colour_when_piped(start: Callable[..., Manager]) -> None:
    manager = start()
    manager.wait_line("the gateway is at")
    assert manager.wait_line("done once") == "job       | done once"
    assert "\x1b" not in "".join(manager.lines)


def test_a_service_that_dies_is_started_again_and_it_is_said(start: Callable[..., Manager]) -> None:
    manager = start()
    manager.wait_line("the gateway is at")
    os.kill(manager.service_pid("alpha"), signal.SIGKILL)
    manager.wait_line("^alpha .*ended with SIGKILL; starting it again in 0.5 s")
    manager.wait_line("^alpha .*is up again")
    assert alive(manager.service_pid("alpha", count=2))


def test_ctrl_c_reaches_the_manager_only(start: Callable[..., Manager]) -> None:
    manager = start()
    manager.wait_line("the gateway is at")
    os.killpg(manager.popen.pid, signal.SIGINT)  # what a terminal sends: to the whole foreground group
    assert manager.wait_end() == 0
    assert manager.index("clew .*stopping the services") < manager.index("told to stop")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_children_do_not_outlive_a_manager_that_is_killed(start: Callable[..., Manager]) -> None:
    manager = start()
    manager.wait_line("the gateway is at")
    pids = [manager.service_pid("alpha"), manager.service_pid("beta")]
    manager.popen.kill()
    assert all(wait_gone(pid) for pid in pids)


def test_a_second_run_on_the_same_folder_says_that_one_is_running(start: Callable[..., Manager]) -> None:
    first = start()
    first.wait_line("the gateway is at")
    second = start()
    assert second.wait_end() == 1
    [line] = second.lines
    assert line.startswith("clew: a stack is already running on ")
    assert f"(pid {first.popen.pid})" in line


def test_stop_ends_a_stack_from_another_terminal(start: Callable[..., Manager], env: dict[str, str]) -> None:
    manager = start()
    manager.wait_line("the gateway is at")
    stop = [sys.executable, "-m", "clew.local", "stop"]
    first = subprocess.run(stop, env=env, capture_output=True, text=True)
    assert (first.returncode, first.stdout) == (0, "stopped\n")
    assert manager.wait_end() == 0
    second = subprocess.run(stop, env=env, capture_output=True, text=True)
    assert second.stdout.startswith("nothing is running on ")


def test_a_job_that_fails_stops_the_start_in_one_line(start: Callable[..., Manager]) -> None:
    manager = start("--failing-job")
    assert manager.wait_end() == 1
    assert manager.lines[-1] == "clew: job failed with exit status 3: see its lines above"
    assert not [line for line in manager.lines if "serving as" in line or "Traceback" in line]


def test_a_gateway_port_in_use_is_one_line_that_names_the_variable(
    start: Callable[..., Manager], env: dict[str, str], s3_endpoint: str
) -> None:
    env["CLEW_GATEWAY_PORT"] = s3_endpoint.rpartition(":")[2]
    manager = start()
    assert manager.wait_end() == 1
    [line] = manager.lines
    assert line.startswith(f"clew: port {env['CLEW_GATEWAY_PORT']} for the gateway is in use by ")
    assert line.endswith("stop that program, or set CLEW_GATEWAY_PORT to a free port")
