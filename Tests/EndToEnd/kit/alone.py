"""Decides which tests run at the same time when tests run side by side (pytest-xdist).

A test that measures time or load is marked `@pytest.mark.alone`: no other test runs meanwhile. Such tests come first,
one after the other, so that the others wait for them once.
"""

import fcntl
import pathlib
import tempfile

import pytest


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
        if hasattr(config, "workerinput"):
            self.turns = Turns(config.workerinput["turns"])

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
        items.sort(key=lambda item: not is_alone(item))

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
