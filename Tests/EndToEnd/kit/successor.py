"""The process that takes over from an edge."""

import os
import subprocess

from kit.edge import BIN
from kit.log import Log


class Successor(Log):
    """`culvert serve --takeover` with the configuration of an edge."""

    def __init__(self, edge):
        super().__init__()
        self.process = subprocess.Popen(
            [BIN, "serve", "--takeover", "--config", str(edge.config)], stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL, env={**os.environ, "SWIFT_BACKTRACE": "enable=no"}, text=True)
        self.follow(self.process.stderr)

    def stop(self):
        self.process.terminate()
        try:
            code = self.process.wait(20)
            self.read_to_end()
            return code
        finally:
            self.process.kill()
