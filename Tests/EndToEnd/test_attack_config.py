"""Attacks on the configuration: a file whose reading does not end, and files that `check` takes and `serve` does not."""

import time

import pytest

from kit.admin import Admin
from kit.edge import free_port, make_certificate
from kit.process import culvert, health

LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
SHAPES = {
    "aliases of aliases": LAUGHS,
    "aliases of aliases in a section": LAUGHS + "trusted_proxies: *a8\n",
    "aliases of aliases for a key": LAUGHS + "? *a8\n: 1\n",
    "aliases of aliases in a jwk": LAUGHS + "authentication: { jwt: { keys: [ { jwk: { x: *a8 } } ] } }\n",
    "brackets": "a: " + "[" * 200_000,
    "dashes": "a:\n" + "- " * 200_000,
    "combining marks for a key": "\u0301\u0316" * 100_000 + ": 1\n",
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_file_that_would_take_for_ever_is_refused_at_once(tmp_path, name):
    file = tmp_path / "proxy.yaml"
    file.write_text(SHAPES[name])
    start = time.monotonic()
    done = culvert("check", "--config", file, timeout=60)
    print(f"tried {name}, {file.stat().st_size} bytes: {time.monotonic() - start:.1f} s, {done.stderr.splitlines()[0][:150]}")
    assert done.returncode == 1 and "proxy.yaml:" in done.stderr


def test_a_reload_of_such_a_file_changes_nothing_and_comes_back(backend, make_edge):
    edge = make_edge(backend.port)
    with Admin(edge) as admin:
        good = edge.config.read_text()
        edge.config.write_text(good + LAUGHS + "client: *a8\n")
        answer = admin.post("/v1/reload")
        print(f"tried a reload: {answer.status_code} {answer.text[:200]}")
        assert answer.status_code == 422 and "aliases stand for more" in answer.text
        assert health(edge)[0] == 200
        edge.config.write_text(good)
        assert admin.post("/v1/reload").status_code == 200


TOP = """
listen: [ {{ address: "127.0.0.1:{port}"{tls} }} ]
routes: [ {{ path: /, upstream: u, authentication: none }} ]
upstreams: {{ u: {{ servers: [ {{ url: "wss://127.0.0.1:9" }} ]{up} }} }}
{more}
admin: {{ address: none }}
state: none
"""


def tls(certificate, key):
    return {"tls": f", tls: {{ certificates: [ {{ certificate: {certificate}, key: {key} }} ] }}"}


def two(certificate, key):
    return {"tls": ", tls: { certificates: [ { certificate: a.pem, key: a.key }, "
                   f"{{ certificate: {certificate}, key: {key} }} ] }}"}


def jwt(text):
    return {"more": "authentication: { jwt: { " + text + " } }"}


FILES = {
    "nothing": ({}, None),
    "a certificate that is not there": (tls("none.pem", "a.key"), "listen[0].tls"),
    "a key that is not there": (tls("a.pem", "none.key"), "listen[0].tls"),
    "a certificate that is none": (tls("junk.pem", "a.key"), "listen[0].tls"),
    "a certificate that is empty": (tls("empty.pem", "a.key"), "listen[0].tls"),
    "a key of another certificate": (tls("a.pem", "b.key"), "listen[0].tls"),
    "a key of another certificate, for the second name": (two("b.pem", "a.key"), "listen[0].tls.certificates[1]"),
    "a folder for a certificate": (tls(".", "a.key"), "listen[0].tls"),
    "an upstream's ca that is not there": ({"up": ", ca: none.pem"}, "upstreams.u.ca"),
    "an upstream's ca that is none": ({"up": ", ca: junk.pem"}, "upstreams.u.ca"),
    "an upstream's client certificate that is not there": (
        {"up": ", client_certificate: { certificate: none.pem, key: a.key }"}, "upstreams.u.client_certificate"),
    "an upstream's client key of another certificate": (
        {"up": ", client_certificate: { certificate: a.pem, key: b.key }"}, "upstreams.u.client_certificate"),
    "a JWT key that is not there": (jwt("keys: [ { id: k, algorithm: ES256, file: none.pem } ]"), "authentication.jwt.keys[0]"),
    "a JWT key that is none": (jwt("keys: [ { id: k, algorithm: ES256, file: junk.pem } ]"), "authentication.jwt.keys[0]"),
    "a JWT key of another kind": (jwt("keys: [ { id: k, algorithm: RS256, file: a.pem } ]"), "authentication.jwt.keys[0]"),
    "a set of keys that is not there": (jwt("jwks: [ { file: none.json } ]"), "authentication.jwt.jwks[0]"),
    "a set of keys that is none": (jwt("jwks: [ { file: junk.pem } ]"), "authentication.jwt.jwks[0]"),
    "a set of keys that is empty": (jwt("jwks: [ { file: empty.pem } ]"), "authentication.jwt.jwks[0]"),
    "a set of keys that is a device": (jwt("jwks: [ { file: /dev/zero } ]"), "authentication.jwt.jwks[0]"),
    "an authority of a set that is none": (
        jwt('jwks: [ { url: "https://127.0.0.1:9/", ca: junk.pem } ]'), "authentication.jwt.jwks[0].ca"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name in ("a", "b"):
        make_certificate(folder, name)
    (folder / "junk.pem").write_text("hello\n")
    (folder / "empty.pem").write_text("")
    return folder


@pytest.mark.parametrize("name", FILES)
def test_check_refuses_what_serve_would_not_start_with(folder, name):
    parts, place = FILES[name]
    file = folder / "proxy.yaml"
    file.write_text(TOP.format(port=free_port(), **{"tls": "", "up": "", "more": "", **parts}))
    checked = culvert("check", "--config", file, cwd=folder)
    print(f"tried {name}: {checked.returncode} {checked.stderr.strip()[:200]}")
    if place is None:
        assert checked.returncode == 0, checked.stderr
        return
    assert checked.returncode == 1 and place in checked.stderr
    served = culvert("serve", "--config", file, cwd=folder)
    assert served.returncode == 1 and place in served.stderr
