"""Attacks on who somebody is: subjects that are one user here and another upstream, and secrets that begin again."""

import json
import time

import httpx
import pytest

from kit.admin import Admin, bearer
from kit.edge import digest
from kit.jwks import jwks
from kit.jwt import Key, section
from kit.knock import knock
from kit.process import culvert, restart

# A parser of HTTP takes the blanks at the ends of a field's value away (RFC 9110 5.5).
SUBJECTS = [" alice", "alice ", " ", "", "\talice", "alice\t", "al\rice", "alice\n", "\x00alice", "alice\x7f", "al\u00edce", "a" * 257]


def lets_in(edge, token):
    return {knock(edge, transport, token=token).status for transport in ("websocket", "long-poll")} == {101, 201}


def test_a_subject_that_upstreams_read_as_another_is_refused(backend, make_edge):
    key = Key("EdDSA", "one")
    edge = make_edge(backend.port, authentication=section(
        keys=[{"id": "one", "algorithm": "EdDSA", "pem": key.pem}]))
    assert lets_in(edge, key.token(sub="alice")) and lets_in(edge, key.token(sub="a b"))
    original = edge.config.read_text()
    with Admin(edge) as admin:
        for subject in SUBJECTS:
            minted = admin.post("/v1/tokens", json={"subject": subject, "routes": ["/"]})
            shown = knock(edge, "websocket", token=key.token(sub=subject)).status
            edge.config.write_text(original.replace("subject: bob", f"subject: {json.dumps(subject)}"))
            reloaded = admin.post("/v1/reload")
            checked = culvert("check", "--config", edge.config)
            print(f"tried {subject[:20]!r}: minted {minted.status_code}, as a JWT {shown}, listed {reloaded.status_code}")
            assert (minted.status_code, shown, reloaded.status_code, checked.returncode) == (400, 401, 422, 1)
            assert "subject" in minted.text and "tokens[1].subject" in checked.stderr


def listed(edge, original, secret, subject="root"):
    line = f"    - {{ id: again, sha256: {digest(secret)}, subject: {subject}, routes: [\"/\"] }}\n"
    edge.config.write_text(original.replace("authentication:\n  tokens:\n", "authentication:\n  tokens:\n" + line))
    return edge.config.read_text()[:edge.config.read_text().index("id: again")].count("\n") + 1


def test_a_reload_names_the_line_of_an_id_that_a_minted_token_has(backend, make_edge):
    edge = make_edge(backend.port)
    original = edge.config.read_text()
    with Admin(edge) as admin:
        admin.mint(id="again")
        line = listed(edge, original, "a-secret-of-the-file")
        for params in ({"dry_run": "true"}, {}):
            answer = admin.post("/v1/reload", params=params)
            detail = answer.json()["detail"]
            assert answer.status_code == 409
            assert f"proxy.yaml:{line}:13: authentication.tokens[0].id: a minted token has the id \"again\"" in detail
            assert "conflict(" not in detail
    assert edge.stop() == 0
    done = culvert("serve", "--config", edge.config)
    print(f"tried a start: {done.returncode} {done.stderr.strip().splitlines()[-1][:200]}")
    assert done.returncode == 1
    assert f"proxy.yaml:{line}:13: authentication.tokens[0].id: a minted token has the id \"again\"" in done.stderr


def test_a_secret_that_has_ended_does_not_begin_again_in_the_configuration(backend, make_edge):
    edge = make_edge(backend.port)
    original = edge.config.read_text()
    with Admin(edge) as admin:
        revoked, deleted, rotated, live = (admin.mint() for _ in range(4))
        admin.revoke(revoked)
        assert admin.delete(f"/v1/tokens/{deleted['id']}").status_code == 204
        # Behind the overlap, and dropped for others that came later.
        admin.rotate(rotated, overlap="0s"), admin.rotate(rotated, overlap="0s")
        for name, token in (("revoked", revoked), ("deleted", deleted), ("rotated", rotated), ("live", live)):
            line = listed(edge, original, token["secret"])
            for params in ({"dry_run": "true"}, {}):
                answer = admin.post("/v1/reload", params=params)
                print(f"tried a {name} secret: {answer.status_code} {answer.json()['detail'][:160]}")
                assert answer.status_code == 409 and f"proxy.yaml:{line}:" in answer.text and token["id"] in answer.text
            assert lets_in(edge, token["secret"]) == (name == "live")
        # A secret of nobody's is welcome, and one of the file may move within it.
        listed(edge, original, "a-secret-of-the-file")
        assert admin.post("/v1/reload").json()["changed"] == ["authentication"]
        edge.config.write_text("# moved\n" + edge.config.read_text())
        assert admin.post("/v1/reload").json()["changed"] == []
    line = listed(edge, original, revoked["secret"])
    assert edge.stop() == 0
    done = culvert("serve", "--config", edge.config)
    print(f"tried a start: {done.returncode} {done.stderr.strip().splitlines()[-1][:200]}")
    assert done.returncode == 1 and f"proxy.yaml:{line}:" in done.stderr


@pytest.mark.parametrize("place", ["set", "configuration"])
def test_a_key_that_has_ended_does_not_begin_again_for_a_copy(backend, make_edge, tmp_path, place):
    key, other = Key("ES256", "mine"), Key("EdDSA", "other")
    (tmp_path / "keys.json").write_text(json.dumps(jwks(other)))
    edge = make_edge(backend.port, authentication=section(
        keys=[{"id": "other", "algorithm": "EdDSA", "pem": other.pem}], jwks=[{"file": str(tmp_path / "keys.json")}]))
    body = {"id": "mine", "algorithm": "ES256", "pem": key.pem}

    def copy():
        """The same key under another name, without an end."""
        if place == "set":
            twin = Key("ES256", "twin")
            twin.private = key.private
            (tmp_path / "keys.json").write_text(json.dumps(jwks(other, twin)))
        else:
            edge.config.write_text(edge.config.read_text().replace(
                '"keys": [{', '"keys": [{"id": "twin", "algorithm": "ES256", "pem": %s}, {' % json.dumps(key.pem)))
        assert admin.post("/v1/reload").status_code == 200

    with Admin(edge) as admin:
        token, twins = key.token(), key.token(kid="twin")
        assert admin.post("/v1/jwt/keys", json=body).status_code == 201 and lets_in(edge, token)
        copy()
        assert lets_in(edge, twins)
        refused = admin.delete("/v1/jwt/keys/mine")
        print(f"tried to delete a key that has a copy in the {place}: {refused.status_code} {refused.json()['detail']}")
        assert refused.status_code == 409 and lets_in(edge, token)
        assert admin.post("/v1/jwt/keys/mine/retire", json={"overlap": "0s"}).status_code == 200
        again = admin.post("/v1/jwt/keys", json=body | {"id": "again"})
        print(f"tried the retired key under another id: {again.status_code}")
        assert again.status_code == 409 and not lets_in(edge, token) and not lets_in(edge, twins)
        assert admin.get("/v1/jwt/keys/twin").json()["until"] is not None
        assert admin.delete("/v1/jwt/keys/mine").status_code == 204
        assert not lets_in(edge, token) and not lets_in(edge, twins)
        assert admin.post("/v1/reload").status_code == 200
        assert not lets_in(edge, twins) and lets_in(edge, other.token())
    restart(edge)
    print(f"tried its tokens after a restart, with the copy in the {place}")
    assert not lets_in(edge, token) and not lets_in(edge, twins) and lets_in(edge, other.token())
    with Admin(edge) as admin:
        # To add it again is a word of the operator's own.
        assert admin.post("/v1/jwt/keys", json=body).status_code == 201 and lets_in(edge, token) and lets_in(edge, twins)
