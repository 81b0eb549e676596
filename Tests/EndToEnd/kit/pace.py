"""How late the machine is itself.

A promise of time ("within a second") is the edge's. A machine with more to do than it can adds to it what no process has
any part in: `within` adds that much, as measured, and on a machine that keeps up next to nothing.
"""

import collections
import threading
import time

STEP = 0.02
# The last steps: when each ended, and by how much too late.
_steps = collections.deque(maxlen=int(30 / STEP))


def _measure():
    while True:
        begin = time.monotonic()
        time.sleep(STEP)
        end = time.monotonic()
        _steps.append((end, end - begin - STEP))


threading.Thread(target=_measure, daemon=True).start()


def within(seconds):
    """A limit of so many seconds for what has just been measured.

    Client, edge and backend take their turns: each may have been as late as this process was.
    """
    since = time.monotonic() - seconds - 2
    return seconds + 3 * sum(late for end, late in list(_steps) if end > since)


def wait_for(condition, timeout=10.0, what="condition"):
    """Polls a condition of another process; the deadline is the failure, not the pace."""
    begin = time.monotonic()
    while time.monotonic() - begin < within(timeout):
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"timed out waiting for {what}")
