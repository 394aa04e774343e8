"""Who is asking: authenticators behind one seam, `authenticate(bearer token or None) -> Principal`.

API keys are random (256 bits), so a plain SHA-256 of them is as good as a slow hash. The gateway only reads the file;
`clew keys create` writes it. It is JSON:

    {"keys": [{"hash": "<sha256 of the key, hex>", "tenant": "acme", "principal": "ada", "created": "<RFC 3339>",
               "roles": ["operator"]}]}

`roles` may be left out: who uses the platform needs none. A key begins with `clew_`. The file is read again whenever
it changes. While it cannot be read nobody gets in: a key that somebody has just tried to revoke must not go on working.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints, ValidationError

from clew.chassis.errors import StartError
from clew.contracts.envelope import TenantId
from clew.gateway.errors import Forbidden, Unauthenticated, Unavailable

Role: TypeAlias = Literal["operator"]  # who answers for the platform: lets runs go on whose code or journal was mended
LOCAL_TENANT = "local"
LOCAL_SUBJECT = "user"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking, for which tenant, and what more than using the platform that one may do."""

    tenant_id: str
    subject: str
    roles: frozenset[Role] = frozenset()

    def check(self, role: Role) -> None:
        """Forbidden for who does not have the role."""
        if role not in self.roles:
            raise Forbidden(f"This is for those with the role {role!r}: see `clew keys create --role {role}`.")


Authenticator: TypeAlias = Callable[[str | None], Principal]


class ApiKey(BaseModel):
    """One row of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hash: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    tenant: TenantId
    principal: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    created: AwareDatetime
    roles: frozenset[Role] = frozenset()


class ApiKeyFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[ApiKey, ...]


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine only. Brackets around an IPv6 address are allowed."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def nobody_asked(host: str) -> Authenticator:
    """`CLEW_AUTH=none`: everybody is the one local user, and an operator. StartError unless `host` is a loopback
    address."""
    if not is_loopback(host):
        raise StartError(f"CLEW_AUTH=none lets everybody in, so it cannot listen on {host}: set CLEW_AUTH=api-key")
    local = Principal(LOCAL_TENANT, LOCAL_SUBJECT, frozenset({"operator"}))
    return lambda token: local


class ApiKeys:
    """`CLEW_AUTH=api-key`: the bearer token is a key of the file at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._keys: tuple[ApiKey, ...] = ()

    def __call__(self, token: str | None) -> Principal:
        """Unauthenticated for a missing or unknown key, Unavailable while the file cannot be read."""
        if token is None:
            raise Unauthenticated("This needs an API key: send `Authorization: Bearer clew_…`.")
        try:
            self.refresh()
        except (OSError, ValidationError) as error:
            raise Unavailable("API keys cannot be checked now: their file cannot be read.") from error
        digest = sha256(token.encode()).hexdigest()
        found = [key for key in self._keys if hmac.compare_digest(key.hash, digest)]  # all of them, in equal time
        if not found:
            raise Unauthenticated("The API key is not known.")
        return Principal(found[0].tenant, found[0].principal, found[0].roles)

    def refresh(self) -> None:
        """Reads the file if it has changed. OSError or ValidationError when it cannot be read."""
        stat = self._path.stat()
        if (seen := (stat.st_mtime_ns, stat.st_size, stat.st_ino)) == self._seen:
            return
        self._seen = None  # until it was read well: the old keys no longer count
        self._keys = ApiKeyFile.model_validate_json(self._path.read_bytes()).keys
        self._seen = seen

    async def check(self) -> str | None:
        """Readiness: why keys cannot be checked, or None."""
        try:
            self.refresh()
        except (OSError, ValidationError) as error:
            return f"{self._path} cannot be read as a list of API keys: {type(error).__name__}"
        return None


def bearer(authorization: str | None) -> str | None:
    """The token of an `Authorization` header. Unauthenticated when there is one of another scheme."""
    if authorization is None:
        return None
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("Only the scheme `Bearer` is known here.")
    return token.strip()
