"""A server of an issuer's keys that says what a test tells it to, be it nonsense."""

import contextlib
import http.server
import json
import ssl
import threading

from kit.edge import make_certificate


def jwks(*keys):
    """A set (RFC 7517) of keys, each a `Key` or a JWK."""
    return {"keys": [key if isinstance(key, dict) else key.jwk for key in keys]}


class KeyServer:
    """Serves a set of `keys`, over TLS with a certificate in `folder`, or without TLS when there is none."""

    path = "/.well-known/jwks.json"

    def __init__(self, folder=None, keys=()):
        self.paths = []  # Of the requests that came.
        self.connections = 0
        self.context = self.ca = None
        if folder:
            self.ca, key = make_certificate(folder)
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(self.ca, key)
        self.stopping = threading.Event()
        self.server = None
        self.port = 0
        self.serve(*keys)
        self.start()

    @property
    def url(self):
        return f"{'https' if self.context else 'http'}://localhost:{self.port}{self.path}"

    @property
    def fetches(self):
        return len(self.paths)

    def source(self, **members):
        """The set as the configuration names it."""
        return {"url": self.url, **({"ca": str(self.ca)} if self.ca else {}), **members}

    # --- what it says ------------------------------------------------------------------------------------------------

    def serve(self, *keys):
        self.say(jwks(*keys))

    def say(self, body, status=200, type="application/json", **headers):
        body = body if isinstance(body, str) else json.dumps(body)

        def answer(handler):
            handler.send_response(status)
            for name, value in {"Content-Type": type, "Content-Length": len(body), **headers}.items():
                handler.send_header(name.replace("_", "-"), str(value))
            handler.end_headers()
            handler.wfile.write(body.encode())

        self.answer = answer

    def flood(self, *keys, size=10 << 20):
        """A good set, but for its size, of which nothing is said beforehand."""
        body = json.dumps(jwks(*keys))[:-1] + ', "more": "' + "x" * size + '"}'

        def answer(handler):
            self._begin_stream(handler)
            for at in range(0, len(body), 1 << 16):
                self._chunk(handler, body[at:at + (1 << 16)])
            self._chunk(handler, "")

        self.answer = answer

    def trickle(self, *keys, seconds=30):
        """A good set, a byte at a time."""
        body = json.dumps(jwks(*keys))

        def answer(handler):
            self._begin_stream(handler)
            for byte in body:
                self._chunk(handler, byte)
                if self.stopping.wait(seconds / len(body)):
                    return
            self._chunk(handler, "")

        self.answer = answer

    def break_off(self, *keys):
        """A good set, of which the last byte never comes."""
        body = json.dumps(jwks(*keys))

        def answer(handler):
            handler.send_response(200)
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body[:-1].encode())

        self.answer = answer

    def redirect(self, path, *keys):
        """There, a good set is served."""
        self.serve(*keys)
        there = self.answer
        self.say("", 302, Location=path)
        here = self.answer
        self.answer = lambda handler: (there if handler.path == path else here)(handler)

    @staticmethod
    def _begin_stream(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()

    @staticmethod
    def _chunk(handler, text):
        handler.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode())
        handler.wfile.flush()

    # --- the server --------------------------------------------------------------------------------------------------

    def start(self):
        """On the port of last time."""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 20

            def do_GET(self):
                # One request to a connection, so that one that is stopped answers nobody.
                self.close_connection = True
                outer.paths.append(self.path)
                outer.answer(self)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def verify_request(self, *_):
                outer.connections += 1
                return True

            def handle_error(self, *_):
                pass  # A client that hangs up.

        self.stopping.clear()
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        if self.context:
            # The handshake is the handler's, so that a client that hangs in it holds up no other.
            self.server.socket = self.context.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        """From now on connections are refused."""
        self.stopping.set()
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None


@contextlib.contextmanager
def key_server(folder=None, keys=()):
    server = KeyServer(folder, keys)
    try:
        yield server
    finally:
        server.stop()
