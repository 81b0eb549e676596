"""`culvert check` beside other programs, its warnings, and the words of faults that are found later."""

import json
import os
import re
import socket
import ssl
import subprocess

import pytest

from kit.admin import Admin
from kit.backend import Backend
from kit.edge import TOKEN, digest, free_port, make_certificate, wait_for
from kit.knock import knock
from kit.pools import health
from kit.process import culvert, errors
from kit.setups import (
    CERTIFICATE, CLIENT, DUMPS, GOOD_STATE, MISSING, admin, client_certificate, files, jwt, running, tls, with_hot_journal,
    write)

# --- what check leaves alone -------------------------------------------------------------------------------------------

NORMAL = "Beside a running Culvert of this configuration this is normal"


def state_of(folder):
    return {path.name: (status.st_size, status.st_mtime_ns, status.st_mode, status.st_ino)
            for path in folder.iterdir() for status in [path.lstat()]}


@pytest.mark.parametrize("before", ["nothing", "a run", "a crash", "a file that others may read"])
def test_check_makes_and_changes_nothing(tmp_path, before):
    config = write(tmp_path, **GOOD_STATE)
    if before != "nothing":
        with running(config):
            crashed = {path.name: path.read_bytes() for path in tmp_path.glob("culvert.db*")}
        if before == "a crash":
            assert {"culvert.db-wal", "culvert.db-shm"} <= set(crashed)
            for name, data in crashed.items():
                (tmp_path / name).write_bytes(data)
                (tmp_path / name).chmod(0o600)
    if before == "a file that others may read":
        (tmp_path / "culvert.admin-token").chmod(0o644)
    found = state_of(tmp_path)
    for arguments in ([], ["--start"]):
        done = culvert("check", *arguments, "--config", config, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert state_of(tmp_path) == found


def test_check_disturbs_no_edge_that_runs(backend, make_edge):
    """Its warnings of the addresses in use say that this is normal then: after the check comes a reload."""
    edge = make_edge(backend.port, sections="takeover: culvert.takeover\n")
    keys = ["listen[0].address", "listen[1].address", "admin.address", "takeover"]
    with Admin(edge) as admin:
        token = admin.mint("alice")
        found = state_of(edge.folder)
        done = culvert("check", "--config", edge.config)
        assert done.returncode == 0, done.stderr
        lines = [line for line in done.stderr.splitlines() if NORMAL in line]
        assert len(lines) == len(keys) and all(any(f" {key}: " in line for line in lines) for key in keys), done.stderr
        assert state_of(edge.folder) == found
        done = culvert("check", "--start", "--config", edge.config)
        assert done.returncode == 1 and NORMAL not in done.stderr
        lines = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
        assert len(lines) == len(keys) and all(any(f" {key}: " in line for line in lines) for key in keys), lines
        assert admin.post("/v1/reload").status_code == 200
        assert admin.get(f"/v1/tokens/{token['id']}").status_code == 200
    assert knock(edge, "websocket", token=TOKEN).status == 101


# A program that is not Culvert at a place of the configuration: the kind of its socket, the configuration, the key, the words
# of the warning, and whether Culvert itself could be that program.
STRANGERS = {
    "a stream where takeover is to be": (
        socket.SOCK_STREAM, {"more": "takeover: here"}, "takeover", "has a socket of another kind there", False),
    "datagrams where the admin API is to be": (
        socket.SOCK_DGRAM, {"admin": admin("", "unix:here"), "state": "x.db"}, "admin.address",
        "has a socket of another kind there", False),
    "a stream where the admin API is to be": (
        socket.SOCK_STREAM, {"admin": admin("", "unix:here"), "state": "x.db"}, "admin.address",
        "another process listens on", True),
    "packets where takeover is to be": (
        socket.SOCK_SEQPACKET, {"more": "takeover: here"}, "takeover", "another process listens on", True),
    "a port that the program shares": (None, {}, "listen[0].address", "Address already in use", True),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_socket_of_another_program_is_a_warning_and_an_error_for_a_start(tmp_path, name):
    kind, parts, key, words, may_be_ours = STRANGERS[name]
    family = socket.AF_INET if kind is None else socket.AF_UNIX
    with socket.socket(family, kind or socket.SOCK_STREAM) as stranger:
        if kind is None:
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            stranger.bind(("127.0.0.1", 0))
            parts = {**parts, "port": stranger.getsockname()[1]}
        else:
            stranger.bind(str(tmp_path / "here"))
        if kind != socket.SOCK_DGRAM:
            stranger.listen()
        config = write(tmp_path, **parts)
        done = culvert("check", "--config", config, cwd=tmp_path)
        assert done.returncode == 0 and f" {key}: " in done.stderr and words in done.stderr, done.stderr
        assert (NORMAL in done.stderr) == may_be_ours
        done = culvert("check", "--start", "--config", config, cwd=tmp_path)
        assert done.returncode == 1 and f" {key}: " in done.stderr and words in done.stderr, done.stderr
        served = culvert("serve", "--config", config, cwd=tmp_path)
        assert (served.returncode, errors(served)) == (1, errors(done))


def test_an_address_that_another_program_uses_is_a_warning_and_an_error_for_a_start(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = write(tmp_path, port=taken.getsockname()[1])
        done = culvert("check", "--config", config)
        place = f"{config}:3:14: listen[0].address: 127.0.0.1:{taken.getsockname()[1]}: Address already in use; stop the process"
        assert done.returncode == 0 and f"warning: {place}" in done.stderr, done.stderr
        done = culvert("check", "--start", "--config", config)
        assert done.returncode == 1 and done.stderr.startswith(place), done.stderr
        done = culvert("serve", "--config", config)
        assert done.returncode == 1 and f"\n{place}" in "\n" + done.stderr
        # Nothing has come to the other program.
        taken.setblocking(False)
        with pytest.raises(BlockingIOError):
            taken.accept()


@pytest.mark.parametrize("left", ["a log without its index", "a transaction that broke off"])
def test_a_database_that_check_cannot_look_at_is_a_warning(tmp_path, left):
    if left == "a transaction that broke off":
        with_hot_journal(tmp_path)
    else:
        config = write(tmp_path, **GOOD_STATE)
        with running(config):
            crashed = {name: (tmp_path / name).read_bytes() for name in ("culvert.db", "culvert.db-wal")}
        for name, data in crashed.items():
            (tmp_path / name).write_bytes(data)
            (tmp_path / name).chmod(0o600)
        (tmp_path / "culvert.db-shm").unlink(missing_ok=True)
    config = write(tmp_path, **GOOD_STATE)
    found = state_of(tmp_path)
    done = culvert("check", "--config", config, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^warning: .*: state: .*the database could not be looked at .*tokens .* were not compared", done.stderr, re.M)
    assert state_of(tmp_path) == found


# --- warnings ----------------------------------------------------------------------------------------------------------

TOKEN_OF = 'authentication:\n  tokens:\n    - {{ id: t, sha256: "' + digest("x") + '", subject: s, routes: ["/"], expires: {} }}'


# The port of listeners whose upstream is compared with them.
OWN = free_port()


def moment(days):
    return subprocess.run(["date", "-u", "-d", f"{days} days", "+%Y-%m-%dT%H:%M:%SZ"], capture_output=True, text=True).stdout.strip()


# What stands in the configuration, and the key and words of the warning; None for none.
WARNINGS = {
    "nothing": ({}, None),
    "a token that expires tomorrow": ({"more": TOKEN_OF.format(moment(1))}, ("authentication.tokens[0].expires", "expires at")),
    "a token that expired": ({"more": TOKEN_OF.format(moment(-1))}, ("authentication.tokens[0].expires", "expired at")),
    "a token that expires in a month": ({"more": TOKEN_OF.format(moment(30))}, None),
    "a key of JWTs that ended": (
        {"more": jwt(f"keys:\n      - {{ id: k, algorithm: HS256, secret: {'x' * 32}, until: {moment(-1)} }}")},
        ("authentication.jwt.keys[0].until", "ended at")),
    "a certificate that expires soon": ({"listen": tls("short.pem", "short.key")}, (CERTIFICATE, "in less than 14 days")),
    "a client certificate that expires soon": (
        {"up": client_certificate("short.pem", "short.key")}, (CLIENT + ".certificate", "in less than 14 days")),
    "an authority that expires soon": ({"up": "ca: old.pem"}, ("upstreams.u.ca", "expires at")),
    "a certificate of a server as an authority": (
        {"up": "ca: leaf.pem"}, ("upstreams.u.ca", "no certificate of the file is that of an authority")),
    "a certificate that vouches for itself as an authority": ({"up": "ca: own.pem"}, None),
    "authorities of servers without TLS": (
        {"up": "ca: authority.pem", "scheme": "ws"}, ("upstreams.u.ca", "no server of the upstream has a wss URL")),
    "a name of servers without TLS": (
        {"up": "sni: a.example", "scheme": "ws"}, ("upstreams.u.sni", "of no use, because no server")),
    "a certificate for servers without TLS": (
        {"up": client_certificate("chain.pem", "leaf.key"), "scheme": "ws"}, (CLIENT + ".certificate", "of no use, because no server")),
    "an upstream that is the listener itself": (
        {"port": OWN, "up": f'\n  v: {{ servers: [ {{ url: "ws://localhost:{OWN}/app" }} ] }}',
         "route": "\n  - { path: /b, upstream: v, authentication: none, origins: { allow: [] } }"},
        ("upstreams.v.servers[0].url", f"this is the listener 127.0.0.1:{OWN} of Culvert itself (listen[0].address of line 3)")),
    "an upstream with the port of the listener on another machine": (
        {"port": OWN, "up": f'\n  v: {{ servers: [ {{ url: "ws://192.0.2.1:{OWN}" }} ] }}',
         "route": "\n  - { path: /b, upstream: v, authentication: none, origins: { allow: [] } }"}, None),
    "an admin API that the network reaches in plain text": (
        {"admin": f"address: 0.0.0.0:{free_port()}", "state": "x.db"}, ("admin.address", "the admin token crosses it in plain text")),
    "an admin API that the network reaches with TLS": (
        {"admin": f"address: 0.0.0.0:{free_port()}\n  tls: {{ certificates: [ {{ certificate: chain.pem, key: leaf.key }} ] }}",
         "state": "x.db"}, None),
    "a path of the session protocol": (
        {"route": "\n  - { path: /chat/_poll, upstream: u, authentication: none, origins: { allow: [] } }"},
        ("routes[1].path", "the session protocol of the path /chat has its requests; write /chat")),
    "a chain in order": ({"listen": tls("chain.pem", "leaf.key")}, None),
    "a chain in another order": ({"listen": tls("disorder.pem", "leaf.key")}, (CERTIFICATE, "number 2 of the file")),
    "a host of a certificate": ({"listen": tls("chain.pem", "leaf.key"), "route": "host: A.example."}, None),
    "a host of a wildcard": ({"listen": tls("chain.pem", "leaf.key"), "route": "host: x.wild.example"}, None),
    "an address of a certificate": ({"listen": tls("chain.pem", "leaf.key"), "route": 'host: "[::1]"'}, None),
    "a host that no certificate covers": (
        {"listen": tls("chain.pem", "leaf.key"), "route": "host: b.example"}, ("routes[0].host", "no certificate of a listener")),
    "a host below a wildcard's label": (
        {"listen": tls("chain.pem", "leaf.key"), "route": "host: x.y.wild.example"}, ("routes[0].host", "x.y.wild.example")),
    "a host where there is no TLS": ({"route": "host: b.example"}, None),
    "an upstream that nothing uses": ({"up": '\n  spare: { servers: [ { url: "ws://127.0.0.1:9" } ] }'}, ("upstreams.spare", "no route")),
    "a route without origins": ({"route": "\n  - { path: /b, upstream: u, authentication: none }"}, ("routes[1]", "no browser can use this route")),
    "a route of two origins": ({"route": '\n  - { path: /b, upstream: u, authentication: none, origins: { allow: ["https://a.example"] } }'}, None),
    "a route for WebSockets alone whose tokens no page can send": (
        {"route": "\n  - path: /b\n    upstream: u\n    origins: { allow: [\"https://a.example\"] }\n"
                  "    carriers: { query_parameter: none, cookie: none, subprotocol: false }\n    transports: [ websocket ]",
         "more": TOKEN_OF.format(moment(30))},
        ("routes[1]", "a page can set no Authorization header on a WebSocket")),
    "a route for WebSockets alone that no page is to use": (
        {"route": "\n  - path: /b\n    upstream: u\n    origins: { allow: [] }\n"
                  "    carriers: { query_parameter: none, cookie: none, subprotocol: false }\n    transports: [ websocket ]",
         "more": TOKEN_OF.format(moment(30))}, None),
    "a route whose tokens pages can send by long-poll": (
        {"route": "\n  - path: /b\n    upstream: u\n    origins: { allow: [\"https://a.example\"] }\n"
                  "    carriers: { query_parameter: none, cookie: none, subprotocol: false }", "more": TOKEN_OF.format(moment(30))}, None),
    "everybody as a trusted proxy": ({"more": "trusted_proxies: [ 10.0.0.0/8, 0.0.0.0/0 ]"}, ("trusted_proxies[1]", "0.0.0.0/0")),
    "a block with bits of a host": ({"more": "trusted_proxies: [ 10.0.0.1/8 ]"}, ("trusted_proxies[0]", "write 10.0.0.0/8")),
    "a route that nobody has a token for": (
        {"route": "\n  - { path: /b, upstream: u, origins: { allow: [] } }"}, ("routes[1]", "nobody can open this route")),
    "a route whose path ends in a wildcard": (
        {"route": '\n  - { path: "/lobby/*", upstream: u, authentication: none, origins: { allow: [] } }'},
        ("routes[1].path", "/lobby/* looks like a pattern, but a path is a prefix without wildcards; write /lobby, which "
                           "covers /lobby and /lobby/a")),
    "a route whose path has a parameter in braces": (
        {"route": '\n  - { path: "/room/{id}/chat", upstream: u, authentication: none, origins: { allow: [] } }'},
        ("routes[1].path", "write /room, which covers")),
    "a route whose path has a parameter behind a colon": (
        {"route": '\n  - { path: "/:id", upstream: u, authentication: none, origins: { allow: [] } }'},
        ("routes[1].path", "write /, which covers every path")),
    "a route whose path has colons and braces that are no parameters": (
        {"route": '\n  - { path: "/a:b/{c", upstream: u, authentication: none, origins: { allow: [] } }'}, None),
    "all of IPv6 as trusted proxies": ({"more": 'trusted_proxies: [ "::/0" ]'}, ("trusted_proxies[0]", "::/0")),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_what_is_probably_a_mistake_is_a_warning_of_check_and_of_the_log(files, tmp_path, name):
    parts, warning = WARNINGS[name]
    for file in files.iterdir():
        (tmp_path / file.name).symlink_to(file)
    config = write(tmp_path, **parts)
    done = culvert("check", "--config", config, cwd=tmp_path)
    print(f"tried {name}: {done.stderr}")
    assert done.returncode == 0, done.stderr
    with running(config) as log:
        logged = [(event["place"], event["key"], event["reason"]) for event in log.events("configuration warning")]
    assert done.stderr == "".join(f"warning: {place}: {key}: {reason}\n" for place, key, reason in logged)
    if warning is None:
        assert logged == []
        return
    [(place, key, reason)] = logged
    assert key == warning[0] and warning[1] in reason
    assert re.fullmatch(rf"{re.escape(str(config))}:\d+:\d+", place)


def test_check_warns_of_the_modes_that_a_start_changes(tmp_path):
    config = write(tmp_path, **GOOD_STATE)
    with running(config):
        pass
    for name, mode in (("culvert.admin-token", 0o644), ("culvert.db", 0o640)):
        (tmp_path / name).chmod(mode)
    found = state_of(tmp_path)
    done = culvert("check", "--config", config, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for key, name, mode in (("admin.token_file", "culvert.admin-token", "0644"), ("state", "culvert.db", "0640")):
        [line] = [line for line in done.stderr.splitlines() if f": {key}: " in line and "(mode " in line]
        assert line.startswith("warning: ") and f"{name}: other users may read or change this file (mode {mode})" in line
        assert line.endswith("the next start changes its mode to 0600")
    assert state_of(tmp_path) == found
    with running(config):
        assert (tmp_path / "culvert.db").stat().st_mode & 0o777 == 0o600
    assert "(mode " not in culvert("check", "--config", config, cwd=tmp_path).stderr


@pytest.mark.parametrize("paths, warning", [
    ('["/chat"]', None), ('["/"]', None), ('["/chat/rooms"]', None), ('["/chat/"]', None), ('["/other", "/chat"]', None),
    ('["/chatter"]', ("authentication.tokens[0].routes", "opens no path of any route")),
    ('["/Chat", "/c"]', ("authentication.tokens[0].routes", 'the token "t" opens no path of any route')),
    ('["/chat/*"]', ("authentication.tokens[0].routes[0]", "write /chat, which covers /chat and /chat/a")),
])
def test_a_token_that_opens_no_route_is_a_warning(tmp_path, paths, warning):
    config = write(tmp_path, more=TOKEN_OF.format(moment(30)).replace('["/"]', paths))
    config.write_text(config.read_text().replace("path: /\n", "path: /chat\n"))
    done = culvert("check", "--config", config, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    if warning is None:
        assert done.stderr == ""
    else:
        [line] = done.stderr.splitlines()
        assert re.match(rf"warning: {re.escape(str(config))}:\d\d:\d+: {re.escape(warning[0])}: ", line)
        assert warning[1] in line


# --- words -------------------------------------------------------------------------------------------------------------

def test_a_self_signed_upstream_is_told_in_words(tmp_path, make_edge):
    cert, key = make_certificate(tmp_path, "inner")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server = Backend(ssl=context)
    try:
        edge = make_edge(0, upstream=json.dumps({
            "servers": [{"url": f"wss://127.0.0.1:{server.port}"}], "eject": {"failures": 1},
            "health": {"type": "websocket", "interval": "50ms", "fall": 1}}))
        with Admin(edge) as admin:
            wait_for(lambda: health(admin) == {server.port: False}, what="the check to fail")
            text = admin.get("/v1/upstreams").text
            assert "the server's certificate is not trusted" in text and not DUMPS.search(text), text
        assert knock(edge, "websocket", token=TOKEN).status in (502, 503)
        [event, *_] = edge.expect_events("upstream failed")
        assert "certificate" in event["reason"] or "no server" in event["reason"]
        assert not DUMPS.search(edge.text), edge.text
    finally:
        server.stop()


def test_an_upstream_that_speaks_no_tls_is_told_in_words(backend, make_edge):
    edge = make_edge(0, upstream=json.dumps({"servers": [{"url": f"wss://127.0.0.1:{backend.port}"}]}))
    assert knock(edge, "websocket", token=TOKEN).status == 502
    [event, *_] = edge.expect_events("upstream failed")
    assert "TLS" in event["reason"] and not DUMPS.search(edge.text), event


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}", "https://127.0.0.1:{port}", "unix:{folder}/none"])
def test_a_command_that_reaches_nothing_says_what_to_do(tmp_path, url):
    url = url.format(port=free_port(), folder=tmp_path)
    done = culvert("sessions", "list", "--url", url, env={**os.environ, "CULVERT_ADMIN_TOKEN": "x" * 20})
    assert done.returncode == 1 and done.stderr.startswith(f"{url} cannot be reached: ")
    assert "see that Culvert runs" in done.stderr and not DUMPS.search(done.stderr), done.stderr


def test_a_reload_that_is_refused_names_the_line(backend, make_edge):
    edge = make_edge(backend.port)
    text = edge.config.read_text()
    edge.config.write_text(text.replace(str(edge.cert), "none.pem"))
    line = 1 + [line.count("none.pem") for line in edge.config.read_text().splitlines()].index(1)
    with Admin(edge) as admin:
        answer = admin.post("/v1/reload")
        assert answer.status_code == 422
        [error] = answer.json()["errors"]
        assert (error["file"], error["line"], error["key"]) == (str(edge.config), line, CERTIFICATE)
        assert MISSING in error["detail"] and "none.pem" in error["detail"]
        edge.config.write_text(text)
        assert admin.post("/v1/reload").status_code == 200
