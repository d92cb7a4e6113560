"""The work of a retraining's job with a crew that does as it is told."""

from retrainings_here import GROUPS, NOW_S, ScriptedCrew, a_place

from plb_ray.cluster.retrain_run import Ended, RetrainRun
from plb_ray.cluster.retraining import Part, PartState, RetrainRequest, State, planned

DIED = (None, "the worker died")


def work(tmp_path, crew, parts=None):
    """Work one horizon of all groups off; return the record, what was kept and what was said."""
    record = planned(RetrainRequest(horizons=("short",)), set(GROUPS.values()), a_place(tmp_path), NOW_S)
    record = record.started(NOW_S, (0, 600))
    for part in parts or ():
        record = record.with_part(part)
    kept, said = [], []
    return RetrainRun(record, crew, kept.append, said.append, lambda: NOW_S + 10).work(), kept, said


def states(record):
    return {part.group: part.state.value for part in record.parts}


def test_every_part_is_trained_once_and_no_more_at_once_than_the_crew_takes(tmp_path):
    """All parts are done, two at a time, and the record ends as done."""
    crew = ScriptedCrew(size=2)
    record, kept, _ = work(tmp_path, crew)
    assert crew.begun == [("group-0/short", 1), ("group-1/short", 1), ("hot-0/short", 1)]
    assert crew.most_at_once == 2
    assert (record.state, record.complete, kept[-1]) == (State.DONE, True, record)


def test_what_is_done_is_not_begun_again(tmp_path):
    """A record that goes on hands out only what was left."""
    crew = ScriptedCrew()
    record, _, _ = work(tmp_path, crew, [Part("group-1", "short", PartState.DONE, 1.0)])
    assert [name for name, _ in crew.begun] == ["group-0/short", "hot-0/short"]
    assert record.complete


def test_a_part_whose_worker_died_is_begun_again_behind_the_others(tmp_path):
    """Two deaths cost two more tries, the last of which counts."""
    crew = ScriptedCrew(size=1, group_0=[DIED, DIED])
    record, _, said = work(tmp_path, crew)
    assert crew.begun == [
        ("group-0/short", 1),
        ("group-1/short", 1),
        ("hot-0/short", 1),
        ("group-0/short", 2),
        ("group-0/short", 3),
    ]
    assert (record.state, record.parts[0].attempts, record.parts[0].state) == (State.DONE, 3, PartState.DONE)
    assert any("part=group-0/short state=waiting attempt=1 note='the worker died'" in line for line in said)


def test_three_deaths_are_a_failure_and_the_others_are_trained(tmp_path):
    """A part that kills its workers ends as failed, with the reason, and takes nobody along."""
    record, _, _ = work(tmp_path, ScriptedCrew(group_1=[DIED] * 3))
    assert states(record) == {"group-0": "done", "group-1": "failed", "hot-0": "done"}
    assert record.state is State.FAILED
    assert record.error == "1 of 3 failed; group-1/short: 3 workers died in it, the last one so: the worker died"


def test_a_failure_is_not_tried_again(tmp_path):
    """What failed for a reason of its own would fail again."""
    crew = ScriptedCrew(hot_0=[(PartState.FAILED, "the history is too short")])
    record, _, _ = work(tmp_path, crew)
    assert [name for name, _ in crew.begun].count("hot-0/short") == 1
    assert "the history is too short" in record.error


def test_a_dedicated_network_waits_for_the_one_it_goes_on_from(tmp_path):
    """With workers to spare hot-0 is begun when its parent, group-1, has ended for that horizon, be it by failing."""
    crew = ScriptedCrew(size=4, group_1=[(PartState.FAILED, "too short"), (PartState.DONE, "")])
    record = planned(RetrainRequest(), set(GROUPS.values()), a_place(tmp_path), NOW_S).started(NOW_S, (0, 600))
    RetrainRun(record, crew, lambda _: None, lambda _: None, lambda: NOW_S).work()
    begun = [name for name, _ in crew.begun]
    assert begun[:4] == ["group-0/short", "group-0/medium", "group-1/short", "group-1/medium"]
    assert begun[4:] == ["hot-0/short", "hot-0/medium"]


def test_a_skipped_part_says_so(tmp_path):
    """What somebody else trains is not a failure, but is not done either: asking again would train it."""
    record, _, said = work(tmp_path, ScriptedCrew(group_0=[(PartState.SKIPPED, "somebody else is training it")]))
    assert (record.state, record.complete, record.fraction) == (State.DONE, False, 1.0)
    assert record.parts[0].note == "somebody else is training it"
    assert said[-1] == "state=done failed=0 skipped=1"


class SlowCrew(ScriptedCrew):
    """Tells of progress before each end; of the first attempt only, if `stale`."""

    def __init__(self, size=3, *, stale=False, **script) -> None:
        super().__init__(size, **script)
        self._stale = stale
        self._first = {}
        self._waits = 0

    def start(self, part) -> None:
        super().start(part)
        self._first.setdefault(part.key, super().progress()[part.key])

    def wait(self, timeout_s) -> list[Ended]:
        self._waits += 1
        return [] if self._waits % 2 else super().wait(timeout_s)

    def progress(self):
        return self._first if self._stale else super().progress()


def test_progress_is_kept_while_parts_are_trained(tmp_path):
    """How far each part is, and where, is in the record before any has ended; the log tells fraction and ETA."""
    _, kept, said = work(tmp_path, SlowCrew())
    assert [(part.state.value, part.fraction, part.where) for part in kept[0].parts] == [
        ("training", 0.5, "node:1"),
        ("training", 0.5, "node:2"),
        ("waiting", 0.0, ""),
    ]
    assert "fraction=0.33 eta_s=20" in said
    assert "part=group-0/short state=training attempt=1 where=node:1" in said


def test_progress_of_an_attempt_that_died_is_not_taken_for_the_next_one(tmp_path):
    """A crew that still tells of the first attempt moves that one and not the second."""
    _, kept, _ = work(tmp_path, SlowCrew(size=1, stale=True, group_0=[DIED]))
    tries = {(part.attempts, part.fraction) for record in kept for part in record.parts[:1] if not part.state.over}
    assert tries == {(1, 0.5), (1, 0.0), (2, 0.0)}
