"""An identity provider on loopback that answers whatever a test wants."""

import json
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from django.test import Client

CLIENT_ID = "forebay"
KEY = "no party checks this signature: the token comes from the token endpoint itself"
Page = Callable[[BaseHTTPRequestHandler], None]


class HostileProvider:
    """Answers honestly by default; `pages` holds other answers by path, `requests` what came."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {}
        self.token_claims: dict[str, Any] = {}
        self.token: dict[str, Any] = {}
        self.discovery: dict[str, Any] = {}
        self.pages: dict[str, Page] = {}
        self.requests: list[tuple[str, str]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def person(self, **claims: Any) -> None:
        self.claims = {"sub": "alice", "email": "alice@acme.example", "email_verified": True}
        self.claims |= claims

    def sign_in(self, client: Client, who: str = "hostile", query: str = "") -> Any:
        """Walks the browser's way: our button, the provider's redirect, our callback."""
        answer = client.post(f"/login/with/{who}/?process=login{query}")
        target = urlsplit(answer["Location"])
        if "state" not in parse_qs(target.query):
            return answer
        state = parse_qs(target.query)["state"][0]
        self.nonce = parse_qs(target.query).get("nonce", [""])[0]
        return client.get(f"/login/with/{who}/callback/?code=c&state={state}")

    def _answer(self, path: str) -> dict[str, Any]:
        if path == "/.well-known/openid-configuration":
            ends = {f"{name}_endpoint": f"{self.url}/{name}" for name in _ENDPOINTS}
            return {"issuer": self.url, "jwks_uri": f"{self.url}/jwks", **ends, **self.discovery}
        if path == "/token":
            token = {"access_token": "a", "token_type": "Bearer", "id_token": self._id_token()}
            return token | self.token
        return self.claims if path == "/userinfo" else {}

    def _id_token(self) -> str:
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT_ID, "iat": now, "exp": now + 60}
        claims |= {"nonce": getattr(self, "nonce", "")} if getattr(self, "nonce", "") else {}
        return jwt.encode(claims | self.claims | self.token_claims, KEY, algorithm="HS256")

    def _handler(provider) -> type[BaseHTTPRequestHandler]:  # noqa: N805  # the handler's is self
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length).decode()
                path = urlsplit(self.path).path
                provider.requests.append((path, body))
                page = provider.pages.get(path)
                page(self) if page else send(self, json.dumps(provider._answer(path)).encode())

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                """Prints nothing."""

        return Handler


_ENDPOINTS = ("authorization", "token", "userinfo")


def send(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
