"""Attacks on secrets that lie on the disk or stand in the log, on the audit log, and on what waits for the database."""

import os
import pathlib
import signal
import sqlite3
import statistics
import struct
import subprocess
import tempfile
import threading
import time

import httpx
import pytest

from kit.admin import Admin
from kit.edge import BIN, digest
from kit.jwt import Key, bearer, section

SECRET_FILES = ("culvert.admin-token", "culvert.db", "culvert.db-wal", "culvert.db-shm")
CONFIG = """
listen: [ {{ address: "127.0.0.1:0" }} ]
routes: [ {{ path: /, upstream: u }} ]
upstreams: {{ u: {{ servers: [ {{ url: "ws://127.0.0.1:1" }} ] }} }}
admin: {{ address: "127.0.0.1:0" }}
{more}
"""


def serve(folder, umask=0o022, more="", env={}, wrap=()):
    (folder / "proxy.yaml").write_text(CONFIG.format(more=more))
    return subprocess.Popen(
        [*wrap, BIN, "serve", "--config", str(folder / "proxy.yaml")], stderr=subprocess.PIPE, text=True,
        env={**os.environ, **env}, preexec_fn=lambda: os.umask(umask))


def stop(process):
    process.send_signal(signal.SIGTERM)
    return process.communicate(timeout=20)[1]


def has_started(process):
    """Reads the log up to the line that says so."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "admin listening" in line:
            return lines
    raise AssertionError(lines)


def test_a_file_with_a_secret_is_nobody_elses_from_its_first_byte(tmp_path):
    """Every name that comes up in the folder is looked at as fast as can be, as the attacker would."""
    tried, loose = 0, []
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        folder.mkdir(mode=0o755)
        over = threading.Event()

        def spy():
            nonlocal tried
            while not over.is_set():
                for entry in os.scandir(folder):
                    if entry.name == "proxy.yaml":
                        continue
                    try:
                        mode = entry.stat().st_mode & 0o777
                    except FileNotFoundError:
                        continue
                    tried += 1
                    if mode & 0o077:
                        loose.append((entry.name, oct(mode)))

        spies = [threading.Thread(target=spy) for _ in range(2)]
        for one in spies:
            one.start()
        process = serve(folder, umask=0)
        has_started(process)
        over.set()
        for one in spies:
            one.join()
        modes = {name: oct((folder / name).stat().st_mode & 0o777) for name in SECRET_FILES}
        stop(process)
        assert set(modes.values()) == {"0o600"}, modes
        assert not list(folder.glob("*.new"))
    print(f"tried {tried} looks at what was being made, with umask 0: {loose[:3]}")
    assert not loose


def test_no_file_with_a_secret_is_opened_with_a_looser_mode(tmp_path):
    """A spy may be too slow to see it: each open that makes a file, as the system sees it."""
    if subprocess.run(["which", "strace"], capture_output=True).returncode:
        pytest.skip("there is no strace")
    trace = tmp_path / "trace"
    process = serve(tmp_path, umask=0, wrap=("strace", "-f", "-qq", "-e", "trace=open,openat,creat", "-o", str(trace)))
    has_started(process)
    [child] = open(f"/proc/{process.pid}/task/{process.pid}/children").read().split()
    os.kill(int(child), signal.SIGTERM)
    process.communicate(timeout=20)
    made = [line for line in trace.read_text().splitlines() if "O_CREAT" in line and str(tmp_path) in line]
    print("\n".join(made))
    # SQLite asks for 0644 for what is there already, made under another name.
    database = [line for line in made if '/culvert.db"' in line or "/culvert.db." in line]
    assert "O_EXCL" in database[0] and "0600)" in database[0]
    rest = [line for line in made if '/culvert.db"' not in line]
    assert len(rest) > 2 and all("0600)" in line for line in rest)


def test_a_file_that_others_may_read_is_taken_from_them_and_the_log_says_so(tmp_path):
    process = serve(tmp_path)
    has_started(process)
    stop(process)
    for name in ("culvert.admin-token", "culvert.db"):
        (tmp_path / name).chmod(0o644)
    process = serve(tmp_path)
    log = "".join(has_started(process)) + stop(process)
    for name in ("culvert.admin-token", "culvert.db"):
        mode = (tmp_path / name).stat().st_mode & 0o777
        print(f"tried {name} with mode 0644: {oct(mode)}")
        assert mode == 0o600
        assert any(name in line and "0644" in line for line in log.splitlines()), log


def test_a_file_whose_mode_cannot_be_mended_is_refused():
    stranger = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    if os.geteuid() != 0 or subprocess.run([*stranger, "test", "-x", BIN], capture_output=True).returncode:
        pytest.skip("needs another user's file, and that another user may run the command")
    # A folder that another user can reach, unlike pytest's.
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        token = folder / "culvert.admin-token"
        token.write_text("cva_" + "x" * 40 + "\n")
        folder.chmod(0o777)
        for mode in (0o644, 0o606, 0o666):
            token.chmod(mode)
            process = serve(folder, wrap=stranger)
            log = process.communicate(timeout=20)[1]
            print(f"tried another user's token with mode {mode:o}: {log.strip().splitlines()[-1]}")
            assert process.returncode == 1 and "chmod 600" in log and "culvert.admin-token" in log


@pytest.mark.parametrize("name, kind", [
    ("culvert.admin-token", "file"), ("culvert.admin-token", "link"), ("culvert.db", "file"), ("culvert.db", "link"),
    ("culvert.db", "dangling link"), ("culvert.db-wal", "file"), ("culvert.db-shm", "file"), ("culvert.db-journal", "file"),
])
def test_a_file_that_another_user_has_put_there_is_refused(tmp_path, name, kind):
    """In a folder where others can write, as /tmp, another user makes it first, and knows or chooses what is in it."""
    if os.geteuid() != 0:
        pytest.skip("needs another user's file")
    path, target = tmp_path / name, tmp_path / "known"
    match kind:
        case "file":
            path.write_text("cva_" + "x" * 40 + "\n" if "token" in name else "")
            path.chmod(0o600)
        case "link":
            target.write_text("cva_" + "x" * 40 + "\n" if "token" in name else "")
            path.symlink_to(target)
        case "dangling link":
            path.symlink_to(target)
    os.chown(path, 65534, 65534, follow_symlinks=False)
    process = serve(tmp_path)
    log = process.communicate(timeout=20)[1]
    print(f"tried {name} as a {kind} of another user: {log.strip().splitlines()[-1]}")
    assert process.returncode == 1 and name in log and "another user" in log and "chown" in log
    assert not target.exists() or "link" in kind


def test_the_log_has_nothing_to_try_tokens_against(tmp_path):
    """At `debug` too: the digest of a secret lets whoever reads it try secrets without asking."""
    admin, key, token = "correct horse battery staple", "k" * 40, "a-token-in-the-file"
    process = serve(
        tmp_path, env={"CULVERT_ADMIN_TOKEN": admin}, more=f"""
log: {{ level: debug }}
authentication:
  jwt: {{ keys: [ {{ id: k, algorithm: HS256, secret: "{key}" }} ] }}
  tokens: [ {{ id: a, sha256: "{digest(token)}", subject: a, routes: ["/"] }} ]
""")
    log = "".join(has_started(process)) + stop(process)
    found = []
    for name, secret in (("admin token", admin), ("token", token), ("key", key)):
        hashed = bytes.fromhex(digest(secret))
        words = struct.unpack("<4Q", hashed) + struct.unpack(">4Q", hashed)
        forms = [secret, hashed.hex(), ", ".join(map(str, secret.encode())), ", ".join(map(str, hashed)), *map(str, words)]
        found += [(name, form) for form in forms if form in log]
    print(f"tried {len(log)} bytes of log: {found}")
    assert "stopped" in log and not found


def test_the_audit_log_is_not_rewritten(backend, make_edge):
    """Not by accident, nor by who has the file and a shell: `REPLACE` deletes without the trigger of DELETE."""
    edge = make_edge(backend.port)
    with Admin(edge) as admin:
        admin.mint()
        before = admin.get("/v1/audit").json()["items"]
        assert before
        columns = "(id, at, actor, address, action, target, detail)"
        for sql in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit",
                    f"REPLACE INTO audit {columns} VALUES ({before[0]['id']}, 0, 'x', '', '', '', '')",
                    f"INSERT OR REPLACE INTO audit {columns} SELECT id, 0, 'x', '', '', '', '' FROM audit",
                    "UPDATE OR REPLACE audit SET at = 0"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                with sqlite3.connect(edge.folder / "culvert.db") as database:
                    database.execute(sql)
            print(f"tried {sql}")
        admin.mint()
        after = admin.get("/v1/audit").json()["items"]
    assert after[1:] == before and len(after) == len(before) + 1


def test_a_locked_database_holds_up_nothing_but_what_needs_it(backend, make_edge):
    """Another process has the write lock, as a backup or a shell may: logins and health go on."""
    key = Key("HS256", "h")
    edge = make_edge(backend.port, authentication=section(keys=[{"id": "h", "algorithm": "HS256", "secret": key.private}]))

    def rounds(count):
        waits = []
        with httpx.Client(verify=edge.ssl, timeout=30) as http:
            for n in range(count):
                start = time.monotonic()
                assert http.get(f"http://127.0.0.1:{edge.admin_port}/healthz").status_code == 200
                opened = http.post(edge.https + "/_poll", headers=bearer(key.token(sub=f"u{n}", jti=f"{count} {n}")))
                assert opened.status_code == 201
                waits.append(time.monotonic() - start)
        return statistics.median(waits), max(waits)

    calm = rounds(10)
    with Admin(edge) as admin:
        database = sqlite3.connect(edge.folder / "culvert.db", isolation_level=None)
        database.execute("BEGIN IMMEDIATE")
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(
            admin.post("/v1/tokens", json={"subject": "s", "routes": ["/"]}).status_code)) for _ in range(4)]
        for thread in threads:
            thread.start()
        locked = rounds(12)
        database.execute("COMMIT")
        for thread in threads:
            thread.join()
        print(f"tried 4 mints with the database locked: median and worst {locked}, calm {calm}; then {answers}")
        assert 201 in answers or set(answers) <= {201, 500}
        assert admin.mint()["subject"] == "dora"
    assert locked[0] < max(0.5, 5 * calm[0])
