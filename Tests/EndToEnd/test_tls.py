"""TLS towards clients: what is spoken, what is refused, and what browsers are told."""

import socket
import ssl
import subprocess

import httpx
import pytest

from kit.edge import TOKEN
from kit.flights import P256, P384, TLS_1_2, X25519, Flights
from kit.half import Half, Stream
from kit.raw import Raw

AEAD = ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"]
YEAR = 31536000


def certificate(folder, kind):
    cert, key = folder / f"{kind}.pem", folder / f"{kind}.key"
    new = ["rsa:2048"] if kind == "RSA" else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", *new, "-nodes", "-days", "2", "-subj", f"/CN={kind.lower()}.example",
         "-addext", f"subjectAltName=DNS:{kind.lower()}.example", "-keyout", key, "-out", cert],
        check=True, capture_output=True)
    return cert, key


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certs")
    return {kind: certificate(folder, kind) for kind in ("RSA", "ECDSA")}


def answers(port):
    try:
        return isinstance(shake(port, context()), tuple)
    except OSError:
        return False


@pytest.fixture
def tls_edge(backend, make_edge, certs):
    """With a certificate of either kind of key. Its admin API has one, too."""
    cert, key = certs["ECDSA"]
    return make_edge(
        backend.port, certs=certs.values(), healthy=lambda edge: answers(edge.tls_port) and answers(edge.admin_port),
        admin=f", tls: {{ certificates: [ {{ certificate: {cert}, key: {key} }} ] }}")


def context(version=None, suites=None, protocols=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    if version:
        made.minimum_version = made.maximum_version = version
    if suites:
        made.set_ciphers(":".join(suites) + ":@SECLEVEL=0")
    if protocols:
        made.set_alpn_protocols(protocols)
    return made


def shake(port, made, name="localhost", size=None):
    """(suite, protocol), or the alert. With `size` what the client sends goes in pieces of so many bytes."""
    s = socket.create_connection(("127.0.0.1", port), timeout=20)
    if size:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s = Pieces(s, size)
    try:
        stream = Stream(s, made, server_hostname=name)
        return stream.tls.cipher()[0], stream.tls.selected_alpn_protocol()
    except ssl.SSLError as error:
        return str(error)
    finally:
        s.close()


class Pieces:
    """A socket that sends small pieces."""

    def __init__(self, s, size):
        self.s, self.size = s, size
        self.settimeout, self.recv, self.close = s.settimeout, s.recv, s.close

    def sendall(self, data):
        for at in range(0, len(data), self.size):
            self.s.sendall(data[at:at + self.size])


# --- ALPN ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("listener", ["edge", "admin"])
@pytest.mark.parametrize("size", [None, 1])
def test_a_client_that_speaks_no_protocol_of_ours_is_refused(tls_edge, version, listener, size):
    """RFC 7301 3.2 has the handshake fail with no_application_protocol; it went on without a protocol."""
    port = tls_edge.tls_port if listener == "edge" else tls_edge.admin_port
    assert "no application protocol" in shake(port, context(version, protocols=["h2"]), size=size)
    assert shake(port, context(version, protocols=["h2", "http/1.1"]), size=size)[1] == "http/1.1"
    assert shake(port, context(version, protocols=["http/1.1"]), size=size)[1] == "http/1.1"
    assert shake(port, context(version), size=size)[1] is None


def test_what_is_no_tls_is_answered_as_before(tls_edge):
    for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00", b"\x16\x03\x01\x00\x00" * 9,
                 b"\x16\x03\x01\x40\x00" + b"\x01\x00\x3f\xfc" + bytes(0x3FFC)):
        with socket.create_connection(("127.0.0.1", tls_edge.tls_port), timeout=20) as s:
            s.sendall(junk)
            got = s.recv(100)
            # An alert, or the end.
            assert got == b"" or got[0] == 21, junk
    assert Raw(tls_edge)


# --- suites ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["RSA", "ECDSA"])
def test_tls_1_2_is_spoken_with_ephemeral_keys_and_authenticated_encryption_alone(tls_edge, kind):
    """RFC 9325 4.2. CBC with SHA-1 was spoken, and with an RSA key suites without forward secrecy."""
    name = f"{kind.lower()}.example"
    refused = [f"ECDHE-{kind}-AES128-SHA", f"ECDHE-{kind}-AES256-SHA", f"ECDHE-{kind}-AES128-SHA256"]
    if kind == "RSA":
        refused += ["AES128-SHA", "AES256-SHA", "AES128-GCM-SHA256", "AES256-GCM-SHA384"]
    for suite in refused:
        answer = shake(tls_edge.tls_port, context(ssl.TLSVersion.TLSv1_2, [suite]), name)
        assert "HANDSHAKE_FAILURE" in answer or "handshake failure" in answer, (suite, answer)
    for end in AEAD:
        suite = f"ECDHE-{kind}-{end}"
        assert shake(tls_edge.tls_port, context(ssl.TLSVersion.TLSv1_2, [suite]), name)[0] == suite


@pytest.mark.parametrize("listener, kind", [("edge", "RSA"), ("edge", "ECDSA"), ("admin", "ECDSA")])
def test_tls_1_2_has_our_order_of_suites(tls_edge, listener, kind):
    port = tls_edge.tls_port if listener == "edge" else tls_edge.admin_port
    name = f"{kind.lower()}.example"
    for wanted in (AEAD[::-1], AEAD[1:][::-1], AEAD):
        both = [f"ECDHE-{k}-{end}" for k in ("RSA", "ECDSA") for end in wanted]
        one = [f"ECDHE-{kind}-{end}" for end in wanted]
        first = f"ECDHE-{kind}-" + min(wanted, key=AEAD.index)
        assert shake(port, context(ssl.TLSVersion.TLSv1_2, both), name)[0] == first
        assert shake(port, context(ssl.TLSVersion.TLSv1_2, one), name)[0] == first


@pytest.mark.parametrize("kind", ["RSA", "ECDSA"])
def test_a_client_with_other_suites_for_each_kind_of_key_is_served(tls_edge, kind):
    other = "ECDSA" if kind == "RSA" else "RSA"
    suites = [f"ECDHE-{other}-{AEAD[0]}", f"ECDHE-{kind}-{AEAD[2]}"]
    assert shake(tls_edge.tls_port, context(ssl.TLSVersion.TLSv1_2, suites), f"{kind.lower()}.example")[0] == suites[1]


def test_a_session_of_tls_is_taken_up_again(tls_edge):
    made, port = context(ssl.TLSVersion.TLSv1_2), tls_edge.tls_port
    with made.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost") as s:
        kept = s.session
    with made.wrap_socket(
            socket.create_connection(("127.0.0.1", port)), server_hostname="localhost", session=kept) as s:
        assert s.session_reused


# --- HSTS ------------------------------------------------------------------------------------------------------------

HSTS = "strict-transport-security"


def upgrade_head(edge, scheme, token=TOKEN):
    half = Half(edge, scheme)
    half.send((f"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               f"Authorization: Bearer {token}\r\nSec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n").encode())
    head = half.until(b"\r\n\r\n").decode().lower()
    half.close()
    return head


def test_browsers_are_told_by_key_to_stay_with_tls(backend, make_edge):
    edge = make_edge(backend.port)
    text = edge.config.read_text()
    with httpx.Client(base_url=edge.https, verify=edge.ssl) as http:
        assert HSTS not in http.get("/_poll/x").headers
    edge.config.write_text(text.replace("    tls:\n", f"    tls:\n      hsts: {{ max_age: {YEAR // 3600}h }}\n"))
    edge.catch_up()
    with httpx.Client(base_url=edge.https, verify=edge.ssl) as http:
        for method, path, status in (("GET", "/_poll/x", 401), ("POST", "/open/_poll", 201), ("GET", "/", 426)):
            answer = http.request(method, path)
            assert answer.status_code == status
            assert answer.headers.get_list(HSTS) == [f"max-age={YEAR}"]
    for token, start in ((TOKEN, "http/1.1 101"), ("x", "http/1.1 401")):
        head = upgrade_head(edge, "tls", token)
        assert head.startswith(start) and head.count(f"{HSTS}: max-age={YEAR}\r\n") == 1
        # RFC 6797 7.2: never without TLS.
        assert HSTS not in upgrade_head(edge, "plain", token)
    every = f"hsts: {{ max_age: {YEAR // 3600}h, include_subdomains: true, preload: true }}"
    edge.config.write_text(text.replace("    tls:\n", f"    tls:\n      {every}\n"))
    edge.catch_up()
    with httpx.Client(base_url=edge.https, verify=edge.ssl) as http:
        assert http.get("/").headers[HSTS] == f"max-age={YEAR}; includeSubDomains; preload"


@pytest.mark.parametrize("groups, agreed", [
    ("P-384:X25519", X25519), ("P-384:P-256", P256), ("P-521:P-384:P-256", P256), ("P-384", P384), ("P-521:P-384", P384)])
@pytest.mark.parametrize("version", [None, TLS_1_2])
def test_secp384r1_is_for_clients_that_have_nothing_else(tls_edge, groups, agreed, version):
    """A client of TLS 1.2 takes no ECDSA key of a curve that it does not name: the key is RSA's."""
    with Flights(tls_edge.tls_port, groups, version, "rsa.example") as client:
        client.shake()
        assert client.group == agreed


def test_secp521r1_is_not_spoken(tls_edge):
    with Flights(tls_edge.tls_port, "P-521") as client, pytest.raises((AssertionError, ConnectionError)):
        client.shake()
