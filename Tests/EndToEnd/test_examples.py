"""What the documents show to somebody who writes a client works as it stands."""

import pathlib
import re
import subprocess

from kit.edge import TOKEN

DOCS = pathlib.Path(__file__).parents[2] / "docs"


# --- the curl session of protocol.md ---------------------------------------------------------------------------------

def transcript(document):
    """(command, what it prints) of every `console` block: commands begin with `$ `."""
    steps = []
    for block in re.findall(r"^```console\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL):
        for line in filter(None, block.splitlines()):
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
    return steps


def run_in_one_shell(commands, folder):
    """What each command prints, line by line; a mark of our own tells where one ends."""
    mark = "-- end of a command --"
    script = "".join(f"{command}\nprintf '%s\\n' '{mark}'\n" for command in commands)
    ran = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    return [part.split("\n")[:-1] for part in ran.stdout.replace(f"{mark}\n", mark).split(mark)[:-1]]


def test_the_curl_session_prints_what_the_document_says(edge, tmp_path):
    steps = transcript(DOCS / "protocol.md")
    said = [lines for _, lines in steps]
    for status in ("201", "200", "409", "204", "410"):
        assert any(lines[-1:] == [status] for lines in said), f"no {status} is shown"

    placed = {"edge.pem": str(edge.cert), "TOKEN": TOKEN, "localhost:8443": f"localhost:{edge.tls_port}"}
    commands = [command for command, _ in steps]
    for word, value in placed.items():
        assert any(word in command for command in commands)
        commands = [command.replace(word, value) for command in commands]

    printed = run_in_one_shell(commands, tmp_path)
    identifier = re.compile(r'"session":"[\w-]{28}"')
    assert any(identifier.search(line) for lines in printed for line in lines)
    printed = [[identifier.sub('"session":"AQAB…"', line) for line in lines] for lines in printed]
    assert list(zip(commands, printed)) == list(zip(commands, said))
