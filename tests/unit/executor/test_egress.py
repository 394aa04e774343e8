"""The egress client against real servers on this machine and scripted resolvers."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import ip_network

import pytest

from clew.executor.egress import EgressClient
from clew.executor.egress_policy import (
    AddressRefused,
    EgressError,
    EgressPolicy,
    FetchFailed,
    RedirectRefused,
    ResponseRefused,
    UrlRefused,
)
from tests.support.http_server import Exchange, Request, serve

OPEN_LOOPBACK = EgressPolicy(networks=(ip_network("127.0.0.0/8"), ip_network("::1/128")))
HTML = {"content-type": "text/html; charset=utf-8"}


class ScriptedResolver:
    """Answers each look-up with the next list of addresses, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@dataclass
class Site:
    """A web site on this machine."""

    port: int
    seen: list[Request] = field(default_factory=list[Request])

    def at(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


_PAGES: dict[str, tuple[int, bytes, dict[str, str]]] = {
    "/page": (200, b"<p>hello</p>", HTML),
    "/packed": (200, gzip.compress(b"x" * 500_000), {**HTML, "content-encoding": "gzip"}),
    "/large": (200, b"x" * 20_000, HTML),
    "/image": (200, b"\x89PNG", {"content-type": "image/png"}),
    "/untyped": (200, b"hello", {}),
    "/missing": (404, b"gone", HTML),
    "/loop": (302, b"", {"location": "/loop"}),
    "/nowhere": (302, b"", {}),
}


async def _answer(request: Request, exchange: Exchange) -> None:
    if request.path in _PAGES:
        await exchange.send(*_PAGES[request.path])
    elif request.path == "/to":
        await exchange.send(302, headers={"location": request.query["url"]})
    elif request.path in {"/endless", "/slow"}:
        await exchange.start(200, HTML)
        while True:
            await exchange.chunk(b"x" * (1000 if request.path == "/endless" else 1))
            await asyncio.sleep(0.002)
    else:
        exchange.hang_up()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    the_site = Site(0)

    async def handler(request: Request, exchange: Exchange) -> None:
        the_site.seen.append(request)
        await _answer(request, exchange)

    async with serve(handler) as url:
        the_site.port = int(url.rsplit(":", 1)[1])
        yield the_site


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://localhost./",
        "http://2130706433/",
        "http://127.1/",
        "http://0x7f000001/",
        "http://0.0.0.0/",
        "http://[::1]/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[fe80::1%25eth0]/",
        "http://[64:ff9b::7f00:1]/",
        "http://10.1.2.3/",
        "http://192.168.0.1/",
        "http://100.64.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://224.0.0.1/",
        "https://[fd00:ec2::254]/",
    ],
)
async def test_an_address_that_is_not_public_is_refused_however_it_is_written(url: str) -> None:
    with pytest.raises(AddressRefused):
        await EgressClient(EgressPolicy()).get(url)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/",
        "gopher://example.org/",
        "example.org",
        "//example.org/",
        "http://",
        "http:///path",
        "http://user:secret@example.org/",
        "http://user@example.org/",
        "http://example.org:99999/",
        "http://exa mple.org/",
        "http://[::1/",
        "",
        "http://example.org/\x00",
    ],
)
async def test_what_is_not_a_plain_web_url_is_refused(url: str) -> None:
    with pytest.raises(UrlRefused):
        await EgressClient(EgressPolicy(), resolver=ScriptedResolver(["93.184.216.34"])).get(url)


async def test_a_credential_in_a_url_is_not_repeated_in_the_error() -> None:
    with pytest.raises(UrlRefused) as caught:
        await EgressClient(EgressPolicy()).get("http://user:secret@example.org/")

    assert "secret" not in str(caught.value)


async def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    resolver = ScriptedResolver(["93.184.216.34", "10.0.0.1"])

    with pytest.raises(AddressRefused):
        await EgressClient(EgressPolicy(), resolver=resolver).get("http://mixed.example/")


async def test_an_unusual_port_is_refused() -> None:
    with pytest.raises(UrlRefused, match="port 6379"):
        await EgressClient(EgressPolicy(), resolver=ScriptedResolver(["93.184.216.34"])).get("http://a.example:6379/")


async def test_an_opened_network_is_reached_on_any_port_and_keeps_the_host_name(site: Site) -> None:
    resolver = ScriptedResolver(["127.0.0.1"])

    fetched = await EgressClient(OPEN_LOOPBACK, resolver=resolver).get(site.at("/page", host="site.test"))

    assert (fetched.body, fetched.content_type, fetched.charset) == (b"<p>hello</p>", "text/html", "utf-8")
    assert site.seen[0].headers["host"] == f"site.test:{site.port}"
    assert "authorization" not in site.seen[0].headers
    assert resolver.asked == [("site.test", site.port)]


async def test_a_name_that_changes_its_address_after_the_check_is_not_followed_there(site: Site) -> None:
    """DNS rebinding: were the name looked up again to connect, the second answer would lead elsewhere."""
    resolver = ScriptedResolver(["127.0.0.1"], ["10.0.0.1"])

    fetched = await EgressClient(OPEN_LOOPBACK, resolver=resolver).get(site.at("/page", host="rebind.test"))

    assert fetched.body == b"<p>hello</p>"
    assert len(resolver.asked) == 1


async def test_a_name_that_turns_private_between_redirects_is_refused(site: Site) -> None:
    resolver = ScriptedResolver(["127.0.0.1"], ["10.0.0.1"])
    url = site.at("/to?url=/page", host="rebind.test")

    with pytest.raises(AddressRefused):
        await EgressClient(OPEN_LOOPBACK, resolver=resolver).get(url)

    assert [request.path for request in site.seen] == ["/to"]


@pytest.mark.parametrize(
    "target",
    ["http://10.0.0.1/", "http://169.254.169.254/", "http://[::ffff:10.0.0.1]/", "//192.168.1.1/", "http://0.0.0.0/"],
)
async def test_a_redirect_to_a_private_address_is_refused(site: Site, target: str) -> None:
    with pytest.raises(AddressRefused):
        await EgressClient(OPEN_LOOPBACK).get(site.at(f"/to?url={target}"))


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://example.org/", "http://a:b@127.0.0.1/"])
async def test_a_redirect_to_something_else_than_a_plain_web_url_is_refused(site: Site, target: str) -> None:
    with pytest.raises(UrlRefused):
        await EgressClient(OPEN_LOOPBACK).get(site.at(f"/to?url={target}"))


async def test_redirects_are_followed_to_the_end(site: Site) -> None:
    fetched = await EgressClient(OPEN_LOOPBACK).get(site.at("/to?url=/to?url=/page"))

    assert fetched.url == site.at("/page")


async def test_redirects_end_after_five(site: Site) -> None:
    with pytest.raises(RedirectRefused, match="more than 5"):
        await EgressClient(OPEN_LOOPBACK).get(site.at("/loop"))

    assert len(site.seen) == 6


async def test_a_redirect_without_a_target_is_refused(site: Site) -> None:
    with pytest.raises(RedirectRefused):
        await EgressClient(OPEN_LOOPBACK).get(site.at("/nowhere"))


@pytest.mark.parametrize("path", ["/large", "/endless", "/packed"])
async def test_an_answer_over_the_size_cap_is_refused_also_when_packed_or_endless(site: Site, path: str) -> None:
    policy = replace(OPEN_LOOPBACK, max_bytes=10_000)

    with pytest.raises(ResponseRefused, match="10,000 bytes"):
        await EgressClient(policy).get(site.at(path))


async def test_the_time_cap_covers_an_answer_that_drips(site: Site) -> None:
    policy = replace(OPEN_LOOPBACK, max_time=timedelta(seconds=0.3))

    with pytest.raises(FetchFailed, match=r"within 0\.3 seconds"):
        await EgressClient(policy).get(site.at("/slow"))


async def test_the_time_cap_covers_a_resolver_that_hangs() -> None:
    async def hang(host: str, port: int) -> Sequence[str]:
        await asyncio.sleep(60)
        return []

    policy = EgressPolicy(max_time=timedelta(seconds=0.1))

    with pytest.raises(FetchFailed):
        await EgressClient(policy, resolver=hang).get("http://slow.example/")


@pytest.mark.parametrize("path", ["/image", "/untyped"])
async def test_what_is_not_text_is_refused(site: Site, path: str) -> None:
    with pytest.raises(ResponseRefused):
        await EgressClient(OPEN_LOOPBACK).get(site.at(path))


@pytest.mark.parametrize("path", ["/missing", "/hang-up"])
async def test_an_error_or_a_cut_connection_is_a_failed_fetch(site: Site, path: str) -> None:
    with pytest.raises(FetchFailed):
        await EgressClient(OPEN_LOOPBACK).get(site.at(path))


async def test_an_unknown_host_is_a_failed_fetch() -> None:
    async def unknown(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror("no such host")

    with pytest.raises(FetchFailed, match="not known"):
        await EgressClient(EgressPolicy(), resolver=unknown).get("http://nowhere.example/")


async def test_the_next_address_is_tried_when_the_first_does_not_answer(site: Site) -> None:
    resolver = ScriptedResolver(["127.0.0.2", "127.0.0.1"])

    assert (await EgressClient(OPEN_LOOPBACK, resolver=resolver).get(site.at("/page", host="two.test"))).body


async def test_a_host_opened_by_name_may_be_private_but_never_metadata(site: Site) -> None:
    policy = EgressPolicy.from_environ({"CLEW_EGRESS_ALLOW": "Wiki.corp.example, *.intra.example"})

    for host in ("wiki.corp.example", "a.intra.example", "b.a.intra.example"):
        client = EgressClient(policy, resolver=ScriptedResolver(["127.0.0.1"]))
        assert (await client.get(site.at("/page", host=host))).body
    for host in ("other.corp.example", "intra.example", "evil-intra.example"):
        with pytest.raises(EgressError):
            await EgressClient(policy, resolver=ScriptedResolver(["127.0.0.1"])).get(site.at("/page", host=host))
    with pytest.raises(AddressRefused, match="metadata"):
        await EgressClient(policy, resolver=ScriptedResolver(["169.254.169.254"])).get("http://wiki.corp.example/")


def test_the_allow_list_takes_networks_addresses_and_names() -> None:
    policy = EgressPolicy.from_environ({"CLEW_EGRESS_ALLOW": "10.0.0.0/8, fd00::/8 ,192.168.1.7,host.example,"})

    assert policy.networks == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"), ip_network("192.168.1.7/32"))
    assert policy.hosts == {"host.example"}
    assert EgressPolicy.from_environ({}) == EgressPolicy()


@pytest.mark.parametrize("entry", ["10.0.0.0/99", "http://a.example", "a_b!", "*", "a..b"])
def test_a_wrong_allow_list_names_the_variable_and_the_entry(entry: str) -> None:
    with pytest.raises(ValueError, match="CLEW_EGRESS_ALLOW"):
        EgressPolicy.from_environ({"CLEW_EGRESS_ALLOW": f"ok.example,{entry}"})
