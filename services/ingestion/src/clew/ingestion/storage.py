"""The object store as ingestion sees it: files are read, deleted documents are marked. The only place that knows minio.

The client blocks, so its calls run in a small pool of threads of their own.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Final, Self, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error

from clew.chassis.errors import StartError
from clew.contracts.documents import MAX_DOCUMENT_BYTES, document_folder
from clew.ingestion.pipeline import Unreadable
from clew.ingestion.settings import Settings

T = TypeVar("T")
THREADS: Final = 4  # as many as documents are read at once
TIMEOUT: Final = urllib3.Timeout(connect=3, read=30)  # seconds; a wait for bytes, not for the whole file
RETRIES: Final = urllib3.Retry(total=1, backoff_factor=0.1, status_forcelist=(500, 502, 503, 504))
MARK: Final = "deleted"  # an empty object beside the file


class DocumentFiles:
    """The files of documents, in one bucket. An async context manager."""

    def __init__(self, client: Minio, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._threads = ThreadPoolExecutor(THREADS, "s3")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def read(self, object_key: str) -> bytes:
        """A file's bytes. Unreadable when there is none or it is too large; else what minio and urllib3 raise."""
        return await self._in_thread(lambda: self._read(object_key))

    async def deleted(self, tenant_id: str, document_id: UUID) -> bool:
        """Whether the document is marked as deleted."""
        return await self._in_thread(lambda: self._exists(document_folder(tenant_id, document_id) + MARK))

    async def mark_deleted(self, tenant_id: str, document_id: UUID) -> None:
        """Marks the document as deleted; twice is as good as once."""
        key = document_folder(tenant_id, document_id) + MARK
        await self._in_thread(lambda: self._client.put_object(self._bucket, key, BytesIO(), 0))

    async def problem(self) -> str | None:
        """None when the bucket can be reached, else what is wrong."""
        try:
            found = await self._in_thread(lambda: self._client.bucket_exists(self._bucket))
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            return f"the object store cannot be reached: {error}"
        return None if found else f"bucket {self._bucket!r} does not exist"

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def _read(self, object_key: str) -> bytes:
        try:
            response = self._client.get_object(self._bucket, object_key)
        except S3Error as error:
            if error.code != "NoSuchKey":
                raise
            raise Unreadable("fetch", "the file is not in the object store") from None
        except ValueError as error:  # minio asks the store for no such name
            raise Unreadable("fetch", f"the object key is not valid: {error}") from None
        with response:
            size = int(response.headers["content-length"])
            if size > MAX_DOCUMENT_BYTES:
                raise Unreadable("fetch", f"{size} bytes are more than the {MAX_DOCUMENT_BYTES} that can be ingested")
            return response.read()

    def _exists(self, object_key: str) -> bool:
        try:
            self._client.stat_object(self._bucket, object_key)
        except S3Error as error:
            if error.code == "NoSuchKey":
                return False
            raise
        return True


def connect(settings: Settings) -> Minio:
    """A client for the configured store; nothing is sent yet."""
    if settings.s3_endpoint is None:
        raise StartError("S3_ENDPOINT is not set, and the files are in the object store: set it")
    url = urlsplit(settings.s3_endpoint)
    return Minio(
        url.netloc,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key.get_secret_value(),
        region=settings.s3_region,  # given, so that the client never has to ask for it
        secure=url.scheme == "https",
        http_client=urllib3.PoolManager(maxsize=THREADS, timeout=TIMEOUT, retries=RETRIES),
    )
