"""Sessions that are opened and kept, the same way on every transport."""

import json

import httpx
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from kit.edge import TOKEN


class Refused(Exception):
    def __init__(self, status, headers, body):
        super().__init__(status, body)
        self.status, self.headers, self.problem = status, headers, body


def problem(headers, body):
    """Of the edge; None for what an upstream says."""
    return json.loads(body) if headers.get("Content-Type") == "application/problem+json" else None


class Held:
    """A session that stays open until `close`."""

    def __init__(self, edge, transport, path="/", token=TOKEN, headers=None, timeout=20):
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})}
        self.ws = self.http = None
        if transport == "websocket":
            try:
                self.ws = connect(edge.wss + path, ssl=edge.ssl, additional_headers=headers, compression=None,
                                  open_timeout=timeout, close_timeout=5)
            except InvalidStatus as refused:
                answer = refused.response
                raise Refused(answer.status_code, answer.headers, problem(answer.headers, answer.body)) from None
            return
        self.http = httpx.Client(base_url=edge.https, verify=edge.ssl, headers=headers, timeout=timeout)
        answer = self.http.post(path.rstrip("/") + "/_poll")
        if answer.status_code != 201:
            self.http.close()
            raise Refused(answer.status_code, answer.headers, problem(answer.headers, answer.content))
        self.location = answer.headers["location"]

    def close(self):
        if self.ws:
            self.ws.close()
        else:
            assert self.http.delete(self.location).status_code == 204
            self.http.close()


def refusal(edge, transport, attempts=1, **options):
    """(status, what the problem is, scope, seconds to wait) of the first opening that is refused; `attempts` is for what
    refills meanwhile."""
    for _ in range(attempts):
        try:
            Held(edge, transport, **options).close()
        except Refused as refused:
            problem = refused.problem
            return (refused.status, problem["type"].removeprefix("urn:culvert:problem:"), problem["scope"],
                    int(refused.headers["Retry-After"]))
    raise AssertionError("not refused")
