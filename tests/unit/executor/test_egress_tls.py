"""The egress client over TLS: the certificate must be the name's, though the connection goes to an address."""

import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_network

import pytest
import trustme

from clew.executor.egress import EgressClient
from clew.executor.egress_policy import EgressPolicy, FetchFailed, RedirectRefused
from tests.support.http_server import Exchange, Request, serve


@dataclass
class SecureSite:
    """A server at site.test, and a client that trusts its authority and finds every name on this machine."""

    port: int
    client: EgressClient

    def at(self, path: str, host: str = "site.test") -> str:
        return f"https://{host}:{self.port}{path}"


async def to_loopback(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


@pytest.fixture
async def site() -> AsyncIterator[SecureSite]:
    authority = trustme.CA()
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("site.test").configure_cert(serving)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def handler(request: Request, exchange: Exchange) -> None:
        if request.path == "/down":
            await exchange.send(302, headers={"location": "http://site.test/page"})
        else:
            await exchange.send(200, "secure", {"content-type": "text/plain"})

    policy = EgressPolicy(networks=(ip_network("127.0.0.0/8"),))
    async with serve(handler, tls=serving) as url:
        port = int(url.rsplit(":", 1)[1])
        yield SecureSite(port, EgressClient(policy, resolver=to_loopback, ssl_context=trusting))


async def test_the_certificate_is_checked_against_the_name_and_not_the_address(site: SecureSite) -> None:
    assert (await site.client.get(site.at("/page"))).body == b"secure"


async def test_a_certificate_of_another_name_is_a_failed_fetch(site: SecureSite) -> None:
    with pytest.raises(FetchFailed, match="certificate"):
        await site.client.get(site.at("/page", host="other.test"))


async def test_a_redirect_from_https_to_http_is_refused(site: SecureSite) -> None:
    with pytest.raises(RedirectRefused, match="https to http"):
        await site.client.get(site.at("/down"))
