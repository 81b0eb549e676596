"""`culvert check` and `culvert serve` never disagree: a table of set-ups, each tried with both.

Each refusal names the configuration's file, the line, the key and what is wrong there. `check` makes and changes nothing."""

import contextlib
import json
import os
import re
import socket
import sqlite3
import ssl
import subprocess
import sys

import pytest

from kit.admin import Admin
from kit.backend import Backend
from kit.edge import TOKEN, digest, free_port, make_certificate, wait_for
from kit.knock import knock
from kit.log import Log
from kit.pools import health
from kit.process import BIN, culvert

# Of frameworks, and of the machine that built the binary.
DUMPS = re.compile(r"NIOSSL|BoringSSL|OPENSSL_internal|ConnectionLost|Error Domain|HTTPClientError|SocketAddressError"
                   r"|\.build/|\.cc:|\.swift|errno:")


def openssl(folder, *arguments, text=None):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, input=text, text=True, cwd=folder)


def issue(folder, name, by="authority", names="DNS:a.example", extensions="", **times):
    """A certificate and its key, of the authority `by`."""
    openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.csr")
    dates = [part for key, value in {"days": 60, **times}.items() for part in (f"-{key}", str(value))]
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-CAcreateserial",
            *dates, "-out", f"{name}.pem", "-extfile", "/dev/stdin", text=f"subjectAltName={names}\n{extensions}")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name in ("a", "b"):
        make_certificate(folder, name)
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "60",
            "-subj", "/CN=authority", "-keyout", "authority.key", "-out", "authority.pem")
    issue(folder, "middle", names="DNS:middle", extensions="basicConstraints=CA:TRUE\n")
    issue(folder, "leaf", by="middle", names="DNS:a.example,DNS:*.wild.example,IP:127.0.0.1,IP:::1")
    issue(folder, "short", days=13)
    openssl(folder, "pkey", "-in", "a.key", "-aes256", "-passout", "pass:hunter2", "-out", "locked.key")
    openssl(folder, "x509", "-in", "a.pem", "-outform", "der", "-out", "der.pem")
    for name, parts in {"chain": ("leaf", "middle", "authority"), "leaf-last": ("middle", "leaf"),
                        "disorder": ("leaf", "authority", "middle")}.items():
        (folder / f"{name}.pem").write_text("".join((folder / f"{part}.pem").read_text() for part in parts))
    (folder / "junk.pem").write_text("hello\n")
    (folder / "empty.pem").write_text("")
    return folder


def write(folder, *, listen="", route="", up="", scheme="wss", admin="address: none", state="none", more="", port=None):
    """A configuration in which each file stands in a line of its own."""
    config = folder / "proxy.yaml"
    config.write_text(f"""
listen:
  - address: "127.0.0.1:{port or free_port()}"
    {listen}
routes:
  - path: /
    upstream: u
    authentication: none
    origins: {{ allow: [] }}
    {route}
upstreams:
  u:
    servers: [ {{ url: "{scheme}://127.0.0.1:9" }} ]
    {up}
admin:
  {admin}
state: {state}
log: {{ format: json }}
{more}
""")
    return config


def tls(certificate, key):
    return f"tls:\n      certificates:\n        - certificate: {certificate}\n          key: {key}"


def client_certificate(certificate, key):
    return f"client_certificate:\n      certificate: {certificate}\n      key: {key}"


def jwt(text):
    return f"authentication:\n  jwt:\n    {text}"


def admin(text, address="unix:admin.socket"):
    return f"address: {address}\n  {text}"


def with_file(name, text, mode=0o600):
    def prepare(folder):
        path = folder / name
        path.write_text(text)
        path.chmod(mode)
    return prepare


def with_folder(name, mode=0o700):
    def prepare(folder):
        (folder / name).mkdir()
        (folder / name).chmod(mode)
    return prepare


def with_database(statement=None):
    """A database of an edge that has run."""
    def prepare(folder):
        config = write(folder, admin="address: unix:admin.socket", state="culvert.db")
        with running(config):
            pass
        with contextlib.closing(sqlite3.connect(folder / "culvert.db")) as database:
            if statement:
                database.execute(statement)
                database.commit()
    return prepare


def with_bytes(name, data):
    def prepare(folder):
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o600)
    return prepare


def with_pipe(name):
    return lambda folder: os.mkfifo(folder / name, 0o600)


def with_link(name, target):
    return lambda folder: (folder / name).symlink_to(target)


def with_owner(uid, name):
    def prepare(folder):
        if os.geteuid() != 0:
            pytest.skip("only root gives a file to another user")
        with_database()(folder)
        os.chown(folder / name, uid, uid)
    return prepare


# Ends in the middle of a transaction whose first pages are in the database already.
BREAK_OFF = """
import os, sqlite3
database = sqlite3.connect("culvert.db", isolation_level=None)
database.execute("PRAGMA journal_mode = DELETE")
database.execute("CREATE TABLE filler (a, b)")
database.executemany("INSERT INTO filler VALUES (?, ?)", [(i, os.urandom(200)) for i in range(1000)])
database.execute("PRAGMA cache_size = 5")
database.execute("BEGIN IMMEDIATE")
database.execute("UPDATE filler SET b = randomblob(210)")
os._exit(0)
"""


def with_hot_journal(folder):
    with_database()(folder)
    subprocess.run([sys.executable, "-c", BREAK_OFF], cwd=folder, check=True)
    assert (folder / "culvert.db-journal").stat().st_size > 0
    (folder / "culvert.db-journal").chmod(0o600)


def with_socket_left_behind(name):
    def prepare(folder):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(folder / name))
    return prepare


CERTIFICATE, KEY = "listen[0].tls.certificates[0].certificate", "listen[0].tls.certificates[0].key"
CLIENT = "upstreams.u.client_certificate"
GOOD_STATE = {"admin": admin(""), "state": "culvert.db"}
MISSING = "cannot be read: No such file or directory; put the file there"
SWAPPED = 'perhaps "certificate" and "key" are swapped'

# The lines of the configuration; the key that is named, a word in the line that is named, the fault, and what the operator
# can do about it. With None both accept.
SETUPS = {
    "nothing to load": ({}, None),
    "a certificate with its chain": ({"listen": tls("chain.pem", "leaf.key")}, None),
    "all kinds of files": ({"listen": tls("a.pem", "a.key"), "up": "ca: authority.pem\n    " + client_certificate("b.pem", "b.key"),
                            **GOOD_STATE}, None),
    "no certificate": ({"listen": tls("none.pem", "a.key")}, (CERTIFICATE, "none.pem", MISSING)),
    "no key": ({"listen": tls("a.pem", "none.key")}, (KEY, "none.key", MISSING)),
    "no name of a certificate": ({"listen": tls('""', "a.key")}, (CERTIFICATE, '""', "expected the path of a file")),
    "a certificate that is none": ({"listen": tls("junk.pem", "a.key")}, (CERTIFICATE, "junk.pem", "the file is no PEM")),
    "a certificate that is empty": ({"listen": tls("empty.pem", "a.key")}, (CERTIFICATE, "empty.pem", "the file is empty")),
    "a certificate in DER": ({"listen": tls("der.pem", "a.key")}, (CERTIFICATE, "der.pem", "openssl x509 -inform der")),
    "certificate and key swapped": ({"listen": tls("a.key", "a.pem")}, (CERTIFICATE, "a.key", SWAPPED)),
    "an encrypted key": ({"listen": tls("a.pem", "locked.key")}, (KEY, "locked.key", "without a passphrase: openssl pkey")),
    "a key of another certificate": ({"listen": tls("a.pem", "b.key")}, (KEY, "b.key", "the key does not belong to")),
    "a chain that begins with the issuer": (
        {"listen": tls("leaf-last.pem", "leaf.key")}, (KEY, "leaf.key", "number 2 of")),
    "a folder for a certificate": ({"listen": tls(".", "a.key")}, (CERTIFICATE, "certificate: .", "this is a folder")),
    "no authority of the admin API": (
        {"admin": admin("tls: { certificates: [ { certificate: a.pem, key: a.key } ] }\n  client_ca: none.pem"), "state": "x.db"},
        ("admin.client_ca", "none.pem", MISSING)),
    "a key of another certificate, of the admin API": (
        {"admin": admin("tls: { certificates: [ { certificate: a.pem, key: b.key } ] }"), "state": "x.db"},
        ("admin.tls.certificates[0].key", "b.key", "the key does not belong to")),
    "a pipe for a certificate": (
        {"listen": tls("pipe", "a.key"), "prepare": with_pipe("pipe")},
        (CERTIFICATE, "pipe", "it is no regular file", "; give the path of a file")),
    "a pipe for a key": (
        {"listen": tls("a.pem", "pipe"), "prepare": with_pipe("pipe")},
        (KEY, "pipe", "it is no regular file", "; give the path of a file")),
    "a pipe for authorities": (
        {"up": "ca: pipe", "prepare": with_pipe("pipe")},
        ("upstreams.u.ca", "pipe", "it is no regular file", "; give the path of a file")),
    "a pipe for a set of keys": (
        {"more": jwt("jwks:\n      - file: pipe"), "prepare": with_pipe("pipe")},
        ("authentication.jwt.jwks[0].file", "pipe", "it is no regular file", "; give the path of a file")),
    "a device for a client's key": (
        {"up": client_certificate("a.pem", "/dev/zero")}, (CLIENT + ".key", "/dev/zero", "it is no regular file")),
    "no authority of an upstream": ({"up": "ca: none.pem"}, ("upstreams.u.ca", "none.pem", MISSING)),
    "an authority that is none": ({"up": "ca: junk.pem"}, ("upstreams.u.ca", "junk.pem", "the file is no PEM")),
    "an authority that is empty": ({"up": "ca: empty.pem"}, ("upstreams.u.ca", "empty.pem", "the file is empty")),
    "no client certificate": ({"up": client_certificate("none.pem", "a.key")}, (CLIENT + ".certificate", "none.pem", MISSING)),
    "a client key of another certificate": (
        {"up": client_certificate("a.pem", "b.key")}, (CLIENT + ".key", "b.key", "the key does not belong to")),
    "an encrypted client key": (
        {"up": client_certificate("a.pem", "locked.key")}, (CLIENT + ".key", "locked.key", "the key is encrypted")),
    "no key of JWTs": (
        {"more": jwt("keys:\n      - { id: k, algorithm: ES256, file: none.pem }")},
        ("authentication.jwt.keys[0].file", "none.pem", MISSING)),
    "a key of JWTs that is none": (
        {"more": jwt("keys:\n      - { id: k, algorithm: ES256, file: junk.pem }")},
        ("authentication.jwt.keys[0].file", "junk.pem", "expected a public key")),
    "no set of keys": (
        {"more": jwt("jwks:\n      - file: none.json")}, ("authentication.jwt.jwks[0].file", "none.json", MISSING)),
    "a set of keys that is none": (
        {"more": jwt("jwks:\n      - file: junk.pem")},
        ("authentication.jwt.jwks[0].file", "junk.pem", "this is not JSON (RFC 8259)")),
    "no authority of a set of keys": (
        {"more": jwt('jwks:\n      - url: "https://127.0.0.1:9/"\n        ca: none.pem')},
        ("authentication.jwt.jwks[0].ca", "none.pem", MISSING)),

    "a database in no folder": (
        {"admin": admin(""), "state": "nowhere/culvert.db"}, ("state", "nowhere/", "cannot be made: No such file or directory", "; make its folder")),
    "a folder for a database": (
        {"admin": admin(""), "state": "folder", "prepare": with_folder("folder")}, ("state", "state: folder", "it is a folder", "; give the path of a file")),
    "a database that is none": (
        {"admin": admin(""), "state": "x.db", "prepare": with_file("x.db", "hello, hello, " * 100)},
        ("state", "x.db", "file is not a database", "put the last backup in its place")),
    "a database in an open folder that others cannot reach": (
        {"admin": admin(""), "state": "open/x.db", "prepare": with_folder("open", 0o777)}, None),
    "a database of a run before": ({**GOOD_STATE, "prepare": with_database()}, None),
    "a database of a newer version": (
        {**GOOD_STATE, "prepare": with_database("INSERT INTO grdb_migrations (identifier) VALUES ('999-from-the-future')")},
        ("state", "culvert.db", "written by a newer version")),
    "a token whose id is minted already": (
        {**GOOD_STATE, "prepare": with_database(
            "INSERT INTO token (id, subject, routes, created, note) VALUES ('taken', 's', '[\"/\"]', 0, '')"),
         "more": f'authentication:\n  tokens:\n    - {{ id: taken, sha256: "{digest("x")}", subject: s, routes: ["/"] }}'},
        ("authentication.tokens[0].id", "taken", "taken")),
    "an admin token in no folder": (
        {"admin": admin("token_file: nowhere/token"), "state": "x.db"},
        ("admin.token_file", "nowhere/token", "No such file or directory", "; make its folder")),
    "an admin token that is short": (
        {"admin": admin("token_file: short"), "state": "x.db", "prepare": with_file("short", "short\n")},
        ("admin.token_file", "short", "at least 16 characters", "; write one")),
    "a folder for an admin token": (
        {"admin": admin("token_file: folder"), "state": "x.db", "prepare": with_folder("folder")},
        ("admin.token_file", "folder", "it is a folder", "; give the path of a file")),
    "an admin socket in no folder": (
        {"admin": admin("", "unix:nowhere/x"), "state": "x.db"}, ("admin.address", "nowhere/x", "No such file or directory")),
    "a file where the admin socket is to be": (
        {"admin": admin(""), "state": "x.db", "prepare": with_file("admin.socket", "")},
        ("admin.address", "admin.socket", "exists and is not a socket", "remove it, or choose another path")),
    "an admin socket that was left behind": ({**GOOD_STATE, "prepare": with_socket_left_behind("admin.socket")}, None),
    "a takeover socket in no folder": (
        {"more": "takeover: nowhere/x"}, ("takeover", "nowhere/x", "No such file or directory")),
    "a pipe for a database": (
        {"admin": admin(""), "state": "x.db", "prepare": with_pipe("x.db")},
        ("state", "x.db", "it is no regular file", "; remove it, or choose another path")),
    "a link to no database": (
        {"admin": admin(""), "state": "x.db", "prepare": with_link("x.db", "nowhere")},
        ("state", "x.db", "the link leads to no file", "; remove the link")),
    "a database with a transaction that broke off": ({**GOOD_STATE, "prepare": with_hot_journal}, None),
    "a database of another user": (
        {**GOOD_STATE, "prepare": with_owner(65534, "culvert.db")},
        ("state", "state", "it belongs to another user (65534)", "run this command as uid 65534 (")),
    "an admin token that is no text": (
        {"admin": admin("token_file: bytes"), "state": "x.db", "prepare": with_bytes("bytes", b"\xff" * 32)},
        ("admin.token_file", "bytes", "is not UTF-8 text", "; write a token")),
    "an admin token of the environment that is short": (
        {"admin": admin(""), "state": "x.db", "environment": {"CULVERT_ADMIN_TOKEN": "short"}},
        ("admin", "address", "CULVERT_ADMIN_TOKEN: expected a token of at least 16 characters", "; set a longer one")),
    "a file where the takeover socket is to be": (
        {"more": "takeover: here", "prepare": with_file("here", "")}, ("takeover", "here", "exists and is not a socket", "remove it, or choose another path")),

    "an address of another machine": (
        {"listen": '# the address of a network for documents\n  - address: "192.0.2.1:8443"'},
        ("listen[1].address", "192.0.2.1", "Cannot assign requested address")),
    "a name that nobody knows": (
        {"listen": '# reserved\n  - address: "edge.invalid:8443"'}, ("listen[1].address", "edge.invalid", "cannot be looked up")),
    "the admin API at a listener's address": (
        {"admin": "address: 127.0.0.1:8443", "state": "x.db", "port": 8443},
        ("listen[0].address", "127.0.0.1", "the admin API listens at 127.0.0.1:8443 (admin.address of line 16)")),
    "two listeners at one address": (
        {"listen": '# again\n  - address: "0.0.0.0:8443"', "port": 8443},
        ("listen[1].address", "0.0.0.0", "(listen[0].address of line 3)")),
    "one place behind a link for two files": (
        {"admin": admin("token_file: one"), "state": "link/one", "prepare": with_link("link", ".")},
        ("state", "state: link/one", "admin.token_file of line 17", "; choose another one")),
    "one place behind a link for a socket and a file": (
        {"admin": admin("", "unix:link/x.db"), "state": "x.db", "prepare": with_link("link", ".")},
        ("state", "state: x.db", "admin.address of line 16", "; choose another one")),
    "a socket at the place of the database's log": (
        {**GOOD_STATE, "more": "takeover: culvert.db-wal"},
        ("takeover", "takeover: culvert.db-wal", "SQLite keeps a file of the database there", "; choose another one")),
    "a token at the place of the database's log behind a link": (
        {"admin": admin("token_file: link/x.db-shm"), "state": "x.db", "prepare": with_link("link", ".")},
        ("state", "state: x.db", "SQLite keeps a file of the database there", "; choose another one")),
    "one path for two files": (
        {"admin": admin("token_file: one"), "state": "one"}, ("state", "state: one", "admin.token_file of line 17")),
}


@contextlib.contextmanager
def running(config):
    """An edge that has started."""
    log = Log()
    process = subprocess.Popen(
        [BIN, "serve", "--config", config], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=config.parent,
        env={**os.environ, "SWIFT_BACKTRACE": "enable=no"})
    log.follow(process.stderr)
    try:
        # A reload is answered when everything has started.
        wait_for(lambda: process.poll() is not None or log.events("listening"), what="the edge to listen")
        assert process.poll() is None, log.text
        yield log
    finally:
        process.terminate()
        code = process.wait(20)
        log.read_to_end()
    assert code == 0, log.text


@pytest.mark.parametrize("name", SETUPS)
def test_check_and_serve_agree(files, tmp_path, name):
    parts, fault = SETUPS[name]
    parts = dict(parts)
    folder = tmp_path
    for file in files.iterdir():
        (folder / file.name).symlink_to(file)
    environment = {**os.environ, **parts.pop("environment", {})}
    parts.pop("prepare", lambda folder: None)(folder)
    config = write(folder, **parts)
    checked = culvert("check", "--config", config, cwd=folder, env=environment)
    print(f"tried {name}: {checked.returncode} {checked.stderr}")
    if fault is None:
        assert checked.returncode == 0, checked.stderr
        with running(config):
            return
    key, culprit, *words = fault
    served = culvert("serve", "--config", config, cwd=folder, env=environment)
    for done in (checked, served):
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        assert not DUMPS.search(done.stderr), done.stderr
        found = re.search(rf"{re.escape(str(config))}:(\d+):\d+: {re.escape(key)}: (.*)", done.stderr)
        assert found, done.stderr
        assert culprit in config.read_text().splitlines()[int(found[1]) - 1]
        assert all(text in found[2] for text in words), done.stderr


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
        lines = done.stderr.splitlines()
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
        done = culvert("serve", "--config", config, cwd=tmp_path)
        assert done.returncode == 1 and f" {key}: " in done.stderr and words in done.stderr, done.stderr


def test_an_address_that_another_program_uses_is_a_warning_and_an_error_for_a_start(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = write(tmp_path, port=taken.getsockname()[1])
        done = culvert("check", "--config", config)
        place = f"{config}:3:14: listen[0].address: 127.0.0.1:{taken.getsockname()[1]}: Address already in use; stop the process"
        assert done.returncode == 0 and f"warning: {place}" in done.stderr, done.stderr
        done = culvert("check", "--start", "--config", config)
        assert done.returncode == 1 and done.stderr.startswith(place), done.stderr
        done = culvert("serve", "--config", config)
        assert done.returncode == 1 and f"{config}:3:14: listen[0].address: " in done.stderr
        assert "Address already in use" in done.stderr
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
        assert not (tmp_path / "culvert.db-shm").exists()
    config = write(tmp_path, **GOOD_STATE)
    found = state_of(tmp_path)
    done = culvert("check", "--config", config, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^warning: .*: state: .*the database could not be looked at .*tokens .* were not compared", done.stderr, re.M)
    assert state_of(tmp_path) == found


# --- warnings ----------------------------------------------------------------------------------------------------------

TOKEN_OF = 'authentication:\n  tokens:\n    - {{ id: t, sha256: "' + digest("x") + '", subject: s, routes: ["/"], expires: {} }}'


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
    "an authority that expires soon": ({"up": "ca: short.pem"}, ("upstreams.u.ca", "expires at")),
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
    "a route without origins": ({"route": "\n  - { path: /b, upstream: u }"}, ("routes[1]", "no browser can use this route")),
    "a route of two origins": ({"route": '\n  - { path: /b, upstream: u, origins: { allow: ["https://a.example"] } }'}, None),
    "a route for WebSockets alone whose tokens no page can send": (
        {"route": "\n  - path: /b\n    upstream: u\n    origins: { allow: [\"https://a.example\"] }\n"
                  "    carriers: { query_parameter: none, cookie: none, subprotocol: false }\n    transports: [ websocket ]"},
        ("routes[1]", "a page can set no Authorization header on a WebSocket")),
    "a route for WebSockets alone that no page is to use": (
        {"route": "\n  - path: /b\n    upstream: u\n    origins: { allow: [] }\n"
                  "    carriers: { query_parameter: none, cookie: none, subprotocol: false }\n    transports: [ websocket ]"}, None),
    "a route whose tokens pages can send by long-poll": (
        {"route": "\n  - path: /b\n    upstream: u\n    origins: { allow: [\"https://a.example\"] }\n"
                  "    carriers: { query_parameter: none, cookie: none, subprotocol: false }"}, None),
    "everybody as a trusted proxy": ({"more": "trusted_proxies: [ 10.0.0.0/8, 0.0.0.0/0 ]"}, ("trusted_proxies[1]", "0.0.0.0/0")),
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
