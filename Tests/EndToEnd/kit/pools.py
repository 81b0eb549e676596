"""Several servers behind one upstream: how they are configured, filled and looked at."""

import asyncio
import json
from urllib.parse import quote

from websockets.asyncio.client import connect

from kit.edge import TOKEN


def upstream(*servers, **options):
    """Servers by port, or as a mapping with `port` and perhaps `scheme`."""
    listed = []
    for server in servers:
        members = dict(server) if isinstance(server, dict) else {"port": server}
        scheme = members.pop("scheme", "ws")
        listed.append({"url": f"{scheme}://127.0.0.1:{members.pop('port')}", **members})
    return json.dumps({"servers": listed, "connect_timeout": "10s", **options})


def dial(edge, path="/", token=TOKEN, headers=None):
    return connect(
        edge.wss + path, ssl=edge.ssl, additional_headers={"Authorization": f"Bearer {token}", **(headers or {})},
        compression=None, open_timeout=30)


def counts(backends):
    return [len(b.connections) for b in backends]


async def echoes(ws):
    # Not wait_for, which may forget that it was cancelled when the answer comes at the same instant.
    async with asyncio.timeout(20):
        await ws.send("x")
        return await ws.recv() == "x"


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


async def opened(stack, edge, count, **options):
    """Sessions that have talked, one after the other."""
    made = []
    for _ in range(count):
        made.append(await stack.enter_async_context(dial(edge, **options)))
        assert await echoes(made[-1])
    return made


def say(admin, backend, state):
    path = f"/v1/upstreams/echo/servers/{quote(url(backend), safe='')}"
    answer = admin.put(path, json={"state": state})
    assert (answer.status_code, answer.json()["state"]) == (200, state), answer.text


def url(backend):
    return f"ws://127.0.0.1:{backend.port}"


def shown(admin, name="echo"):
    """The upstream as the API shows it."""
    return admin.get(f"/v1/upstreams/{name}").json()


def health(admin, name="echo"):
    """Of each server, by port."""
    return {int(s["url"].rsplit(":", 1)[1].split("/")[0]): s["healthy"] for s in shown(admin, name)["servers"]}
