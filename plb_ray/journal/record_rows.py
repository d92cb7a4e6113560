"""The statements on the record: decisions, effects of moves, and the audit log. Plain functions of a connection.

Run by the worker, as those of `plb_ray.journal.records`; common to SQLite and PostgreSQL. A page is found by an index and
read alone: what it costs does not grow with how many there are.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update

from plb_ray.domain.audit import AuditEntry
from plb_ray.domain.effects import EffectState, MoveEffect
from plb_ray.journal.tables import audit, decision_moves, decisions, effects

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import ColumnElement, Connection, ScalarSelect, Select

    from plb_ray.domain.audit import AuditQuery, DecisionQuery
    from plb_ray.domain.effects import EffectQuery


def append_decision(connection: Connection, number: int, at_s: float, document: dict[str, Any]) -> None:
    """Store a decision; the same number again replaces it (a tick that was interrupted is made again)."""
    values = {"number": number, "at_s": at_s, "document": json.dumps(document, separators=(",", ":"))}
    if connection.execute(update(decisions).where(decisions.c.number == number).values(values)).rowcount == 0:
        connection.execute(insert(decisions).values(values))
    else:
        connection.execute(delete(decision_moves).where(decision_moves.c.number == number))
    moves = [
        {"number": number, "place": place, "order_param": each["move"]["order_param"], "admission": each["admission"]}
        for place, each in enumerate(document.get("moves", ()))
        if "move" in each
    ]
    if moves:
        connection.execute(insert(decision_moves), moves)


def find_decisions(connection: Connection, query: DecisionQuery) -> tuple[dict[str, Any], ...]:
    """Return a page of decisions, newest first."""
    column = decisions.c
    conditions: list[ColumnElement[bool]] = []
    if query.before is not None:
        conditions.append(column.number < query.before)
    if query.since_s is not None:
        later = column.at_s >= query.since_s
        conditions += [later, column.number >= _bound(func.min, later)]
    if query.until_s is not None:
        earlier = column.at_s < query.until_s
        conditions += [earlier, column.number <= _bound(func.max, earlier)]
    if query.with_moves or query.order_param is not None or query.admission is not None:
        conditions.append(column.number.in_(_moved(query)))
    page = select(column.document).where(*conditions).order_by(column.number.desc()).limit(query.limit)
    return tuple(json.loads(document) for document in connection.execute(page).scalars())


def _bound(of: Callable[..., ColumnElement[Any]], condition: ColumnElement[bool]) -> ScalarSelect[Any]:
    """Return the first or last number of a time: where the search begins and ends.

    Of a sum and not of the bare number: SQLite would look for that by reading decision after decision, while the index of
    times has all that is asked.
    """
    return select(of(decisions.c.number + 0)).where(condition).correlate(None).scalar_subquery()


def _moved(query: DecisionQuery) -> Select[Any]:
    """Return the numbers of decisions of which one and the same move is as asked for; no more of them than may be needed."""
    moves = decision_moves.c
    conditions: list[ColumnElement[bool]] = []
    if query.order_param is not None:
        conditions.append(moves.order_param == query.order_param)
    if query.admission is not None:
        conditions.append(moves.admission == query.admission)
    if query.before is not None:
        conditions.append(moves.number < query.before)
    found = select(moves.number).where(*conditions).distinct().order_by(moves.number.desc())
    return found if query.since_s is not None or query.until_s is not None else found.limit(query.limit)


def get_decision(connection: Connection, number: int) -> dict[str, Any] | None:
    """Return one decision."""
    document = connection.execute(select(decisions.c.document).where(decisions.c.number == number)).scalar_one_or_none()
    return None if document is None else json.loads(document)


def put_effects(connection: Connection, changed: Sequence[MoveEffect]) -> None:
    """Store effects; the same migration again replaces it."""
    rows = [_effect_row(each) for each in changed]
    if not rows:
        return
    ids = [row["migration_id"] for row in rows]
    connection.execute(delete(effects).where(effects.c.migration_id.in_(ids)))
    connection.execute(insert(effects), rows)


def _effect_row(effect: MoveEffect) -> dict[str, Any]:
    return {
        "migration_id": effect.migration_id,
        "decision": effect.decision,
        "place": effect.place,
        "order_param": effect.order_param,
        "pending": effect.state is EffectState.PENDING,
        "document": json.dumps(effect.document(), separators=(",", ":")),
    }


def pending_effects(connection: Connection) -> tuple[MoveEffect, ...]:
    """Return the effects whose horizon is not over, in the order of sending."""
    column = effects.c
    page = select(column.document).where(column.pending).order_by(column.decision, column.place)
    return tuple(MoveEffect.of_document(json.loads(document)) for document in connection.execute(page).scalars())


def find_effects(connection: Connection, query: EffectQuery) -> tuple[MoveEffect, ...]:
    """Return a page of effects, newest first."""
    column = effects.c
    conditions = []
    if query.order_param is not None:
        conditions.append(column.order_param == query.order_param)
    if query.decision is not None:
        conditions.append(column.decision == query.decision)
    order = (column.decision.desc(), column.place.desc())
    page = select(column.document).where(*conditions).order_by(*order).limit(query.limit)
    return tuple(MoveEffect.of_document(json.loads(document)) for document in connection.execute(page).scalars())


def append_audit(connection: Connection, entries: Sequence[AuditEntry]) -> None:
    """Add entries to the audit log, in their order."""
    rows = [{name: value for name, value in vars(each).items() if name != "number"} for each in entries]
    if rows:
        connection.execute(insert(audit), rows)


def find_audit(connection: Connection, query: AuditQuery) -> tuple[AuditEntry, ...]:
    """Return a page of the audit log."""
    column = audit.c
    conditions: list[ColumnElement[bool]] = []
    if query.before is not None:
        conditions.append(column.number < query.before)
    if query.after is not None:
        conditions.append(column.number > query.after)
    if query.who is not None:
        conditions.append(column.who == query.who)
    if query.action is not None:
        conditions.append(_is_action(query.action))
    if query.since_s is not None:
        conditions.append(column.at_s >= query.since_s)
    if query.until_s is not None:
        conditions.append(column.at_s < query.until_s)
    order = column.number.asc() if query.after is not None else column.number.desc()
    page = select(audit).where(*conditions).order_by(order).limit(query.limit)
    return tuple(AuditEntry(**row) for row in connection.execute(page).mappings())


def _is_action(action: str) -> ColumnElement[bool]:
    """Return whether an action is this one; a word without a dot stands for all that begin with it and a dot."""
    if "." in action:
        return audit.c.action == action
    return (audit.c.action == action) | audit.c.action.startswith(f"{action}.", autoescape=True)
