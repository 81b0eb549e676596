"""Chromium, the pages that it opens, and how the client's script gets there."""

import http.server
import shutil
import ssl
import subprocess
import threading
import time

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from kit.edge import BIN, TOKEN, make_certificate

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"


def served_script(kind="module"):
    """What the edge serves."""
    client = [BIN, "client", "--source", kind]
    return subprocess.run(client, capture_output=True, timeout=20, check=True).stdout.decode()


# What a test's own script finds in its page. `log` notes events in order; all promises fail after 40 s.
KIT = """
const within = (promise, what) => Promise.race([promise, new Promise((_, reject) =>
  setTimeout(() => reject(new Error("timed out waiting for " + what)), 40000))]);
const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));
const once = (target, type) => within(new Promise((resolve) =>
  target.addEventListener(type, resolve, { once: true })), type);
const until = async (condition, what = String(condition)) => {
  for (const end = Date.now() + 40000; !(await condition()); await pause(20)) {
    if (Date.now() > end) throw new Error("timed out waiting for " + what);
  }
};
const opened = async (socket) => {
  if (socket.readyState === 0) {
    await Promise.race([once(socket, "open"), once(socket, "close").then((event) => {
      throw new Error("closed with " + event.code + " " + event.reason);
    })]);
  }
  return socket;
};
const ended = ({ code, reason, wasClean }) => ({ code, reason, wasClean });
const closed = async (socket) => ended(await once(socket, "close"));
const log = (socket) => {
  const events = [];
  for (const type of ["open", "message", "error", "close"]) {
    socket.addEventListener(type, (event) => events.push(
      type === "message" ? "message " + event.data : type === "close" ? "close " + event.code : type));
  }
  return events;
};
const received = (socket) => {
  const messages = [];
  socket.addEventListener("message", (event) => messages.push(event.data));
  return messages;
};
const exception = (run) => {
  try { run(); return null; } catch (error) { return error.name; }
};
"""

PAGES = {
    "/": ("text/html", '<!doctype html><title>page</title><script src="/kit.js"></script>'
                       '<script type="module" src="/setup.js"></script>'),
    "/other": ("text/html", "<!doctype html><title>other</title>"),
    "/kit.js": ("text/javascript", KIT),
    "/setup.js": ("text/javascript", "import CulvertSocket from '/culvert.js';\n"
                                     "globalThis.CulvertSocket = CulvertSocket;\n"),
    "/strict": ("text/html", '<!doctype html><title>strict</title><script type="module" src="/setup.js"></script>'
                             '<script type="module" src="/strict.js"></script>'),
    # The page's URL says where to connect and how; what came of it is left in an attribute.
    "/strict.js": ("text/javascript", """
const transport = location.hash.slice(1);
const broken = [];
addEventListener("securitypolicyviolation", (event) => broken.push(event.violatedDirective));
const isPlain = transport === "plain";
const s = new CulvertSocket(location.search.slice(1), [], {
  token: "e2e-token-of-alice", resume: !isPlain, transports: [isPlain ? "websocket" : transport] });
s.onopen = () => s.send("hi");
s.onmessage = ({ data }) => {
  document.documentElement.dataset.said = JSON.stringify([data, s.culvert.lane, broken]);
};
"""),
    "/worker.js": ("text/javascript", KIT + """
import("/culvert.js").then(({ CulvertSocket }) => {
  globalThis.CulvertSocket = CulvertSocket;
  postMessage("ready");
});
onmessage = async ({ data: [url, options] }) => {
  const socket = new CulvertSocket(url, [], options);
  socket.binaryType = "arraybuffer";
  socket.onclose = (event) => postMessage(["close", event.code]);
  await opened(socket);
  const got = received(socket);
  for (let n = 0; n < 100; n += 1) socket.send("m" + n);
  await until(() => got.length === 100, "100 messages");
  postMessage([socket.culvert.lane, got]);
  socket.close(1000);
};
"""),
}


class PageServer:
    """HTTPS on an origin of its own; `policy` is the Content-Security-Policy of what it serves."""

    def __init__(self, folder):
        folder.mkdir(exist_ok=True)
        cert, key = make_certificate(folder)
        pages, script = self, served_script()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                path = self.path.split("?")[0]
                kind, body = ("text/javascript", script) if path == "/culvert.js" else PAGES.get(path, (None, ""))
                self.send_response(200 if kind else 404)
                self.send_header("Content-Type", kind or "text/plain")
                self.send_header("Content-Length", str(len(body.encode())))
                if pages.policy:
                    self.send_header("Content-Security-Policy", pages.policy)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        self.policy = None
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(cert, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.origin = f"https://localhost:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def page_routes(pages):
    """Routes that let the pages in: with a token below /page, without below /free, over one transport alone."""
    origins = f'origins: {{ allow: ["{pages.origin}"] }}'
    return f"""
  - {{ path: /page, upstream: echo, {origins} }}
  - {{ path: /free, upstream: echo, authentication: none, {origins} }}
  - {{ path: /no-poll, upstream: echo, authentication: none, transports: [websocket], {origins} }}
  - {{ path: /no-socket, upstream: echo, authentication: none, transports: [long-poll], {origins} }}
"""


class Browser:
    """One Chromium. `run` gives a script's result, or fails with its error."""

    def __init__(self, profile):
        if not (shutil.which(CHROMIUM) and shutil.which(DRIVER)):
            pytest.skip(f"needs {CHROMIUM} and {DRIVER}")
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking",
                         "--no-first-run", "--ignore-certificate-errors",
                         "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost", f"--user-data-dir={profile}"):
            options.add_argument(argument)
        options.set_capability("acceptInsecureCerts", True)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        self.driver.set_script_timeout(90)

    def open(self, pages, path="/", is_fresh=True):
        """A page in which nothing is remembered; the one that is there, if that will do."""
        if is_fresh or self.driver.current_url != pages.origin + path:
            self.driver.get(pages.origin + path)
        self.wait_ready()
        self.driver.execute_script("localStorage.clear()")

    def wait_ready(self):
        self.wait("return typeof CulvertSocket === 'function'", what="the page's script")

    def wait(self, script, *arguments, what=None, timeout=30):
        end = time.monotonic() + timeout
        while not (value := self.driver.execute_script(script, *arguments)):
            assert time.monotonic() < end, f"timed out waiting for {what or script}"
            time.sleep(0.05)
        return value

    def run(self, script, *arguments):
        answer = self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "(async (...given) => {" + script + "})(...[...arguments].slice(0, -1)).then("
            "(value) => done({ value }), (error) => done({ error: String(error?.stack || error) }));", *arguments)
        assert "error" not in answer, answer["error"]
        return answer.get("value")

    def console(self):
        return self.driver.get_log("browser")

    def quit(self):
        self.driver.quit()


def options(transport="both", **more):
    """Options of a CulvertSocket, to be given to a script."""
    transports = {"both": ["websocket", "polling"], "plain": ["websocket"]}.get(transport, [transport])
    return {"transports": transports, "token": TOKEN, "resume": transport != "plain", **more}

