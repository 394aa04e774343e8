"""One child process: what it is given, how its output comes, and how it ends."""

import asyncio
import os
import sys
from collections.abc import Callable
from datetime import timedelta

import pytest

from clew.local.problems import StackError
from clew.local.process import MAX_LINE, Process, Program, describe_exit

IGNORES_SIGTERM = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"


def python(code: str, **options: object) -> Program:
    program = Program(name="child", argv=(sys.executable, "-c", code), env={"PATH": os.environ["PATH"]})
    return Program(**{**vars(program), **options})  # type: ignore[arg-type] — the options of one test


class Lines:
    """What the children wrote."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, name: str, line: str) -> None:
        self.lines.append(f"{name}: {line}")

    async def wait(self, wanted: Callable[[str], bool]) -> str:
        async with asyncio.timeout(10):
            while True:
                for line in self.lines:
                    if wanted(line):
                        return line
                await asyncio.sleep(0.01)


async def test_output_of_both_streams_comes_line_by_line_with_the_name() -> None:
    lines = Lines()
    process = Process(python("import sys; print('out', flush=True); print('err', file=sys.stderr)"), lines)
    assert await process.wait() == 0
    assert lines.lines == ["child: out", "child: err"]


async def test_a_line_without_end_is_cut_and_bad_utf8_is_shown() -> None:
    lines = Lines()
    code = f"import sys; sys.stdout.buffer.write(b'x' * {MAX_LINE + 5} + b'\\n' + b'\\xff\\n')"
    await Process(python(code), lines).wait()
    assert [len(line) - len("child: ") for line in lines.lines] == [MAX_LINE, 5, 1]
    assert lines.lines[-1] == "child: \N{REPLACEMENT CHARACTER}"


async def test_a_child_sees_its_own_environment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_OURS", "x")
    lines = Lines()
    await Process(python("import os; print(sorted(os.environ))"), lines).wait()
    assert "SECRET_OF_OURS" not in lines.lines[0]
    assert "'PATH'" in lines.lines[0]


async def test_a_child_that_ignores_sigterm_is_killed_at_the_deadline() -> None:
    lines = Lines()
    process = Process(python(IGNORES_SIGTERM, stop_timeout=timedelta(milliseconds=200)), lines)
    await lines.wait(lambda line: line.endswith("deaf"))
    assert describe_exit(await process.stop()) == "SIGKILL"


async def test_killing_takes_the_grandchildren_along() -> None:
    lines = Lines()
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[0]])"
    grandchild = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    program = Program("child", (sys.executable, "-c", code.replace("sys.argv[0]", repr(grandchild))), {})
    process = Process(program, lines)
    pid = int((await lines.wait(lambda line: True)).split()[-1])
    process.kill()
    await process.wait()
    async with asyncio.timeout(10):
        while _alive(pid):
            await asyncio.sleep(0.01)


async def test_a_child_that_dies_before_it_is_ready_is_named_with_its_last_words() -> None:
    process = Process(python("import sys; print('no such table'); sys.exit(4)", ready=_never), Lines())
    with pytest.raises(StackError, match=r"child ended with exit status 4 .*it last said: no such table"):
        await process.wait_ready()


async def test_a_child_that_is_never_ready_is_named_after_its_time() -> None:
    process = Process(
        python("import time; time.sleep(60)", ready=_never, ready_timeout=timedelta(seconds=0.2)), Lines()
    )
    with pytest.raises(StackError, match="child was not ready after"):
        await process.wait_ready()
    await process.stop()


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root turns into another user")
async def test_a_child_can_give_up_root_and_still_reach_our_files() -> None:
    lines = Lines()
    code = "import os; print(os.geteuid() != 0 and os.listdir('/root') is not None)"
    assert await Process(python(code, user="nobody"), lines).wait() == 0
    assert lines.lines == ["child: True"]


async def _never() -> bool:
    return False


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False
