"""What may leave: which hosts and networks the operator opened, the caps of one fetch, and how a refusal is told.

Pure values; nothing is resolved or fetched here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_network

from clew.executor.addresses import Address, Network


class EgressError(Exception):
    """A URL was not fetched; the text says why and may be shown to a model and a user.

    EgressError
    ├── UrlRefused         not a URL that may be fetched at all: scheme, port, credentials, syntax
    ├── AddressRefused     its host is, or resolves to, an address that is not public
    ├── RedirectRefused    too many redirects, or one from https to http, or one without a target
    ├── ResponseRefused    the answer is too large or of a kind that is not read
    └── FetchFailed        the host is unknown or did not answer properly in time
    """


class UrlRefused(EgressError):
    """The URL may not be fetched at all."""


class AddressRefused(EgressError):
    """The host is, or resolves to, an address that is not public."""


class RedirectRefused(EgressError):
    """A redirect was not followed."""


class ResponseRefused(EgressError):
    """The answer is too large, or of a content type that is not read."""


class FetchFailed(EgressError):
    """No proper answer in time."""


@dataclass(frozen=True)
class EgressPolicy:
    """What may be reached beyond the public web, and the caps of one fetch (all its redirects together)."""

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = field(default_factory=frozenset[str])
    """Names in lower case; `*.example.org` stands for every name below example.org."""
    max_bytes: int = 2 * 1024 * 1024
    max_time: timedelta = timedelta(seconds=20)
    max_redirects: int = 5

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "EgressPolicy":
        """The policy of CLEW_EGRESS_ALLOW: a comma list of CIDRs, addresses and host names.

        Raises:
            ValueError: an entry is neither a network nor a host name.
        """
        networks: list[Network] = []
        hosts: set[str] = set()
        for entry in (part.strip().lower() for part in environ.get("CLEW_EGRESS_ALLOW", "").split(",")):
            if not entry:
                continue
            if network := _network(entry):
                networks.append(network)
            elif _is_host_name(entry):
                hosts.add(entry)
            else:
                raise ValueError(f"CLEW_EGRESS_ALLOW: {entry!r} is neither a CIDR, an address nor a host name")
        return cls(networks=tuple(networks), hosts=frozenset(hosts))

    def opens_host(self, host: str) -> bool:
        """Whether the operator opened `host` by its name."""
        parents = host.split(".")
        return host in self.hosts or any(f"*.{'.'.join(parents[n:])}" in self.hosts for n in range(1, len(parents)))

    def opens_address(self, address: Address) -> bool:
        """Whether the operator opened the network of `address`."""
        return any(address.version == network.version and address in network for network in self.networks)


def _network(text: str) -> Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _is_host_name(text: str) -> bool:
    name = text.removeprefix("*.")
    return all(label and label.replace("-", "").isalnum() and label.isascii() for label in name.split("."))
