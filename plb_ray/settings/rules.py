"""What must hold between several settings; each alone is checked by its type. A rule yields (key, what is wrong)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from plb_ray.settings.queue import QueueTlsSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from plb_ray.settings.http import TlsSettings
    from plb_ray.settings.tree import Settings

Found = tuple[str, str]
URLS = ("http://", "https://")
OPEN = (
    '"off" on {host} would let everybody who reaches it move and drain things; set it to "token" and make a token with '
    "`plb token create`, or keep http.host on 127.0.0.1, or, behind a proxy of your own that authenticates, set "
    "http.auth.open_to_network = true"
)


def queue_target(settings: Settings) -> Iterator[Found]:
    """A queue of somebody else's has an address."""
    if settings.queue.kind == "grpc" and not settings.queue.target:
        yield "queue.target", 'kind "grpc" needs HOST:PORT of the queue\'s QueueControl'


def prometheus(settings: Settings) -> Iterator[Found]:
    """A Prometheus is asked something, at a URL."""
    asked = settings.history.prometheus
    if asked.url and not asked.query:
        yield "history.prometheus.query", "a url needs the PromQL to ask there"
    if asked.url and not asked.url.startswith(URLS):
        yield "history.prometheus.url", f"{asked.url!r} is no URL such as http://127.0.0.1:9090"


def elastic(settings: Settings) -> Iterator[Found]:
    """Shards come and go within bounds, and only our own."""
    asked = settings.elastic
    if asked.min_shards > asked.max_shards:
        yield "elastic.min_shards", f"{asked.min_shards} is above elastic.max_shards"
    if asked.enabled and settings.queue.kind == "grpc":
        yield "elastic.enabled", 'only shards of queue.kind "embedded" can be started here'


def margin(settings: Settings) -> Iterator[Found]:
    """Nobody plans below the median: half of all steps would overload."""
    for resource, level in zip(("cpu", "memory", "io"), settings.balancer.margin.levels, strict=True):
        if not 0.5 <= level < 0.999:
            yield f"balancer.margin.{resource}_overload", f"must be 1 to 999 times {resource}_idle"


def addresses(settings: Settings) -> Iterator[Found]:
    """What is sent somewhere is sent to a URL. A secret one is not repeated in the refusal."""
    if not settings.tracing.endpoint.startswith(URLS):
        yield "tracing.endpoint", f"{settings.tracing.endpoint!r} is no URL such as http://127.0.0.1:4318"
    for key in ("webhook_url", "slack_url"):
        url = getattr(settings.notify, key)
        if url and not url.startswith(URLS):
            yield f"notify.{key}", "is no URL; it begins with http:// or https://"


def callers(settings: Settings) -> Iterator[Found]:
    """Nobody is let in unasked from the network, and an issuer is known well enough to be believed."""
    http, auth = settings.http, settings.http.auth
    if auth.mode == "off" and not http.on_loopback and not auth.open_to_network:
        yield "http.auth.mode", OPEN.format(host=http.host)
    if auth.mode == "oidc":
        yield from _issuer(settings)


def _issuer(settings: Settings) -> Iterator[Found]:
    oidc = settings.http.auth.oidc
    if not oidc.issuer:
        yield "http.auth.oidc.issuer", 'mode "oidc" needs the issuer whose tokens are believed'
    if not oidc.audience:
        yield "http.auth.oidc.audience", "tokens for others would be believed; name the audience that stands for plb-ray"
    for key, url in (("issuer", oidc.issuer), ("jwks_url", oidc.jwks_url)):
        if url and not (url.startswith("https://") or _local(url)):
            yield f"http.auth.oidc.{key}", f"{url!r}: keys are fetched by https:// only, but for this machine"


def _local(url: str) -> bool:
    return urlsplit(url).hostname in {"127.0.0.1", "localhost", "::1"}


def tls(settings: Settings) -> Iterator[Found]:
    """A certificate goes with its key."""
    yield from _pair("http.tls", settings.http.tls, "HTTPS")


def queue_tls(settings: Settings) -> Iterator[Found]:
    """Commands are encrypted to a queue of somebody else's, and a certificate goes with its key."""
    kind, asked = settings.queue.kind, settings.queue.tls
    if kind != "grpc" and asked != QueueTlsSettings():
        yield "queue.tls.enabled", 'only a queue of kind "grpc" is commanded over TLS'
    yield from _pair("queue.tls", asked, "a certificate of our own")
    if not asked.enabled and (asked.ca or asked.cert or asked.key):
        yield "queue.tls.enabled", "set it to true, or the files are not used and commands go unencrypted"


def _pair(section: str, files: TlsSettings | QueueTlsSettings, what: str) -> Iterator[Found]:
    if (files.cert is None) != (files.key is None):
        missing = "cert" if files.cert is None else "key"
        yield f"{section}.{missing}", f"{what} needs both {section}.cert and {section}.key"


RULES: tuple[Callable[[Settings], Iterator[Found]], ...] = (
    queue_target,
    prometheus,
    elastic,
    margin,
    addresses,
    callers,
    tls,
    queue_tls,
)
