"""A server by name: who the name belongs to is asked for each session. The system's resolver is made to read a file of
the test's (libnss-wrapper), in place of /etc/hosts."""

import asyncio
import os
import time

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from kit.edge import free_port


def test_a_name_that_moves_takes_new_sessions_with_it(make_edge, tmp_path, monkeypatch):
    hosts = tmp_path / "hosts"
    port = free_port()

    def belongs_to(address, age):
        hosts.write_text(f"{address} chat.test\n127.0.0.1 localhost\n")
        # The library looks at whole seconds.
        os.utime(hosts, (time.time() + age,) * 2)

    belongs_to("127.0.0.1", 0)
    monkeypatch.setenv("LD_PRELOAD", "libnss_wrapper.so")
    monkeypatch.setenv("NSS_WRAPPER_HOSTS", str(hosts))
    edge = make_edge(0, upstream=f'{{ servers: [ {{ url: "ws://chat.test:{port}" }} ] }}')

    async def run():
        async def name(ws):
            async for _ in ws:
                await ws.send(ws.local_address[0])

        async def ask(ws):
            async with asyncio.timeout(10):
                await ws.send("who?")
                return await ws.recv()

        def dial():
            return connect(edge.wss, ssl=edge.ssl, additional_headers=edge.auth)

        async with serve(name, "127.0.0.1", port), serve(name, "127.0.0.2", port), dial() as old:
            assert await ask(old) == "127.0.0.1"
            belongs_to("127.0.0.2", 10)
            async with dial() as new:
                assert await ask(new) == "127.0.0.2"
            # Sessions stay where they are.
            assert await ask(old) == "127.0.0.1"

    asyncio.run(run())
