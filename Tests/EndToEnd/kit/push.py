"""A peer that sends as fast as it can."""

import time


def push(connection, blob, seconds):
    """Sends `blob` over and over for `seconds`, and returns the number of bytes that were taken."""
    connection.settimeout(0.2)
    end, sent = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        try:
            sent += connection.send(blob)
        except TimeoutError:
            pass
        except OSError:
            break
    return sent
