"""`[http]`: where the API and the dashboard listen, who may ask, and how much."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from plb_ray.settings.kinds import STRICT_KEYS, Count, Port, Seconds


@dataclass(frozen=True)
class OidcSettings:
    """Who vouches for people and programs: an issuer of JSON Web Tokens.

    Attributes:
        issuer: the `iss` that tokens must carry, as in "https://login.example.org/realms/plb".
        audience: the `aud` that tokens must carry.
        jwks_url: where the issuer's keys are; empty: as <issuer>/.well-known/openid-configuration says.
        jwks_file: a file with the issuer's keys, in place of a URL. Read anew when it changes.
        name_claim: the claim that names the caller.
        role_claim: the claim with the roles, a text or a list; dots go into objects, as in "realm_access.roles".
        viewer, operator, admin: values of that claim that stand for our roles.
        leeway_s: how far the issuer's clock may be from ours.
        keys_max_age_s: how long fetched keys are used before they are fetched again. An unknown key is looked for at once.
    """

    __pydantic_config__ = STRICT_KEYS

    issuer: str = ""
    audience: str = ""
    jwks_url: str = ""
    jwks_file: Path | None = None
    name_claim: str = "sub"
    role_claim: str = "roles"
    viewer: tuple[str, ...] = ("plb-viewer",)
    operator: tuple[str, ...] = ("plb-operator",)
    admin: tuple[str, ...] = ("plb-admin",)
    leeway_s: Annotated[float, Field(ge=0, le=600)] = 30.0
    keys_max_age_s: Seconds = 300.0


@dataclass(frozen=True)
class AuthSettings:
    """Whether callers must say who they are.

    Attributes:
        mode: "off" lets everybody do everything; "token" asks for an API token (`plb token create`); "oidc" takes JSON Web
            Tokens of an issuer as well.
        open_to_network: allow mode "off" on an address that others can reach: for those behind a proxy of their own that
            authenticates.
        session_hours: how long a login to the dashboard lasts.
        failures_per_minute: how many bad credentials from one address are looked at before it is told to wait.
        oidc: see there.
    """

    __pydantic_config__ = STRICT_KEYS

    mode: Literal["off", "token", "oidc"] = "off"
    open_to_network: bool = False
    session_hours: Annotated[float, Field(gt=0, le=24 * 30)] = 12.0
    failures_per_minute: Count = 20
    oidc: OidcSettings = field(default_factory=OidcSettings)


@dataclass(frozen=True)
class TlsSettings:
    """HTTPS: both files in PEM, or neither.

    Attributes:
        cert: the certificate, followed by those between it and the authority's.
        key: its private key, without a passphrase.
    """

    __pydantic_config__ = STRICT_KEYS

    cert: Path | None = None
    key: Path | None = None


@dataclass(frozen=True)
class LimitSettings:
    """How much one caller may ask.

    Attributes:
        requests_per_s: of one caller over time; 0 does not limit.
        burst: how many at once after a pause.
        body_mb: largest body of a request.
    """

    __pydantic_config__ = STRICT_KEYS

    requests_per_s: Annotated[float, Field(ge=0)] = 2000.0
    burst: Count = 4000
    body_mb: Annotated[float, Field(gt=0, le=1024)] = 64.0


@dataclass(frozen=True)
class HttpSettings:
    """Where the API and the dashboard listen.

    Attributes:
        host: address to listen on. Any but the loopback interface needs `auth.mode` "token" or "oidc".
        port: 0 takes a free one.
        snapshot_s: how old an answer to a read may be; 0 asks the control loop at every request.
        auth, tls, limits: see there.
    """

    __pydantic_config__ = STRICT_KEYS

    host: str = "127.0.0.1"
    port: Port = 8080
    snapshot_s: Annotated[float, Field(ge=0, le=60)] = 1.0
    auth: AuthSettings = field(default_factory=AuthSettings)
    tls: TlsSettings = field(default_factory=TlsSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)

    @property
    def on_loopback(self) -> bool:
        """Whether only programs of this machine reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
