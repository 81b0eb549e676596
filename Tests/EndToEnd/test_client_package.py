"""The browser client where programs are built: `culvert client --npm`, bundlers, Node.js, and TypeScript by URL."""

import json
import os
import re
import shutil
import subprocess

import pytest

from kit.edge import BIN, TOKEN, Edge
from kit.process import culvert
from kit.site import Site

FILES = ["README.md", "culvert.d.ts", "culvert.js", "package.json"]
ESBUILD, NODE, TSC = "/usr/bin/esbuild", "/usr/bin/node", "/usr/bin/tsc"


def source(kind):
    return subprocess.run([BIN, "client", "--source", kind], capture_output=True, timeout=20, check=True).stdout


def write(folder):
    done = culvert("client", "--npm", folder)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def run(program, *arguments, cwd):
    if not shutil.which(program):
        pytest.skip(f"needs {program}")
    return subprocess.run([program, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder in which the package is installed."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "package.json").write_text('{ "type": "module" }')
    write(folder / "node_modules/culvert")
    return folder


# --- the package -----------------------------------------------------------------------------------------------------

def test_a_package_has_what_the_edge_serves(tmp_path):
    folder = tmp_path / "made/for it"
    said = write(folder)
    assert str(folder) in said and said.count("\n") == 1
    assert sorted(file.name for file in folder.iterdir()) == FILES
    assert (folder / "culvert.js").read_bytes() == source("module")
    assert (folder / "culvert.d.ts").read_bytes() == source("types")
    facts = json.loads((folder / "package.json").read_text())
    assert (facts["name"], facts["type"], facts["license"], facts["private"]) == (
        "culvert", "module", "Apache-2.0", True)
    # npm takes no other kind of version.
    assert re.fullmatch(r"\d+\.\d+\.\d+", facts["version"])


def test_a_package_is_written_over_an_earlier_one(tmp_path):
    write(tmp_path)
    (tmp_path / "culvert.js").write_text("of an earlier build")
    write(tmp_path)
    assert (tmp_path / "culvert.js").read_bytes() == source("module")
    assert sorted(file.name for file in tmp_path.iterdir()) == FILES


def test_a_link_that_a_stranger_has_laid_is_not_followed(tmp_path):
    """The name of the file that is written first cannot be guessed from the process's number."""
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "package").mkdir()
    script = 'for name in "$@"; do ln -s ../victim "package/$name.$$.new"; done; exec "$BIN" client --npm package'
    done = subprocess.run(["sh", "-c", script, "sh", *FILES], cwd=tmp_path, env={**os.environ, "BIN": BIN}, timeout=20)
    assert done.returncode == 0 and (tmp_path / "victim").read_text() == "mine"
    assert all(not (tmp_path / "package" / name).is_symlink() for name in FILES)


@pytest.mark.parametrize("text", ['{ "name": "shop" }', "{}", "[]", "no JSON"])
def test_the_folder_of_another_package_is_left_alone(tmp_path, text):
    (tmp_path / "package.json").write_text(text)
    done = culvert("client", "--npm", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{tmp_path}/package.json: this is the file of another package")
    assert [file.name for file in tmp_path.iterdir()] == ["package.json"]
    assert (tmp_path / "package.json").read_text() == text


def test_a_folder_that_cannot_be_made_is_said_to_be_so(tmp_path):
    (tmp_path / "file").write_text("")
    for path in ("file", "file/below"):
        done = culvert("client", "--npm", tmp_path / path)
        assert done.returncode == 1 and "Domain" not in done.stderr
        assert done.stderr.startswith(f"{tmp_path}/{path}") and "cannot be written: Not a directory" in done.stderr


@pytest.mark.parametrize("options", [
    ["--npm", ""], ["--npm", "a", "--json"], ["--npm", "a", "--source", "module"],
    ["--npm", "a", "--origin", "https://edge.example"]])
def test_options_that_do_not_go_together_are_refused(tmp_path, options):
    assert culvert("client", *options, cwd=tmp_path).returncode == 64
    assert list(tmp_path.iterdir()) == []


# --- where programs are built ----------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def site():
    site = Site()
    yield site
    site.stop()


@pytest.fixture(scope="module")
def edge(backend, site, tmp_path_factory):
    route = f'  - {{ path: /page, upstream: echo, origins: {{ allow: ["{site.origin}"] }} }}'
    edge = Edge(tmp_path_factory.mktemp("edge"), backend.port, sections="client: /culvert.js", extra_routes=route)
    yield edge
    edge.end()


APP = """
import {{ CulvertSocket }} from "{module}";
globalThis.WebSocket = CulvertSocket.with({{ token: "{token}", transports: ["{transport}"] }});
const socket = new WebSocket("{url}");
socket.onopen = () => socket.send("hello");
socket.onmessage = ({{ data }}) => {{ globalThis.result = [data, socket.culvert.lane, WebSocket.name]; }};
"""


@pytest.mark.parametrize("transport", ["websocket", "polling"])
@pytest.mark.parametrize("how", ["package", "package, for older browsers", "URL"])
def test_a_bundle_works_in_a_page(browser, edge, site, project, how, transport):
    module = f"{edge.https}/culvert.js" if how == "URL" else "culvert"
    app = APP.format(module=module, token=TOKEN, transport=transport, url=edge.wss + "/page")
    (project / "app.js").write_text(app)
    # A bundler leaves a URL to the browser, for which the bundle has to be a module.
    form = {"URL": ["--format=esm"], "package": ["--format=iife"]}.get(how, ["--format=iife", "--target=es2020"])
    done = run(ESBUILD, "app.js", "--bundle", "--minify", *form, cwd=project)
    assert done.returncode == 0, done.stderr
    site.files["/app.js"] = "text/javascript", done.stdout.encode()
    site.add("/", f'<title>app</title><script {"type=module" if how == "URL" else ""} src="/app.js"></script>')
    browser.driver.get(site.origin + "/")
    assert browser.wait("return globalThis.result", what="an echo") == ["hello", transport, "WebSocket"]


def test_a_program_that_renders_pages_elsewhere_can_import_it_and_end(project):
    """Node.js would not end while the module listened to anything."""
    (project / "render.js").write_text('import CulvertSocket from "culvert";\nconsole.log(typeof CulvertSocket);\n')
    done = run(NODE, "render.js", cwd=project)
    assert (done.returncode, done.stdout, done.stderr) == (0, "function\n", "")


def test_a_socket_outside_of_a_browser_says_what_it_needs(project):
    """A SyntaxError about the URL would send its reader to the URL, which is right."""
    (project / "socket.js").write_text("""
import CulvertSocket from "culvert";
try {
  new CulvertSocket("wss://edge.example/chat");
} catch ({ name, message }) {
  console.log(name + ": " + message);
}
""")
    done = run(NODE, "socket.js", cwd=project)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Error: CulvertSocket needs a page or a worker\n", "")


# --- TypeScript ------------------------------------------------------------------------------------------------------

URL = "https://edge.example/culvert.js"
PROGRAM = """
import CulvertSocket, {{ CulvertSocket as Named }} from "{module}";
const socket: WebSocket = new CulvertSocket("/chat", [], {{ token: "secret" }});
const same: typeof CulvertSocket = Named;
const native: typeof WebSocket = CulvertSocket.with({{ resume: false }}).native;
export {{ socket, same, native }};
"""


@pytest.mark.parametrize("resolution, kind", [("node", "esnext"), ("node16", "node16")])
@pytest.mark.parametrize("module", ["culvert", URL])
def test_typescript_finds_the_types(project, module, resolution, kind):
    (project / "app.ts").write_text(PROGRAM.format(module=module))
    options = {"noEmit": True, "strict": True, "target": "es2022", "module": kind, "moduleResolution": resolution,
               "lib": ["es2022", "dom"], "types": []}
    if module == URL:
        options["paths"] = {URL: ["./node_modules/culvert/culvert.d.ts"]}
    config = project / "tsconfig.json"
    config.write_text(json.dumps({"compilerOptions": options, "files": ["app.ts"]}))
    done = run(TSC, "-p", config, cwd=project)
    assert (done.returncode, done.stdout) == (0, "")
    # They are the types, and nothing that takes whatever it is given.
    (project / "app.ts").write_text(PROGRAM.format(module=module).replace('"secret"', "5"))
    done = run(TSC, "-p", config, cwd=project)
    assert "app.ts(3," in done.stdout and done.stdout.count("error") == 1, done.stdout
