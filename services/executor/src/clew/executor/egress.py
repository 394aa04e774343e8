"""The one client for URLs that came from a model, a user or a document: checked, pinned, capped.

Every hop is resolved, every address it resolves to is checked, and the connection goes to a checked address, so
that a name cannot point elsewhere between the check and the use. It reads pages; it sends no body and no
credentials, keeps no cookies and uses no proxy. Endpoints that the operator configured do not go through it.
"""

import asyncio
import re
import ssl
from dataclasses import dataclass
from email.message import Message

import httpx2

from clew.executor.egress_policy import (
    EgressPolicy,
    FetchFailed,
    RedirectRefused,
    ResponseRefused,
    UrlRefused,
)
from clew.executor.pinned import PinnedTransport, Resolver, resolve

_HOST_NAME = re.compile(rb"[A-Za-z0-9._-]+")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_READABLE = frozenset({"application/json", "application/xml", "application/xhtml+xml", "application/yaml"})
_READABLE_SUFFIXES = ("+json", "+xml")
_HEADERS = {
    "User-Agent": "Clew/1 (+fetch_page)",
    "Accept": "text/html, text/*;q=0.9, application/json;q=0.8, application/xml;q=0.8",
    "Accept-Encoding": "identity, gzip",  # the codings whose output can be capped while it is read
}


@dataclass(frozen=True)
class Fetched:
    """An answer with a status of 200 to 299."""

    url: str
    """Where it finally came from."""
    content_type: str
    """In lower case, without parameters."""
    charset: str | None
    body: bytes


class EgressClient:
    """Fetches URLs under an `EgressPolicy`. Holds no connections between fetches, so nothing needs closing."""

    def __init__(
        self, policy: EgressPolicy, *, resolver: Resolver = resolve, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self._policy = policy
        self._resolver = resolver
        self._ssl_context = ssl_context or ssl.create_default_context()

    async def get(self, url: str) -> Fetched:
        """What `url` answers to a GET, after its redirects.

        Raises:
            EgressError: see its tree; the text says which rule or failure it was.
        """
        transport = PinnedTransport(self._policy, self._resolver, self._ssl_context)
        client = httpx2.AsyncClient(transport=transport, trust_env=False, follow_redirects=False, headers=_HEADERS)
        try:
            async with asyncio.timeout(self._policy.max_time.total_seconds()), client:
                return await self._follow(client, _parse_url(url))
        except TimeoutError as error:
            seconds = self._policy.max_time.total_seconds()
            raise FetchFailed(f"{url} did not answer completely within {seconds:g} seconds") from error
        except httpx2.HTTPError as error:
            raise FetchFailed(f"{url} could not be read: {error or type(error).__name__}") from error

    async def _follow(self, client: httpx2.AsyncClient, url: httpx2.URL) -> Fetched:
        for _ in range(self._policy.max_redirects + 1):
            async with client.stream("GET", url) as response:
                if response.status_code not in _REDIRECTS:
                    return await self._read(url, response)
                url = _redirect_target(url, response)
        raise RedirectRefused(f"more than {self._policy.max_redirects} redirects; the last led to {url}")

    async def _read(self, url: httpx2.URL, response: httpx2.Response) -> Fetched:
        if not response.is_success:
            raise FetchFailed(f"{url} answered {response.status_code} {response.reason_phrase}")
        content_type, charset = _content_type(response)
        if not _is_readable(content_type):
            raise ResponseRefused(f"{url} is {content_type or 'of no stated type'}, which is not read as text")
        body = bytearray()
        async for chunk in response.aiter_bytes(64 * 1024):
            body += chunk
            if len(body) > self._policy.max_bytes:
                raise ResponseRefused(f"{url} is larger than {self._policy.max_bytes:,} bytes")
        return Fetched(str(url), content_type, charset, bytes(body))


def _parse_url(text: str) -> httpx2.URL:
    try:
        url = httpx2.URL(text.strip())
    except (httpx2.InvalidURL, ValueError, UnicodeError) as error:
        raise UrlRefused(f"{text[:200]!r} is not a URL: {error}") from error
    return _checked_url(url)


def _checked_url(url: httpx2.URL) -> httpx2.URL:
    if url.scheme not in {"http", "https"}:
        raise UrlRefused(f"only http and https URLs are fetched, not {url.scheme or 'one without a scheme'}")
    if not url.host:
        raise UrlRefused(f"{url} names no host")
    if ":" not in url.host and not _HOST_NAME.fullmatch(url.raw_host):
        raise UrlRefused(f"{url.host!r} is not a host name")
    if url.userinfo:
        raise UrlRefused("URLs with a user name or password in them are not fetched")
    return url


def _redirect_target(url: httpx2.URL, response: httpx2.Response) -> httpx2.URL:
    location = response.headers.get("location")
    if not location:
        raise RedirectRefused(f"{url} redirects without saying where")
    try:
        target = _checked_url(url.join(location))
    except (httpx2.InvalidURL, ValueError, UnicodeError) as error:
        raise RedirectRefused(f"{url} redirects to something that is not a URL") from error
    if url.scheme == "https" and target.scheme == "http":
        raise RedirectRefused(f"{url} redirects from https to http ({target})")
    return target


def _content_type(response: httpx2.Response) -> tuple[str, str | None]:
    stated = response.headers.get("content-type", "")
    if not stated:
        return "", None
    message = Message()
    message["content-type"] = stated
    return message.get_content_type(), message.get_content_charset()


def _is_readable(content_type: str) -> bool:
    return content_type.startswith("text/") or content_type in _READABLE or content_type.endswith(_READABLE_SUFFIXES)
