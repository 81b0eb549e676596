"""One host as docs/services.md divides it: nginx gives the paths of a service's WebSockets to Culvert, and the rest to
the service."""

import contextlib
import ssl

import httpx

from kit.beside import DocumentedEdge, Place, nginx
from kit.edge import TOKEN, free_port, make_certificate
from kit.services import command, documented, let_other_in

SHARED, BLOCKED = "Pages and WebSockets under one host", "Where WebSockets are blocked"
UPGRADE = "proxy_set_header Upgrade $http_upgrade;"


class Front:
    """The host of a service. `heading` is its section of the document, in which the service has `documented_port`.

    With `is_blocked` no WebSocket gets through, and the pages have the lines that the document has for that."""

    def __init__(self, folder, heading, documented_port, is_blocked=False):
        self.heading, self.documented_port, self.is_blocked = heading, documented_port, is_blocked
        folder.mkdir(exist_ok=True)
        self.service_port = port = free_port()
        self.place = Place(folder, make_certificate(folder), port)
        self.origin = f"https://localhost:{self.place.front}"
        self.place.words += [
            (f"127.0.0.1:{documented_port}", f"127.0.0.1:{port}"), ("https://app.example.com", self.origin)]

    @property
    def trust(self):
        return ssl.create_default_context(cafile=str(self.place.cert))

    def documented(self, language, heading=None, nth=0):
        """A block of the service's section, or of another, with the names, ports and files of this host."""
        return self.place.fill(documented(heading or self.heading, language, nth))

    def command(self):
        """The command by which the document starts the service, as it has to be for this host."""
        words = command(self.heading, self.documented_port, self.service_port)
        host = self.origin.removeprefix("https://")
        return [{"https://app.example.com": self.origin, "app.example.com": host}.get(word, word) for word in words]

    @contextlib.contextmanager
    def running(self):
        place = self.place
        server, to_culvert = (self.documented("nginx", SHARED, nth) for nth in range(2))
        service = self.documented("nginx")
        if self.is_blocked:
            service += self.documented("nginx", BLOCKED)
            assert UPGRADE in to_culvert
            to_culvert = to_culvert.replace(UPGRADE, "")
        (place.folder / "service.conf").write_text(service)
        (place.folder / "culvert.conf").write_text(to_culvert)
        # nginx reads files whose names are relative from the folder of its own configuration.
        text = self.documented("yaml", SHARED) + self.documented("yaml")
        self.edge = DocumentedEdge(place.folder, let_other_in(text, self.origin))
        try:
            with nginx(place, server, place.front):
                yield self
        finally:
            self.edge.end()

    def enter(self, browser):
        """Gives the browser the cookie that a login would give it, and nothing else of the host."""
        browser.driver.get(self.origin + "/culvert.js")
        browser.driver.delete_all_cookies()
        browser.driver.execute_script("localStorage.clear()")
        browser.driver.add_cookie({"name": "culvert_token", "value": TOKEN, "secure": True, "path": "/"})

    def check(self, path, sessions=1):
        """That the service was reached through Culvert, as this host allows, and that nobody else gets in."""
        opened = self.edge.expect_events("session opened", sessions)
        transports = {event["transport"] for event in opened}
        assert transports == ({"long-poll"} if self.is_blocked else {"websocket"}), opened
        with httpx.Client(base_url=self.origin, verify=False, timeout=20) as http:
            own = {"Origin": self.origin}
            assert http.post(path + "/_poll", headers=own).status_code == 401
            token = {"Authorization": f"Bearer {TOKEN}"}
            assert http.post(path + "/_poll", headers={**token, "Origin": "https://evil.example"}).status_code == 403
            # A service that is asked without Culvert does not see a WebSocket.
            answer = http.get(path + "-not", headers={**own, "Upgrade": "websocket", "Connection": "Upgrade"})
            assert answer.status_code != 101
