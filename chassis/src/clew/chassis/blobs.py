"""Bodies too large for the log, in the object store. Everything else about documents is the ingestion service's."""

import asyncio
from io import BytesIO
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from clew.chassis.errors import LogUnreachable, StartError
from clew.chassis.settings import ServiceSettings

if TYPE_CHECKING:
    from minio import Minio

NO_SUCH_KEY = ("NoSuchKey", "KeyTooLongError")  # S3's words for a key that has no object


class BlobMissing(Exception):
    """Nothing lies, or can lie, under the key. No failure of the store: asking again is of no use."""


class BlobStore(Protocol):
    """Where large bodies are kept: S3, or a dictionary in unit tests."""

    async def put(self, key: str, body: bytes) -> None: ...
    async def get(self, key: str) -> bytes: ...


class S3BlobStore:
    """Large bodies in the configured bucket. Its client blocks, so it works in threads."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._client: Minio | None = None

    async def put(self, key: str, body: bytes) -> None:
        """Stores `body` under `key`; the same key again overwrites the same bytes. LogUnreachable when it cannot."""
        await asyncio.to_thread(self._put, key, body)

    async def get(self, key: str) -> bytes:
        """The bytes under `key`. BlobMissing when there are none; LogUnreachable when the store is away."""
        return await asyncio.to_thread(self._get, key)

    def _put(self, key: str, body: bytes) -> None:
        from minio.error import MinioException  # here, as below
        from urllib3.exceptions import HTTPError

        try:
            self._minio().put_object(self._settings.s3_bucket, key, BytesIO(body), len(body))
        except (MinioException, HTTPError) as error:
            raise LogUnreachable(f"a record over 256 KiB needs the object store, which failed: {error}") from error

    def _get(self, key: str) -> bytes:
        from minio.error import MinioException, S3Error  # here, as below
        from urllib3.exceptions import HTTPError

        try:
            response = self._minio().get_object(self._settings.s3_bucket, key)
        except (MinioException, HTTPError) as error:
            if isinstance(error, S3Error) and error.code in NO_SUCH_KEY:
                raise BlobMissing(f"the object store has nothing under {key!r}") from error
            raise LogUnreachable(f"the body of a record lies in the object store, which failed: {error}") from error
        except ValueError as error:  # minio asks the store for no such name
            raise BlobMissing(f"{key!r} is no key: {error}") from error
        try:
            return response.read()
        except HTTPError as error:
            raise LogUnreachable(f"the object store broke off: {error}") from error
        finally:
            response.close()
            response.release_conn()

    def _minio(self) -> "Minio":
        if self._client is None:
            from minio import Minio  # here, because few processes ever meet a large body and the import is heavy

            if self._settings.s3_endpoint is None:
                raise StartError("S3_ENDPOINT is not set, and a record over 256 KiB needs the object store: set it")
            url = urlsplit(self._settings.s3_endpoint)
            self._client = Minio(
                url.netloc,
                access_key=self._settings.s3_access_key,
                secret_key=self._settings.s3_secret_key.get_secret_value(),
                region=self._settings.s3_region,
                secure=url.scheme == "https",
            )
        return self._client
