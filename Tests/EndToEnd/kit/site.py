"""A page's own origin, which is not the edge's."""

import http.server
import threading


class Site:
    """Serves `files`: path to (type, bytes)."""

    def __init__(self):
        self.files = files = {}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                kind, body = files.get(self.path, (None, b""))
                self.send_response(200 if kind else 404)
                self.send_header("Content-Type", kind or "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://localhost:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def add(self, path, document):
        self.files[path] = "text/html; charset=utf-8", f'<!doctype html><meta charset="utf-8">{document}'.encode()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
