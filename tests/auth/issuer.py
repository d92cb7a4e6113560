"""A real issuer for tests: an HTTP server with RSA and EC keys, which signs what it is asked to."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

NOW_S = 1_385_560_800.0


class Issuer:
    """Publishes keys at /keys, as its discovery document says; `asked` counts how often."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked = 0
        self.down = False
        self._private = {}
        self.published = []

    def add_rsa(self, key_id):
        self._add(key_id, rsa.generate_private_key(public_exponent=65537, key_size=2048), RSAAlgorithm, "RS256")

    def add_ec(self, key_id):
        self._add(key_id, ec.generate_private_key(ec.SECP256R1()), ECAlgorithm, "ES256")

    def _add(self, key_id, private, algorithm, name):
        self._private[key_id] = (private, name)
        public = json.loads(algorithm.to_jwk(private.public_key()))
        self.published.append({**public, "kid": key_id, "use": "sig", "alg": name})

    def sign(self, claims, key_id, **headers):
        private, name = self._private[key_id]
        return jwt.encode(claims, private, algorithm=name, headers={"kid": key_id, **headers})

    def answer(self, path):
        """Return a document, or None."""
        if self.down:
            return None
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        self.asked += path == "/keys"
        return {"keys": self.published} if path == "/keys" else None


@contextmanager
def running_issuer():
    """Serve an issuer on loopback while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            document = self.server.issuer.answer(self.path)
            body = json.dumps(document).encode()
            self.send_response(503 if document is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.issuer = Issuer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
