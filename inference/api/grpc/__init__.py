"""The gRPC front end. Imported before `grpc` itself, which reads its environment just once.

gRPC has no setting for the least version of TLS. Its list of ciphers is for TLS 1.2 alone; so it
gets one that nobody can agree on, since it needs a key that both know beforehand. TLS 1.3 stays,
with the ciphers that are its own.
"""

import os
import sys

IS_FIRST = "grpc" not in sys.modules
os.environ["GRPC_SSL_CIPHER_SUITES"] = "ECDHE-PSK-AES256-CBC-SHA"
os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # a line for each handshake that fails
