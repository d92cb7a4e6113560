"""API tokens: what is kept of them, who they stand for, and when they end."""

from __future__ import annotations

import hashlib
import threading
from itertools import count

import pytest

from plb_ray.errors import BadInputError, UnknownTokenError
from service.auth.roles import CredentialError, Role
from service.auth.tokens import TokenStore

DAY_S = 86_400.0


class Clock:
    now_s = 1_385_560_800.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    return TokenStore(tmp_path, clock)


def reason(store, token):
    with pytest.raises(CredentialError) as caught:
        store.caller_of(token)
    return caught.value.reason


def test_a_token_stands_for_whom_it_was_made(store):
    """The name and the role come back; the id in the token is no secret and names it."""
    token, made = store.create("ci", Role.OPERATOR)
    caller = store.caller_of(token)
    assert (caller.name, caller.role, caller.token_id, caller.until_s) == ("ci", Role.OPERATOR, made.token_id, None)
    assert token.startswith(f"plb_{made.token_id}_")


def test_the_secret_is_not_kept(store):
    """The file holds the hash of 256 random bits, not the token; it and its folder are their owner's alone."""
    token, made = store.create("ci", Role.ADMIN)
    secret = token.split("_", 2)[2]
    text = store.path.read_text()
    assert secret not in text
    assert made.secret_sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert len(secret) == 43
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert store.path.parent.stat().st_mode & 0o777 == 0o700


def test_whatever_is_not_the_token_is_refused(store):
    """A wrong secret, a wrong id, half a token, nothing: all get the same answer."""
    token, made = store.create("ci", Role.VIEWER)
    _, token_id, secret = token.split("_", 2)
    other, _ = store.create("other", Role.ADMIN)
    wrong = (
        "",
        "plb",
        "plb_",
        f"plb_{token_id}_",
        f"plb_{token_id}",
        token[:-1],
        token + "x",
        f"PLB_{token_id}_{secret}",
        secret,
    )
    crossed = f"plb_{token_id}_{other.split('_', 2)[2]}"
    for each in (
        *wrong,
        crossed,
        f"plb_00000000_{secret}",
        "☕",
        made.secret_sha256,
        f"plb_{token_id}_{made.secret_sha256}",
    ):
        assert reason(store, each) == "UNKNOWN_TOKEN", each


def test_a_token_ends_at_its_time(store, clock):
    """It opens until the last moment and not a moment longer."""
    token, _ = store.create("ci", Role.VIEWER, expires_days=1.5)
    clock.now_s += 1.5 * DAY_S - 1
    assert store.caller_of(token).until_s == clock.now_s + 1
    clock.now_s += 1
    assert reason(store, token) == "TOKEN_EXPIRED"


def test_a_revoked_token_ends_at_once_in_every_process(store, tmp_path, clock):
    """Another reader of the folder, as the service is, sees new and revoked tokens without a restart."""
    reader = TokenStore(tmp_path, clock)
    assert reader.tokens() == ()
    token, made = store.create("ci", Role.VIEWER)
    assert reader.caller_of(token).name == "ci"
    store.revoke(made.token_id)
    assert reason(reader, token) == "TOKEN_REVOKED"
    with pytest.raises(CredentialError):
        reader.caller_with_id(made.token_id)


def test_revoking_by_name_and_again(store):
    """The name does as well as the id, a repeat is harmless, and the name is free for another one then."""
    _, made = store.create("ci", Role.VIEWER)
    with pytest.raises(BadInputError, match="'ci'"):
        store.create("ci", Role.ADMIN)
    revoked = store.revoke("ci")
    assert (revoked.token_id, store.revoke(made.token_id)) == (made.token_id, revoked)
    _, again = store.create("ci", Role.ADMIN)
    assert store.revoke("ci").token_id == again.token_id
    with pytest.raises(UnknownTokenError):
        store.revoke("nobody")


@pytest.mark.parametrize(
    ("name", "days"), [("", None), (" ", None), ("a\nb", None), ("x" * 101, None), ("a", 0), ("a", -1), ("a", 1e9)]
)
def test_bad_names_and_times_are_refused(store, name, days):
    """A name is for people to read, and a time lies ahead."""
    with pytest.raises(BadInputError, match=r"--name|--expires"):
        store.create(name, Role.VIEWER, days)


def test_a_file_that_others_can_read_is_refused(store):
    """A file with wrong rights has been touched by somebody: it is said, with the remedy."""
    store.create("ci", Role.VIEWER)
    store.path.chmod(0o640)
    with pytest.raises(BadInputError, match="chmod 600"):
        store.create("other", Role.VIEWER)


@pytest.mark.parametrize("text", ["", "{}", "nonsense", '{"version": 2, "tokens": []}', '{"version": 1, "tokens": [{}]}'])
def test_a_damaged_file_is_said_and_opens_nothing(store, text):
    """It is never taken for "no tokens", nor written over."""
    store.create("ci", Role.VIEWER)
    store.path.write_text(text)
    with pytest.raises(BadInputError, match=r"tokens\.json"):
        store.caller_of("plb_00000000_x")
    with pytest.raises(BadInputError, match=r"tokens\.json"):
        store.create("other", Role.VIEWER)
    assert store.path.read_text() == text


def test_many_at_once_lose_none(tmp_path, clock):
    """Whoever makes a token holds the lock, so of eight made at the same time all are there."""
    stores = [TokenStore(tmp_path, clock) for _ in range(8)]
    threads = [threading.Thread(target=each.create, args=(f"n{n}", Role.VIEWER)) for n, each in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(TokenStore(tmp_path, clock).tokens()) == 8


def test_ids_do_not_repeat(tmp_path, clock):
    """An id that is in use is not given again, even if chance says so."""
    numbers = count()
    store = TokenStore(tmp_path, clock, lambda size: bytes([next(numbers) // 3]) * size)
    _, first = store.create("a", Role.VIEWER)
    _, second = store.create("b", Role.VIEWER)
    assert first.token_id != second.token_id


def test_roles_cover_those_below():
    """An admin may do what an operator may, and so on; not the other way."""
    assert [[high.covers(low) for low in Role] for high in Role] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]
