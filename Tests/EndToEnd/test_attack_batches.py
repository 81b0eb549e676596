"""Attacks by what is in one batch: very many messages, JSON that costs, what happens between the slices of a large one."""

import concurrent.futures
import struct
import threading

import httpx
import pytest

from kit.admin import Admin, bearer
from kit.edge import wait_for
from kit.others import Others
from kit.poll import BATCH, batch, client, open_session, unframe
from kit.raw import Raw, masked
from kit.script import ScriptedBackend, switching

LANE = "Sec-WebSocket-Protocol: culvert.v1\r\n"
# As many messages as max_batch of 1 MiB allows, each counted with 16 bytes.
MOST = (1 << 20) // 16


def post(http, at, body, kind=BATCH):
    return http.post(at, content=body, headers={"Content-Type": kind})


def numbered(first, count):
    return batch(first, [str(n) for n in range(first, first + count)])


def test_a_flood_of_empty_messages_in_a_post_is_refused_and_others_go_on(make_edge, fresh_backend):
    edge = make_edge(fresh_backend.port)
    flood = struct.pack(">QQ", 0, 1) + b"\x81\x00" * 690_000
    with Others(edge) as others, client(edge) as http:
        at = open_session(http, "/record")
        before = edge.rss
        for _ in range(4):
            answer = post(http, at, flood)
            assert (answer.status_code, answer.json()["type"]) == (413, "urn:culvert:problem:bad_batch")
        others.assert_served("690,000 empty messages in a POST, four times")
        print(f"grew by {(edge.rss - before) >> 20} MiB")
        assert edge.rss - before < 40 << 20
        # The flood was not taken. A batch that the protocol allows is taken to its last message.
        answer = post(http, at, struct.pack(">QQ", 0, 1) + b"\x81\x00" * (MOST + 1))
        assert answer.status_code == 413
        answer = post(http, at, struct.pack(">QQ", 0, 1) + b"\x81\x00" * MOST)
        assert (answer.status_code, answer.json()["ack"]) == (200, MOST)
        wait_for(lambda: len(fresh_backend.received) == MOST, 60, "all messages to arrive")
        others.assert_served(f"{MOST} empty messages, which are allowed")


@pytest.mark.parametrize("name, body", [
    ("467,000 {} in messages", b'{"first":1,"messages":[' + b"{}," * 466_999 + b"{}]}"),
    ("120,000 empty texts", b'{"first":1,"messages":[' + b'{"text":""},' * 114_999 + b'{"text":""}]}'),
    ("a text of escapes", b'{"first":1,"messages":[{"text":"' + b"\\u0001" * 230_000 + b'"}]}'),
    ("a name of 1.3 MB", b'{"' + b"a" * 1_300_000 + b'":1}'),
    ("spaces", b" " * 1_390_000 + b"{"),
    ("digits", b'{"ack":' + b"1" * 1_390_000 + b"}"),
    ("open brackets", b"[" * 1_390_000),
    ("objects in objects", b'{"messages":[' * 100_000),
])
def test_json_costs_little_whatever_it_contains(make_edge, fresh_backend, name, body):
    edge = make_edge(fresh_backend.port)
    with Others(edge) as others, client(edge) as http:
        at = open_session(http, "/record")
        statuses = [post(http, at, body, "application/json").status_code for _ in range(4)]
        print(f"{name}: {statuses}")
        # The text is none too many: it is taken, and then was taken before.
        assert set(statuses) <= ({200} if "escapes" in name else {400, 413})
        others.assert_served(name)


def test_a_window_of_text_that_json_escapes_holds_nobody_up(make_edge):
    """A KiB of control characters is six of JSON; 60,000 tiny messages are as many objects."""
    def script(connection, head):
        connection.sendall(switching(head))
        if b"/loud" in head:
            connection.sendall((b"\x81\x7e\x04\x00" + b"\x01" * 1024) * 400 + b"\x81\x01\x01" * 30_000)
        got = b""
        while part := connection.recv(65536):
            # The others' messages, each of ten bytes and masked with zeros.
            got += part
            while len(got) >= 16:
                connection.sendall(b"\x81\x0a" + got[6:16])
                got = got[16:]

    backend = ScriptedBackend(script)
    edge = make_edge(backend.port)
    with Others(edge) as others, client(edge) as http:
        at = open_session(http, "/loud")
        wait_for(lambda: len(http.get(at).json()["messages"]) == 2048, what="the window to fill")
        for _ in range(8):
            assert http.get(at).status_code == 200
        others.assert_served("windows as JSON")
    backend.stop()


# MARK: between slices


def test_requests_between_the_slices_of_a_large_batch_keep_the_order(make_edge, fresh_backend):
    edge = make_edge(fresh_backend.port)
    count = 40_000
    with client(edge) as http, concurrent.futures.ThreadPoolExecutor(6) as pool:
        at = open_session(http, "/record")
        large = pool.submit(lambda: httpx.post(
            edge.https + at, content=numbered(1, count), verify=edge.ssl, timeout=60,
            headers={**edge.auth, "Content-Type": BATCH}))

        def follow(first):
            """Sends ten more, from `first` on, as soon as they are taken; and what was sent before once more."""
            with client(edge) as own:
                answer = wait_for(
                    lambda: (lambda a: a if a.status_code == 200 else None)(post(own, at, numbered(first, 10))), 60,
                    "its turn")
                again = post(own, at, numbered(first, 10))
                assert again.status_code == 200 and again.json()["ack"] >= first + 9
                return answer.json()["ack"]

        followers = [pool.submit(follow, count + 1 + 10 * n) for n in range(4)]
        assert large.result().status_code == 200
        for number, follower in enumerate(followers):
            assert follower.result() >= count + 10 * (number + 1)
        wait_for(lambda: len(fresh_backend.received) >= count + 40, 60, "all to arrive")
        assert fresh_backend.received == [str(n) for n in range(1, count + 41)]
        assert http.delete(at).status_code == 204
        wait_for(lambda: fresh_backend.closed, what="the Close behind it")
        assert len(fresh_backend.received) == count + 40


@pytest.mark.parametrize("how", ["DELETE", "close in the batch", "close in the next batch", "lane"])
def test_a_close_comes_behind_the_whole_batch(make_edge, fresh_backend, how):
    edge = make_edge(fresh_backend.port)
    count = 40_000
    end = b"\x88\x02" + struct.pack(">H", 4001)
    with client(edge) as http:
        at = open_session(http, "/record")
        body = numbered(1, count)
        if how == "lane":
            raw = Raw(edge, at + "/socket", headers=LANE)
            raw.send(masked(2, body), masked(2, batch(count + 1, []) + end))
            raw.frame()
        elif how == "close in the batch":
            assert post(http, at, body + end).status_code == 200
        else:
            # Both on one connection, and the second is read when the first is answered; so on two.
            other = threading.Thread(target=post, args=(http, at, body))
            other.start()
            with client(edge) as own:
                def close():
                    if how == "DELETE":
                        # From without only the first messages tell that the batch is under way.
                        return fresh_backend.received and own.delete(at, params={"code": 4001}).status_code == 204
                    return post(own, at, batch(count + 1, []) + end).status_code in (200, 410)

                wait_for(close, 60, "the Close to be taken")
            other.join(60)
        wait_for(lambda: fresh_backend.closed, 60, "the Close")
        assert fresh_backend.closed[0][1] == 4001
        assert fresh_backend.received == [str(n) for n in range(1, count + 1)]


def test_an_upstream_that_closes_between_slices_leaves_no_request_unanswered(make_edge):
    seen = []

    def script(connection, head):
        connection.sendall(switching(head))
        seen.append(len(connection.recv(1000)))
        connection.sendall(b"\x88\x06" + struct.pack(">H", 4002) + b"done")
        while connection.recv(65536):
            pass

    backend = ScriptedBackend(script)
    edge = make_edge(backend.port)
    for _ in range(5):
        with client(edge) as http:
            at = open_session(http)
            answer = post(http, at, numbered(1, 40_000))
            print(f"the large batch was answered {answer.status_code}")
            assert answer.status_code in (200, 410)
            last = http.get(at, headers={"Accept": BATCH})
            assert last.status_code == 200 and unframe(last.content)[3] == (4002, "done")
    backend.stop()


def test_a_token_that_dies_between_slices_stops_the_rest(make_edge, fresh_backend):
    edge = make_edge(fresh_backend.port)
    with Admin(edge) as admin, client(edge, token=False) as http, concurrent.futures.ThreadPoolExecutor(1) as pool:
        token = admin.mint()
        http.headers.update(bearer(token))
        at = open_session(http, "/record")
        large = pool.submit(post, http, at, numbered(1, 45_000))
        wait_for(lambda: fresh_backend.received or large.done(), 60, "the batch to be under way")
        admin.revoke(token)
        answer = large.result(60)
        print(f"the large batch was answered {answer.status_code}")
        assert answer.status_code in (200, 401, 410)
        assert http.get(at).status_code == 401
        wait_for(lambda: fresh_backend.closed, 60, "the upstream's Close")
        # In order from the first, whatever is missing at the end.
        assert fresh_backend.received == [str(n) for n in range(1, len(fresh_backend.received) + 1)]


# MARK: lanes


def test_a_flood_of_empty_messages_on_a_lane_ends_the_lane_and_others_go_on(make_edge, fresh_backend):
    edge = make_edge(fresh_backend.port)
    with Others(edge) as others, client(edge) as http:
        at = open_session(http, "/record")
        for _ in range(4):
            raw = Raw(edge, at + "/socket", headers=LANE)
            raw.send(masked(2, struct.pack(">QQ", 0, 1) + b"\x82\x00" * 690_000))
            while (frame := raw.frame())[0] != 8:
                pass
            assert int.from_bytes(frame[1][:2], "big") == 1009
            raw.s.close()
        others.assert_served("690,000 empty messages in an envelope, four times")
        assert not fresh_backend.received
        assert post(http, at, batch(1, ["the session lives"])).status_code == 200


def test_many_small_envelopes_and_a_large_one_pass_in_order(make_edge, fresh_backend):
    edge = make_edge(fresh_backend.port)
    with Others(edge) as others, client(edge) as http:
        at = open_session(http, "/record")
        raw = Raw(edge, at + "/socket", headers=LANE)
        # A read of thousands of envelopes with questions among them, then one of thousands of messages.
        raw.send(b"".join(masked(2, numbered(n, 1)) + masked(2, batch(n + 1, [])) for n in range(1, 8001)))
        raw.send(masked(2, numbered(8001, 40_000)))
        answered = 0
        while answered < 48_000:
            opcode, payload = raw.frame()
            assert opcode == 2, payload
            answered = unframe(payload)[0]
        wait_for(lambda: len(fresh_backend.received) == 48_000, 60, "all to arrive")
        assert fresh_backend.received == [str(n) for n in range(1, 48_001)]
        others.assert_served("8,000 envelopes and one of 40,000 messages")
        raw.s.close()


@pytest.mark.parametrize("round", range(3))
def test_a_lane_that_is_lost_between_slices_loses_nothing_that_was_acknowledged(make_edge, fresh_backend, round):
    edge = make_edge(fresh_backend.port)
    count = 40_000
    with client(edge) as http:
        at = open_session(http, "/record")
        raw = Raw(edge, at + "/socket", headers=LANE)
        raw.send(masked(2, batch(1, [])))
        raw.frame()
        raw.send(masked(2, numbered(1, count)), masked(2, numbered(count + 1, count)))
        if round:
            wait_for(lambda: fresh_backend.received, 60, "the first slice")
        raw.s.close()
        # By another lane the client learns what was taken, and sends the rest.
        again = Raw(edge, at + "/socket", headers=LANE)
        again.send(masked(2, batch(1, [])))
        taken = unframe(again.frame()[1])[0]
        assert taken in (0, count, 2 * count)
        for first in (1, count + 1):
            again.send(masked(2, numbered(first, count)))
        wait_for(lambda: len(fresh_backend.received) >= 2 * count, 60, "all to arrive")
        assert fresh_backend.received == [str(n) for n in range(1, 2 * count + 1)]
        again.s.close()


def test_masks_are_unpredictable(make_edge):
    backend = ScriptedBackend(lambda connection, head: connection.sendall(switching(head)))
    edge = make_edge(backend.port)
    with client(edge) as http:
        at = open_session(http)
        assert post(http, at, batch(1, ["x"] * 3000)).status_code == 200
        wait_for(lambda: len(backend.sent) >= 3000 * 7, what="all to arrive")
    sent = backend.sent[:3000 * 7]
    masks = [sent[at + 2:at + 6] for at in range(0, len(sent), 7)]
    assert all(sent[at:at + 2] == b"\x81\x81" for at in range(0, len(sent), 7))
    # About 0.001 pairs of 3,000 random words are equal.
    assert len(set(masks)) >= 2999
    for bit in range(32):
        ones = sum(int.from_bytes(mask, "big") >> bit & 1 for mask in masks)
        assert 1300 < ones < 1700, f"bit {bit} is set in {ones} of 3,000"
    backend.stop()


def test_a_window_of_empty_messages_is_given_out_in_parts(make_edge):
    """A GET of 100 bytes, asked again and again, made 60,000 messages be written in one turn of the loop."""
    count, most = 60_000, 2048

    def script(connection, head):
        connection.sendall(switching(head) + b"\x82\0" * count + struct.pack("!BBH", 0x88, 2, 4000))
        while connection.recv(65536):
            pass

    backend = ScriptedBackend(script)
    edge = make_edge(backend.port)
    with client(edge) as http:
        at = open_session(http)
        wait_for(lambda: len(backend.heads) == 1, what="the upstream to be asked")
        for kind in (BATCH, "application/json"):
            sizes = [len(http.get(f"{at}?ack=0", headers={"Accept": kind}).content) for _ in range(10)]
            print(f"{kind}: ten GETs are answered with {max(sizes)} bytes at most")
            assert max(sizes) <= most * len('{"binary":""},') + 200
        ack, parts, close = 0, [], None
        while close is None:
            _, first, messages, close = unframe(http.get(f"{at}?ack={ack}", headers={"Accept": BATCH}).content)
            assert first == ack + 1 and set(messages) == {b""}
            ack += len(messages)
            parts.append(len(messages))
        print(f"{sum(parts)} messages came in {len(parts)} answers of {max(parts)} at most, and {close}")
        assert sum(parts) == count and max(parts) <= most and close[0] == 4000
    backend.stop()


def test_a_lane_that_joins_is_sent_a_window_of_empty_messages_in_parts(make_edge):
    count, most = 60_000, 2048

    def script(connection, head):
        connection.sendall(switching(head) + b"\x82\0" * count)
        while connection.recv(65536):
            pass

    backend = ScriptedBackend(script)
    edge = make_edge(backend.port)
    with client(edge) as http:
        at = open_session(http)
        for _ in range(3):
            raw = Raw(edge, at + "/socket", headers=LANE)
            raw.send(masked(2, struct.pack("!QQ", 0, 1)))
            got, parts = 0, []
            while got < count:
                _, first, messages, _ = unframe(raw.frame()[1])
                assert not messages or first == got + 1
                got += len(messages)
                parts.append(len(messages))
            print(f"{got} messages came in {len(parts)} envelopes of {max(parts)} at most")
            assert got == count and max(parts) <= most
            raw.s.close()
    backend.stop()
