"""Logs `tester` with the password `secret` in to Cockpit, in place of PAM; cockpit.conf calls it `Command`. It becomes
the bridge of this process's own user, so that a test adds no user to the machine."""

import base64
import json
import os
import sys


def write(message):
    body = "\n" + json.dumps(message)
    sys.stdout.write(f"{len(body)}\n{body}")
    sys.stdout.flush()


def read():
    """Not a byte more than the frame: the rest is the bridge's."""
    size = b""
    while not size.endswith(b"\n"):
        size += os.read(0, 1)
    body, rest = b"", int(size)
    while rest:
        more = os.read(0, rest)
        body, rest = body + more, rest - len(more)
    return json.loads(body)


write({"command": "authorize", "cookie": "login", "challenge": "*"})
kind, _, given = read()["response"].partition(" ")
if kind.lower() == "basic" and base64.b64decode(given) == b"tester:secret":
    os.execvp("cockpit-bridge", ["cockpit-bridge"])
write({"command": "init", "version": 1, "problem": "authentication-failed"})
