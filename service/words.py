"""What the codes of the record mean, in words for people: for the API and the command line. A test keeps it complete."""

from __future__ import annotations

from plb_ray.control.views import Admission

ADMISSION_WORDS = {
    Admission.ADMITTED: "sent",
    Admission.DRY_RUN: "not sent: it was a dry run",
    Admission.MODE_FORBIDS: "not sent: the mode only shows plans",
    Admission.PLAN_REFUSED: "not sent: the checker found a fault in the plan",
    Admission.PAUSED: "not sent: the balancer is paused",
    Admission.AWAITS_APPROVAL: "not sent yet: the plan waits for approval",
    Admission.DEFERRED: "not sent yet: its congestion is far off, and a quieter time comes before it",
    Admission.NOT_WORTH_IT: "not sent: the plan takes away less overload than its moves cost",
    Admission.TICK_BUDGET: "not sent: enough moves in this tick (balancer.budget_moves)",
    Admission.HOUR_BUDGET: "not sent: enough moves in this hour (balancer.damping.moves_per_hour)",
    Admission.SHARD_BUDGET: "not sent: enough moves touch one of its shards (balancer.damping.moves_per_shard)",
    Admission.DESTINATION_FULL: "not sent: by what was measured its destination has no room",
    Admission.WAITS_FOR_WAVE: "not sent yet: moves that make room for it come first",
}
