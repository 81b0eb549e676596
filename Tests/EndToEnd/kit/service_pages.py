"""Runs services with pages at the port of a `Front`. docs/services.md has their commands, and `Tests/services` installs
them."""

import contextlib
import re
import shutil
import sys

from kit.beside import running
from kit.edge import free_port, wait_for
from kit.services import APPS, need, python

COCKPIT = "/usr/lib/cockpit/cockpit-ws"
COCKPIT_PAGE = """<!doctype html>
<html><head><title>hello</title><meta charset="utf-8"><script src="../base1/cockpit.js"></script></head></html>
"""


@contextlib.contextmanager
def jupyter(folder, front):
    need(["jupyterlab", "ipykernel"])
    _, _, *options = front.command()
    variables = [f"JUPYTER_CONFIG_DIR={folder}", f"JUPYTER_RUNTIME_DIR={folder}"]
    with python(folder, front.service_port, "-m", "jupyterlab", *options, "--allow-root",
                "--IdentityProvider.token=secret", "--LabApp.expose_app_in_browser=True",
                f"--notebook-dir={folder}", variables=variables):
        yield


@contextlib.contextmanager
def streamlit(folder, front):
    need(["streamlit"])
    command = [APPS / "streamlit_app.py" if word == "app.py" else word for word in front.command()]
    with python(folder, front.service_port, "-m", *command, "--browser.gatherUsageStats", "false"):
        yield


@contextlib.contextmanager
def bokeh(folder, front):
    need(["bokeh"])
    folder.mkdir()
    shutil.copy(APPS / "bokeh_app.py", folder / "app.py")
    with python(folder, front.service_port, "-m", *front.command()):
        yield


@contextlib.contextmanager
def novnc(folder, front):
    """The page of noVNC, websockify, and a screen by TigerVNC; gives the screen's number for X."""
    need(["Xlib"], ["Xtigervnc", "websockify"])
    (folder / "screen").mkdir(parents=True)
    vnc = free_port()
    screen = ["Xtigervnc", "-displayfd", "1", "-rfbport", vnc, "-localhost", "-SecurityTypes", "None", "-ac",
              "-geometry", "640x400", "-depth", "24", "-AlwaysShared"]
    page = [word.replace(":5900", f":{vnc}") for word in front.command()]
    with running(screen, vnc, folder / "screen"), running(page, front.service_port, folder):
        log = folder / "screen/other.log"
        yield wait_for(lambda: re.search(r"^\d+$", log.read_text(), re.M), what="the number of the screen")[0]


@contextlib.contextmanager
def cockpit(folder, front):
    """Cockpit with one page, `hello`, and one user, `tester`."""
    need((), [COCKPIT, "cockpit-bridge"])
    package, config = folder / "cockpit/hello", folder / "cockpit/cockpit.conf"
    package.mkdir(parents=True)
    (package / "manifest.json").write_text('{ "menu": { "index": { "label": "Hello" } } }')
    (package / "index.html").write_text(COCKPIT_PAGE)
    login = folder / "login"
    login.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{APPS / "cockpit_session.py"}"\n')
    login.chmod(0o755)
    config.write_text(front.documented("ini") + f"[Basic]\nCommand = {login}\n")
    variables = [f"XDG_CONFIG_DIRS={folder}", f"XDG_DATA_HOME={folder}"]
    with running(["/usr/bin/env", *variables, *front.command()], front.service_port, folder):
        yield
