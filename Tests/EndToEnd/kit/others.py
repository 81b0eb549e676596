"""Measures other clients during an attack: echo round trips on WebSockets of their own, on every event loop."""

import statistics
import threading
import time

from kit.raw import Raw, masked


class Others:
    """`with Others(edge) as others: … others.median()`; `calm` is what they measured before."""

    def __init__(self, edge, count=6, path="/"):
        self.raws = [Raw(edge, path) for _ in range(count)]
        self.samples, self.errors, self.stopped = [], [], False
        self.threads = [threading.Thread(target=self._run, args=(raw,), daemon=True) for raw in self.raws]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        while len(self.samples) < 60 and not self.errors:
            time.sleep(0.01)
        self.calm = self.median()
        self.samples = []
        return self

    def __exit__(self, *_):
        self.stopped = True
        for thread in self.threads:
            thread.join(20)
        for raw in self.raws:
            raw.s.close()

    def _run(self, raw):
        try:
            while not self.stopped:
                start = time.perf_counter()
                raw.send(masked(1, b"still here"))
                assert raw.frame() == (1, b"still here")
                self.samples.append(time.perf_counter() - start)
                time.sleep(0.01)
        except (OSError, AssertionError) as error:
            self.errors.append(error)

    def median(self):
        return statistics.median(self.samples)

    def assert_served(self, what):
        """200 ms are the promise; on a machine that is slow when calm as well, ten times of that."""
        assert not self.errors, self.errors
        bound = max(0.2, 10 * self.calm)
        print(f"{what}: others' median {self.median() * 1000:.1f} ms, calm {self.calm * 1000:.1f} ms,"
              f" worst {max(self.samples) * 1000:.0f} ms of {len(self.samples)}")
        assert self.median() < bound, f"{what}: {self.median():.3f} s, calm {self.calm:.3f} s"
