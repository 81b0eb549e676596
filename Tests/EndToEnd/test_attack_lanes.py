"""Attacks with lanes that their session does not use: what they hold counts until it is gone."""

import contextlib
import json
import re
import select
import struct
import time
from collections import Counter

import pytest

from kit.admin import memory
from kit.attack import MiB, Peak, dial, read_answer, request
from kit.edge import OTHER_TOKEN, TOKEN, wait_for
from kit.lane import PROTOCOL, open_count
from kit.poll import batch, client, open_session
from kit.process import wait_until_read
from kit.raw import masked
from kit.script import ScriptedBackend, switching

# Most of an envelope that never ends.
PART = struct.pack("!BBQ", 0x82, 0xFF, 1_390_000) + bytes(4) + bytes(900_000)


def join(edge, at, host="localhost"):
    """A lane that asks to join the session, on a connection without TLS."""
    s = dial(edge.plain_port)
    ask = request("GET", at + "/socket", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                  "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", f"Sec-WebSocket-Protocol: {PROTOCOL}", token=TOKEN)
    s.sendall(ask.replace(b"Host: localhost", b"Host: " + host.encode()))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += s.recv(1)
    assert head.startswith(b"HTTP/1.1 101")
    return s


def told(sockets):
    """The lanes on which the edge has said something."""
    return select.select(sockets, [], [], 0)[0]


def test_half_envelopes_of_lanes_that_have_only_joined_count(make_edge, backend):
    """Each session had one for as long as a handshake may take, and none of them counted."""
    edge = make_edge(backend.port, limits="memory: 16MiB, handshake: 60s")
    with client(edge) as http:
        sessions = [open_session(http) for _ in range(40)]
    most, before, lanes = 0, memory(edge)["used"], []
    with Peak(edge) as peak:
        for at in sessions:
            lanes.append(join(edge, at))
            lanes[-1].sendall(PART)
            most = max(most, memory(edge)["used"])
        wait_for(lambda: len(told(lanes)) >= 24, what="the lanes that are too many to be closed")
    closed = told(lanes)
    codes = {struct.unpack("!H", s.recv(100)[2:4])[0] for s in closed}
    print(f"{len(lanes)} lanes with {len(PART)} bytes each: {len(closed)} closed with {codes}, {most / MiB:.1f} MiB"
          f" counted at most, the process had {peak}")
    assert codes == {1013}
    # What one read brings comes on top.
    assert 8 * MiB < most < 18 * MiB
    assert peak.most < 48 * MiB
    # The sessions have done nothing, and go on.
    assert open_count(edge) == len(sessions) and memory(edge)["closed"] == 0
    for s in lanes:
        s.close()
    wait_for(lambda: memory(edge)["used"] <= before, what="nothing of the lanes to be counted")


def test_superseded_lanes_keep_nothing_of_an_envelope(make_edge, backend):
    """A client joins again and again. Each lane kept what it had until it was gone, 2 s later."""
    edge = make_edge(backend.port)
    with client(edge) as http:
        at = open_session(http)
    begun, lanes = time.monotonic(), []
    with Peak(edge) as peak:
        for _ in range(60):
            lanes.append(join(edge, at))
            lanes[-1].sendall(PART)
        wait_for(lambda: len(told(lanes)) == 59, what="all lanes but one to be closed")
        seconds = time.monotonic() - begun
        used = memory(edge)["used"]
    print(f"{len(lanes)} lanes in {seconds:.1f} s: {used / MiB:.1f} MiB counted, the process had {peak}")
    assert used < 4 * MiB
    assert peak.most < 40 * MiB
    for s in lanes:
        s.close()


def test_a_superseded_lane_that_answers_the_close_behind_its_envelope_is_gone_at_once(make_edge, backend):
    """The rest of an envelope is passed over, so that the Close behind it is seen."""
    edge = make_edge(backend.port)
    with client(edge) as http:
        at = open_session(http)
    for cut in (0, 1, 70_000, 500_000):
        first = join(edge, at)
        first.sendall(PART[:len(PART) - cut])
        # What is read behind the edge's Close counts towards the most that is.
        wait_until_read(first)
        with join(edge, at):
            assert struct.unpack("!H", first.recv(100)[2:4])[0] == 4409
            begun = time.monotonic()
            # In the payload, what looks like a Close is none.
            first.sendall(b"\x88\x80\0\0\0\0" * 10)
            first.sendall(bytes(1_390_000 - 900_000 + cut - 60) + struct.pack("!BB4xH", 0x88, 0x82, 1000))
            assert first.recv(1) == b""
            seconds = time.monotonic() - begun
        print(f"cut by {cut}: gone {seconds:.2f} s after its Close")
        assert seconds < 1.5
        first.close()


@pytest.mark.parametrize("uses", [False, True], ids=["joined", "in use"])
def test_the_host_that_a_lane_came_with_counts(make_edge, backend, uses):
    """They are kept, to judge the lane again, while the head that they came in counts no more."""
    edge = make_edge(backend.port, limits="header: 256KiB, handshake: 60s")
    host = ("a" * 60 + ".") * 3000 + "a"
    with client(edge) as http:
        sessions = [open_session(http) for _ in range(30)]
    before, lanes = memory(edge)["used"], []
    with Peak(edge) as peak:
        for at in sessions:
            lanes.append(join(edge, at, host))
            if uses:
                lanes[-1].sendall(masked(2, batch(1, [])))
        least = before + len(lanes) * (len(host) - 1024)
        wait_for(lambda: memory(edge)["used"] >= least, what="the hosts to be counted")
        most = memory(edge)["used"]
    print(f"{len(lanes)} lanes with a Host of {len(host)} bytes: {most / MiB:.1f} MiB counted, the process had {peak}")
    assert most < before + len(lanes) * (len(host) + 32 * 1024)
    for s in lanes:
        s.close()
    wait_for(lambda: memory(edge)["used"] <= before, what="nothing of the lanes to be counted")


# --- sessions of others -----------------------------------------------------------------------------------------------


def victims_and_others():
    """A backend that sends a session at /victim/<n> n messages of 1000 bytes, and nothing to others."""
    def script(connection, head):
        connection.settimeout(120)
        connection.sendall(switching(head))
        if found := re.match(rb"GET /victim/(\d+)", head):
            connection.sendall((struct.pack("!BBH", 0x82, 0x7E, 1000) + bytes(1000)) * int(found[1]))

    return ScriptedBackend(script)


def opens(edge, path="/_poll"):
    """(status, path) of another user's session."""
    with dial(edge.plain_port) as s:
        s.sendall(request("POST", path, "Content-Length: 0", token=OTHER_TOKEN))
        status, _, body, _ = read_answer(s)
        return status, f"{path}/{json.loads(body).get('session')}"


def victims(edge, count):
    """Paths of sessions of another user, with 5 KB in the window of each."""
    before, paths = memory(edge)["used"], []
    for _ in range(count):
        status, path = opens(edge, "/victim/5/_poll")
        assert status == 201
        paths.append(path)
    wait_for(lambda: memory(edge)["used"] >= before + count * 5000, what="the victims' windows to fill")
    return paths


def statuses(edge, paths):
    """How many of the victims' next polls are answered with each status."""
    found = Counter()
    for path in paths:
        with dial(edge.plain_port) as s:
            s.sendall(request("GET", path + "?ack=0", token=OTHER_TOKEN))
            found[read_answer(s)[0]] += 1
    return dict(found)


def open_on_lane(edge):
    """A session whose lane, on a connection without TLS, has brought an envelope; None where it was refused."""
    s = dial(edge.plain_port)
    s.sendall(request("GET", "/_poll", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                      "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", f"Sec-WebSocket-Protocol: {PROTOCOL}",
                      token=TOKEN))
    head = b""
    while not head.endswith(b"\r\n\r\n") and (got := s.recv(1)):
        head += got
    if not head.startswith(b"HTTP/1.1 101"):
        s.close()
        return None
    s.sendall(masked(2, batch(1, [])))
    return s


def test_small_halves_of_envelopes_end_their_own_sessions(make_edge):
    """Each lane held less than its session was told of, so the sessions of others were closed, and none of these."""
    backend = victims_and_others()
    edge = make_edge(backend.port, limits="memory: 4MiB, handshake: 60s", session="resume: 120s")
    paths = victims(edge, 20)
    half = masked(2, bytes(30_000), fin=False)
    lanes, refused = [], 0
    for _ in range(200):
        lane = open_on_lane(edge)
        if lane is None:
            refused += 1
            continue
        lanes.append(lane)
        # It may have been closed for memory meanwhile.
        with contextlib.suppress(OSError):
            lane.sendall(half)
    wait_for(lambda: memory(edge)["closed"] > 0, what="the relief")
    wait_for(lambda: memory(edge)["used"] <= 4 * MiB, what="the process to be below its ceiling")
    found = statuses(edge, paths)
    print(f"{len(lanes)} lanes with half an envelope of 30 kB, {refused} refused: {memory(edge)};"
          f" the victims are answered {found}")
    assert found == {200: len(paths)}
    wait_for(lambda: opens(edge)[0] == 201, what="another to be let in")
    for s in lanes:
        s.close()
    backend.stop()


def test_lanes_that_have_only_joined_go_before_the_sessions_of_others(make_edge):
    """They were in no index of what holds most, and were closed only when they grew themselves."""
    backend = victims_and_others()
    edge = make_edge(backend.port, limits="memory: 4MiB, handshake: 60s", session="resume: 120s")
    paths = victims(edge, 20)
    lanes = []
    with client(edge) as http:
        # To just below the ceiling: no lane is closed for what it brings itself.
        while memory(edge)["used"] < 4 * MiB - 400_000:
            before = memory(edge)["used"]
            lanes.append(join(edge, open_session(http)))
            lanes[-1].sendall(masked(2, bytes(120_000), fin=False))
            wait_for(lambda: memory(edge)["used"] >= before + 100_000, what="half an envelope to be counted")
    filled = memory(edge)
    assert not told(lanes)
    # Now others want memory.
    more = [opens(edge, "/victim/150/_poll") for _ in range(5)]
    wait_for(lambda: told(lanes), what="lanes to be closed")
    wait_for(lambda: memory(edge)["used"] <= 4 * MiB, what="the process to be below its ceiling")
    found = statuses(edge, paths)
    print(f"{len(lanes)} lanes with 120 kB each: {filled}; then others open {len(more)} sessions: {memory(edge)},"
          f" {len(told(lanes))} lanes are closed; the victims are answered {found}")
    assert memory(edge)["closed"] == 0 and found == {200: len(paths)}
    assert {struct.unpack("!H", s.recv(100)[2:4])[0] for s in told(lanes)} == {1013}
    for s in lanes:
        s.close()
    backend.stop()
