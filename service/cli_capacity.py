"""`plb capacity`: how many shards are needed, of which type, and what if; offline from a history, or asked of a service."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003  typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plb_ray.errors import BadInputError
from service.capacity_ask import Campaign, CapacityAsk, Growth, HorizonName, NewTenant, TypeAsked
from service.cli_options import URL, client_of, console_of, show
from service.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plb_ray.domain.rates import RateHistory

WHAT_IF = "What if"
WHERE = "Where the history is"
Texts = list[str]
TIME = r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:\d\d)?)?"
CAMPAIGN = re.compile(rf"([^@:]+)(?:@({TIME})?(?:/({TIME}))?)?(?::(.+))?")


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(rich_help_panel="Offline")(capacity)


def capacity(
    *,
    horizon: Annotated[HorizonName, typer.Option(help="How far ahead.")] = HorizonName.DAY,
    alpha: Annotated[
        float, typer.Option(metavar="SHARE", help="Accepted risk that a shard is overloaded, at any one step.")
    ] = 0.05,
    headroom: Annotated[float, typer.Option(metavar="SHARE", help="Usable share of every capacity.")] = 0.9,
    shard_type: Annotated[
        Texts | None,
        typer.Option(
            "--type",
            metavar="NAME:RESOURCE=AMOUNT,...",
            help="A shard type that can be had, also price=P and most=N; again for more types.",
        ),
    ] = None,
    segments: Annotated[int, typer.Option(metavar="N", help="Most shards for one order param that fits none.")] = 1,
    grow: Annotated[
        Texts | None,
        typer.Option(metavar="PATTERN=PERCENT", help="Traffic of these order params grows.", rich_help_panel=WHAT_IF),
    ] = None,
    campaign: Annotated[
        Texts | None,
        typer.Option(
            metavar="MESSAGES_PER_S[@START[/END]][:PATTERN]",
            help="So much comes on top, from START to END (UTC).",
            rich_help_panel=WHAT_IF,
        ),
    ] = None,
    tenant: Annotated[
        Texts | None,
        typer.Option(metavar="NAME=PATTERN[*FACTOR]", help="Somebody comes who is like others.", rich_help_panel=WHAT_IF),
    ] = None,
    zones: Annotated[
        int, typer.Option(metavar="N", help="Any one of so many zones is lost; 1: none.", rich_help_panel=WHAT_IF)
    ] = 1,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A trace: parquet or CSV.", rich_help_panel=WHERE)
    ] = None,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The state folder of a balancer.", rich_help_panel=WHERE)
    ] = None,
    url: Annotated[
        str | None, typer.Option(metavar="URL", envvar="PLB_URL", help="A running service.", rich_help_panel=WHERE)
    ] = None,
    now: Annotated[
        bool, typer.Option("--now", help="What a running service advises: shards now and in the coming day.")
    ] = False,
    deadline_s: Annotated[float, typer.Option("--deadline", metavar="SECONDS", help="Time for the answer.")] = 5.0,
    seed: Annotated[int, typer.Option(metavar="N", help="Of every random choice.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of words.")] = False,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write a page with a chart there.")] = None,
) -> None:
    """Say how many shards the traffic to come needs, with a proven lower bound; and what if.

    Offline from --trace or --state the one resource is messages_per_s; a service (--url) knows CPU, memory and I/O as well,
    which shards there are, and so how to get there. Without any of the three the packaged sample is used. --now shows what
    a service's own forecasts say of the coming day, and, with elastic.enabled, which shards it starts and drains.

    Example: plb capacity --trace week.parquet --horizon week --type small:messages_per_s=500,price=1 --grow 'shop-*=40'

    Leaves with 8 if no fleet holds the traffic.
    """
    if now:
        _advice(url, as_json=as_json)
        return
    asked = CapacityAsk(
        horizon=horizon,
        alpha=alpha,
        headroom=headroom,
        types=tuple(map(parse_type, shard_type or ())),
        growths=tuple(map(parse_growth, grow or ())),
        campaigns=tuple(map(parse_campaign, campaign or ())),
        tenants=tuple(map(parse_tenant, tenant or ())),
        zones=zones,
        segments=segments,
        deadline_s=deadline_s,
        seed=seed,
    )
    if report is not None and (report.is_dir() or not report.parent.is_dir()):
        raise BadInputError(f"--report {report}: cannot be written; name a file in a folder that exists")
    with nullcontext() if as_json else _waiting():
        found = _found(asked, trace, state, url)
    if report is not None:
        from service.capacity_page import page  # noqa: PLC0415  imports plotly
        from service.plan_report import write_whole  # noqa: PLC0415  keeps --help fast

        write_whole(report, page(found))
    _show(found, report, as_json=as_json)
    if found["status"] in ("impossible", "not_found", "refused"):
        raise typer.Exit(ExitCode.CHECKS_FAILED)


def _advice(url: str | None, *, as_json: bool) -> None:
    """Show GET /v1/capacity of a service."""
    from service.cli_render import fleet_lines  # noqa: PLC0415  keeps --help fast

    with client_of(url or URL) as client:
        found = client.fleet()
    show(found, *fleet_lines(found), as_json=as_json)


def _found(asked: CapacityAsk, trace: Path | None, state: Path | None, url: str | None) -> dict[str, Any]:
    """Return the answer as JSON values, from a service or made here."""
    if sum(each is not None for each in (trace, state)) > 1:
        raise BadInputError("--trace and --state are two histories; give one")
    if url is not None and trace is None and state is None:
        with client_of(url) as client:
            return client.capacity(request(asked))
    from plb_ray.clock import monotonic_s  # noqa: PLC0415  keeps --help fast
    from plb_ray.control.capacity_basis import basis_of_rates  # noqa: PLC0415  imports numpy
    from service.capacity import capacity as answer  # noqa: PLC0415  imports the solver
    from service.capacity_document import document  # noqa: PLC0415  imports the solver

    found = document(answer(basis_of_rates(_history(trace, state)), asked, monotonic_s))
    if trace is None and state is None:
        found["notes"].insert(0, "the packaged sample's traffic; give --trace FILE, --state DIR or --url URL for yours")
    return found


def _history(trace: Path | None, state: Path | None) -> RateHistory:
    if state is not None:
        from plb_ray.history.reader import read_history  # noqa: PLC0415  imports Delta

        return read_history(state / "history")
    from plb_ray.simulation.trace import packaged_sample, read_trace  # noqa: PLC0415  imports pandas

    found = read_trace(trace) if trace is not None else packaged_sample()
    return found.history(0, found.bins)


def request(asked: CapacityAsk) -> dict[str, Any]:
    """Return the body of POST /v1/capacity:what-if that asks this."""
    return {
        "horizon": asked.horizon.value,
        "alpha": asked.alpha,
        "headroom": asked.headroom,
        "types": [dict(vars(each)) for each in asked.types],
        "growths": [{"order_params": list(each.order_params), "percent": each.percent} for each in asked.growths],
        "campaigns": [
            {
                "messages_per_s": each.messages_per_s,
                "order_params": list(each.order_params),
                "start": each.start_s,
                "end": each.end_s,
            }
            for each in asked.campaigns
        ],
        "tenants": [{"name": each.name, "like": list(each.like), "factor": each.factor} for each in asked.tenants],
        "zones": asked.zones,
        "segments": asked.segments,
        "deadline_s": asked.deadline_s,
        "seed": asked.seed,
    }


def parse_type(text: str) -> TypeAsked:
    """Return the type of e.g. "small:cpu_cores=4,memory_bytes=8e9,price=0.2,most=10". Raises BadInputError."""
    name, _, rest = text.partition(":")
    amounts: dict[str, float] = {}
    for part in filter(None, rest.split(",")):
        key, _, value = part.partition("=")
        amounts[key.strip()] = _number(value, f"--type {text!r}, {key}")
    if not name or not set(amounts) - {"price", "most"}:
        raise BadInputError(f"--type {text!r}: write NAME:RESOURCE=AMOUNT,..., such as small:messages_per_s=500,price=1")
    price, most = amounts.pop("price", 1.0), amounts.pop("most", None)
    return TypeAsked(name, amounts, price, None if most is None else int(most))


def parse_growth(text: str) -> Growth:
    """Return the growth of e.g. "shop-*=40" or "shop-*=40%". Raises BadInputError."""
    names, _, percent = text.rpartition("=")
    if not names:
        raise BadInputError(f"--grow {text!r}: write PATTERN=PERCENT, such as 'shop-*=40'")
    return Growth((names,), _number(percent.removesuffix("%"), f"--grow {text!r}"))


def parse_campaign(text: str) -> Campaign:
    """Return the campaign of e.g. "500@2026-11-27T09:00/2026-11-27T12:00:shop-*". Raises BadInputError."""
    found = CAMPAIGN.fullmatch(text)
    if found is None:
        raise BadInputError(f"--campaign {text!r}: write 500, or 500@2026-11-27T09:00/2026-11-27T12:00:shop-*")
    rate, start, end, names = found.groups()
    times = [_utc(each, text) if each else None for each in (start, end)]
    return Campaign(_number(rate, f"--campaign {text!r}"), (names,) if names else (), times[0], times[1])


def parse_tenant(text: str) -> NewTenant:
    """Return the tenant of e.g. "acme=shop-*" or "acme=shop-1*2.5". Raises BadInputError."""
    name, _, like = text.partition("=")
    pattern, star, factor = like.rpartition("*")
    scaled = bool(star) and bool(pattern) and factor.replace(".", "", 1).isdigit()
    if not name or not like:
        raise BadInputError(f"--tenant {text!r}: write NAME=PATTERN or NAME=PATTERN*FACTOR, such as acme=shop-1*2")
    return NewTenant(name, (pattern if scaled else like,), float(factor) if scaled else 1.0)


def _utc(text: str, whole: str) -> float:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise BadInputError(f"--campaign {whole!r}: {text!r} is no time such as 2026-11-27T09:00") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadInputError(f"{where}: {text!r} is not a number") from None


def _waiting() -> Any:
    from rich.console import Console  # noqa: PLC0415  keeps --help fast

    return Console(stderr=True).status("planning the fleet")


def _show(found: dict[str, Any], report: Path | None, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False))
        return
    console = console_of()
    for line in _lines(found, report):
        console.print(line)


def _lines(found: dict[str, Any], report: Path | None) -> Iterator[Any]:
    from rich.text import Text  # noqa: PLC0415  keeps --help fast

    from service.capacity_page import amounts, verdict  # noqa: PLC0415  keeps --help fast
    from service.cli_render import spark  # noqa: PLC0415  keeps --help fast

    yield Text(verdict(found), "bold")
    steps = found["hours"]["steps"]
    needed = [each["needed"] for each in steps]
    if needed:
        yield Text(
            f"needed {spark(needed)} from {min(needed)} to {max(needed)}, {steps[0]['start']} to {steps[-1]['start']}"
        )
    for each in found["types"]:
        yield Text(f"{each['shards']:>6} x {each['name']} (price {each['price']:g}; {amounts(each['capacity'])})")
    yield Text(
        f"price {found['price']:,.6g}, at least {found['price_lower_bound']:,.6g} (proven: {found['bound_follows_from']})"
    )
    plan = found["plan"]
    if plan is not None:
        words = [f"start {count} {name}" for name, count in plan["start"].items()] + [
            f"drain {name}" for name in plan["drain"]
        ]
        yield Text(
            f"to get there: {'; '.join(words) or 'nothing to start or drain'}; {len(plan['moves'])} moves, {plan['quality']}"
        )
    for each in found["leftovers"]:
        yield Text(f"fits no shard: {each['order_param']}: {each['reason']}", "yellow")
    yield from (Text(note, "dim") for note in found["notes"])
    if report is not None:
        yield Text(f"written: {report}", "dim")
