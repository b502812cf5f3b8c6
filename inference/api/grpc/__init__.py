"""The gRPC front end. It is imported before `grpc` itself, which reads its environment only once.

gRPC has no setting for the lowest version of TLS. Its list of ciphers is for TLS 1.2 only, so it
gets one that no client can use, because it needs a shared key. TLS 1.3 remains, with its own
ciphers.
"""

import os
import sys

IS_FIRST = "grpc" not in sys.modules
os.environ["GRPC_SSL_CIPHER_SUITES"] = "ECDHE-PSK-AES256-CBC-SHA"
os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # a line for each handshake that fails
