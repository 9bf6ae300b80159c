"""Runs on a lab host: an OpenAI-compatible API over HTTPS, which lists a model named after the host it was asked as.

Arguments: NAME ADDRESS PORT CERTIFICATE KEY. A caller has to send the key that API_KEY holds; others get no list.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def main(name: str, address: str, port: str, certificate: str, key: str) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/":
                self.reply({"name": name})
            elif self.headers["Authorization"] != f"Bearer {os.environ['API_KEY']}":
                self.send_error(HTTPStatus.UNAUTHORIZED)
            else:
                model = f"{name}-asked-as-{self.headers['Host'].partition(':')[0]}"
                self.reply({"object": "list", "data": [{"id": model, "object": "model", "owned_by": name}]})

        def reply(self, document: Any) -> None:
            content = json.dumps(document).encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer((address, int(port)), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    # Not the listening socket's handshake: one client that is not content must not hold up the others.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
