"""One way to ask to be let in, whatever the transport and however the token travels."""

import asyncio
import json
from dataclasses import dataclass

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

TRANSPORTS = ["websocket", "long-poll"]
CARRIERS = ["header", "query", "cookie", "subprotocol"]


@dataclass
class Answer:
    status: int
    headers: object
    body: object


def carry(token, carrier):
    """(headers, query, subprotocols) that carry the token."""
    if token is None:
        return [], "", []
    return {
        "header": ([("Authorization", f"Bearer {token}".strip())], "", []),
        "query": ([], f"access_token={token}", []),
        "cookie": ([("Cookie", f"theme=dark; culvert_token={token}")], "", []),
        "subprotocol": ([], "", ["culvert.auth", f"bearer.{token}"]),
    }[carrier]


def knock(edge, transport, path="/", token=None, carrier="header", origin=None, headers=(), query="", protocols=()):
    more, parameter, offered = carry(token, carrier)
    headers = [*headers, *more] + ([("Origin", origin)] if origin else [])
    query = "&".join(filter(None, [query, parameter]))
    protocols = [*protocols, *offered]
    suffix = f"?{query}" if query else ""
    if transport == "long-poll":
        if protocols:
            headers.append(("Sec-WebSocket-Protocol", ", ".join(protocols)))
        with httpx.Client(verify=edge.ssl, timeout=30) as http:
            r = http.post(edge.https + path.rstrip("/") + "/_poll" + suffix, headers=headers)
        return Answer(r.status_code, r.headers, r)
    return asyncio.run(_upgrade(edge, path + suffix, headers, protocols))


async def _upgrade(edge, path, headers, protocols):
    try:
        async with connect(edge.wss + path, ssl=edge.ssl, additional_headers=headers, subprotocols=protocols or None,
                           open_timeout=30) as ws:
            return Answer(ws.response.status_code, ws.response.headers, ws)
    except InvalidStatus as refused:
        return Answer(refused.response.status_code, refused.response.headers, refused.response)


def problem(answer):
    """The problem document (RFC 9457) of a refusal."""
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.body.json() if isinstance(answer.body, httpx.Response) else json.loads(answer.body.body)
    assert body["status"] == answer.status and body["title"]
    return body
