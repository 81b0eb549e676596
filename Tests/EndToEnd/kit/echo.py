"""An echo server as a process of its own, so that it can be killed: python echo.py PORT."""

import asyncio
import http
import pathlib
import subprocess
import sys

from websockets.asyncio.server import serve


class EchoProcess:
    def __init__(self, port):
        self.port = port
        self.process = subprocess.Popen(
            [sys.executable, pathlib.Path(__file__), str(port)], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def kill(self):
        self.process.kill()
        self.process.wait(10)


async def main(port):
    async def echo(ws):
        async for message in ws:
            await ws.send(message)

    def answer(ws, request):
        return ws.respond(http.HTTPStatus.OK, "well\n") if request.path == "/healthz" else None

    async with serve(echo, "127.0.0.1", port, ping_interval=None, process_request=answer):
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
