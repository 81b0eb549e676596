"""Ports that no other test gets: not one of another worker, and not one of another test run on this machine."""

import errno
import os
import socket
import threading

# Below the range from which the system picks ports for outgoing connections (net.ipv4.ip_local_port_range).
FIRST, BLOCK, BLOCKS = 10_000, 400, 56


class Ports:
    """A block of ports, claimed by an abstract Unix socket for as long as this process lives.

    A port is given again only when all others of the block have been given since.
    """

    def __init__(self):
        self.lock = threading.Lock()
        self.claim = self.first = None
        self.next = 0

    def take(self, count):
        """Different ports, on none of which anything listens."""
        with self.lock:
            if self.claim is None:
                self._claim_block()
            taken = []
            for _ in range(BLOCK):
                port = self.first + self.next
                self.next = (self.next + 1) % BLOCK
                if is_free(port):
                    taken.append(port)
                if len(taken) == count:
                    return taken
        raise AssertionError(f"no {count} free ports from {self.first} on")

    def _claim_block(self):
        start = os.getpid() % BLOCKS
        for n in range(BLOCKS):
            block = (start + n) % BLOCKS
            claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                claim.bind(f"\0culvert-tests-ports-{block}")
            except OSError as error:
                claim.close()
                assert error.errno == errno.EADDRINUSE, error
                continue
            self.claim, self.first = claim, FIRST + block * BLOCK
            return
        raise AssertionError("all blocks of ports are claimed by other test processes")


def is_free(port):
    """Nothing listens there in either family: a browser asks for `localhost` at ::1 first."""
    return can_bind(socket.AF_INET, "127.0.0.1", port) and can_bind(socket.AF_INET6, "::1", port)


def can_bind(family, address, port):
    try:
        with socket.socket(family) as s:
            s.bind((address, port))
    except OSError as error:
        # A machine without the family has nothing that listens in it.
        return error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
    return True


PORTS = Ports()


def free_ports(count):
    return PORTS.take(count)


def free_port():
    return free_ports(1)[0]
