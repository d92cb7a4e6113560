"""A real HTTP server on loopback that takes notices and answers as it is told."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hook:
    """`statuses` are answered in turn, the last one for ever; a tuple is (status, headers); None hangs up."""

    def __init__(self, statuses):
        self.statuses = list(statuses)
        self.bodies = []
        self.url = ""

    def next_answer(self):
        answer = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return answer if isinstance(answer, tuple) else (answer, {})


@contextmanager
def webhook(statuses):
    """Serve while the block runs; yields the `Hook`."""
    hook = Hook(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            hook.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            status, headers = hook.next_answer()
            if status is None:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hook.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()
