"""Attacks on the log, none of which holds up the edge: a reader that stands still, a reader that is gone, a flood of lines."""

import os
import signal
import subprocess
import time

import pytest

from kit.edge import BIN, free_port, wait_for
from kit.process import begin_stop
from kit.raw import Raw
from kit.stray import ENVIRONMENT, bye, echoes, end, launch, launch_with_pipe, plain, took, wait_until_healthy

# A route whose name makes lines long: few sessions fill every buffer.
LONG = "/open/" + "x" * 3500
ROUTE = f"  - {{ path: {LONG}, upstream: echo, authentication: none }}\n"


@pytest.fixture
def stray(backend, make_edge):
    """Makes edges that do not run yet."""
    def make(**options):
        edge = make_edge(backend.port, **options)
        edge.stop()
        return edge

    return make


def session(edge, path):
    s = plain(edge, path)
    assert echoes(s)
    bye(s)


def open_and_close(edge, count, path=LONG):
    for _ in range(count):
        session(edge, path)


def in_order(events, opened, ended):
    """Whether every session's lines are there once and in order, or counted among those that are missing."""
    dropped = sum(event["dropped"] for event in events if "dropped" in event)
    sessions = [event for event in events if event["message"] in ("session opened", "session ended")]
    seen = {}
    for event in sessions:
        seen.setdefault(event["id"], []).append(event["message"])
    assert all(lines in (["session opened", "session ended"], lines[:1]) for lines in seen.values())
    print(f"{len(sessions)} lines of sessions, {dropped} dropped")
    return len(sessions) + dropped == opened + ended


def test_a_log_that_nobody_reads_holds_up_no_session_and_the_gap_is_counted(stray):
    edge = stray(extra_routes=ROUTE)
    pipe = launch_with_pipe(edge)
    wait_until_healthy(edge)
    session(edge, "/open")
    before = edge.rss
    # Some 7.5 KB of log each: 11 MB, where a pipe takes 64 KiB and the edge holds twice 4 MiB.
    open_and_close(edge, 1500)
    growth = (edge.rss - before) / (1 << 20)
    print(f"1500 sessions while nobody reads the log; the process grew by {growth:.1f} MiB")
    assert growth < 40
    # The reader is back: the lines of before, the number of those that are missing, and from then on every line.
    pipe.drain(lambda text: b'"dropped"' in text)
    open_and_close(edge, 20, "/open")
    assert end(edge.process) == 0
    pipe.drain()
    events = pipe.events()
    assert in_order(events, 1521, 1521)
    gap = [n for n, event in enumerate(events) if "dropped" in event]
    assert len(gap) == 1 and events[gap[0]]["dropped"] > 100
    assert sum(event.get("route") == "/open" for event in events[gap[0]:]) == 40
    assert events[-1]["message"] == "stopped"


def test_what_is_logged_last_is_there_after_a_stop_even_if_it_is_read_only_then(stray):
    edge = stray(extra_routes=ROUTE)
    pipe = launch_with_pipe(edge)
    wait_until_healthy(edge)
    # More than the pipe takes: the rest is in the process when it is told to stop.
    open_and_close(edge, 50)
    edge.process.send_signal(signal.SIGTERM)
    wait_for(lambda: not edge._healthy(), what="the edge to stop")
    pipe.drain()
    assert edge.process.wait(20) == 0
    assert in_order(pipe.events(), 50, 50)
    assert pipe.events()[-1]["message"] == "stopped"


def test_a_reader_that_stands_still_keeps_no_process_from_its_end(stray):
    edge = stray(extra_routes=ROUTE)
    pipe = launch_with_pipe(edge)
    wait_until_healthy(edge)
    open_and_close(edge, 50)
    edge.process.send_signal(signal.SIGTERM)
    seconds = took(lambda: edge.process.wait(15))
    print(f"ended after {seconds:.1f} s, nobody having read its log")
    assert edge.process.returncode == 0
    pipe.stop_reading()


def test_a_second_signal_loses_no_line_and_waits_for_no_reader_that_stands_still(stray):
    for reads in (True, False):
        edge = stray(extra_routes=ROUTE, limits="handshake: 60s")
        pipe = launch_with_pipe(edge)
        wait_until_healthy(edge)
        open_and_close(edge, 30)
        stubborn = Raw(edge)
        begin_stop(edge, signal.SIGTERM)
        if reads:
            pipe.drain(lambda text: b'"draining"' in text)
        edge.process.send_signal(signal.SIGTERM)
        assert edge.process.wait(15) == 1
        stubborn.s.close()
        if reads:
            pipe.drain()
            assert len(pipe.events("session ended")) >= 30 and len(pipe.events("session opened")) == 31
        else:
            pipe.stop_reading()


def test_a_start_that_fails_ends_though_nobody_reads_why_and_says_why_if_somebody_does(stray):
    edge = stray()
    edge.config.write_text(edge.config.read_text().replace(f"127.0.0.1:{edge.plain_port}", "192.0.2.1:80"))
    full, write_end = os.pipe()
    os.set_blocking(write_end, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(write_end, b"x" * 4096)
    os.set_blocking(write_end, True)
    assert launch(edge, write_end).wait(15) == 1
    os.close(full)
    os.close(write_end)
    pipe = launch_with_pipe(edge)
    assert edge.process.wait(15) == 1
    assert b"192.0.2.1:80" in pipe.drain()


def test_a_reader_that_is_gone_ends_nothing(stray):
    edge = stray(extra_routes=ROUTE)
    pipe = launch_with_pipe(edge)
    wait_until_healthy(edge)
    pipe.stop_reading()
    open_and_close(edge, 20)
    assert edge.process.poll() is None
    assert end(edge.process) == 0


@pytest.mark.parametrize("closed", ["2>&-", "0<&- 1>&- 2>&-"])
def test_a_closed_standard_error_is_no_other_files_number(stray, closed):
    edge = stray()
    edge.process = subprocess.Popen(
        ["sh", "-c", f'exec "$0" serve --config "$1" {closed}', BIN, str(edge.config)], env=ENVIRONMENT)
    wait_until_healthy(edge)
    open_and_close(edge, 3, "/open")
    # Neither the database nor a connection has the number that the log is written to.
    assert os.readlink(f"/proc/{edge.process.pid}/fd/2") == "/dev/null"
    assert end(edge.process) == 0
    for file in edge.folder.iterdir():
        assert b"session opened" not in file.read_bytes(), file


def test_a_flood_of_one_warning_is_bounded_and_counted_to_the_last(stray):
    edge = stray(upstream=f'{{ servers: [ {{ url: "ws://127.0.0.1:{free_port()}" }} ], eject: {{ failures: 0 }} }}')
    pipe = launch_with_pipe(edge)
    wait_until_healthy(edge)
    pipe.drain(lambda text: b"listening" in text)
    began = time.monotonic()
    for _ in range(400):
        assert plain(edge) == 502
    windows = 1 + int((time.monotonic() - began) / 10) + 1
    assert end(edge.process) == 0
    pipe.drain()
    lines = len(pipe.events("upstream failed"))
    left_out = [e for e in pipe.events("log lines left out: too many of one message") if e["of"] == "upstream failed"]
    print(f"400 failures: {lines} lines, and {sum(e['left_out'] for e in left_out)} left out in {len(left_out)} counts")
    assert lines <= 100 * windows
    assert lines + sum(event["left_out"] for event in left_out) == 400
    assert left_out
