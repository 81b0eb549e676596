"""Decides which tests run at the same time when tests run side by side (pytest-xdist).

A test that measures time or load is marked `@pytest.mark.alone`: no other test runs meanwhile. Such tests come first,
one after the other, so that the others wait for them once. The longest of the others come next, each on a worker of its own:
a long test that begins last is what a run ends with.
"""

import fcntl
import pathlib
import tempfile

import pytest


# Parts of the names of tests that take longest, the longest first.
LONG = ("test_longpoll_chaos.py", "test_every_answer_is_what_the_document_says", "test_nothing_is_lost_or_doubled_while_the",
        "test_two_thousand_sessions_are_sent_away_evenly")


class Turns:
    """A test shares the room with others, or has it to itself. The locks are those of the files: a worker that dies
    holds none."""

    def __init__(self, folder):
        self.door, self.room = (open(pathlib.Path(folder) / name, "a") for name in ("door", "room"))
        self.is_alone = False

    def enter(self, is_alone):
        if self.is_alone:
            if is_alone:
                return
            fcntl.flock(self.room, fcntl.LOCK_UN)
        # No test passes another at the door, which waits for the room to empty.
        fcntl.flock(self.door, fcntl.LOCK_EX)
        fcntl.flock(self.room, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH)
        fcntl.flock(self.door, fcntl.LOCK_UN)
        self.is_alone = is_alone

    def leave(self, next_is_alone):
        """Between tests that are alone the room is kept."""
        if not (self.is_alone and next_is_alone):
            fcntl.flock(self.room, fcntl.LOCK_UN)
            self.is_alone = False


def is_alone(item):
    return item is not None and item.get_closest_marker("alone") is not None


def arranged(items, workers):
    """The order of the tests. Each worker begins with an equal part of it (`--dist worksteal`): the first with the tests
    that are alone, each other with one short test, for which those wait, and then with its long ones."""
    rank = {item: next((n for n, part in enumerate(LONG) if part in item.nodeid), None) for item in items}
    alone = [item for item in items if is_alone(item)]
    rest = [item for item in items if not is_alone(item)]
    long = sorted((item for item in rest if rank[item] is not None), key=rank.get)
    if workers < 2:
        return alone + rest
    rest = [item for item in rest if rank[item] is None]
    result, left = [], len(items)
    for worker in range(workers):
        size = left // (workers - worker)
        left -= size
        begin = alone if worker == 0 else [*rest[:1], *long[worker - 1::workers - 1]]
        if worker > 0:
            del rest[:1]
        more = max(0, size - len(begin))
        result += begin + rest[:more]
        del rest[:more]
    return result + rest


def printable(value):
    """A report without the surrogates that stand for bytes of a test that are not UTF-8: workers report in UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {printable(key): printable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(printable(each) for each in value)
    return value


class Plugin:
    """The plugin of the process that gives the tests to workers, of a worker, or of a run without workers."""

    def __init__(self, config):
        self.folder = self.turns = None
        self.workers = 0
        if hasattr(config, "workerinput"):
            self.turns = Turns(config.workerinput["turns"])
            self.workers = config.workerinput["workercount"]

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node):
        if self.folder is None:
            self.folder = tempfile.TemporaryDirectory(prefix="culvert-tests-")
        node.workerinput["turns"] = self.folder.name

    def pytest_unconfigure(self):
        if self.folder:
            self.folder.cleanup()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        items[:] = arranged(items, self.workers)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item, nextitem):
        if self.turns:
            self.turns.enter(is_alone(item))
        try:
            return (yield)
        finally:
            if self.turns:
                self.turns.leave(is_alone(nextitem))

    @pytest.hookimpl(wrapper=True)
    def pytest_report_to_serializable(self):
        return printable((yield))
