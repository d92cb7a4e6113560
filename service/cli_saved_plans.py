"""`plb plan`: plans of a running balancer that wait for people; and, with a folder, the offline planner of `cli_plan`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from service.cli_options import URL, AsJson, Url, client_of, show

if TYPE_CHECKING:
    import click

HELP = """Plans that people look at before they are carried out; and plans from files, offline.

With a folder it plans offline: `plb plan DIR` is short for `plb plan solve DIR` (`plb plan solve --help`).

The others ask a running service. `save` keeps what a tick would do now, `run` sends it later, if it still holds then. While
`plb balancer approval on` stands, each tick's plan waits in `list`, and `approve` sends it.

Examples:

plb plan cluster/ --deadline 5 --json plan.json

plb plan save --note "for tonight"

plb plan list --state awaiting

plb plan approve plan-17
"""
PANEL = "Ask a running service"
OFFLINE = "solve"
HOUR_S = 3600.0


class PlanGroup(TyperGroup):
    """A group whose first word may also be a folder, or an option of the offline planner."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [OFFLINE, *args]
        return super().parse_args(ctx, args)


class StateName(StrEnum):
    """`plb_ray.control.saved_plans.PlanState`, whose module imports more than --help needs."""

    SAVED = "saved"
    AWAITING = "awaiting"
    APPROVED = "approved"
    EXECUTING = "executing"
    EXECUTED = "executed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REFUSED = "refused"


group = typer.Typer(help=HELP, cls=PlanGroup, no_args_is_help=True, rich_markup_mode="markdown")

PlanId = Annotated[str, typer.Argument(metavar="ID", help="As `plb plan list` shows it.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(group, name="plan", rich_help_panel=PANEL)
    app.command(rich_help_panel=PANEL)(approve)


@group.command(rich_help_panel=PANEL)
def save(
    *,
    note: Annotated[str, typer.Option(metavar="TEXT", help="For people.")] = "",
    expires_h: Annotated[float, typer.Option("--expires", metavar="HOURS", min=0.001, help="When it is over.")] = 24.0,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Keep what a tick would do now, to look at it and to run it later."""
    with client_of(url) as client:
        _shown(client.save_plan({"note": note, "expires_s": expires_h * HOUR_S}), as_json=as_json)


@group.command("list", rich_help_panel=PANEL)
def list_plans(
    *,
    states: Annotated[list[StateName] | None, typer.Option("--state", help="Only in this state; may be repeated.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many, newest first.")] = 20,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """List plans that wait, run or have ended, newest first."""
    from service.order_render import plan_table  # noqa: PLC0415  keeps --help fast

    with client_of(url) as client:
        found = client.plans({"state": [state.value for state in states or ()], "limit": limit})
    show(found, plan_table(found["items"]) if found["items"] else "no plans", as_json=as_json)


@group.command("show", rich_help_panel=PANEL)
def show_plan(plan_id: PlanId, *, url: Url = URL, as_json: AsJson = False) -> None:
    """Show one plan: its moves with their reasons, what it was to do, and all that happened to it."""
    with client_of(url) as client:
        _shown(client.plan(plan_id), as_json=as_json)


def approve(plan_id: PlanId, *, url: Url = URL, as_json: AsJson = False) -> None:
    """Approve a plan. One that waits for that is sent, if it still holds; leaves with 5 if it does not."""
    _acted(plan_id, "approve", url, as_json=as_json)


group.command("approve", rich_help_panel=PANEL)(approve)


@group.command("run", rich_help_panel=PANEL)
def run_plan(plan_id: PlanId, *, url: Url = URL, as_json: AsJson = False) -> None:
    """Send a saved plan, if it still holds; leaves with 5 if it does not. Running it again changes nothing."""
    _acted(plan_id, "execute", url, as_json=as_json)


@group.command(rich_help_panel=PANEL)
def cancel(plan_id: PlanId, *, url: Url = URL, as_json: AsJson = False) -> None:
    """End a plan; migrations that it has started go on."""
    _acted(plan_id, "cancel", url, as_json=as_json)


def _acted(plan_id: str, act: str, url: str, *, as_json: bool) -> None:
    from service.client import ServiceAnsweredError  # noqa: PLC0415  keeps --help fast

    with client_of(url) as client:
        found = client.plan_act(plan_id, act)
    _shown(found, as_json=as_json)
    if found["state"] == "refused":
        raise ServiceAnsweredError("PLAN_CONFLICT", f"plan {plan_id} was refused: {found['history'][-1]['why']}")


def _shown(found: dict[str, Any], *, as_json: bool) -> None:
    from service.order_render import plan_lines  # noqa: PLC0415  keeps --help fast

    show(found, *plan_lines(found), as_json=as_json)
