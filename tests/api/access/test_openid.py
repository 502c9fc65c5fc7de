"""Tokens of an OpenID Connect provider, against one that listens here and whose keys change."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from api.access import openid
from api.access.openid import Provider, ProviderError
from api.access.principal import NotLoggedInError, Principal, Role
from orchestrator.errors import SettingsError
from orchestrator.settings import load_settings
from tests.api.access.conftest import KEY, until_prepared

RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
STRANGER = rsa.generate_private_key(65537, 2048)


def published(key, kid):
    algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig"}


class FakeProvider:
    """What is fetched from it is counted; what it says can be changed."""

    def __init__(self, server):
        self.issuer = f"http://127.0.0.1:{server.server_port}"
        self.keys = {"one": RSA_KEY, "two": EC_KEY}
        self.asked = []
        self.says_issuer = self.issuer
        self.down = False
        self.pause = threading.Event()
        """Cleared, it answers nobody."""
        self.pause.set()

    def answer(self, path):
        self.asked.append(path)
        self.pause.wait(10)
        if self.down:
            return None
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.says_issuer, "jwks_uri": f"{self.issuer}/keys"}
        return {"keys": [published(key, kid) for kid, key in self.keys.items()]}

    def token(self, kid="one", key=None, algorithm=None, **claims):
        key = key or self.keys[kid]
        algorithm = algorithm or ("RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256")
        given = {"iss": self.issuer, "aud": "spoton", "sub": "u1", "exp": time.time() + 60, "roles": ["viewer"]}
        said = {name: value for name, value in {**given, **claims}.items() if value is not None}
        return jwt.encode(said, key, algorithm, {"kid": kid})


@pytest.fixture
def idp():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            found = fake.answer(self.path)
            body = json.dumps(found).encode()
            self.send_response(503 if found is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        fake = FakeProvider(server)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield fake
        server.shutdown()
        thread.join()


@pytest.fixture
def provider(idp):
    def make(**settings):
        given = {"access": "on", "ticket_key": KEY, "oidc_issuer": idp.issuer, "oidc_audience": "spoton"}
        return Provider(load_settings(_env_file=None, **given | settings))

    return make


async def test_a_token_of_the_provider_is_somebody(idp, provider):
    checked = provider()
    assert await checked.principal_of(idp.token()) == Principal("user u1", Role.VIEWER, None)
    both = idp.token("two", roles=["other", "viewer", "operator"], preferred_username="ada")
    assert await checked.principal_of(both) == Principal("user ada (u1)", Role.OPERATOR, None)
    assert idp.asked == ["/.well-known/openid-configuration", "/keys"]


async def test_claims_lie_where_the_settings_say(idp, provider):
    checked = provider(oidc_role_claim="realm_access.roles", oidc_environments_claim="sites")
    claims = {"roles": None, "realm_access": {"roles": "operator"}}
    seen = await checked.principal_of(idp.token(**claims, sites=["campus", 7]))
    assert (seen.role, list(seen.environments)) == (Role.OPERATOR, ["campus"])
    nothing = await checked.principal_of(idp.token(**claims))
    assert not nothing.sees("campus")
    with pytest.raises(NotLoggedInError, match="realm_access"):
        await checked.principal_of(idp.token())


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"exp": 1}, "expired"),
        ({"exp": None}, "exp"),
        ({"aud": "another"}, "[Aa]udience"),
        ({"aud": None}, "aud"),
        ({"iss": "http://another.example"}, "[Ii]ssuer"),
        ({"sub": None}, "sub"),
        ({"nbf": 32503680000}, "not yet valid"),
        ({"roles": ["admin"]}, "neither viewer nor operator"),
        ({"key": STRANGER}, "[Ss]ignature"),
        ({"kid": "three", "key": STRANGER}, "key that the provider does not have"),
        ({"key": "s" * 32, "algorithm": "HS256"}, "algorithm 'HS256'"),
    ],
)
async def test_any_other_token_is_refused(idp, provider, claims, words):
    with pytest.raises(NotLoggedInError, match=words):
        await provider().principal_of(idp.token(**claims))


async def test_the_provider_s_public_key_is_no_secret_to_sign_with(idp, provider):
    header, payload, _ = idp.token(algorithm="RS256").split(".")
    unsigned = jwt.encode({"aud": "spoton", "iss": idp.issuer, "sub": "u", "exp": 1e12}, None, "none", {"kid": "one"})
    for text in (unsigned, f"{header}.{payload}.", "nonsense", ""):
        with pytest.raises(NotLoggedInError):
            await provider().principal_of(text)


async def test_a_new_key_is_fetched_and_made_up_ones_cost_nothing(idp, provider, monkeypatch):
    checked = provider()
    await checked.principal_of(idp.token())
    idp.keys = {"new": EC_KEY}
    made_up = [idp.token(f"made up {number}", key=STRANGER) for number in range(20)]
    refused = await asyncio.gather(*map(checked.principal_of, made_up), return_exceptions=True)
    assert {type(each) for each in refused} == {NotLoggedInError}
    assert idp.asked.count("/keys") == 1
    monkeypatch.setattr(checked, "_next_at", 0.0)
    assert (await checked.principal_of(idp.token("new"))).name == "user u1"
    with pytest.raises(NotLoggedInError):
        await checked.principal_of(idp.token("one", key=RSA_KEY))


async def test_a_slow_provider_keeps_nobody_waiting_whose_key_is_known(idp, provider, monkeypatch):
    checked = provider()
    await checked.principal_of(idp.token())
    monkeypatch.setattr(checked, "_next_at", 0.0)
    idp.pause.clear()
    made_up = asyncio.create_task(checked.principal_of(idp.token("made up", key=STRANGER)))
    await asyncio.sleep(0.1)
    assert (await asyncio.wait_for(checked.principal_of(idp.token()), 1)).name == "user u1"
    monkeypatch.setattr(openid, "KEEP_S", -1.0)
    assert (await asyncio.wait_for(checked.principal_of(idp.token()), 1)).name == "user u1"
    assert not made_up.done()
    idp.pause.set()
    with pytest.raises(NotLoggedInError):
        await made_up


async def test_keys_outlive_a_provider_that_goes_away_and_not_one_that_withdraws_them(idp, provider, monkeypatch):
    monkeypatch.setattr(openid, "KEEP_S", -1.0)
    monkeypatch.setattr(openid, "RETRY_S", 0.0)
    monkeypatch.setattr(openid, "REFRESH_S", 0.0)
    checked, old = provider(), idp.token()
    await checked.principal_of(old)
    idp.down = True
    for _ in range(3):
        assert (await checked.principal_of(old)).name == "user u1"
        await asyncio.sleep(0.05)
    idp.down, idp.keys = False, {"two": EC_KEY}

    async def use() -> None:
        while True:
            await checked.principal_of(old)
            await asyncio.sleep(0.02)

    with pytest.raises(NotLoggedInError, match="key that the provider does not have"):
        await asyncio.wait_for(use(), 5)


async def test_a_provider_that_is_away_or_another_is_no_wrong_token(idp, provider):
    idp.down = True
    with pytest.raises(ProviderError, match="does not answer: 503"):
        await provider().principal_of(idp.token())
    idp.down, idp.says_issuer = False, "http://another.example"
    with pytest.raises(ProviderError, match="calls itself 'http://another"):
        await provider().principal_of(idp.token())
    idp.says_issuer = idp.issuer
    nowhere = provider(oidc_jwks_url=f"{idp.issuer}/.well-known/openid-configuration")
    with pytest.raises(ProviderError, match="holds no keys"):
        await nowhere.principal_of(idp.token())


@pytest.mark.parametrize("settings", [{"access": "off"}, {"oidc_audience": None}])
def test_an_issuer_alone_is_refused(settings):
    given = {"access": "on", "ticket_key": KEY, "oidc_issuer": "http://i", "oidc_audience": "spoton"}
    with pytest.raises(SettingsError, match="oidc_issuer needs oidc_audience, and access on"):
        load_settings(_env_file=None, **given | settings)


@pytest.mark.servers
async def test_served_beside_api_tokens(idp, live, serve):
    settings = live(access="on", ticket_key=KEY, oidc_issuer=idp.issuer, oidc_audience="spoton")
    async with serve(settings) as client:
        await until_prepared(client)
        for token, code in ((idp.token(), 200), (idp.token(exp=1), 401), ("spoton_nobody", 401)):
            headers = {"Authorization": f"Bearer {token}"}
            assert (await client.get("/api/v1/config/environments", headers=headers)).status_code == code
        idp.down = True
        headers = {"Authorization": f"Bearer {idp.token()}"}
        assert (await client.get("/api/v1/config/environments", headers=headers)).status_code == 200
