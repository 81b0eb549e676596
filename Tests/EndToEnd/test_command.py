"""The command line: `check`, and what keeps `serve` from starting."""

import re
import socket

import pytest

from kit.edge import digest, free_port
from kit.process import culvert

SOON = 5  # Seconds within which a server that cannot start has said so.


def has_warning_of_the_expired_token(text):
    """The configuration of the tests has one, and other warnings."""
    assert all(line.startswith("warning: ") for line in text.splitlines()), text
    return re.search(
        r'^warning: \S+(proxy|again)\.yaml:\d+:\d+: authentication\.tokens\[3\]\.expires: the token "old" expired at '
        r'2020-01-01T00:00:00Z and opens no session; ', text, re.M)


def test_check_prints_what_is_in_effect_without_secrets(edge):
    checked = culvert("check", "--config", edge.config)
    assert checked.returncode == 0 and has_warning_of_the_expired_token(checked.stderr)
    for line in (f'  - address: "127.0.0.1:{edge.tls_port}"', '      minimum_version: "1.2"', "    connect_timeout: 10s",
                 "  hold: 25s", "  message: none", "  cookie: \"culvert_token\"", "  format: json"):
        assert line in checked.stdout.splitlines()
    assert checked.stdout.count('sha256: "(redacted)"') == 4
    assert not re.search("[0-9a-fA-F]{32}", checked.stdout)


def test_what_check_prints_is_a_configuration_of_the_same_effect(edge, tmp_path):
    printed = culvert("check", "--config", edge.config).stdout
    again = tmp_path / "again.yaml"
    digests = re.findall(r'sha256: "\w{64}"', edge.config.read_text())
    again.write_text(re.sub(r'sha256: "\(redacted\)"', lambda _: digests.pop(), printed))
    checked = culvert("check", "--config", again)
    assert (checked.returncode, checked.stdout) == (0, printed)
    assert has_warning_of_the_expired_token(checked.stderr)


def test_the_secret_of_the_sample_is_a_warning_of_check_and_of_the_log(backend, make_edge):
    public = f'    - {{ id: demo, sha256: "{digest("change-me")}", subject: demo, routes: ["/"] }}'
    edge = make_edge(backend.port, tokens=public)
    key = "authentication.tokens[4].sha256"
    checked = culvert("check", "--config", edge.config)
    [line] = [line for line in checked.stderr.splitlines() if key in line]
    assert checked.returncode == 0 and line.startswith("warning: ") and "the secret of the sample" in line
    assert digest("change-me") not in checked.stderr
    [event] = edge.expect_events("configuration warning", key=key)
    assert event["level"] == "warning" and re.search(r"proxy\.yaml:\d+:\d+$", event["place"])
    edge.catch_up()  # By a reload, which warns again.
    assert len(edge.events("configuration warning", key=key)) == 2


BAD = """listen:
  - address: nowhere
routes:
  - path: /
    upstrem: echo
    origins: { missing: maybe }
  - path: /b
    upstream: eco
upstreams:
  echo: { servers: [ { url: "http://127.0.0.1:1" } ] }
session: { hold: 25 }
limits:
  connections: many
"""
ERRORS = ["2:14: listen[0].address: ", "4:5: routes[0]: missing key \"upstream\"", "5:5: routes[0].upstrem: ",
          "6:25: routes[0].origins.missing: ", "8:15: routes[1].upstream: ", "10:29: upstreams.echo.servers[0].url: ",
          "11:18: session.hold: ", "13:16: limits.connections: "]


@pytest.mark.parametrize("command", [["check"], ["serve"], []], ids=["check", "serve", "serve by default"])
def test_every_error_of_a_bad_configuration_is_told_with_its_place(tmp_path, command):
    file = tmp_path / "proxy.yaml"
    file.write_text(BAD)
    result = culvert(*command, "--config", file)
    lines = result.stderr.splitlines()
    assert (result.returncode, result.stdout, len(lines)) == (1, "", len(ERRORS))
    for line, error in zip(lines, ERRORS):
        assert line.startswith(f"{file}:{error}")
    assert 'did you mean "upstream"?' in lines[2] and 'did you mean "echo"?' in lines[4]


@pytest.mark.parametrize("arguments,words", [
    (["chek"], ['unknown command chek (did you mean "check"?)', "serve, check, demo", "culvert <subcommand>"]),
    (["proxy.yaml"], ["unknown command proxy.yaml; the commands are", "--config names the configuration file"]),
    (["-c", "x", "check"], ["The command stands in front of its options: culvert check"]),
    (["--confg", "x"], ["--confg"]),
], ids=" ".join)
def test_what_is_no_command_is_named_with_the_commands(tmp_path, arguments, words):
    done = culvert(*arguments, cwd=tmp_path)
    assert done.returncode == 64 and done.stdout == ""
    for word in words:
        assert word in done.stderr, done.stderr


@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_file_that_cannot_be_read_is_named(edge, tmp_path, command):
    result = culvert(command, "--config", tmp_path / "nowhere.yaml")
    assert result.returncode == 1 and result.stderr == (
        f"{tmp_path}/nowhere.yaml:1:1: cannot be read: No such file or directory; name the configuration with --config "
        "FILE, or begin with the sample, proxy.yaml of Culvert's sources\n")
    result = culvert(command, "--config", tmp_path)
    assert result.returncode == 1 and result.stderr == (
        f"{tmp_path}:1:1: cannot be read: it is a folder; name a file with --config FILE\n")
    config = tmp_path / "proxy.yaml"
    config.write_text(edge.config.read_text().replace(str(edge.cert), "lost.pem"))
    result = culvert(command, "--config", config)
    assert result.returncode == 1 and f"{tmp_path}/lost.pem" in result.stderr


def with_ports(edge, folder, **ports):
    """Another configuration, of free ports but for those given."""
    text = edge.config.read_text()
    for name in ("tls_port", "plain_port", "admin_port"):
        text = text.replace(f"127.0.0.1:{getattr(edge, name)}", f"127.0.0.1:{ports.get(name) or free_port()}")
    config = folder / "proxy.yaml"
    config.write_text(text)
    return config


@pytest.mark.parametrize("listener", ["tls_port", "plain_port", "admin_port"])
def test_a_port_in_use_is_named(edge, tmp_path, listener):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = culvert("serve", "--config", with_ports(edge, tmp_path, **{listener: port}))
    assert result.returncode == 1
    error = result.stderr.splitlines()[-1]
    assert f"127.0.0.1:{port}" in error and "Address already in use" in error


def test_a_second_server_on_the_same_port_does_not_start(edge, tmp_path):
    result = culvert("serve", "--config", with_ports(edge, tmp_path, tls_port=edge.tls_port), timeout=SOON)
    assert result.returncode == 1 and "Address already in use" in result.stderr
