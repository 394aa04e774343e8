"""The transport below the egress client: resolves a host, checks what it finds, connects to exactly that.

It knows nothing of redirects or content.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence

import httpx2

from clew.executor.addresses import METADATA, Address, parse_address, refusal
from clew.executor.egress_policy import AddressRefused, EgressPolicy, FetchFailed, UrlRefused

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""(host, port) to IP addresses as text; raises OSError when the name has none."""

_STANDARD_PORTS = frozenset({80, 443})


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of `host` by the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class PinnedTransport(httpx2.AsyncBaseTransport):
    """Resolves and checks a request's host, then connects to a checked address under the host's own name.

    The check sits below the client, so no request of it can go around it.
    """

    def __init__(self, policy: EgressPolicy, resolver: Resolver, ssl_context: ssl.SSLContext) -> None:
        self._policy = policy
        self._resolver = resolver
        # A kept connection could be reused for another name at the same address, under the first one's certificate.
        limits = httpx2.Limits(max_keepalive_connections=0)
        self._inner = httpx2.AsyncHTTPTransport(verify=ssl_context, trust_env=False, limits=limits)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One request to the first checked address that lets itself be connected to."""
        host = _host(request.url)
        addresses = await self._checked_addresses(host, _port(request.url))
        for address in addresses[:-1]:
            try:
                return await self._inner.handle_async_request(_pinned(request, host, address))
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue
        return await self._inner.handle_async_request(_pinned(request, host, addresses[-1]))

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _checked_addresses(self, host: str, port: int) -> list[Address]:
        named = self._policy.opens_host(host)
        addresses = await self._addresses(host, port)
        for address in addresses:
            opened = address not in METADATA and (named or self._policy.opens_address(address))
            if not opened and (kind := refusal(address)):
                raise AddressRefused(f"{host} is at an address that may not be reached from here ({kind})")
            if not opened and port not in _STANDARD_PORTS:
                raise UrlRefused(f"port {port} of {host} may not be reached from here: only 80 and 443")
        return addresses

    async def _addresses(self, host: str, port: int) -> list[Address]:
        if literal := _literal(host):
            return [literal]
        try:
            found = await self._resolver(host, port)
        except (OSError, UnicodeError) as error:
            raise FetchFailed(f"the host {host} is not known") from error
        if not found:
            raise FetchFailed(f"the host {host} has no address")
        return [parse_address(text) for text in found]


def _pinned(request: httpx2.Request, host: str, address: Address) -> httpx2.Request:
    """`request`, sent to `address`; its Host header and the name in its TLS handshake stay those of `host`."""
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=str(address)),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host},
    )


def _host(url: httpx2.URL) -> str:
    """The host in lower case, in its ASCII form, without the final dot of a fully qualified name."""
    return url.raw_host.decode("ascii").lower().strip("[]").rstrip(".")


def _port(url: httpx2.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _literal(host: str) -> Address | None:
    try:
        return parse_address(host)
    except ValueError:
        return None
