"""culvert.d.ts, by what TypeScript's own compiler says of programs that use it."""

import re
import shutil
import subprocess

import pytest

from kit.edge import BIN

TSC = "/usr/bin/tsc"
PREAMBLE = 'import CulvertSocket, { CulvertSocket as Named } from "./culvert";\n'

GOOD = {
    "as a WebSocket": """
const Replacement: typeof WebSocket = CulvertSocket;
globalThis.WebSocket = CulvertSocket;
globalThis.WebSocket = CulvertSocket.with({ token: "secret" });
const same: typeof CulvertSocket = Named;
const socket: WebSocket = new CulvertSocket("wss://edge.example/chat");
function use(socket: WebSocket): Promise<MessageEvent> {
  socket.binaryType = "arraybuffer";
  return new Promise((resolve) => { socket.onmessage = resolve; });
}
use(new CulvertSocket(new URL("wss://edge.example/chat"), ["a", "b"]));
export { Replacement, same, socket };
""",
    "by its interface": """
const socket = new CulvertSocket("/chat", "chat.v2");
const states: number[] = [CulvertSocket.CONNECTING, CulvertSocket.OPEN, socket.CLOSING, socket.CLOSED];
socket.onopen = () => socket.send("text");
socket.onclose = ({ code, reason, wasClean }) => console.log(code + 1, reason.length, !wasClean);
socket.addEventListener("message", (event) => console.log(event.data, event.origin));
socket.addEventListener("lane", (event) => console.log(event.detail.lane, event.detail.reason), { once: true });
socket.send(new Uint8Array(3));
socket.send(new ArrayBuffer(3));
socket.send(new Blob(["a"]));
socket.close(4000, "bye");
const buffered: number = socket.bufferedAmount;
const facts: { lane: string | null; latency: number | null; reconnects: number } = socket.culvert;
socket.culvert.cut();
export { states, buffered, facts };
""",
    "with its options": """
new CulvertSocket("/chat", [], {
  transports: ["websocket", "polling"], resume: false, timeout: 5000, remember: 0, maxBuffered: 1 << 20,
  tokenIn: "header", token: async () => (await fetch("/token")).text(),
});
new CulvertSocket("/chat", undefined, { token: () => "secret", fetch: globalThis.fetch, WebSocket });
CulvertSocket.defaults = { token: "secret", transports: ["polling"] };
class Chat extends CulvertSocket.with({ resume: false }) {
  say(text: string): void { this.send(text); }
}
new Chat("/chat").say("hello");
""",
}

# One a line.
BAD = [
    "new CulvertSocket();",
    'new CulvertSocket("/", [], { transports: ["pigeon"] });',
    'new CulvertSocket("/", [], { tokens: "secret" });',
    'new CulvertSocket("/", [], { token: 5 });',
    'new CulvertSocket("/", [], { tokenIn: "cookie" });',
    'new CulvertSocket("/").send(5);',
    'new CulvertSocket("/").readyState = 1;',
    'new CulvertSocket("/").culvert.lane = null;',
    'new CulvertSocket("/").close("bye");',
    'new CulvertSocket("/").binaryType = "text";',
]


def compile(folder, program, *options, library="es2022,dom"):
    if not shutil.which(TSC):
        pytest.skip(f"needs {TSC}")
    types = subprocess.run([BIN, "client", "--source", "types"], capture_output=True, timeout=20, check=True).stdout
    (folder / "culvert.d.ts").write_bytes(types)
    (folder / "program.ts").write_text(PREAMBLE + program)
    return subprocess.run(
        [TSC, "--noEmit", "--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "node",
         "--lib", library, *options, "program.ts"],
        cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("name", GOOD)
def test_programs_that_are_right_compile(tmp_path, name):
    done = compile(tmp_path, GOOD[name])
    assert (done.returncode, done.stdout) == (0, "")


def test_a_worker_has_it_too(tmp_path):
    done = compile(tmp_path, GOOD["by its interface"], library="es2022,webworker")
    assert (done.returncode, done.stdout) == (0, "")


def test_all_mistakes_are_found(tmp_path):
    done = compile(tmp_path, "\n".join(BAD) + "\n")
    found = {int(line) for line in re.findall(r"(?m)^program\.ts\((\d+),", done.stdout)}
    # The first line imports.
    assert found == set(range(2, 2 + len(BAD))), done.stdout
