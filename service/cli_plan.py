"""`plb plan DIR`: solve a folder of files offline. It needs no service, no Ray and no network."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plb_ray.errors import BadInputError
from service.cli_saved_plans import OFFLINE, group
from service.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optimizer.explain import Story
    from plb_ray.domain.plan import Plan, PlanBudget, PlanProblem
    from service.plan_files import PlanAsk, PlanFolder
    from service.plan_report import Outcome

PANEL = "Limits of the plan"
FAULTS_SHOWN = 5
READ_SHARE_MAX = 0.9  # of the deadline: however long reading takes, planning gets the rest
COUNT_MAX = 1_000_000_000


class ModeName(StrEnum):
    """`plb_ray.domain.plan.PlanMode`, whose module imports numpy."""

    RELIEF = "relief"
    BALANCE = "balance"
    DRAIN = "drain"
    ADD = "add"
    CONSOLIDATE = "consolidate"
    ALLOCATE = "allocate"


def register() -> None:
    """Add the command of this module to the group `plb plan`."""
    group.command(OFFLINE, rich_help_panel="Offline")(plan)


def plan(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Holds shards.csv, order_params.csv, maybe loads.parquet.")],
    *,
    mode: Annotated[ModeName, typer.Option(help="What the plan is for; docs/planning.md explains each.")] = ModeName.RELIEF,
    shards: Annotated[str, typer.Option(metavar="LIST", help="Shards to drain or to fill, separated by commas.")] = "",
    json_path: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the plan there; - prints it.")
    ] = None,
    explain: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write a row per order param: where it goes, or why it stays.")
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Write an HTML page there: plan.html.")] = None,
    deadline_s: Annotated[
        float,
        typer.Option(
            "--deadline", metavar="SECONDS", min=0.01, help="Reading and planning together.", rich_help_panel=PANEL
        ),
    ] = 10.0,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, max=2**31 - 1, help="Of every random choice.", rich_help_panel=PANEL)
    ] = 1,
    work: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Search steps. With it, the same files and seed give the same plan, if --deadline is not reached.",
            rich_help_panel=PANEL,
        ),
    ] = None,
    headroom: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Usable share of capacity, for shards that state none.", rich_help_panel=PANEL),
    ] = 1.0,
    band: Annotated[
        float,
        typer.Option(
            metavar="SHARE", min=0, help="balance, add: how far above the mean is even enough.", rich_help_panel=PANEL
        ),
    ] = 0.05,
    cost_limit: Annotated[
        float,
        typer.Option(
            metavar="COST", min=0, help="balance, add: most migration cost for it. Default: no limit.", rich_help_panel=PANEL
        ),
    ] = float("inf"),
    moves_max: Annotated[
        int, typer.Option(metavar="N", min=0, max=COUNT_MAX, help="Most moves.", rich_help_panel=PANEL)
    ] = COUNT_MAX,
    segments: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=1000,
            help="Most shards for one order param that fits none; 1: never split.",
            rich_help_panel=PANEL,
        ),
    ] = 1,
    gap: Annotated[
        float, typer.Option(metavar="SHARE", min=0, max=1, help="Stop this near to the proven bound.", rich_help_panel=PANEL)
    ] = 0.005,
) -> None:
    """Plan the fewest migrations that end overload, offline, from a folder of files, with a proof.

    Example: plb plan cluster/ --deadline 5 --json plan.json --report out/

    shards.csv: shard,zone,cpu_cores,memory_gb

    order_params.csv: order_param,shard,move_cost,cpu_cores,memory_gb

    The summary is for people; --json has all of it for programs. The plan is checked by other code than made it before
    anything is written. A plan that leaves some overload because nothing better was found is "partial", and leaves with 0.
    """
    from plb_ray.domain.plan import PlanBudget, PlanMode  # noqa: PLC0415  imports numpy
    from service.plan_files import PlanAsk  # noqa: PLC0415  imports pyarrow

    _refuse_unfit(headroom=headroom, band=band, deadline_s=deadline_s, cost_limit=cost_limit)
    names = tuple(name.strip() for name in shards.split(",") if name.strip())
    ask = PlanAsk(PlanMode(mode.value), names, headroom, band, segments)
    budget = PlanBudget(wall_s=deadline_s, work=work, seed=seed, moves=moves_max, cost=cost_limit, gap=gap)
    outputs = Outputs(json_path, explain, report)
    outputs.check()
    outputs.write(_outcome(folder, ask, budget))


@dataclass(frozen=True)
class Outputs:
    """Where the result goes."""

    json_path: Path | None
    explain: Path | None
    report: Path | None

    def check(self) -> None:
        """Refuse what cannot be written, before the work.

        Raises:
            BadInputError: the folder of a file does not exist.
        """
        for path in (self.json_path, self.explain):
            if path is not None and (not path.parent.is_dir() or path.is_dir()):
                raise BadInputError(f"{path}: cannot be written; name a file in a folder that exists")
        if self.report is not None and self.report.exists() and not self.report.is_dir():
            raise BadInputError(f"--report {self.report}: is a file; name a folder")

    def write(self, outcome: Outcome) -> None:
        """Write the files, and show the outcome: as JSON if that is asked for on standard output, else for people."""
        from service.plan_report import document, explain_csv, write_json, write_whole  # noqa: PLC0415  keeps --help fast

        if self.explain is not None:
            write_whole(self.explain, explain_csv(outcome))
        if self.report is not None:
            self.report.mkdir(parents=True, exist_ok=True)
            from service.plan_page import page  # noqa: PLC0415  imports plotly

            write_whole(self.report / "plan.html", page(outcome))
        if self.json_path == Path("-"):
            import json  # noqa: PLC0415  keeps --help fast

            typer.echo(json.dumps(document(outcome), indent=1, ensure_ascii=False, allow_nan=False))
            return
        if self.json_path is not None:
            write_json(self.json_path, document(outcome))
        _show(outcome, self)


def _outcome(folder: Path, ask: PlanAsk, budget: PlanBudget) -> Outcome:
    """Read, plan, check.

    Raises:
        BadInputError: the files cannot be meant.
        typer.Exit: the plan did not pass the check; its faults are said.
    """
    from dataclasses import replace  # noqa: PLC0415  keeps --help fast

    from optimizer.explain import why_kept  # noqa: PLC0415  imports numba
    from plb_ray.clock import monotonic_s  # noqa: PLC0415  keeps --help fast
    from service.plan_files import read_folder  # noqa: PLC0415  imports pyarrow
    from service.plan_report import Outcome  # noqa: PLC0415  keeps --help fast

    started_s = monotonic_s()
    read = read_folder(folder, ask, budget)
    read_s = monotonic_s() - started_s
    left_s = max(budget.wall_s - read_s, (1 - READ_SHARE_MAX) * budget.wall_s)
    problem = replace(read.problem, budget=replace(budget, wall_s=left_s))
    made, story = _made(problem)
    _refuse_unsound(problem, made)
    return Outcome.of(problem, made, why_kept(story), _notes(read), read_s, monotonic_s() - started_s)


def _made(problem: PlanProblem) -> tuple[Plan, Story]:
    from rich.console import Console  # noqa: PLC0415  keeps --help fast
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415  keeps --help fast

    from optimizer.planner import CompositePlanner  # noqa: PLC0415  imports numba

    words = f"planning {len(problem.order_params):,} order params on {len(problem.shards):,} shards"
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("loading the solvers; a machine's first plan compiles them, up to a minute", total=None)
        planner = CompositePlanner()
        progress.update(task, description=f"{words}, at most {problem.budget.wall_s:.1f} s")
        return planner.explained(problem)


def _refuse_unsound(problem: PlanProblem, made: Plan) -> None:
    """Say the faults of a plan that does not pass the check, and leave; nothing is written."""
    from optimizer.checker import PlanVerifier  # noqa: PLC0415  keeps --help fast
    from plb_ray.domain.plan import PlanStatus  # noqa: PLC0415  keeps --help fast

    faults = PlanVerifier().check(problem, made)
    if not faults and made.status is PlanStatus.REFUSED:
        faults = made.unresolved or ("the planner refuses its own plan",)
    if not faults:
        return
    typer.echo(f"plb: the plan does not pass the check and is not written: {'; '.join(faults[:FAULTS_SHOWN])}", err=True)
    if len(faults) > FAULTS_SHOWN:
        typer.echo(f"plb: and {len(faults) - FAULTS_SHOWN} more faults", err=True)
    raise typer.Exit(ExitCode.CHECKS_FAILED)


def _notes(read: PlanFolder) -> tuple[str, ...]:
    problem = read.problem
    empty = [name for name, each in (("shards", problem.shards), ("order params", problem.order_params)) if not each]
    return (*read.notes, *(f"there are no {name}" for name in empty))


def _refuse_unfit(*, headroom: float, **limits: float) -> None:
    if not 0 < headroom < float("inf"):
        raise BadInputError(f"--headroom is {headroom:g}; it must be above 0, such as 0.9")
    for name, value in limits.items():
        if value != value:  # noqa: PLR0124  only nan is not itself
            raise BadInputError(f"--{name.removesuffix('_s').replace('_', '-')} is not a number")


def _show(outcome: Outcome, outputs: Outputs) -> None:
    from rich.console import Console  # noqa: PLC0415  keeps --help fast

    from service.plan_screen import screen  # noqa: PLC0415  imports numpy

    console = Console(highlight=False)
    for part in (*screen(outcome), *_written(outputs)):
        console.print(part)


def _written(outputs: Outputs) -> Iterator[Any]:
    from rich.text import Text  # noqa: PLC0415  keeps --help fast

    page = outputs.report / "plan.html" if outputs.report else None
    paths = [str(path) for path in (outputs.json_path, outputs.explain, page) if path is not None]
    if paths:
        yield Text(f"\nwritten: {', '.join(paths)}", "dim")
