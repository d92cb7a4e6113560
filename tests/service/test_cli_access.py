"""How commands are let in: tokens, files of tokens, certificates; and `plb token`."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import contextmanager

import pytest
from certificates import write_certificate
from guarded import Guarded

from plb_ray.errors import BadInputError
from service import cli
from service.auth.roles import Role
from service.auth.tokens import TokenStore
from service.client import Access, ServiceClient
from service.exit_codes import ExitCode
from service.local_http import check_certificate, serving

COMMANDS = ("status", "migrations", "balancer", "decisions", "audit", "token", "events", "capacity", "retrain")


@contextmanager
def running(app, **more):
    """Serve an application from a thread of its own, since commands block; yields its URL."""
    loop, url, stop, up = asyncio.new_event_loop(), [], asyncio.Event(), threading.Event()

    async def serve():
        async with serving(app, **more) as at:
            url.append(at)
            up.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert up.wait(10)
    try:
        yield url[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


@pytest.fixture
def guarded(tmp_path, balancer):
    return Guarded(tmp_path, balancer)


@pytest.fixture
def plb(guarded, monkeypatch, capsys):
    """Run a command against a service that asks who calls; returns exit code, output and errors."""
    for name in ("PLB_URL", "PLB_TOKEN", "PLB_TOKEN_FILE", "PLB_CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    with running(guarded.app) as url:
        monkeypatch.setenv("PLB_URL", url)

        def run(*arguments):
            code = cli.run(list(arguments))
            shown = capsys.readouterr()
            return code, shown.out, shown.err

        yield run


@pytest.fixture
def token_file(guarded, tmp_path):
    path = tmp_path / "token"
    path.write_text(guarded.tokens[Role.OPERATOR] + "\n")
    return path


def test_a_command_without_a_token_is_refused_with_the_remedy(plb):
    """The service's own sentence, and the exit code of refusals."""
    code, _, said = plb("status")
    assert code == ExitCode.REFUSED
    assert "say who you are" in said


def test_the_ways_to_give_a_token(plb, guarded, token_file, monkeypatch):
    """An option, a file, the environment; what is typed counts more than the environment."""
    viewer = guarded.tokens[Role.VIEWER]
    assert plb("status", "--token", viewer)[0] == 0
    assert plb("status", "--token-file", str(token_file))[0] == 0
    monkeypatch.setenv("PLB_TOKEN", "wrong")
    assert plb("status")[0] == ExitCode.REFUSED
    assert plb("status", "--token-file", str(token_file))[0] == 0
    monkeypatch.setenv("PLB_TOKEN", viewer)
    assert plb("status")[0] == 0
    monkeypatch.delenv("PLB_TOKEN")
    monkeypatch.setenv("PLB_TOKEN_FILE", str(token_file))
    assert plb("migrations", "--json")[0] == 0
    assert plb("migrations", "show", "85-JFK-ATL", "--json")[0] == 0


def test_wrong_ways_to_give_a_token(plb, token_file, tmp_path):
    """Both at once, a file that is missing or empty, and what no token looks like: each is said before anything is sent."""
    (tmp_path / "empty").write_text("\n")
    wrong = (
        ("--token", "x", "--token-file", str(token_file)),
        ("--token-file", str(tmp_path / "none")),
        ("--token-file", str(tmp_path / "empty")),
        ("--token", "two words"),
        ("--token", "é"),
    )
    for options in wrong:
        code, _, said = plb("status", *options)
        assert code == ExitCode.USAGE, options
        assert "--token" in said


def test_nothing_of_one_command_is_left_for_the_next(plb, guarded):
    """A token that was typed once is not remembered."""
    assert plb("status", "--token", guarded.tokens[Role.VIEWER])[0] == 0
    assert plb("status")[0] == ExitCode.REFUSED


def test_a_role_that_is_too_low(plb, guarded):
    """The sentence names the role that is needed."""
    code, _, said = plb("events", "remove", "cup-final", "--token", guarded.tokens[Role.VIEWER])
    assert code == ExitCode.REFUSED
    assert "needs operator" in said


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_asks_a_service_takes_them(command, capsys):
    """The options stand beside --url in the help of each, also of those that are added later."""
    assert cli.run([command, "--help"]) == 0
    shown = capsys.readouterr().out
    if "--ca-file" not in shown:
        assert cli.run([command, "list", "--help"]) == 0
        shown = capsys.readouterr().out
    assert all(option in shown for option in ("--url", "--token", "--token-file", "--ca-file"))


# plb token


def test_tokens_of_a_state_folder(tmp_path, capsys, monkeypatch):
    """Make, list and revoke without a service; the token is alone on standard output, so that a file can take it."""
    monkeypatch.delenv("PLB_URL", raising=False)
    state = ["--state", str(tmp_path / "state")]
    assert cli.run(["token", "create", "--name", "ci", "--role", "operator", "--expires", "90", *state]) == 0
    made = capsys.readouterr()
    token = made.out.strip()
    assert TokenStore(tmp_path / "state").caller_of(token).role is Role.OPERATOR
    assert "not shown again" in made.err
    assert cli.run(["token", "list", "--json", *state]) == 0
    listed = json.loads(capsys.readouterr().out)["items"]
    assert [(each["name"], each["role"], each["valid"]) for each in listed] == [("ci", "operator", True)]
    assert cli.run(["token", "revoke", "ci", *state]) == 0
    assert cli.run(["token", "list", *state]) == 0
    assert "revoked" in capsys.readouterr().out
    assert cli.run(["token", "revoke", "nobody", *state]) == ExitCode.UNKNOWN_NAME
    assert cli.run(["token", "create", "--name", "", "--role", "viewer", *state]) == ExitCode.USAGE


def test_tokens_through_a_service(plb, guarded):
    """An admin makes and revokes them from elsewhere; an operator may not."""
    admin = ("--token", guarded.tokens[Role.ADMIN])
    code, out, _ = plb("token", "create", "--name", "far", "--role", "viewer", *admin)
    assert code == 0
    assert plb("status", "--token", out.strip())[0] == 0
    assert plb("token", "revoke", "far", *admin)[0] == 0
    assert plb("status", "--token", out.strip())[0] == ExitCode.REFUSED
    assert plb("token", "list", "--token", guarded.tokens[Role.OPERATOR])[0] == ExitCode.REFUSED


# HTTPS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return write_certificate(tmp_path_factory.mktemp("tls"))


def test_https_is_trusted_by_its_authority_only(guarded, certificate):
    """With --ca-file the service is trusted; without, the sentence says that it is not and what to do."""
    with running(guarded.app, tls=(certificate / "cert.pem", certificate / "key.pem")) as url:
        assert url.startswith("https://")
        access = Access(guarded.tokens[Role.VIEWER], certificate / "cert.pem")
        with ServiceClient(url, access=access) as client:
            assert client.status()["ready"]
        with ServiceClient(url, access=Access(access.token)) as client, pytest.raises(Exception, match="--ca-file"):
            client.status()


def test_unusable_certificates_are_refused(certificate, tmp_path):
    """Before anything is started: a key of another kind, a passphrase that nobody can type, files that are missing."""
    check_certificate(certificate / "cert.pem", certificate / "key.pem")
    for key in (certificate / "cert.pem", certificate / "locked.pem", tmp_path / "none"):
        with pytest.raises(BadInputError, match=r"http\.tls"):
            check_certificate(certificate / "cert.pem", key)
    with pytest.raises(BadInputError, match="--ca-file"):
        ServiceClient("https://127.0.0.1", access=Access(ca_file=tmp_path / "none"))
