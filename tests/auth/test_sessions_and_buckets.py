"""Logins, and how much each caller may ask."""

from __future__ import annotations

import pytest

from service.auth.buckets import KEYS_MAX, Buckets, whole_s
from service.auth.roles import Caller, CredentialError, Role
from service.auth.sessions import Sessions, session_key

KEY = b"k" * 32
ANNA = Caller("anna ☕", Role.OPERATOR, token_id="5f0c8a1d")


class Clock:
    now_s = 1_000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def reason(sessions, value):
    with pytest.raises(CredentialError) as caught:
        sessions.caller_of(value)
    return caught.value.reason


def test_a_login_stands_for_its_caller_until_it_ends(clock):
    """Name, role and token come back, for the hours that are set."""
    sessions = Sessions(KEY, 2.0, clock)
    value, until_s = sessions.begin(ANNA)
    assert until_s == 1_000 + 7200
    assert sessions.caller_of(value) == Caller("anna ☕", Role.OPERATOR, until_s, "5f0c8a1d")
    clock.now_s = until_s
    assert reason(sessions, value) == "SESSION_ENDED"


def test_a_login_does_not_outlive_its_credential(clock):
    """A token that ends in a minute makes a login of a minute."""
    _, until_s = Sessions(KEY, 12.0, clock).begin(Caller("anna", Role.VIEWER, until_s=1_060.0))
    assert until_s == 1_060


def test_a_login_cannot_be_made_up(clock):
    """A changed role, a changed signature, another key, nonsense: none is ours."""
    sessions = Sessions(KEY, 1.0, clock)
    value, _ = sessions.begin(ANNA)
    body, _, signature = value.partition(".")
    higher, _ = Sessions(b"x" * 32, 1.0, clock).begin(Caller("anna", Role.ADMIN))
    forged = f"{higher.partition('.')[0]}.{signature}"
    for each in ("", ".", "x", f"{body}.", f"{body}.{signature[:-1]}", f"{body[:-1]}.{signature}", higher, forged, "é.é"):
        assert reason(sessions, each) == "SESSION_INVALID", each


def test_the_key_is_made_once_and_is_its_owners(tmp_path):
    """A restart keeps logins; the key is 256 bits in a file that nobody else reads."""
    folder = tmp_path / "auth"
    key = session_key(folder)
    assert session_key(folder) == key
    assert len(key) == 32
    assert (folder / "session.key").stat().st_mode & 0o777 == 0o600


def test_a_bucket_empties_and_fills(clock):
    """A burst passes, then as many as come back each second; the wait that is told is the wait that helps."""
    buckets = Buckets(2.0, 3, clock)
    assert [buckets.take("anna") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert buckets.take("bob") == 0.0
    clock.now_s += 0.5
    assert [buckets.take("anna") for _ in range(2)] == [0.0, 0.5]
    clock.now_s += 1000
    assert [buckets.take("anna") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_no_limit(clock):
    """0 per second means that nothing is limited."""
    assert not any(Buckets(0, 1, clock).take("anna") for _ in range(100))


def test_what_is_kept_is_bounded(clock):
    """A flood of invented names forgets the quietest; it does not grow."""
    buckets = Buckets(1.0, 1, clock)
    for number in range(KEYS_MAX + 50):
        buckets.take(str(number))
    assert len(buckets._kept) == KEYS_MAX


def test_waits_are_whole_seconds():
    """Retry-After knows no fractions, and 0 would mean "at once"."""
    assert [whole_s(each) for each in (0.0, 0.2, 1.0, 1.2)] == [1, 1, 1, 2]
