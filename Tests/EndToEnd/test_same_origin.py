"""A page of the edge's own origin polls where a route insists on an Origin: browsers send none with its GETs."""

import httpx
import pytest

from kit.edge import ORIGIN, OTHER_TOKEN, TOKEN
from kit.jwt import Key, bearer, section

SAME = {"Sec-Fetch-Site": "same-origin"}
FROM_PAGE = {"Origin": ORIGIN}


@pytest.fixture
def http(edge):
    with httpx.Client(base_url=edge.https, verify=edge.ssl, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=40) as client:
        yield client


def opened(http, path="/strict"):
    answer = http.post(path + "/_poll", headers=FROM_PAGE)
    assert answer.status_code == 201
    at = answer.headers["location"]
    assert http.post(at, headers=FROM_PAGE, json={"first": 1, "messages": [{"text": "x"}]}).status_code == 200
    return at


@pytest.mark.parametrize("headers", [SAME, {}], ids=["https", "http"])
def test_it_polls_without_an_origin(http, headers):
    at = opened(http)
    answer = http.get(at, headers=headers)
    assert answer.status_code == 200 and answer.json()["messages"] == [{"text": "x"}]
    # Nobody of another origin is told that it may read this.
    assert "access-control-allow-origin" not in answer.headers


def test_every_request_that_says_so_has_the_origin_of_its_session(http):
    at = opened(http)
    assert http.post(at, headers=SAME, json={"first": 2, "messages": [{"text": "y"}]}).status_code == 200
    assert http.put(at + "/token", headers=SAME).status_code == 200
    assert http.delete(at, headers=SAME).status_code == 204


@pytest.mark.parametrize("site", [["cross-site"], ["same-site"], ["none"], ["same-origin", "same-origin"], [""], ["same-origin, x"]])
def test_a_page_of_another_origin_does_not(http, site):
    at = opened(http)
    assert http.get(at, headers=[("Sec-Fetch-Site", word) for word in site]).status_code == 403
    assert http.get(at, headers={**SAME, "Origin": "https://evil.example"}).status_code == 403


def test_without_an_origin_nothing_but_a_poll_is_taken_on_trust(http):
    at = opened(http)
    assert http.post(at, json={"first": 2, "messages": [{"text": "y"}]}).status_code == 403
    assert http.delete(at).status_code == 403
    # No session is opened by it, whatever it says.
    for headers in ({}, SAME):
        assert http.post("/strict/_poll", headers=headers).status_code == 403


def test_a_session_that_is_not_there_is_not_there(http, edge):
    at = opened(http)
    others = httpx.Client(base_url=edge.https, verify=edge.ssl, headers={"Authorization": f"Bearer {OTHER_TOKEN}"})
    with others:
        assert others.get(at, headers=SAME).status_code == 404
    unknown = at[:-4] + ("AAAA" if not at.endswith("AAAA") else "BBBB")
    assert http.get(unknown, headers=SAME).status_code == 404


def test_the_sessions_origin_must_be_among_those_of_the_requests_token(backend, make_edge):
    """The route lets the session's origin in. So only a token can tell whether the origin is looked at."""
    signer = Key("EdDSA", "k")
    edge = make_edge(backend.port, authentication=section(keys=[{"id": "k", "algorithm": "EdDSA", "pem": signer.pem}]))
    any_origin, own, other = (bearer(signer.token(**claims)) for claims in (
        {}, {"origins": [ORIGIN]}, {"origins": ["https://other.example"]}))
    with httpx.Client(base_url=edge.https, verify=edge.ssl, headers=any_origin, timeout=40) as http:
        at = opened(http)
        for headers in (SAME, {}):
            assert http.get(at, headers={**other, **headers}).status_code == 403
            assert http.get(at, headers={**own, **headers}).json()["messages"] == [{"text": "x"}]


def test_a_route_that_lets_the_sessions_origin_in_no_longer_does_not_let_it_poll(backend, make_edge):
    """The session has ended. Without a look at its origin the answer would be 410 and the reason of its end."""
    edge = make_edge(backend.port)
    with httpx.Client(base_url=edge.https, verify=edge.ssl, headers=edge.auth, timeout=40) as http:
        at = opened(http)
        assert http.get(at, headers=SAME).status_code == 200
        edge.config.write_text(edge.config.read_text().replace(
            f'allow: ["{ORIGIN}"], missing: reject', 'allow: ["https://other.example"], missing: reject'))
        edge.catch_up()
        answer = http.get(at, headers=SAME)
        assert answer.status_code == 403 and answer.json()["type"] == "urn:culvert:problem:origin_not_allowed"
