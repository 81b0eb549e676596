"""Attacks on the admin listener, by anybody who reaches it, and on the command, by a process in its place."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time

import pytest

from kit.admin import Admin
from kit.attack import MiB, Peak, descriptors, dial, is_closed, read_answer, read_head, request
from kit.edge import free_port, wait_for
from kit.process import culvert

HEALTH = request("GET", "/healthz")


def test_answers_that_nobody_reads_are_not_made(edge):
    with dial(edge.admin_port, 4096, timeout=2) as s, Peak(edge) as peak:
        sent, end = 0, time.monotonic() + 4
        with contextlib.suppress(OSError):
            while time.monotonic() < end:
                sent += s.send(HEALTH * 2000)
        begun = time.monotonic()
        with Admin(edge) as admin:
            assert admin.get("/healthz").status_code == 200
        print(f"{sent / MiB:.1f} MiB of GET /healthz, no answer read: {peak}; "
              f"another waits {(time.monotonic() - begun) * 1000:.0f} ms")
        assert peak.most < 20 * MiB


def test_requests_in_a_packet_are_answered_in_order(edge):
    with dial(edge.admin_port) as s:
        s.sendall(HEALTH * 50 + request("GET", "/nothing") + HEALTH)
        rest, statuses = b"", []
        for _ in range(52):
            status, _, _, rest = read_answer(s, rest)
            statuses.append(status)
        assert statuses == [200] * 50 + [401, 200]


def test_a_connection_that_drips_ends(edge):
    before = descriptors(edge)
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(dial(edge.admin_port)) for _ in range(60)]
        for s in sockets:
            s.sendall(b"GET / HTTP/1.1\r\nX: ")
        begun = time.monotonic()

        def left():
            for s in sockets:
                with contextlib.suppress(OSError):
                    s.send(b"a")
            return descriptors(edge) - before

        wait_for(lambda: left() < 5, 30, "the connections to be closed")
        print(f"60 connections that send a byte now and then: gone after {time.monotonic() - begun:.0f} s")


def test_so_many_connections_of_nobody_do_not_keep_an_operator_out(edge):
    before = descriptors(edge)
    with contextlib.ExitStack() as stack:
        with Admin(edge) as operator:
            assert operator.get("/v1/version").status_code == 200
            sockets = [stack.enter_context(dial(edge.admin_port)) for _ in range(400)]
            # The newest stay, and so do connections that have shown the token; the oldest without it have gone.
            wait_for(lambda: descriptors(edge) - before < 300, what="the oldest to be closed")
            assert operator.get("/v1/version").status_code == 200
            with Admin(edge) as other:
                assert other.get("/v1/version").status_code == 200
            assert is_closed(sockets[0], 10)
    edge.expect_events("admin connections closed: too many, and the oldest had not shown the token")


@pytest.mark.parametrize("expects", [True, False], ids=["expect", "silent"])
@pytest.mark.parametrize("lines,status", [
    ([], 401), (["Authorization: Bearer x"], 401), (["Origin: https://evil.example"], 403), (["Host: evil"], 400),
], ids=["no token", "wrong token", "origin", "hosts"])
def test_what_has_no_token_is_refused_at_the_head(edge, lines, status, expects):
    with dial(edge.admin_port) as s:
        s.sendall(request("POST", "/v1/tokens", "Content-Type: application/json", "Content-Length: 60000", *lines,
                          *(["Expect: 100-continue"] if expects else [])))
        assert read_answer(s)[0] == status


def test_bodies_have_a_bound_and_a_deadline(edge):
    secret = (edge.folder / "culvert.admin-token").read_text().strip()
    with dial(edge.admin_port, timeout=30) as slow, dial(edge.admin_port) as s:
        slow.sendall(request("POST", "/v1/tokens", "Content-Type: application/json", "Content-Length: 60000",
                             token=secret))
        begun = time.monotonic()
        s.sendall(request("POST", "/v1/tokens", "Content-Length: 70000", "Expect: 100-continue", token=secret))
        assert read_answer(s)[0] == 413
        assert read_answer(slow)[0] == 408
        assert time.monotonic() - begun < 25


def test_a_body_that_is_wanted_is_asked_for(edge):
    secret = (edge.folder / "culvert.admin-token").read_text().strip()
    body = b'{"subject": "x", "routes": ["/"]}'
    with dial(edge.admin_port) as s:
        s.sendall(request("POST", "/v1/tokens", "Content-Type: application/json", f"Content-Length: {len(body)}",
                          "Expect: 100-continue", token=secret))
        status, _, rest = read_head(s)
        assert status == 100
        s.sendall(body)
        assert read_answer(s, rest)[0] == 201


# --- a process in the listener's place -------------------------------------------------------------------------------

NOBODY = 65534
ROOT = pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
SECRET = "a-secret-of-the-command"
REFUSAL = f"belongs to another user (uid {NOBODY}), who would read the admin token"

# Another user's process at a path or at a port. It closes a listener as soon as it has a connection, if told to.
STRANGER = """
import os, socket, sys
where, closes = sys.argv[1], sys.argv[2] == "closes"
os.setgroups([]); os.setgid(65534); os.setuid(65534)
if where.startswith("/"):
    s = socket.socket(socket.AF_UNIX); s.bind(where); os.chmod(where, 0o777); s.listen(5)
elif where.startswith("v6:"):
    s = socket.create_server(("::1", int(where[3:])), family=socket.AF_INET6)
else:
    s = socket.create_server(("127.0.0.1", int(where)))
print("ready", flush=True)
c, _ = s.accept(); c.settimeout(15)
if closes:
    s.close()
said = c.recv(4096)
if said:
    c.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
print("heard", said, flush=True)
"""


def heard_at(where, url, *, env=None, owner=None, closes=False):
    """The result of a command that is sent to a stranger, and what the stranger has read."""
    folder = tempfile.mkdtemp(prefix="culvert-attack-")
    file = f"{folder}/culvert.admin-token"
    with open(file, "w") as f:
        f.write(SECRET + "\n")
    os.chmod(file, 0o600)
    if owner is not None:
        os.chown(file, owner, owner)
    stranger = subprocess.Popen([sys.executable, "-c", STRANGER, where, "closes" if closes else "stays"],
                                stdout=subprocess.PIPE, text=True)
    try:
        assert stranger.stdout.readline() == "ready\n"
        done = culvert("tokens", "list", "--json", "--url", url, cwd=folder, env={**os.environ, **(env or {})})
        return done, stranger.communicate(timeout=20)[0]
    finally:
        stranger.kill()
        stranger.wait()


def has_ipv6():
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as s:
        s.bind(("::1", 0))
        return True
    return False


def place(kind):
    """A place where a stranger can listen, and its URL."""
    if kind == "unix":
        folder = tempfile.mkdtemp(prefix="culvert-attack-")
        os.chmod(folder, 0o1777)
        return f"{folder}/admin.sock", f"unix:{folder}/admin.sock"
    port = free_port()
    if kind == "v6":
        return f"v6:{port}", f"http://[::1]:{port}"
    return str(port), f"http://{'localhost' if kind == 'localhost' else '127.0.0.1'}:{port}"


@ROOT
@pytest.mark.parametrize("closes", [False, True], ids=["stays", "closes"])
@pytest.mark.parametrize("kind", ["unix", "tcp", "localhost", "v6"])
def test_another_users_process_at_the_url_is_sent_nothing(kind, closes):
    if kind == "v6" and not has_ipv6():
        pytest.skip("no IPv6 here")
    where, url = place(kind)
    done, heard = heard_at(where, url, closes=closes)
    assert done.returncode == 1 and url in done.stderr and REFUSAL in done.stderr, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert heard == "heard b''\n"


@ROOT
@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_the_owner_of_the_tokens_file_may_listen(kind):
    done, heard = heard_at(*place(kind), owner=NOBODY)
    assert done.returncode == 0, done.stderr
    assert f"Bearer {SECRET}" in heard


@ROOT
@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_a_token_of_the_environment_goes_to_the_owner_of_a_file_that_holds_it_too(kind):
    # A stranger can put a file into the current folder; not one with a token that it does not know.
    done, heard = heard_at(*place(kind), owner=NOBODY, env={"CULVERT_ADMIN_TOKEN": "another-secret-than-that"})
    assert done.returncode == 1 and REFUSAL in done.stderr and "name with --token-file" in done.stderr, done.stderr
    assert heard == "heard b''\n"
    done, heard = heard_at(*place(kind), owner=NOBODY, env={"CULVERT_ADMIN_TOKEN": SECRET})
    assert done.returncode == 0, done.stderr
    assert f"Bearer {SECRET}" in heard
