"""`python -m ... CERTIFICATE KEY`: a process with TLS, which prints its port.

It loads what config/grpc_server.py loads, in its order: gRPC reads its environment just once.
"""

# isort: off
import config.grpc_server  # noqa: F401  # loads everything else
# isort: on

import asyncio
import sys
from pathlib import Path

from inference.api.grpc.server import Secrets, Server, credentials


async def serve(certificate: str, key: str) -> None:
    server = Server([], [], largest=1024, grace_s=1, connections=10)
    secrets = Secrets(Path(certificate).read_bytes(), Path(key).read_bytes())
    port = server.listen("127.0.0.1:0", credentials(lambda: secrets))
    await server.start()
    print(port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
