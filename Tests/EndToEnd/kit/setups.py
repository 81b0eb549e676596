"""Set-ups for `culvert check` and `culvert serve`: configurations, and the files that they name."""

import contextlib
import os
import re
import socket
import sqlite3
import subprocess
import sys

import pytest

from kit.edge import free_port, make_certificate, wait_for
from kit.log import Log
from kit.process import BIN

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
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "60",
            "-subj", "/CN=own", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "own.key", "-out", "own.pem")
    issue(folder, "middle", names="DNS:middle", extensions="basicConstraints=CA:TRUE\n")
    issue(folder, "leaf", by="middle", names="DNS:a.example,DNS:*.wild.example,IP:127.0.0.1,IP:::1")
    issue(folder, "short", days=13)
    issue(folder, "old", days=13, extensions="basicConstraints=CA:TRUE\n")
    openssl(folder, "pkcs12", "-export", "-in", "a.pem", "-inkey", "a.key", "-passout", "pass:hunter2", "-out", "a.p12")
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


def with_foreign_database(name):
    """The database of another program."""
    def prepare(folder):
        with contextlib.closing(sqlite3.connect(folder / name)) as database:
            database.execute("CREATE TABLE token (id TEXT)")
            database.commit()
        (folder / name).chmod(0o644)
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
MISSING = "cannot be read: No such file or directory; put the file there"
SWAPPED = 'perhaps "certificate" and "key" are swapped'
GOOD_STATE = {"admin": admin(""), "state": "culvert.db"}


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
