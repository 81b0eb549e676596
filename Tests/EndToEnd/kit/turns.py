"""How much a loop does in one turn: the time of the processor that its thread uses while others wait for an answer.

On a busy machine a wait says little of the edge. The processor's time between a question and its answer is the edge's
own work, whatever else runs."""

import contextlib
import multiprocessing
import os
import threading
import time

from kit.attack import dial, read_answer, read_head, request
from kit.edge import TOKEN
from kit.raw import masked
from kit.script import ScriptedBackend, say_back, switching

# Others, and attackers, have processes of their own: threads of one process wait for each other in Python.
SPAWN = multiprocessing.get_context("fork")


def _precede():
    """Lets this process run as soon as it can, where the machine allows that. A loop goes on while a question of others
    waits for a processor on its way, and the time of several turns would look like that of a single one."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def _clocks(pid):
    """Seconds that each thread has run, to the nanosecond."""
    seconds = {}
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/schedstat") as clock:
            seconds[thread] = int(clock.read().split()[0]) / 1e9
    return seconds


def _requests(s, path):
    """Asks and waits for the answer, again and again; tells whether there was one."""
    ask, rest = request("GET", path), b""
    while True:
        s.sendall(ask)
        status, _, _, rest = read_answer(s, rest)
        yield status != 0


def _echoes(s, path):
    s.sendall(request(
        "GET", path, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", token=TOKEN))
    assert read_head(s)[0] == 101
    while True:
        s.sendall(masked(1, b"still here"))
        yield s.recv(100)[:1] == b"\x81"


def _ask(port, pid, how, path, source, stopped, samples):
    with contextlib.suppress(OSError), dial(port, timeout=60, source=source) as s:
        asking = how(s, path)
        next(asking)
        while not stopped.is_set():
            before = _clocks(pid)
            if not next(asking):
                return
            samples.append(max(clock - before.get(thread, clock) for thread, clock in _clocks(pid).items()))
            time.sleep(0.005)


def _watch(port, pid, how, path, source, count, stopped, results):
    _precede()
    samples = []
    threads = [threading.Thread(target=_ask, args=(port, pid, how, path, source, stopped, samples), daemon=True)
               for _ in range(count)]
    for thread in threads:
        thread.start()
    stopped.wait(120)
    for thread in threads:
        thread.join(60)
    results.put(sorted(samples))


class Echo:
    """An upstream for the others, in a process of its own: it answers however busy the attacker's upstreams are."""

    def __init__(self):
        port = SPAWN.Queue()
        self.process = SPAWN.Process(target=self._run, args=(port,), daemon=True)
        self.process.start()
        self.port = port.get(timeout=20)

    @staticmethod
    def _run(port):
        def script(connection, head):
            connection.settimeout(None)
            connection.sendall(switching(head))
            while got := connection.recv(65536):
                say_back(connection, got)

        _precede()
        port.put(ScriptedBackend(script).port)
        threading.Event().wait()

    def beside(self, port):
        """Parameters for an edge whose routes lead to the upstream at `port`, and `/others` to this one."""
        return {
            "extra_routes": "  - { path: /others, upstream: others }",
            "upstream": f'{{ servers: [ {{ url: "ws://127.0.0.1:{port}" }} ] }}\n'
                        f'  others: {{ servers: [ {{ url: "ws://127.0.0.1:{self.port}" }} ] }}',
        }

    def stop(self):
        self.process.kill()
        self.process.join(10)


class Turns:
    """`with Turns(edge) as turns: …`, then `turns.usual` and `turns.long`: the median, and what one wait of fifty
    exceeds, in seconds of the processor. The others make plain requests, with `echo` use WebSockets at that path, or do
    what the generator `asks(socket, path)` does, which yields whether all is well. They come from the address `source`."""

    def __init__(self, edge, count=4, echo=None, asks=None, path="/nothing-but-426", source=None):
        self.results, self.stopped = SPAWN.Queue(), SPAWN.Event()
        self.process = SPAWN.Process(
            target=_watch, daemon=True,
            args=(edge.plain_port, edge.process.pid, asks or (_echoes if echo else _requests), echo or path, source, count,
                  self.stopped, self.results))

    def __enter__(self):
        self.process.start()
        time.sleep(0.5)
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.samples = self.results.get(timeout=90)
        self.process.join(10)
        assert len(self.samples) > 20, "others were hardly served at all"

    @property
    def usual(self):
        return self.samples[len(self.samples) // 2]

    @property
    def long(self):
        return self.samples[len(self.samples) * 49 // 50]

    def __str__(self):
        return (f"the busiest loop worked {self.usual * 1000:.1f} ms while others waited, {self.long * 1000:.1f} ms in"
                f" the longest of fifty waits, {self.samples[-1] * 1000:.1f} ms at most, {len(self.samples)} waits")


class Attack:
    """Runs `body(*arguments)` in a process of its own when it is told to, which is stopped at the end."""

    def __init__(self, prepare, *arguments):
        """`prepare` gives the function that attacks."""
        self.ready, self.go = SPAWN.Event(), SPAWN.Event()
        self.process = SPAWN.Process(target=self._run, args=(prepare, arguments), daemon=True)

    def _run(self, prepare, arguments):
        attack = prepare(*arguments)
        self.ready.set()
        self.go.wait(120)
        attack()

    def __enter__(self):
        self.process.start()
        assert self.ready.wait(90), "the attack could not be prepared"
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.join(10)
