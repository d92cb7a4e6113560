"""`plb decisions`, `plb audit`, `plb cost`: what was decided and why, what came of it, who did what, what messages cost."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plb_ray.clock import wall_time_s
from plb_ray.errors import BadInputError
from service.cli_options import URL, AsJson, Url, client_of, show

if TYPE_CHECKING:
    from service.client import ServiceClient

DECISIONS = """What was decided, tick by tick, and why.

Every tick's decision is kept with what it was made from. `show` tells one whole: load of the shards, orders in force, what
was remembered, each move with its reason and the code of what became of it, and what the moves promised and kept.

Examples:

plb decisions --moves --since 6h

plb decisions --order-param JFK-LAX --admission deferred

plb decisions show 85

plb decisions effects
"""
TERMINAL = Path("-")
PANEL = "Ask a running service"

group = typer.Typer(help=DECISIONS, invoke_without_command=True, rich_markup_mode="markdown")

Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")]
Since = Annotated[
    str | None, typer.Option(metavar="WHEN", help="From then on: a span before now as 6h, 14d, or an ISO 8601 time.")
]
Until = Annotated[str | None, typer.Option(metavar="WHEN", help="Before then: as --since.")]
OrderParam = Annotated[str | None, typer.Option(metavar="NAME", help="Only what concerns this order param.")]
SubUrl = Annotated[str | None, typer.Option("--url", metavar="URL", help="As before the command.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(group, name="decisions", rich_help_panel=PANEL)
    app.command(rich_help_panel=PANEL)(audit)
    app.command(rich_help_panel=PANEL)(cost)


@group.callback()
def decisions(
    context: typer.Context,
    *,
    limit: Limit = 20,
    since: Since = None,
    until: Until = None,
    order_param: OrderParam = None,
    admission: Annotated[
        str | None, typer.Option(metavar="CODE", help="Only where a move met this: admitted, deferred, tick_budget, ...")
    ] = None,
    moves: Annotated[bool, typer.Option("--moves", help="Only those that planned moves.")] = False,
    before: Annotated[int | None, typer.Option(metavar="NUMBER", min=0, help="Only earlier ones than this.")] = None,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """List what was decided, newest first."""
    if context.invoked_subcommand is not None:
        return
    from service.record_render import decision_table  # noqa: PLC0415  keeps --help fast

    asked = {"limit": limit, "before": before, "order_param": order_param, "admission": admission, "moves": moves}
    with client_of(url) as client:
        found = client.decisions({**asked, **_times(since, until)})
    show(found, decision_table(found["items"]) if found["items"] else "no decisions", as_json=as_json)


@group.command("show")
def show_one(
    context: typer.Context,
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=0, help="As `plb decisions` shows it.")],
    *,
    url: SubUrl = None,
    as_json: AsJson = False,
) -> None:
    """Tell the whole story of one decision."""
    from service.record_render import decision_lines  # noqa: PLC0415  keeps --help fast

    with _client(context, url) as client:
        found = client.decision(number)
    show(found, *decision_lines(found), as_json=_as_json(context, as_json=as_json))


@group.command("effects")
def effects(
    context: typer.Context,
    order_param: Annotated[str | None, typer.Argument(help="Only the moves of this order param.")] = None,
    *,
    limit: Limit = 20,
    url: SubUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show what moves promised of the steps that have come, and what came: overload taken away, load, pause, cost.

    In brackets: promised over the whole horizon, of which nothing has come yet.
    """
    from service.record_render import effect_table  # noqa: PLC0415  keeps --help fast

    with _client(context, url) as client:
        found = client.effects({"limit": limit, "order_param": order_param})
    shown = effect_table(found["items"]) if found["items"] else "no moves were sent"
    show(found, shown, as_json=_as_json(context, as_json=as_json))


def audit(
    *,
    limit: Limit = 50,
    who: Annotated[str | None, typer.Option(metavar="NAME", help="Only what this one did; the loop is `balancer`.")] = None,
    action: Annotated[
        str | None, typer.Option(metavar="ACTION", help="Only this, as migration.sent, or all of a kind, as migration.")
    ] = None,
    since: Since = None,
    until: Until = None,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write all that fit there, oldest first, a JSON object a line; - is the screen."),
    ] = None,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Show who did what, when, and what became of it, newest first.

    Kept for journal.keep_days. Nothing in it is ever changed.

    Example: plb audit --since 30d --export audit.ndjson
    """
    asked = {"who": who, "action": action, **_times(since, until)}
    with client_of(url) as client:
        if export is not None:
            _export(client, asked, export)
            return
        found = client.audit({**asked, "limit": limit})
    from service.record_render import audit_table  # noqa: PLC0415  keeps --help fast

    show(found, audit_table(found["items"]) if found["items"] else "nothing was done", as_json=as_json)


def cost(
    order_param: Annotated[str | None, typer.Argument(help="Only this one. Default: a page of all.")] = None,
    *,
    contains: Annotated[str, typer.Option(metavar="TEXT", help="Only names that hold this, in any case.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, sorted by name.")] = 50,
    offset: Annotated[int, typer.Option(min=0, help="How many to leave out first.")] = 0,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Show what a message costs, as learned so far, and between what that lies nine times in ten.

    A wide band means that little is known: a new order param, or one whose traffic goes up and down with its shard's others.
    """
    from service.record_render import cost_table  # noqa: PLC0415  keeps --help fast

    with client_of(url) as client:
        if order_param is not None:
            found = client.cost(order_param)
            show(found, cost_table([found]), as_json=as_json)
            return
        found = client.costs({"contains": contains, "limit": limit, "offset": offset})
    shown = f"{offset + len(found['items'])} of {found['total']}"
    show(found, cost_table(found["items"]), shown, as_json=as_json)


def _export(client: ServiceClient, asked: dict[str, Any], target: Path) -> None:
    if target == TERMINAL:
        for line in client.audit_lines(asked):
            typer.echo(line)
        return
    part, count = target.with_name(target.name + ".part"), 0
    try:
        with part.open("w", encoding="utf-8") as file:
            for line in client.audit_lines(asked):
                file.write(line + "\n")
                count += 1
        part.replace(target)
    except OSError as error:
        raise BadInputError(f"--export {target}: cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    typer.echo(f"{count} entries in {target}", err=True)


def _times(since: str | None, until: str | None) -> dict[str, str | None]:
    return {"since": _moment(since), "until": _moment(until)}


def _moment(text: str | None) -> str | None:
    """Return an ISO 8601 time in UTC. Raises BadInputError."""
    if text is None:
        return None
    from plb_ray.cluster.since import span_or_moment  # noqa: PLC0415  keeps --help fast

    try:
        return datetime.fromtimestamp(span_or_moment(text).start_s(int(wall_time_s())), UTC).isoformat()
    except (OverflowError, ValueError) as error:
        raise BadInputError(f"{text!r} is too far away") from error


def _client(context: typer.Context, url: str | None) -> ServiceClient:
    """Return a client; without a URL of its own, a subcommand takes that of `plb decisions`."""
    assert context.parent is not None
    return client_of(url or context.parent.params["url"])


def _as_json(context: typer.Context, *, as_json: bool) -> bool:
    assert context.parent is not None
    return as_json or bool(context.parent.params["as_json"])
