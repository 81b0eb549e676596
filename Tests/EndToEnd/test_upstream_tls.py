"""TLS towards the upstream: whose word counts, by which name a server is called, and what Culvert shows of itself."""

import asyncio
import contextlib
import json
import re
import ssl
import subprocess

import pytest

from kit.admin import Admin
from kit.backend import Backend
from kit.edge import TOKEN, wait_for
from kit.knock import TRANSPORTS, knock
from kit.pools import dial, echoes, health
from kit.process import culvert

NAME = "inner.example"


def openssl(*arguments, text=None):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, input=text, text=True)


class Authority:
    """A CA, and certificates of it."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.cert, self.key = folder / f"{name}.pem", folder / f"{name}.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.cert)

    def issue(self, name, kind="DNS", names=""):
        """For `name`, or for other `names`; None for a certificate without any but its subject's."""
        cert, key, request = (self.folder / f"{self.name}-{name}.{end}" for end in ("pem", "key", "csr"))
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial", "-days", "2",
                "-out", cert, "-extfile", "/dev/stdin",
                text="" if names is None else f"subjectAltName={names or f'{kind}:{name}'}\n")
        return cert, key


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, "authority")


@pytest.fixture
def server(authority):
    """Wants a client's certificate of the authority; has one for NAME."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(NAME))
    context.load_verify_locations(authority.cert)
    context.verify_mode = ssl.CERT_REQUIRED
    asked = []
    context.sni_callback = lambda socket, name, context: asked.append(name)
    backend = Backend(ssl=context)
    backend.asked = asked
    yield backend
    backend.stop()


def configured(server, authority, client=None, **options):
    if client:
        options["client_certificate"] = {"certificate": str(client[0]), "key": str(client[1])}
    return json.dumps({
        "servers": [{"url": f"wss://127.0.0.1:{server.port}"}], "ca": str(authority.cert), "sni": NAME,
        "connect_timeout": "10s", **options})


def test_both_sides_show_who_they_are(server, authority, make_edge):
    edge = make_edge(0, upstream=configured(
        server, authority, authority.issue("edge"), health={"type": "websocket", "interval": "50ms", "ping": True}))

    async def run():
        async with dial(edge) as ws:
            assert await echoes(ws)
            return [connection.transport.get_extra_info("peercert")["subject"] for connection in server.connections]

    assert ((("commonName", "edge"),),) in asyncio.run(run())
    assert set(server.asked) == {NAME}
    assert knock(edge, "long-poll", token=TOKEN).status == 201
    with Admin(edge) as admin:
        wait_for(lambda: health(admin) == {server.port: True}, what="the check to be passed")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_that_wants_a_certificate_lets_nobody_in_without_one(server, authority, make_edge, transport):
    edge = make_edge(0, upstream=configured(server, authority))
    assert knock(edge, transport, token=TOKEN).status == 502
    assert not server.requests


def test_a_certificate_of_another_authority_is_none(server, authority, make_edge, tmp_path):
    edge = make_edge(0, upstream=configured(server, authority, Authority(tmp_path, "stranger").issue("edge")))
    assert knock(edge, "websocket", token=TOKEN).status == 502
    assert not server.requests


@pytest.mark.parametrize("name", ["other.example", None], ids=["another name", "the address of the URL"])
def test_the_servers_certificate_must_be_for_the_name(server, authority, make_edge, name):
    text = json.loads(configured(server, authority, authority.issue("edge")))
    text.pop("sni")
    if name:
        text["sni"] = name
    edge = make_edge(0, upstream=json.dumps(text))
    assert knock(edge, "websocket", token=TOKEN).status == 502
    assert not server.requests


@contextlib.contextmanager
def tls_server(authority, kind, name):
    """A backend whose certificate is for `name` alone, and that asks for none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(name, kind))
    backend = Backend(ssl=context)
    try:
        yield backend
    finally:
        backend.stop()


@pytest.mark.parametrize("kind, certified, host, sni, passes", [
    ("IP", "127.0.0.1", "127.0.0.1", None, True),
    ("DNS", "localhost", "localhost", None, True),
    ("DNS", "*.example", "127.0.0.1", NAME, True),
    ("DNS", NAME, "127.0.0.1", NAME.upper(), True),
    # Whoever leads a name elsewhere may have a certificate for the address there.
    ("IP", "127.0.0.1", "localhost", None, False),
    ("IP", "127.0.0.1", "127.0.0.1", NAME, False),
    ("DNS", "localhost", "127.0.0.1", None, False),
    ("DNS", "*.example", "127.0.0.1", "a.inner.example", False),
])
def test_a_certificate_for_an_address_does_for_no_name(authority, make_edge, kind, certified, host, sni, passes):
    with tls_server(authority, kind, certified) as server:
        upstream = {"servers": [{"url": f"wss://{host}:{server.port}"}], "ca": str(authority.cert),
                    "connect_timeout": "10s"}
        edge = make_edge(0, upstream=json.dumps(upstream | ({"sni": sni} if sni else {})))
        print(f"tried {kind} {certified} for {sni or host}")
        for transport in TRANSPORTS:
            status = knock(edge, transport, token=TOKEN).status
            assert status in (101, 201) if passes else status == 502
        assert bool(server.requests) == passes
        if not passes:
            assert "certificate" in json.dumps(edge.events("server ejected") + edge.events("upstream failed") + edge.events())


@pytest.mark.parametrize("names, passes", [
    # As issue() makes it, whose subject has the common name as well.
    (f"DNS:{NAME}", True),
    # RFC 9525 2: a common name is no name to compare, whether or not there are others.
    (None, False), ("email:a@inner.example", False),
    # RFC 9525 6.3: a wildcard is a whole label.
    ("DNS:in*.example", False), ("DNS:*r.example", False), ("DNS:*.*", False), ("DNS:*", False),
])
def test_a_certificate_is_for_its_dns_names_alone(authority, make_edge, names, passes, tmp_path):
    cert, key = authority.issue(NAME, names=names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server = Backend(ssl=context)
    edge = make_edge(0, upstream=configured(server, authority))
    for transport in TRANSPORTS:
        status = knock(edge, transport, token=TOKEN).status
        assert status in (101, 201) if passes else status == 502
    assert bool(server.requests) == passes
    if names is None:
        assert "subjectAltName" in json.dumps(edge.events("upstream failed"))
    server.stop()


def test_a_check_takes_no_certificate_for_an_address(authority, make_edge):
    with tls_server(authority, "IP", "127.0.0.1") as server:
        edge = make_edge(0, upstream=json.dumps({
            "servers": [{"url": f"wss://localhost:{server.port}"}], "ca": str(authority.cert),
            "health": {"type": "tcp", "interval": "50ms"}}), healthy=False)
        with Admin(edge) as admin:
            wait_for(lambda: health(admin) == {server.port: False}, what="the check to fail")


def test_a_file_that_is_not_there_is_named(server, authority, make_edge):
    edge = make_edge(0, upstream=configured(server, authority, authority.issue("edge")))
    done = culvert("check", "--config", edge.config)
    assert done.returncode == 0 and f'sni: "{NAME}"' in done.stdout
    text = edge.config.read_text()
    edge.config.write_text(text.replace("authority-edge.key", "nowhere.key"))
    done = culvert("check", "--config", edge.config)
    assert done.returncode == 1
    assert re.search(r"proxy\.yaml:\d+:\d+: upstreams\.echo\.client_certificate\.key: \S*nowhere\.key: cannot be read: "
                     "No such file or directory; ", done.stderr), done.stderr


def test_a_key_that_is_not_the_certificates_stops_the_start(server, authority, make_edge):
    cert, _ = authority.issue("edge")
    _, key = authority.issue("other")
    edge = make_edge(0, upstream=configured(server, authority, authority.issue("edge")))
    edge.config.write_text(edge.config.read_text().replace("authority-edge.key", key.name))
    done = culvert("serve", "--config", edge.config)
    words = f"{key.name}: the key does not belong to the certificate"
    assert done.returncode == 1 and "upstreams.echo.client_certificate.key: " in done.stderr and words in done.stderr
