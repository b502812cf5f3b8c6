"""A small HTTP server that behaves like a Vault's transit engine: aes256-gcm96, versions, AAD."""

import base64
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TOKEN = "s.just-for-tests"


class Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class TransitServer(ThreadingHTTPServer):
    """`encrypted` True: it answers 503, as a Vault does until somebody unseals it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.versions = [AESGCM.generate_key(256)]
        self.oldest = 1  # min_decryption_version
        self.ciphertext = False
        self.failures = 0  # answers that are still to be 500
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, method: str, path: str, token: str, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(f"{method} {path}")
        if self.ciphertext:
            raise Refusal(503, "Vault is encrypted")
        if self.failures:
            self.failures -= 1
            raise Refusal(500, "internal error")
        if token != TOKEN:
            raise Refusal(403, "permission denied")
        acts = {
            ("GET", "/v1/transit/keys/forebay"): self._key,
            ("POST", "/v1/transit/keys/forebay/rotate"): self._rotate,
            ("POST", "/v1/transit/encrypt/forebay"): self._encrypt,
            ("POST", "/v1/transit/decrypt/forebay"): self._decrypt,
        }
        if (method, path) not in acts:
            raise Refusal(404, "no handler for route")
        return acts[method, path](body)

    def _key(self, body: dict[str, Any]) -> dict[str, Any]:
        latest = len(self.versions)
        return {
            "name": "forebay",
            "type": "aes256-gcm96",
            "latest_version": latest,
            "min_decryption_version": self.oldest,
            "keys": {str(n): 1700000000 for n in range(self.oldest, latest + 1)},
        }

    def _rotate(self, body: dict[str, Any]) -> dict[str, Any]:
        self.versions.append(AESGCM.generate_key(256))
        return self._key(body)

    def _encrypt(self, body: dict[str, Any]) -> dict[str, Any]:
        nonce, bound = secrets.token_bytes(12), base64.b64decode(body["associated_data"])
        text = base64.b64decode(body["plaintext"])
        ciphertext = nonce + AESGCM(self.versions[-1]).encrypt(nonce, text, bound)
        latest = len(self.versions)
        told = f"vault:v{latest}:{base64.b64encode(ciphertext).decode()}"
        return {"ciphertext": told, "key_version": latest}

    def _decrypt(self, body: dict[str, Any]) -> dict[str, Any]:
        _, version, text = body["ciphertext"].split(":")
        number, bound = int(version[1:]), base64.b64decode(body["associated_data"])
        if not self.oldest <= number <= len(self.versions):
            raise Refusal(400, "ciphertext or signature version is disallowed by policy (too old)")
        try:
            ciphertext = base64.b64decode(text, validate=True)
            found = AESGCM(self.versions[number - 1]).decrypt(
                ciphertext[:12], ciphertext[12:], bound
            )
        except (InvalidTag, ValueError):
            raise Refusal(400, "cipher: message authentication failed") from None
        return {"plaintext": base64.b64encode(found).decode()}


class Handler(BaseHTTPRequestHandler):
    server: TransitServer

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        token = self.headers.get("X-Vault-Token", "")
        try:
            data = self.server.answer(method, self.path, token, json.loads(text or b"{}"))
            self._send(200, {"request_id": "1", "data": data})
        except Refusal as refusal:
            self._send(refusal.status, {"errors": [str(refusal)]})

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the screen."""


@contextmanager
def transit() -> Iterator[TransitServer]:
    server = TransitServer()
    thread = Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
