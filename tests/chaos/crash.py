"""The matrix's one act: migrate under traffic, stop at a boundary, strike, let go, bring back, settle, check."""

from __future__ import annotations

from plb_ray.clock import monotonic_s


async def crash(trial):
    case, stage = trial.case, trial.stage
    await trial.traffic()
    await trial.reach(case.where)
    trial.struck_s = monotonic_s()
    await case.faulted.strike(stage, trial.victims)
    if stage.balancer.running:
        stage.balancer.say("open")
    await case.faulted.last(trial)
    await case.faulted.back(stage, trial.victims)
    trial.back_s = monotonic_s()
    await trial.settle()
