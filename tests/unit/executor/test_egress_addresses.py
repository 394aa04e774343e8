"""Which addresses are public: tables, and properties over whole classes of addresses."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.executor.addresses import METADATA, parse_address, refusal

NON_PUBLIC_V4 = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
]
NON_PUBLIC_V6 = [
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    "2001:db8::/32",
    "64:ff9b::/96",
    "2002::/16",
    "::/96",
]


def inside_v4(network: str) -> st.SearchStrategy[IPv4Address]:
    return st.ip_addresses(network=IPv4Network(network)).map(lambda a: IPv4Address(int(a)))


def inside_v6(network: str) -> st.SearchStrategy[IPv6Address]:
    return st.ip_addresses(network=IPv6Network(network)).map(lambda a: IPv6Address(int(a)))


@pytest.mark.parametrize(
    "text", ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e"]
)
def test_public_addresses_are_let_through(text: str) -> None:
    assert refusal(ip_address(text)) is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("::1", "loopback"),
        ("::", "unspecified"),
        ("::ffff:8.8.8.8", "an IPv4 address inside IPv6"),
        ("::ffff:127.0.0.1", "an IPv4 address inside IPv6"),
        ("2002:7f00:1::", "an IPv4 address inside IPv6"),
        ("2606:4700::5efe:7f00:1", "an IPv4 address inside IPv6"),
        ("64:ff9b::7f00:1", "NAT64"),
        ("64:ff9b:1::a00:1", "NAT64"),
        ("fe80::1", "link-local"),
        ("fd12:3456::1", "private"),
        ("100.100.100.200", "cloud metadata"),
        ("169.254.169.254", "cloud metadata"),
        ("168.63.129.16", "cloud metadata"),
        ("fd00:ec2::254", "cloud metadata"),
        ("4000::1", "reserved"),
    ],
)
def test_special_addresses_are_refused_by_kind(text: str, kind: str) -> None:
    assert refusal(ip_address(text)) == kind


@given(st.sampled_from(NON_PUBLIC_V4).flatmap(inside_v4))
def test_no_address_of_a_special_ipv4_range_is_public(address: IPv4Address) -> None:
    assert refusal(address) is not None


@given(st.sampled_from(NON_PUBLIC_V6).flatmap(inside_v6))
def test_no_address_of_a_special_ipv6_range_is_public(address: IPv6Address) -> None:
    assert refusal(address) is not None


@given(st.ip_addresses(v=4))
def test_no_ipv4_address_is_reached_in_ipv6_clothing(inner: IPv4Address) -> None:
    low = int(inner)
    for prefix in (0xFFFF << 32, 0, 0xFFFF << 48, 0x0064_FF9B << 96, (0x0064_FF9B << 96) | (1 << 80)):
        assert refusal(IPv6Address(prefix | low)) is not None
    assert refusal(IPv6Address((0x2002 << 112) | (low << 80))) is not None


@given(st.ip_addresses())
def test_what_is_let_through_is_global_and_not_metadata(address: IPv4Address | IPv6Address) -> None:
    if refusal(address) is None:
        assert address.is_global
        assert not address.is_multicast
        assert address not in METADATA


def test_a_zone_does_not_change_what_an_address_is() -> None:
    assert refusal(parse_address("fe80::1%eth0")) == "link-local"
    assert refusal(parse_address("fd00:ec2::254%1")) == "cloud metadata"
