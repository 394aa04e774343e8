"""The object store as the gateway sees it: uploads that clients fill through presigned URLs. The only place here that
knows minio. No file passes through the gateway, and it remembers nothing: an upload is found again by listing.

The client blocks, so its calls run in a small pool of threads of their own.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Final, ParamSpec, Self, TypeVar, cast
from urllib.parse import unquote, urlsplit
from uuid import UUID
from xml.etree.ElementTree import ParseError

import urllib3
from minio import Minio
from minio.datatypes import ListMultipartUploadsResult, Part
from minio.error import InvalidResponseError, S3Error, ServerError

from clew.chassis.errors import StartError
from clew.chassis.settings import ServiceSettings
from clew.contracts.documents import document_folder
from clew.gateway.files import Arrived, Declared, Place, Stored, Upload, faults, parse_place

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")
THREADS: Final = 8  # calls at once; each takes a few milliseconds
TIMEOUT: Final = urllib3.Timeout(connect=2, read=10)  # seconds: a person waits for the answer
RETRIES: Final = urllib3.Retry(total=1, backoff_factor=0.1, status_forcelist=(500, 502, 503, 504))
URL_LIFETIME: Final = timedelta(hours=1)  # time to send the parts; fresh URLs can be had at any time
REFUSALS: Final = ("InvalidPart", "InvalidPartOrder", "EntityTooSmall")
GONE: Final = ("NoSuchUpload", "NoSuchKey")
OUTAGES: Final = (S3Error, ServerError, InvalidResponseError, ParseError, urllib3.exceptions.HTTPError)
MARK: Final = "deleted"  # what ingestion leaves beside the file of a deleted document


class StoreUnavailable(Exception):
    """The object store cannot be reached or does not answer as it should; trying again later may help."""


class Taken(Exception):
    """The id stands for another file, or for one that was deleted."""


class PartsRefused(Exception):
    """The parts are not a whole: `problems` says of each what is wrong, by its place in the request (None: of all)."""

    def __init__(self, problems: list[tuple[int | None, str]]) -> None:
        super().__init__("; ".join(text for _, text in problems))
        self.problems = problems


class S3(Minio):
    """The multipart calls, which minio's client makes for its own uploads only and so calls private."""

    def begin(self, bucket: str, key: str, headers: dict[str, str]) -> str:
        return self._create_multipart_upload(bucket, key, dict(headers))

    def unfinished(self, bucket: str, prefix: str) -> list[tuple[str, str]]:
        """Key and upload id of each unfinished upload below `prefix`: 1,000 at most, which no document has.

        The library's own call sends options that not every S3 server knows (s3proxy answers 501).
        """
        response = self._execute("GET", bucket, query_params={"uploads": "", "prefix": prefix})
        uploads = ListMultipartUploadsResult(response).uploads
        return [(upload.object_name, cast(str, upload.upload_id)) for upload in uploads]

    def parts(self, bucket: str, key: str, upload_id: str) -> tuple[Arrived, ...]:
        parts: list[Part] = []
        more: bool | None = True
        while more:
            marker = str(parts[-1].part_number) if parts else None
            page = self._list_parts(bucket, key, upload_id, part_number_marker=marker)
            parts += page.parts
            more = page.is_truncated and bool(page.parts)
        return tuple(Arrived(part.part_number, part.etag.strip('"'), cast(int, part.size)) for part in parts)

    def finish(self, bucket: str, key: str, upload_id: str, parts: Sequence[tuple[int, str]]) -> None:
        self._complete_multipart_upload(bucket, key, upload_id, [Part(*part) for part in parts])

    def abandon(self, bucket: str, key: str, upload_id: str) -> None:
        self._abort_multipart_upload(bucket, key, upload_id)


class DocumentStore:
    """Uploads and files of documents, in one bucket. An async context manager. Each call may raise StoreUnavailable."""

    def __init__(self, client: S3, public: S3, bucket: str) -> None:
        self._client = client
        self._public = public  # only signs: the address that clients know the store by
        self._bucket = bucket
        self._threads = ThreadPoolExecutor(THREADS, "s3")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def begin(self, tenant_id: str, document_id: UUID, declared: Declared) -> Upload | Stored:
        """The upload of a document, made unless it, or the whole file, is there already. Taken when it cannot be."""
        return await self._in_thread(self._begin, tenant_id, document_id, declared)

    async def find(self, tenant_id: str, document_id: UUID) -> Upload | Stored | None:
        """The file of a document, or else its upload; None when there is neither or the document was deleted."""
        return await self._in_thread(self._find, document_folder(tenant_id, document_id))

    async def complete(self, upload: Upload, parts: Sequence[tuple[int, str]]) -> Stored:
        """The file, made of these parts (number, etag). PartsRefused when they are not all, or not what has arrived."""
        return await self._in_thread(self._complete, upload, parts)

    async def abandon(self, upload: Upload) -> None:
        """Ends an upload; what has arrived is dropped."""
        await self._in_thread(self._client.abandon, self._bucket, upload.place.key, upload.upload_id)

    def part_url(self, upload: Upload, number: int) -> str:
        """Where the client PUTs a part. Computed, not asked for."""
        query: dict[str, str | list[str] | tuple[str]] = {"uploadId": upload.upload_id, "partNumber": str(number)}
        key = upload.place.key
        return self._public.get_presigned_url("PUT", self._bucket, key, URL_LIFETIME, extra_query_params=query)

    async def _in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, partial(call, *args, **kwargs))
        except OUTAGES as error:
            raise StoreUnavailable(f"the object store cannot be used: {error}") from error

    def _begin(self, tenant_id: str, document_id: UUID, declared: Declared) -> Upload | Stored:
        folder = document_folder(tenant_id, document_id)
        place = Place(folder, declared.size, declared.part_size, declared.digest)
        found = self._look(folder)
        if isinstance(found, Upload | Stored) and found.place != place:
            raise Taken("The document was declared as another file.")
        if found == MARK:
            raise Taken("The document was deleted.")
        if isinstance(found, Upload | Stored):
            return found
        return Upload(place, self._client.begin(self._bucket, place.key, declared.headers), ())

    def _find(self, folder: str) -> Upload | Stored | None:
        found = self._look(folder)
        return found if isinstance(found, Upload | Stored) else None

    def _look(self, folder: str) -> Upload | Stored | str | None:
        """What a document's folder holds; `MARK` when it was deleted.

        Unfinished uploads are asked for first: one that is finished meanwhile is then seen as a file.
        """
        uploads = self._client.unfinished(self._bucket, folder)
        names = {item.object_name for item in self._client.list_objects(self._bucket, folder, recursive=True)}
        if folder + MARK in names:
            return MARK
        place = next(filter(None, map(parse_place, names)), None)
        return Stored(place, self._declared(place)) if place else self._fullest(uploads)

    def _fullest(self, uploads: Sequence[tuple[str, str]]) -> Upload | None:
        """The upload that the client uses. There are several only when two requests under one key began at once."""
        found = [
            Upload(place, upload_id, self._client.parts(self._bucket, key, upload_id))
            for key, upload_id in uploads
            if (place := parse_place(key))
        ]
        return max(found, key=lambda upload: (len(upload.arrived), upload.upload_id), default=None)

    def _declared(self, place: Place) -> Declared:
        stat = self._client.stat_object(self._bucket, place.key)
        meta = stat.metadata or {}
        return Declared(
            filename=unquote(meta["x-amz-meta-filename"]),
            content_type=stat.content_type or "application/octet-stream",
            size=place.size,
            part_size=place.part_size,
            sha256=meta.get("x-amz-meta-sha256"),
            principal=unquote(meta["x-amz-meta-principal"]),
        )

    def _complete(self, upload: Upload, parts: Sequence[tuple[int, str]]) -> Stored:
        if problems := list(faults(upload, parts)):
            raise PartsRefused(problems)
        refusal = self._finish(upload, sorted(parts))
        try:
            return Stored(upload.place, self._declared(upload.place))
        except S3Error as error:
            if refusal is not None and error.code == "NoSuchKey":
                raise PartsRefused([(None, refusal)]) from None
            raise

    def _finish(self, upload: Upload, parts: Sequence[tuple[int, str]]) -> str | None:
        """What the store has against the parts. Only the file itself proves anything, either way: S3 may say 200 and an
        error, and when two requests complete at once one may be told that the upload or its parts are gone, half of an
        answer, or of an error of the server's own."""
        try:
            self._client.finish(self._bucket, upload.place.key, upload.upload_id, parts)
        except S3Error as error:
            if error.code not in REFUSALS + GONE:
                raise
            return (error.message or error.code) if error.code in REFUSALS else None
        except (ParseError, InvalidResponseError):
            log.info("upload %s: the store's answer cannot be read", upload.upload_id)
        return None


def connect(settings: ServiceSettings, public_endpoint: str | None = None) -> DocumentStore:
    """The store that the settings name. `public_endpoint` is its URL as clients see it, where that is another one.

    StartError when there is none; nothing is sent yet.
    """
    if settings.s3_endpoint is None:
        raise StartError("S3_ENDPOINT is not set, and documents are uploaded to the object store: set it")
    internal, public = (
        client(settings, url) for url in (settings.s3_endpoint, public_endpoint or settings.s3_endpoint)
    )
    return DocumentStore(internal, public, settings.s3_bucket)


def client(settings: ServiceSettings, endpoint: str) -> S3:
    """A client that speaks to the store at `endpoint`."""
    url = urlsplit(endpoint)
    return S3(
        url.netloc,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key.get_secret_value(),
        region=settings.s3_region,  # given, so that the client never has to ask for it
        secure=url.scheme == "https",
        http_client=urllib3.PoolManager(maxsize=THREADS, timeout=TIMEOUT, retries=RETRIES),
    )
