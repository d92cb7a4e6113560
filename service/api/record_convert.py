"""From the record's plain values to what the API answers. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from service.api.record_schemas import DecisionDetail, DecisionHead, Effect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plb_ray.domain.effects import MoveEffect


def head_out(document: dict[str, Any]) -> DecisionHead:
    """Return a decision in short."""
    return DecisionHead.model_validate(document)


def detail_out(document: dict[str, Any], effects: Sequence[MoveEffect]) -> DecisionDetail:
    """Return a decision with all that is known of it; the effects in the order of its moves."""
    in_order = sorted(effects, key=lambda each: each.place)
    return DecisionDetail.model_validate({**document, "effects": [effect_out(each) for each in in_order]})


def effect_out(effect: MoveEffect) -> Effect:
    """Return what a move promised and what came of it."""
    promise = effect.promise
    columns = (promise.starts_s, promise.lengths_s, promise.load, promise.expected_load, promise.taken_s)
    names = ("start", "seconds", "load", "expected_load", "taken_s")
    steps = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    promised = {**vars(promise), "taken_s": sum(promise.taken_s), "steps": steps}
    return Effect.model_validate({**vars(effect), "promised": promised, "realised": vars(effect.realised)})
