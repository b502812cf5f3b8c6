"""`python -m ... CERTIFICATE KEY`: a process with TLS, which prints its port.

As config/grpc_server.py starts: gRPC reads its environment just once.
"""

# isort: off
from inference.api.grpc.credentials import credentials
# isort: on

import asyncio
import sys

from inference.api.grpc.server import Server


async def serve(certificate: str, key: str) -> None:
    server = Server([], [], largest=1024, grace_s=1, connections=10)
    port = server.listen("127.0.0.1:0", credentials(certificate, key))
    await server.start()
    print(port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
