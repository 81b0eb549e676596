"""What the machine gives the process, and what it makes of it."""

import os
import pathlib
import resource
import socket
import ssl

import pytest

from kit.edge import TOKEN
from kit.knock import knock
from kit.process import restart


def test_one_event_loop_for_each_cpu_that_it_may_use(backend, make_edge):
    cpus = os.sched_getaffinity(0)
    for allowed in ({min(cpus)}, cpus):
        os.sched_setaffinity(0, allowed)
        try:
            edge = make_edge(backend.port)
        finally:
            os.sched_setaffinity(0, cpus)
        tasks = pathlib.Path(f"/proc/{edge.process.pid}/task").iterdir()
        names = [(task / "comm").read_text() for task in tasks]
        assert len([n for n in names if n.startswith("NIO-")]) == len(allowed)
        assert knock(edge, "websocket", token=TOKEN).status == 101


def test_the_descriptor_limit_is_raised_and_a_low_one_is_told(backend, make_edge):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, hard), hard))
    try:
        edge = make_edge(backend.port, limits="connections: 10")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    limits = pathlib.Path(f"/proc/{edge.process.pid}/limits").read_text()
    [line] = [line for line in limits.splitlines() if line.startswith("Max open files")]
    assert int(line.split()[3]) == hard
    told = "too few file descriptors for limits.connections"
    edge.catch_up()
    assert not edge.events(told)
    edge = make_edge(backend.port, limits=f"connections: {hard}")
    assert edge.expect_events(told)[0]["limit"] == hard


def test_an_older_tls_than_the_minimum_is_refused(backend, make_edge):
    edge = make_edge(backend.port)

    def version(newest):
        context = edge.ssl
        context.maximum_version = newest
        with socket.create_connection(("127.0.0.1", edge.tls_port)) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as s:
                return s.version()

    assert version(ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    assert version(ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    restart(edge, ("    tls:\n", '    tls:\n      minimum_version: "1.3"\n'))
    with pytest.raises(ssl.SSLError):
        version(ssl.TLSVersion.TLSv1_2)
    assert version(ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
