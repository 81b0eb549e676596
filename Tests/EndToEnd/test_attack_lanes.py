"""Attacks with lanes that their session does not use: what they hold counts until it is gone."""

import select
import struct
import time

from kit.admin import memory
from kit.attack import MiB, Peak, dial, request
from kit.edge import TOKEN, wait_for
from kit.lane import PROTOCOL, open_count
from kit.poll import client, open_session
from kit.process import wait_until_read

# Most of an envelope that never ends.
PART = struct.pack("!BBQ", 0x82, 0xFF, 1_390_000) + bytes(4) + bytes(900_000)


def join(edge, at):
    """A lane that asks to join the session, on a connection without TLS."""
    s = dial(edge.plain_port)
    s.sendall(request("GET", at + "/socket", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                      "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", f"Sec-WebSocket-Protocol: {PROTOCOL}",
                      token=TOKEN))
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
