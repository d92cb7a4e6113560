"""JSON Web Tokens of a real issuer: an HTTP server on loopback, real RSA and EC keys, real signatures."""

from __future__ import annotations

import json
from dataclasses import replace

import jwt
import pytest
from jwt.algorithms import RSAAlgorithm

from plb_ray.clock import wall_time_s
from plb_ray.errors import BadInputError, NotReadyError
from plb_ray.settings import OidcSettings
from service.auth.issuer_keys import IssuerKeys, check_readable, fetcher
from service.auth.oidc import OidcVerifier
from service.auth.roles import CredentialError, Role
from tests.auth.issuer import running_issuer


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.fixture(scope="module")
def signer():
    """An issuer whose keys are made once: making RSA keys takes long."""
    with running_issuer() as issuer:
        issuer.add_rsa("rsa-1")
        issuer.add_ec("ec-1")
        yield issuer


@pytest.fixture
def issuer(signer):
    published = list(signer.published)
    signer.asked, signer.down = 0, False
    yield signer
    signer.published = published


@pytest.fixture
def clock():
    return Clock()


def settings(signer, **more):
    return replace(OidcSettings(issuer=signer.url, audience="plb"), **more)


def verifier(signer, clock, **more):
    asked = settings(signer, **more)
    return OidcVerifier(asked, IssuerKeys(fetcher(asked), asked.keys_max_age_s, clock))


def claims(issuer, **more):
    usual = {"iss": issuer.url, "aud": "plb", "sub": "anna", "exp": wall_time_s() + 600, "roles": ["plb-operator"]}
    return {name: value for name, value in {**usual, **more}.items() if value is not None}


async def refused(issuer, clock, token, **more):
    with pytest.raises(CredentialError) as caught:
        await verifier(issuer, clock, **more).caller_of(token)
    return caught.value.reason


@pytest.mark.parametrize("key_id", ["rsa-1", "ec-1"])
async def test_a_token_of_the_issuer_is_believed(issuer, clock, key_id):
    """RSA and elliptic curves; the name, the role and the end come from the claims, the keys from the discovery document."""
    caller = await verifier(issuer, clock).caller_of(issuer.sign(claims(issuer), key_id))
    assert (caller.name, caller.role) == ("anna", Role.OPERATOR)
    assert caller.until_s == pytest.approx(wall_time_s() + 600, abs=60)


async def test_the_url_and_the_file_of_keys_do_as_well(issuer, clock, tmp_path):
    """A URL saves the discovery; a file saves the network."""
    token = issuer.sign(claims(issuer), "rsa-1")
    assert (await verifier(issuer, clock, jwks_url=f"{issuer.url}/keys").caller_of(token)).name == "anna"
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": issuer.published}))
    issuer.down = True
    assert (await verifier(issuer, clock, jwks_file=path).caller_of(token)).name == "anna"


async def test_the_highest_role_counts_wherever_the_claim_is(issuer, clock):
    """Roles are a list or a text, at the top or inside of objects, by the names that the settings give."""
    shapes = [
        (["plb-viewer", "plb-admin", "others"], "roles", {"roles": ["plb-viewer", "plb-admin", "others"]}),
        ("", "realm_access.roles", {"roles": None, "realm_access": {"roles": ["plb-admin"]}}),
        ("", "scope", {"scope": "openid plb-admin"}),
        ("", "https://plb.example/roles", {"https://plb.example/roles": ["plb-admin"]}),
    ]
    for _, role_claim, more in shapes:
        token = issuer.sign(claims(issuer, **more), "ec-1")
        assert (await verifier(issuer, clock, role_claim=role_claim).caller_of(token)).role is Role.ADMIN


async def test_who_has_no_role_of_ours_gets_nothing(issuer, clock):
    """A known person without a role is told so; so is a token that does not name anybody."""
    assert await refused(issuer, clock, issuer.sign(claims(issuer, roles=["staff"]), "ec-1")) == "NO_ROLE"
    assert await refused(issuer, clock, issuer.sign(claims(issuer, roles=None), "ec-1")) == "NO_ROLE"
    assert await refused(issuer, clock, issuer.sign(claims(issuer), "ec-1"), name_claim="email") == "CLAIM_MISSING"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"iss": "https://elsewhere"}, "WRONG_ISSUER"),
        ({"aud": "others"}, "WRONG_AUDIENCE"),
        ({"aud": None}, "CLAIM_MISSING"),
        ({"exp": None}, "CLAIM_MISSING"),
        ({"exp": 1_000_000_000}, "TOKEN_EXPIRED"),
        ({"nbf": 9_000_000_000}, "TOKEN_NOT_YET_VALID"),
    ],
)
async def test_what_is_not_meant_for_us_is_refused(issuer, clock, more, reason):
    """Another issuer, another audience, a missing claim, a time that is over or not yet come: each has its reason."""
    assert await refused(issuer, clock, issuer.sign(claims(issuer, **more), "rsa-1")) == reason


async def test_the_clocks_may_differ_a_little(issuer, clock):
    """A token that ended 20 s ago is believed with a leeway of 30 s and refused with one of 5 s."""
    token = issuer.sign(claims(issuer, exp=wall_time_s() - 20), "ec-1")
    assert (await verifier(issuer, clock, leeway_s=30.0).caller_of(token)).name == "anna"
    assert await refused(issuer, clock, token, leeway_s=5.0) == "TOKEN_EXPIRED"


async def test_forged_tokens_are_refused(issuer, clock):
    """No signature, the public key as a shared secret, a changed claim, another's key under a known id: none is believed."""
    public = next(each for each in issuer.published if each["kid"] == "rsa-1")
    pem = RSAAlgorithm.from_jwk(public).public_numbers().n.to_bytes(256, "big")
    unsigned = jwt.encode(claims(issuer), None, algorithm="none", headers={"kid": "rsa-1"})
    shared = jwt.encode(claims(issuer), pem, algorithm="HS256", headers={"kid": "rsa-1"})
    head, _, signature = issuer.sign(claims(issuer), "rsa-1").split(".")
    _, body, _ = issuer.sign(claims(issuer, roles=["plb-admin"]), "rsa-1").split(".")
    crossed = issuer.sign(claims(issuer), "ec-1", kid="rsa-1")
    for token in (unsigned, shared, f"{head}.{body}.{signature}", crossed, "a.b.c", "..", "é.é.é"):
        assert await refused(issuer, clock, token) in {"BAD_TOKEN", "BAD_SIGNATURE"}


async def test_a_new_key_is_looked_for_at_once_but_not_with_every_request(issuer, clock):
    """A rotated key is found by the first token that names it; tokens with invented keys make us ask once in 10 s."""
    checked = verifier(issuer, clock)
    await checked.caller_of(issuer.sign(claims(issuer), "rsa-1"))
    assert issuer.asked == 1
    issuer.add_ec("ec-2")
    token = issuer.sign(claims(issuer), "ec-2")
    clock.now_s += 11
    assert (await checked.caller_of(token)).name == "anna"
    assert issuer.asked == 2
    invented = issuer.sign(claims(issuer), "ec-1", kid="ec-666")
    for _ in range(5):
        with pytest.raises(CredentialError) as caught:
            await checked.caller_of(invented)
        assert caught.value.reason == "UNKNOWN_KEY"
    assert issuer.asked == 2
    clock.now_s += 11
    with pytest.raises(CredentialError):
        await checked.caller_of(invented)
    assert issuer.asked == 3


async def test_a_key_that_is_withdrawn_ends(issuer, clock):
    """When a key is not published any more, tokens that it has signed are refused after `keys_max_age_s`."""
    checked = verifier(issuer, clock, keys_max_age_s=300.0)
    token = issuer.sign(claims(issuer), "ec-1")
    await checked.caller_of(token)
    issuer.published = [each for each in issuer.published if each["kid"] != "ec-1"]
    clock.now_s += 299
    assert (await checked.caller_of(token)).name == "anna"
    clock.now_s += 2
    with pytest.raises(CredentialError) as caught:
        await checked.caller_of(token)
    assert caught.value.reason == "UNKNOWN_KEY"


async def test_an_issuer_that_is_down(issuer, clock):
    """Known keys go on being used for an hour; without any, callers are told to come back, and not that they are wrong."""
    checked = verifier(issuer, clock)
    token = issuer.sign(claims(issuer), "ec-1")
    await checked.caller_of(token)
    issuer.down = True
    clock.now_s += 3599
    assert (await checked.caller_of(token)).name == "anna"
    clock.now_s += 2
    with pytest.raises(NotReadyError):
        await checked.caller_of(token)
    with pytest.raises(NotReadyError):
        await verifier(issuer, clock).caller_of(token)
    issuer.down = False
    clock.now_s += 11
    assert (await checked.caller_of(token)).name == "anna"


async def test_a_discovery_document_of_another_issuer_is_not_followed(issuer, clock):
    """The document must be about the issuer that was asked."""
    with pytest.raises(NotReadyError):
        await verifier(issuer, clock, issuer=f"{issuer.url}/").caller_of(issuer.sign(claims(issuer), "ec-1"))


def test_a_file_that_holds_no_keys_is_refused_at_the_start(tmp_path):
    """It is said before anybody calls."""
    path = tmp_path / "keys.json"
    for text in ("{}", "[]", "nonsense", '{"keys": []}'):
        path.write_text(text)
        with pytest.raises(BadInputError, match="jwks_file"):
            check_readable(OidcSettings(jwks_file=path))
    with pytest.raises(BadInputError, match="jwks_file"):
        check_readable(OidcSettings(jwks_file=tmp_path / "none"))
