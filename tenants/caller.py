"""The caller of a request, which the authenticator makes of a credential."""

from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a tenant or of a key; 0 means none. Without `burst`, it is the refill of a minute.

    A megabyte has 1,000,000 bytes.
    """

    requests_per_minute: int = 0
    burst: int = 0
    tokens_per_minute: int = 0
    max_concurrency: int = 0
    megabytes_in_flight: int = 0
    megabytes_per_day: int = 0

    def without_slots(self) -> "Limits":
        """Returns the limits of a request that may wait for long, and is not counted as running."""
        return replace(self, max_concurrency=0, megabytes_in_flight=0)


NO_LIMITS = Limits()


class LocalOnlyBy(StrEnum):
    TENANT = "tenant"
    KEY = "key"
    REQUEST = "request"


SESSION = "session"  # the window of quotas that count each session of a client apart


@dataclass(frozen=True, slots=True)
class QuotaRef:
    """A quota that counts this caller's requests; `model` is "" if it counts every model's."""

    id: UUID
    unit: str
    window: str
    model: str


@dataclass(frozen=True, slots=True)
class Caller:
    tenant_id: UUID
    tenant: str
    actor: str  # in the audit trail's form: "key:<uuid>" or "member:<uuid>"
    subject_id: UUID
    weight: int
    limits: Limits
    credential: bytes | UUID = b""  # a key's digest or a member's id
    key_limits: Limits = NO_LIMITS
    api_key_id: UUID | None = None
    member_id: UUID | None = None
    maker_id: UUID | None = None  # the member who made the key: their quotas count its requests
    team_id: UUID | None = None  # the key's, or the member's if they have only one
    role: str = ""  # a member's
    profile: str = ""
    scopes: frozenset[str] = frozenset()
    allowed_models: frozenset[str] = frozenset()  # empty: no list
    withheld_models: frozenset[str] = frozenset()  # restricted here, and not granted
    networks: tuple[IPv4Network | IPv6Network, ...] = ()  # empty: from anywhere
    allowed_origins: frozenset[str] = frozenset()  # of web pages that may use its keys
    local_only_by: str = ""  # what restricts it to this installation; "": nothing
    time_zone: str = "UTC"
    tier: str = ""  # the tenant's plan
    quotas: tuple[QuotaRef, ...] = ()
    cache_rules: tuple[tuple[str, bool], ...] = ()  # (model or "", on), the narrowest first
    cache_epoch: int = 0

    def caches(self, model: str) -> bool | None:
        """Returns what the first matching rule says about cached answers, or None without one."""
        rules = (on for name, on in self.cache_rules if name in ("", model))
        return next(rules, None)

    @property
    def local_only(self) -> bool:
        """Returns True if no hosted engine may receive its requests."""
        return bool(self.local_only_by)

    def may_use(self, model: str) -> bool:
        if self.allowed_models and model not in self.allowed_models:
            return False
        return model not in self.withheld_models

    def may_come_from(self, client_ip: str) -> bool:
        if not self.networks:
            return True
        try:
            address = ip_address(client_ip)
        except ValueError:  # no address: a socket file
            return False
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(mapped in network for network in self.networks)
