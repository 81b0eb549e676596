"""The log of an edge. A thread of the edge writes it and a thread of the test reads it: a line may come later than the
answer of the edge that belongs to it. Lines keep their order, so one that has come proves that those before it have."""

import json
import threading

from kit.pace import wait_for


class Events:
    """The lines of a log as events. `_logged()`, which gives all that have come, is the subclass's."""

    def events(self, message=None, **fields):
        """The events that have come, with that message and such fields. A test that expects any waits: `expect_events`."""
        return [event for event in self._logged() if message in (None, event.get("message"))
                and all(event.get(name) == value for name, value in fields.items())]

    def expect_events(self, message, count=1, timeout=10, **fields):
        """The events with that message and such fields, once there are `count` of them."""
        def enough():
            found = self.events(message, **fields)
            return found if len(found) >= count else None

        return wait_for(enough, timeout, f"the log to say {message!r} {count} times")


class Log(Events):
    """A log whose lines are read as they come."""

    def __init__(self):
        self.lines, self.readers = [], []

    def follow(self, stream):
        """Reads a text stream to its end."""
        lines = self.lines

        def read():
            for line in stream:
                lines.append(line)

        self.readers.append(threading.Thread(target=read, daemon=True))
        self.readers[-1].start()

    def read_to_end(self, timeout=20):
        """When the process has ended: returns when all that it has written is there."""
        for reader in self.readers:
            reader.join(timeout)
            assert not reader.is_alive(), "the log has not come to its end"

    def forget(self):
        """Begins an empty log, without the lines of a process that still runs."""
        self.lines, self.readers = [], []

    def expect_text(self, word, timeout=10):
        wait_for(lambda: word in self.text, timeout, f"the log to say {word!r}")

    @property
    def text(self):
        return "".join(self.lines)

    def _logged(self):
        for line in list(self.lines):
            try:
                yield json.loads(line)
            except ValueError:
                pass  # Of a log for people, or of the runtime.
