"""S3: S3Proxy over a folder, for machines without an object store. Another endpoint replaces it by URL."""

import asyncio
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.error import MinioException

from clew.local.jars import JAVA_BINARY, fetch
from clew.local.part import Say, part_env, write_properties
from clew.local.problems import Port, StackError
from clew.local.process import Program
from clew.local.settings import REGION

JVM = (
    *("-Xms32m", "-Xmx128m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"),
    *("-XX:+ExitOnOutOfMemoryError", "--sun-misc-unsafe-memory-access=allow"),
)
LARGEST_PLAIN_PUT = 128 << 20  # bytes of one request that is not chunked; S3Proxy buffers it to check its signature
ACCESS_KEY = "clew"


class S3:
    """The server of one data folder. `secret(name)` gives its secret key."""

    def __init__(self, folder: Path, port: int, bucket: str, secret: Callable[[str], str]) -> None:
        self._folder = folder
        self._port = port
        self._bucket = bucket
        self._secret = secret
        self._jar = Path()  # known once prepared
        self._properties = folder / "s3proxy.properties"

    @property
    def port(self) -> Port:
        return Port(self._port, "S3", "CLEW_S3_PORT")

    def provides(self) -> dict[str, str]:
        return {
            "S3_ENDPOINT": f"http://127.0.0.1:{self._port}",
            "S3_ACCESS_KEY": ACCESS_KEY,
            "S3_SECRET_KEY": self._secret("s3-secret-key"),
            "S3_REGION": REGION,
            "S3_BUCKET": self._bucket,
        }

    def prepare(self, say: Say) -> None:
        [self._jar] = fetch("s3proxy", say)
        (self._folder / "data").mkdir(parents=True, exist_ok=True)
        properties = {
            "s3proxy.endpoint": f"http://127.0.0.1:{self._port}",
            "s3proxy.authorization": "aws-v2-or-v4",
            "s3proxy.identity": ACCESS_KEY,
            "s3proxy.credential": self._secret("s3-secret-key"),
            "s3proxy.v4-max-non-chunked-request-size": str(LARGEST_PLAIN_PUT),
            "jclouds.provider": "filesystem-nio2",
            "jclouds.filesystem.basedir": str(self._folder / "data"),
        }
        self._properties.touch(mode=0o600)
        write_properties(self._properties, properties)

    def program(self) -> Program:
        return Program(
            name="s3",
            argv=(JAVA_BINARY, *JVM, "-jar", str(self._jar), "--properties", str(self._properties)),
            env=part_env() | {"LOG_LEVEL": "warn"},
            ready=self._answers,
            cwd=self._folder,
            orphan_signal=signal.SIGTERM,
        )

    def set_up(self) -> None:
        ensure_bucket(self.provides())

    async def _answers(self) -> bool:
        return await asyncio.to_thread(self._lists_buckets)

    def _lists_buckets(self) -> bool:
        try:
            client(self.provides()).list_buckets()
        except (MinioException, urllib3.exceptions.HTTPError):
            return False
        return True


def client(env: Mapping[str, str]) -> Minio:
    """A client for the endpoint that the environment names; it fails at once, where the default retries."""
    endpoint = urlsplit(env["S3_ENDPOINT"])
    return Minio(
        endpoint.netloc,
        env.get("S3_ACCESS_KEY"),
        env.get("S3_SECRET_KEY"),
        secure=endpoint.scheme == "https",
        region=env.get("S3_REGION", REGION),
        http_client=urllib3.PoolManager(timeout=urllib3.Timeout(5), retries=False),
    )


def ensure_bucket(env: Mapping[str, str]) -> None:
    """Create S3_BUCKET where S3_ENDPOINT says, unless it exists; StackError when that can't be done."""
    bucket = env["S3_BUCKET"]
    try:
        store = client(env)
        if not store.bucket_exists(bucket):
            store.make_bucket(bucket)
    except (MinioException, urllib3.exceptions.HTTPError) as error:
        raise StackError(
            f"bucket {bucket} at {env['S3_ENDPOINT']} cannot be reached or made ({error}): "
            "check S3_ENDPOINT, S3_ACCESS_KEY, S3_SECRET_KEY and S3_BUCKET"
        ) from None
