"""`culvert check` and `culvert serve` never disagree: a table of set-ups, each tried with both.

Each refusal names the configuration's file, the line, the key and what is wrong there. `check` makes and changes nothing."""

import os
import re

import pytest

from kit.edge import digest
from kit.process import culvert, errors
from kit.setups import (
    CERTIFICATE, CLIENT, DUMPS, GOOD_STATE, KEY, MISSING, SWAPPED, admin, client_certificate, files, jwt, running, tls,
    with_bytes, with_database, with_file, with_folder, with_foreign_database, with_hot_journal, with_link, with_owner, with_pipe,
    with_socket_left_behind, write)


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
    "a certificate in PKCS#12": ({"listen": tls("a.p12", "a.key")}, (CERTIFICATE, "a.p12", "the file is PKCS#12", "a.p12 -nokeys -out NEW")),
    "a key in PKCS#12": ({"listen": tls("a.pem", "a.p12")}, (KEY, "a.p12", "the file is PKCS#12", "-nocerts -nodes -out NEW")),
    "a request for a certificate": (
        {"listen": tls("leaf.csr", "leaf.key")}, (CERTIFICATE, "leaf.csr", "certificate request (CSR)", "; give the file of the certificate")),
    "a key for an authority": (
        {"up": "ca: a.key"}, ("upstreams.u.ca", "a.key", "a private key and no certificate; give the file of the authorities")),
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
    "a folder for authorities": (
        {"up": "ca: folder", "prepare": with_folder("folder")},
        ("upstreams.u.ca", "folder", "it is a folder, and no certificate in it has a hashed name", "; give the path of a PEM file")),
    "a folder for authorities of clients": (
        {"admin": admin("tls: { certificates: [ { certificate: a.pem, key: a.key } ] }\n  client_ca: folder"), "state": "x.db",
         "prepare": with_folder("folder")},
        ("admin.client_ca", "folder", "it is a folder, and no certificate in it has a hashed name")),
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
    "a set without keys": (
        {"more": jwt("jwks:\n      - file: empty.json"), "prepare": with_file("empty.json", '{"keys":[]}')},
        ("authentication.jwt.jwks[0].file", "empty.json", "the set has no key; put a key")),
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
    "a database of another program": (
        {"admin": admin(""), "state": "x.db", "prepare": with_foreign_database("x.db")},
        ("state", "x.db", "belongs to another program", "; give another path")),
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
    "a certificate for a database": (
        {"admin": admin(""), "state": "ca.pem", "prepare": with_file("ca.pem", "-----BEGIN CERTIFICATE-----\n" * 100)},
        ("state", "ca.pem", "file is not a database", '; give "state" another path')),
    "a PEM file for an admin token": (
        {"admin": admin("token_file: one.pem"), "state": "x.db",
         "prepare": with_file("one.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")},
        ("admin.token_file", "one.pem", "this is a PEM file and no admin token", "; give the path of another file")),
    "an admin token of two lines": (
        {"admin": admin("token_file: lines"), "state": "x.db", "prepare": with_file("lines", "one-line-of-a-token\nand-another\n")},
        ("admin.token_file", "lines", "no client can send such a token", "; write a token of printable ASCII")),
    "an admin token of the environment with a blank": (
        {"admin": admin(""), "state": "x.db", "environment": {"CULVERT_ADMIN_TOKEN": "a token with blanks in it"}},
        ("admin", "address", "CULVERT_ADMIN_TOKEN: the text has blanks", "; set one of printable ASCII")),
    "an admin token of another alphabet in the environment": (
        {"admin": admin(""), "state": "x.db", "environment": {"CULVERT_ADMIN_TOKEN": "a-tökén-of-some-length"}},
        ("admin", "address", "characters that are not ASCII", "or unset the variable")),
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
    assert errors(served) == errors(checked)


MISTAKES = {
    "listen": tls("none.pem", "none.key"), "up": "ca: none.pem", "admin": admin("token_file: nowhere/token", "unix:nowhere/x"),
    "state": "nowhere/x.db", "more": "takeover: nowhere/y\n" + jwt("jwks:\n      - file: none.json"),
}


def test_check_and_serve_list_the_same_errors_in_the_same_order(tmp_path):
    config = write(tmp_path, **MISTAKES)
    checked, served = (culvert(command, "--config", config, cwd=tmp_path) for command in ("check", "serve"))
    print(f"tried eight mistakes: {checked.stderr}")
    assert (checked.returncode, served.returncode, len(errors(checked))) == (1, 1, 8)
    assert served.stderr.splitlines() == errors(checked)
    assert [line for line in errors(checked) if ": state: " in line]


def test_a_takeover_without_its_key_names_the_file(tmp_path):
    config = write(tmp_path)
    done = culvert("serve", "--takeover", "--config", config, cwd=tmp_path)
    assert done.returncode == 1
    assert f"{config}:1:1: takeover: --takeover needs this key; write the path of a socket" in done.stderr


def test_check_prints_the_warnings_beside_errors(tmp_path):
    config = write(tmp_path, up="ca: none.pem", more="trusted_proxies: [ 0.0.0.0/0 ]")
    done = culvert("check", "--config", config, cwd=tmp_path)
    error, warning = done.stderr.splitlines()
    assert done.returncode == 1 and "upstreams.u.ca" in error
    assert warning.startswith("warning: ") and "trusted_proxies[0]" in warning
