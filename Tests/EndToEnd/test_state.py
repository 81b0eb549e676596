"""The database: what was acknowledged is never lost, and what cannot be used is refused, not forgotten."""

import concurrent.futures
import os
import resource
import signal
import sqlite3
import subprocess

import httpx
import pytest

from kit.admin import Admin, bearer
from kit.edge import BIN, wait_for
from kit.poll import open_session


def knocker(edge):
    return httpx.Client(base_url=edge.https, verify=edge.ssl, timeout=20)


def opens(edge, token):
    with knocker(edge) as http:
        return opens_by(http, token)


def opens_by(http, token):
    answer = http.post("/_poll", headers=bearer(token))
    if answer.status_code == 201:
        http.delete(answer.headers["location"], headers=bearer(token))
    return answer.status_code == 201


def test_kill_9_in_the_middle_of_mints_and_rotations_loses_none_that_was_acknowledged(backend, make_edge):
    edge = make_edge(backend.port)
    acknowledged = {}

    def work(index):
        try:
            with Admin(edge) as admin:
                token = admin.mint(f"s{index}")
                acknowledged[index] = token
                acknowledged[index] = admin.rotate(token, "0s")
        except httpx.TransportError:
            pass

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(work, n) for n in range(500)]
        wait_for(lambda: len(acknowledged) > 150, 60, "the middle of it")
        edge.process.send_signal(signal.SIGKILL)
        for job in jobs:
            job.result()
    edge.process.wait(10)
    assert 150 < len(acknowledged) < 500
    edge.start()
    with Admin(edge) as admin, knocker(edge) as http:
        for token in acknowledged.values():
            stored = admin.get(f"/v1/tokens/{token['id']}").json()
            # A rotation whose answer was lost may have been done; an answered one may not have been undone.
            assert stored["secrets"][-1]["generation"] >= token["secrets"][-1]["generation"]
            if stored["secrets"][-1]["generation"] == token["secrets"][-1]["generation"]:
                assert opens_by(http, token)


def failed_start(edge, **options):
    done = subprocess.run(
        [BIN, "serve", "--config", str(edge.config)], capture_output=True, text=True, timeout=20, **options)
    assert done.returncode == 1
    return done.stderr


def test_a_damaged_database_is_refused_and_left_as_it_is(backend, make_edge):
    edge = make_edge(backend.port)
    with Admin(edge) as admin:
        for n in range(200):
            admin.mint(f"s{n}", note="x" * 500)
    edge.stop()
    path = edge.folder / "culvert.db"
    whole = path.read_bytes()
    damaged = whole[:8192] + os.urandom(8192) + whole[16384:]
    path.write_bytes(damaged)
    assert "culvert.db" in failed_start(edge)
    assert path.read_bytes() == damaged
    for name in ("culvert.db-wal", "culvert.db-shm"):
        (edge.folder / name).unlink(missing_ok=True)
    path.write_bytes(b"this is no database, it only stands in its place" * 100)
    assert "culvert.db: file is not a database" in failed_start(edge)
    path.write_bytes(whole)
    for name in ("culvert.db-wal", "culvert.db-shm"):
        (edge.folder / name).unlink(missing_ok=True)
    edge.start()
    with Admin(edge) as admin:
        assert len(admin.get("/v1/tokens", params={"limit": 1000, "subject": "s7"}).json()["items"]) == 1


def test_a_database_of_a_newer_version_is_refused(backend, make_edge):
    edge = make_edge(backend.port)
    edge.stop()
    with sqlite3.connect(edge.folder / "culvert.db") as database:
        database.execute("INSERT INTO grdb_migrations (identifier) VALUES ('999-from-the-future')")
    assert "written by a newer version" in failed_start(edge)


def test_a_full_disk_is_said_and_loses_nothing(backend, make_edge):
    edge = make_edge(backend.port)
    with Admin(edge) as admin:
        kept = admin.mint("kept")
        limit = os.path.getsize(edge.folder / "culvert.db-wal") + 20_000
        resource.prlimit(edge.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
        answers = []
        for n in range(200):
            answers.append(admin.post("/v1/tokens", json={"subject": f"s{n}", "routes": ["/"], "note": "x" * 1000}))
            if answers[-1].status_code != 201:
                break
        assert (answers[-1].status_code, answers[-1].json()["type"]) == (507, "urn:culvert:problem:state_full")
        [event] = edge.expect_events("the database failed")
        assert "culvert.db: " in event["reason"] and str(event["times"]) == "1", event
        assert opens(edge, kept)
        assert len(admin.get("/v1/tokens").json()["items"]) >= len(answers) - 1
    edge.stop()
    edge.start()
    assert opens(edge, kept)
    assert all(opens(edge, answer.json()) for answer in answers[:-1])


def test_a_disk_that_is_full_at_the_start_is_said_and_loses_nothing(backend, make_edge):
    edge = make_edge(backend.port)
    with Admin(edge) as admin:
        kept = admin.mint("kept")
    edge.stop()
    full = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # noqa: E731
    assert f"{edge.config}:1:1: state: " in (said := failed_start(edge, preexec_fn=full)) and "culvert.db" in said
    edge.start()
    assert opens(edge, kept)
