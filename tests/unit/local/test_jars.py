"""Java archives are downloaded once, and only as pinned."""

import hashlib
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import cast

import pytest
from jgo.maven import MavenContext

from clew.local.jars import KAFKA, S3PROXY, Jar, fetch_jars, read_lock
from clew.local.problems import StackError

CONTENT = b"an archive"
GOOD = Jar("some", "org.example:thing:1.0", hashlib.sha256(CONTENT).hexdigest())


class Repository(HTTPServer):
    """A Maven repository with one archive; it notes what it was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        cast("Repository", self.server).asked.append(self.path)
        self.send_response(200 if self.path == "/org/example/thing/1.0/thing-1.0.jar" else 404)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the requests are noted."""


@pytest.fixture
def repository() -> Generator[Repository]:
    with Repository() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def context(repository: Repository, tmp_path: Path) -> MavenContext:
    return MavenContext(repo_cache=tmp_path, remote_repos={"only": f"http://127.0.0.1:{repository.server_port}"})


def test_an_archive_is_downloaded_once_and_the_download_is_said(repository: Repository, context: MavenContext) -> None:
    said: list[str] = []
    [path] = fetch_jars([GOOD], context, said.append)
    assert path.read_bytes() == CONTENT
    assert fetch_jars([GOOD], context, said.append) == [path]
    assert repository.asked == ["/org/example/thing/1.0/thing-1.0.jar"]
    assert [line.split()[0] for line in said] == ["downloading", "downloaded"]


def test_an_archive_that_is_not_the_pinned_one_is_refused_and_not_kept(context: MavenContext, tmp_path: Path) -> None:
    bad = Jar("some", GOOD.coordinate, "0" * 64)
    with pytest.raises(StackError, match=r"org\.example:thing:1\.0 as downloaded is not the archive pinned"):
        fetch_jars([bad], context, _ignore)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_archive_that_is_not_there_is_one_line(context: MavenContext) -> None:
    with pytest.raises(StackError, match=r"cannot download org\.example:other:1\.0 \(404 .*check the network"):
        fetch_jars([Jar("some", "org.example:other:1.0", "0" * 64)], context, _ignore)


def test_the_lock_pins_each_root_and_one_version_of_kafka() -> None:
    pinned = {jar.coordinate for of in ("kafka", "s3proxy") for jar in read_lock(of)}
    assert {*KAFKA, *S3PROXY} <= pinned
    versions = {name.split(":")[2] for name in pinned if name.startswith("org.apache.kafka:")}
    assert versions == {KAFKA[0].split(":")[2]}


def _ignore(line: str) -> None:
    """What is said is another test's matter."""
