"""Which IP addresses the outside may make us connect to. Pure; it resolves nothing and connects to nothing.

An address is public only when nothing speaks against it: every special range of the IANA registries is refused,
and so is every IPv6 form that carries an IPv4 address inside (mapped, translated, tunnelled), because what the
wrapper is delivered to is not what it looks like.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_REFUSED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("unspecified", ("0.0.0.0/8", "::/128")),
    ("loopback", ("127.0.0.0/8", "::1/128")),
    ("link-local", ("169.254.0.0/16", "fe80::/10")),
    ("private", ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10")),
    ("carrier-grade NAT", ("100.64.0.0/10",)),
    ("multicast", ("224.0.0.0/4", "ff00::/8")),
    ("an IPv4 address inside IPv6", ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "2002::/16", "2001::/32")),
    ("NAT64", ("64:ff9b::/96", "64:ff9b:1::/48")),
    ("documentation", ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")),
    ("benchmarking", ("198.18.0.0/15", "2001:2::/48")),
    ("reserved", ("192.0.0.0/24", "192.88.99.0/24", "240.0.0.0/4", "100::/64", "100:0:0:1::/64", "5f00::/16")),
)
_REFUSED_NETWORKS = tuple((kind, ip_network(text)) for kind, texts in _REFUSED for text in texts)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""The only IPv6 space that is handed out for public use."""
_ISATAP = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")
"""Bytes 8 to 11 of an address that tunnels to the IPv4 address in its last four bytes (RFC 5214)."""

METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Google, Azure, OpenStack and most others
        "169.254.170.2",  # AWS task credentials
        "169.254.170.23",  # AWS pod identity
        "168.63.129.16",  # Azure WireServer: a public address
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "fd00:ec2::254",  # AWS over IPv6
        "fd00:ec2::23",  # AWS pod identity over IPv6
        "fd20:ce::254",  # Google over IPv6
    )
)
"""Where clouds hand out credentials: never opened, not even by CLEW_EGRESS_ALLOW."""


def parse_address(text: str) -> Address:
    """The address that `text` writes, without its zone (`fe80::1%eth0`), which does not change where it goes.

    Raises:
        ValueError: `text` is not an IP address.
    """
    return ip_address(text.split("%", 1)[0])


def refusal(address: Address) -> str | None:
    """Why `address` is not public, as the name of its kind; None when it is."""
    if address in METADATA:
        return "cloud metadata"
    for kind, network in _REFUSED_NETWORKS:
        if address.version == network.version and address in network:
            return kind
    if isinstance(address, IPv6Address):
        if address.packed[8:12] in _ISATAP:
            return "an IPv4 address inside IPv6"
        if address not in _GLOBAL_UNICAST:
            return "reserved"
    return None if address.is_global else "not global"
