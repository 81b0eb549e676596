"""Attacks by an upstream whose name leads back to the edge: by hostile DNS or by a mistake, straight or by other proxies."""

import re

import pytest

from kit.admin import Admin
from kit.edge import wait_for
from kit.heads import ask, upgrade
from kit.stray import descriptors

# Without a bound of its own a loop would end at this many sessions, not at the descriptors of the machine.
LIMITS = "connections: 60"
MEMBER = rb"culvert-[0-9a-f]{32}"
OPENINGS = {
    "websocket": lambda port, fields=b"": upgrade(port, "/open", fields),
    "polled": lambda port, fields=b"": ask(port, "POST", "/open/_poll", fields),
    "lane": lambda port, fields=b"": upgrade(port, "/open/_poll", b"Sec-WebSocket-Protocol: culvert.v1\r\n" + fields),
}


def lead(edge, port, more=""):
    """Has the upstream of an edge lead to `port`."""
    text = re.sub(r"ws://127\.0\.0\.1:\d+\"[^\n]*", f'ws://localhost:{port}" }} ]{more} }}', edge.config.read_text())
    edge.config.write_text(text)
    edge.catch_up()


def members(upstream):
    return b", ".join(upstream.field(b"cdn-loop")).split(b", ")


@pytest.mark.parametrize("kind", OPENINGS)
@pytest.mark.parametrize("fields", [b"", b'CDN-Loop: a;x="\r\n', b"Connection: Upgrade, CDN-Loop\r\n", b"CDN_Loop: a\r\n"])
def test_an_opening_that_comes_back_is_refused_and_ejects_nobody(make_edge, kind, fields):
    if b"Connection" in fields and kind != "polled":
        pytest.skip("a handshake has its own Connection")
    edge = make_edge(1, limits=LIMITS)
    lead(edge, edge.plain_port)
    before = descriptors(edge.process)
    for _ in range(10):
        answer = OPENINGS[kind](edge.plain_port, fields)
        print(f"{kind} with {fields}: {answer.status}, descriptors {before}, now {descriptors(edge.process)}")
        assert (answer.status, answer.problem[0]) == (508, "loop_detected")
    wait_for(lambda: len(edge.events("opening refused")) == 20, what="a line for each refusal")
    refused = edge.events("opening refused")
    print(refused[0])
    reasons = [event["reason"] for event in refused]
    # Each was let in once, and refused when it came back; the server that did so is the edge itself.
    assert reasons.count("loop_detected") == reasons.count("upstream_refused") == 10
    assert all(event["status"] == 508 for event in refused)
    wait_for(lambda: descriptors(edge.process) < before + 15, what="the descriptors to be given back")
    with Admin(edge) as admin:
        (server,) = [u for u in admin.get("/v1/upstreams").json()["items"] if u["name"] == "echo"][0]["servers"]
        print(server)
        assert server["sessions"] == 0 and not server["ejected"]


def test_several_edges_in_a_row_pass_and_a_ring_of_them_does_not(make_edge, upstream):
    last = make_edge(upstream.port, limits=LIMITS)
    middle = make_edge(last.plain_port, limits=LIMITS)
    first = make_edge(middle.plain_port, limits=LIMITS)
    for kind, opening in OPENINGS.items():
        assert opening(first.plain_port, b"CDN-Loop: elsewhere.example; v=1, other\r\n").status in (101, 201)
        found = members(upstream)
        print(f"{kind}: {found}")
        assert found[:2] == [b"elsewhere.example; v=1", b"other"] and len(found) == 5
        own = found[2:]
        assert all(re.fullmatch(MEMBER, member) for member in own) and len(set(own)) == 3
    lead(last, first.plain_port)
    for kind, opening in OPENINGS.items():
        answer = opening(first.plain_port)
        print(f"a ring, {kind}: {answer.status}")
        assert (answer.status, answer.problem[0]) == (508, "loop_detected")


@pytest.mark.parametrize("kind", OPENINGS)
def test_a_chain_has_a_bound_and_a_forged_field_harms_nobody_else(make_edge, upstream, kind):
    edge = make_edge(upstream.port)
    forged = b"culvert-" + b"0" * 32
    for count in (1, 15, 16, 1000):
        fields = b"CDN-Loop: " + b", ".join([forged] * count) + b"\r\n"
        in_lines = b"CDN-Loop: a\r\n" * count
        for which in (fields, in_lines) if count < 200 else (b"CDN-Loop: " + b"a," * count + b"a\r\n",):
            answer = OPENINGS[kind](edge.plain_port, which)
            print(f"{kind} with {count} members in {which.count(b'Loop')} lines: {answer.status}")
            if count < 16:
                assert answer.status in (101, 201) and len(members(upstream)) == count + 1
            else:
                assert (answer.status, answer.problem[0]) == (508, "loop_detected")
    # Longer ones are too long like any other field.
    assert OPENINGS[kind](edge.plain_port, b"CDN-Loop: " + b"a," * 20_000 + b"\r\n").status == 431
    assert OPENINGS[kind](edge.plain_port).status in (101, 201)


def test_a_process_keeps_its_member_and_another_has_another(make_edge, upstream):
    edges = [make_edge(upstream.port) for _ in range(2)]
    seen = []
    for edge in edges:
        for _ in range(3):
            assert upgrade(edge.plain_port, "/open").status == 101
            seen += members(upstream)
    print(seen)
    assert len(set(seen)) == 2 and seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize("check", ["{ type: websocket, path: /open", "{ type: http, path: /open, status: 426"])
def test_a_server_that_is_the_edge_itself_passes_no_check(make_edge, check):
    edge = make_edge(1, limits=LIMITS)
    lead(edge, edge.plain_port, f", health: {check}, interval: 50ms, timeout: 1s, fall: 2 }}")
    with Admin(edge) as admin:
        def server():
            return admin.get("/v1/upstreams").json()["items"][0]["servers"][0]

        wait_for(lambda: server()["healthy"] is False, what="the server to be unhealthy")
        print(server()["last_check"])
        assert "508" in server()["last_check"]["reason"]
