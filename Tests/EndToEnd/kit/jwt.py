"""An issuer of JSON Web Tokens that owes nothing to Culvert: PyJWT signs, cryptography makes the keys."""

import asyncio
import base64
import contextlib
import datetime
import functools
import json
import secrets
import time

import httpx
import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

ALGORITHMS = ["HS256", "RS256", "PS256", "ES256", "EdDSA"]


def section(**members):
    """The configuration's `jwt`, in JSON, which YAML takes."""
    return "jwt: " + json.dumps(members)


def rfc3339(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forge(head, payload, sign):
    """A token that no issuer would make: `sign` is given what is to be signed, and may do as it likes."""
    payload = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    text = f"{base64url(json.dumps(head).encode())}.{base64url(payload)}"
    return f"{text}.{base64url(sign(text.encode()))}"


class Key:
    """A key of the issuer's, made when it is first needed, and its public half in every form that Culvert takes."""

    def __init__(self, algorithm, kid=None, size=2048):
        self.algorithm, self.kid, self.size = algorithm, kid, size

    @functools.cached_property
    def private(self):
        match self.algorithm:
            case "HS256":
                return secrets.token_urlsafe(48)
            case "RS256" | "PS256":
                return rsa.generate_private_key(65537, self.size)
            case "ES256":
                return ec.generate_private_key(ec.SECP256R1())
            case "ES384":
                return ec.generate_private_key(ec.SECP384R1())
            case "EdDSA":
                return ed25519.Ed25519PrivateKey.generate()

    @property
    def pem(self):
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def private_pem(self):
        return self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()

    @property
    def certificate(self):
        """Of years long gone: a certificate's dates do not count."""
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
        start = datetime.datetime(2001, 1, 1)
        made = x509.CertificateBuilder(name, name, self.private.public_key(), 1, start, start.replace(year=2002)).sign(
            self.private, None if self.algorithm == "EdDSA" else hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def jwk(self):
        key = self.private if self.algorithm == "HS256" else self.private.public_key()
        return self._jwk(key)

    @property
    def private_jwk(self):
        return self._jwk(self.private)

    def _jwk(self, key):
        jwk = jwt.get_algorithm_by_name(self.algorithm).to_jwk(key, as_dict=True)
        jwk.pop("key_ops", None)
        return {**jwk, "alg": self.algorithm, "use": "sig", **({"kid": self.kid} if self.kid else {})}

    def raw_sign(self, message):
        algorithm = jwt.get_algorithm_by_name(self.algorithm)
        return algorithm.sign(message, algorithm.prepare_key(self.private))

    def sign(self, payload, algorithm=None, **head):
        """A token of this payload, in bytes. A member of the head that is None is left out."""
        head = {"kid": self.kid, **head}
        return jwt.PyJWS().encode(
            payload, self.private, algorithm or self.algorithm, {k: v for k, v in head.items() if v is not None})

    def token(self, algorithm=None, head={}, **claims):
        """A token that stands for ten minutes unless `claims` say otherwise; one that is None is left out."""
        now = int(time.time())
        claims = {"sub": "jane", "iat": now, "exp": now + 600, **claims}
        payload = json.dumps({k: v for k, v in claims.items() if v is not None})
        return self.sign(payload.encode(), algorithm, **head)


# --- sessions of a token ---------------------------------------------------------------------------------------------

def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def dial(edge, token, path="/", **options):
    return connect(edge.wss + path, ssl=edge.ssl, additional_headers=bearer(token), compression=None, **options)


async def closing(ws, timeout=20):
    """(code, reason) of the Close that comes."""
    try:
        while True:
            await asyncio.wait_for(ws.recv(), timeout)
    except ConnectionClosed as closed:
        return closed.rcvd.code, closed.rcvd.reason


class Live:
    """A WebSocket and a polled session of one token, with a poll parked."""

    def __init__(self, ws, http, at):
        self.ws, self.http, self.at = ws, http, at
        self.said = 0
        self.parked = None

    def poll(self):
        return self.http.get(self.at, params={"ack": self.said})

    async def park(self):
        """Of two polls the one that came first is answered 204, which tells that the other is parked."""
        polls = {asyncio.create_task(self.poll()) for _ in range(2)}
        [first], [self.parked] = await asyncio.wait(polls, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        assert first.result().status_code == 204

    async def talk(self):
        """Both hear their echo."""
        self.said += 1
        word = f"word {self.said}"
        await self.ws.send(word)
        assert await asyncio.wait_for(self.ws.recv(), 5) == word
        sent = await self.http.post(self.at, json={"first": self.said, "messages": [{"text": word}]})
        assert sent.status_code == 200, sent.text
        heard = await self.parked
        assert heard.status_code == 200 and heard.json()["messages"] == [{"text": word}], heard.text
        await self.park()

    async def end(self, reason):
        """Both end, for this reason; gives the Unix time at which the later of them did."""
        assert await closing(self.ws) == (4401, reason)
        answer = await self.parked
        at = time.time()
        problem = answer.json()
        assert (answer.status_code, problem["type"]) == (401, "urn:culvert:problem:" + reason.replace(" ", "_"))
        assert (problem["code"], problem["reason"]) == (4401, reason)
        again = await self.poll()
        assert (again.status_code, again.json()["type"]) == (401, problem["type"])
        return at


@contextlib.asynccontextmanager
async def live(edge, token, path="/"):
    async with dial(edge, token, path) as ws:
        async with httpx.AsyncClient(
                base_url=edge.https, verify=edge.ssl, headers=bearer(token), timeout=40) as http:
            answer = await http.post(path.rstrip("/") + "/_poll")
            assert answer.status_code == 201, answer.text
            session = Live(ws, http, answer.headers["location"])
            await session.park()
            try:
                yield session
            finally:
                session.parked.cancel()
