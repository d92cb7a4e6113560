"""`plb balancer`: the standing orders of a running balancer: what it may do, and what it must leave alone."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plb_ray.errors import BadInputError
from service.cli_options import URL, AsJson, Url, client_of, show

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.client import ServiceClient

HELP = """What a running balancer may do, and what it must leave alone.

An order stands until it is taken back, over restarts too; every decision keeps to it. Repeating one is harmless.

Examples:

plb balancer pause

plb balancer mode relief

plb balancer pin JFK-LAX

plb balancer forbid tenant/7/orders --shard shard-1

plb balancer spread primaries EWR-BOS JFK-LAX

plb balancer drain shard-4
"""
PANEL = "Ask a running service"

group = typer.Typer(help=HELP, invoke_without_command=True, rich_markup_mode="markdown")

Names = Annotated[list[str], typer.Argument(metavar="ORDER_PARAM...", help="Names; quote those that hold spaces.")]
Name = Annotated[str, typer.Argument(metavar="ORDER_PARAM", help="Its name; quote it if it holds spaces.")]
Shard = Annotated[str, typer.Argument(metavar="SHARD", help="As `plb status` shows it.")]
Group = Annotated[str, typer.Argument(metavar="GROUP", help="A name of your choice.")]


class ModeName(StrEnum):
    """`plb_ray.control.views.Mode`, whose module imports more than --help needs."""

    AUTO = "auto"
    PREDICTIVE = "predictive"
    BALANCE = "balance"
    RELIEF = "relief"
    FORECAST_ONLY = "forecast_only"
    STATIC = "static"


class OnOff(StrEnum):
    """A switch."""

    ON = "on"
    OFF = "off"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(group, name="balancer", rich_help_panel=PANEL)


@group.callback()
def balancer(context: typer.Context, *, url: Url = URL, as_json: AsJson = False) -> None:
    """Show the standing orders."""
    if context.invoked_subcommand is None:
        show_orders(url=url, as_json=as_json)


@group.command("show")
def show_orders(*, url: Url = URL, as_json: AsJson = False) -> None:
    """Show the standing orders: mode and why, pause, approval, pins, forbidden shards, groups, drains, fills."""
    _told(url, lambda client: client.orders(), as_json=as_json)


@group.command()
def mode(
    wanted: Annotated[ModeName | None, typer.Argument(metavar="MODE", help="See docs/decisions.md.")] = None,
    *,
    configured: Annotated[
        bool, typer.Option("--configured", help="Take an ordered mode back: balancer.mode counts.")
    ] = False,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Order a mode: auto, predictive, balance, relief, forecast_only or static.

    auto: forecast_only until the forecasts have proved themselves, then predictive. predictive: relieve shards that are or
    will be over. balance: that, and even the load out. relief: only what is over, or soon will be. forecast_only: plan and
    show. static: observe.
    """
    if (wanted is None) is not configured:
        raise BadInputError("name one mode, or --configured to take an ordered one back")
    body = {"mode": None if wanted is None else wanted.value}
    _told(url, lambda client: client.change_orders(body), as_json=as_json)


@group.command()
def pause(*, url: Url = URL, as_json: AsJson = False) -> None:
    """Plan and send nothing until `plb balancer resume`; migrations under way go on."""
    _told(url, lambda client: client.change_orders({"paused": True}), as_json=as_json)


@group.command()
def resume(*, url: Url = URL, as_json: AsJson = False) -> None:
    """Let the balancer go on after `plb balancer pause`."""
    _told(url, lambda client: client.change_orders({"paused": False}), as_json=as_json)


@group.command()
def approval(
    wanted: Annotated[OnOff, typer.Argument(metavar="on|off", help="on: a tick's plan waits until somebody approves it.")],
    *,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Let each plan wait for `plb approve ID`, or not."""
    _told(url, lambda client: client.change_orders({"approval": wanted is OnOff.ON}), as_json=as_json)


@group.command()
def pin(order_params: Names, *, url: Url = URL, as_json: AsJson = False) -> None:
    """Keep order params where they are; `plb migrate` can still move them."""
    _each(url, order_params, lambda client, name: client.give_order("pins", name), as_json=as_json)


@group.command()
def unpin(order_params: Names, *, url: Url = URL, as_json: AsJson = False) -> None:
    """Let order params be moved again."""
    _each(url, order_params, lambda client, name: client.take_back("pins", name), as_json=as_json)


@group.command()
def forbid(
    order_param: Name,
    *,
    shards: Annotated[list[str], typer.Option("--shard", metavar="SHARD", help="Give it several times for several.")],
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Keep an order param off some shards; these take the place of those forbidden to it before."""
    _told(url, lambda client: client.give_order("forbidden", order_param, {"shards": shards}), as_json=as_json)


@group.command()
def allow(order_param: Name, *, url: Url = URL, as_json: AsJson = False) -> None:
    """Allow an order param every shard again."""
    _told(url, lambda client: client.take_back("forbidden", order_param), as_json=as_json)


@group.command()
def spread(name: Group, order_params: Names, *, url: Url = URL, as_json: AsJson = False) -> None:
    """Keep order params on different shards; these take the place of the group's members before."""
    body = {"order_params": order_params}
    _told(url, lambda client: client.give_order("spread-groups", name, body), as_json=as_json)


@group.command()
def unspread(name: Group, *, url: Url = URL, as_json: AsJson = False) -> None:
    """Let the order params of a group share a shard again."""
    _told(url, lambda client: client.take_back("spread-groups", name), as_json=as_json)


@group.command()
def drain(shard: Shard, *, url: Url = URL, as_json: AsJson = False) -> None:
    """Empty a shard, tick by tick within the budgets; `plb status` says what is left on it."""
    _told(url, lambda client: client.give_order("drains", shard), as_json=as_json)


@group.command()
def undrain(shard: Shard, *, url: Url = URL, as_json: AsJson = False) -> None:
    """Let a shard take order params again."""
    _told(url, lambda client: client.take_back("drains", shard), as_json=as_json)


@group.command()
def fill(shard: Shard, *, url: Url = URL, as_json: AsJson = False) -> None:
    """Move order params onto this shard only, until it has its share of the load: for one that was added."""
    _told(url, lambda client: client.give_order("fills", shard), as_json=as_json)


@group.command()
def unfill(shard: Shard, *, url: Url = URL, as_json: AsJson = False) -> None:
    """Let moves go onto any shard again."""
    _told(url, lambda client: client.take_back("fills", shard), as_json=as_json)


def _told(url: str, ask: Callable[[ServiceClient], dict[str, Any]], *, as_json: bool) -> None:
    """Ask, and show the orders as they stand then."""
    from service.order_render import order_lines  # noqa: PLC0415  keeps --help fast

    with client_of(url) as client:
        found = ask(client)
    show(found, *order_lines(found), as_json=as_json)


def _each(url: str, names: list[str], ask: Callable[[ServiceClient, str], dict[str, Any]], *, as_json: bool) -> None:
    _told(url, lambda client: [ask(client, name) for name in names][-1], as_json=as_json)
