"""A client of Forebay's gRPC API: `python grpc_client.py ADDRESS KEY MODEL`.

Its stubs are made beforehand:

    python -m grpc_tools.protoc -I proto --python_out=. --grpc_python_out=. \\
        forebay/v1/inference.proto
"""

import sys

import grpc
from forebay.v1 import inference_pb2, inference_pb2_grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


def main(address: str, key: str, model: str) -> None:
    metadata = [("authorization", f"Bearer {key}")]
    with grpc.insecure_channel(address) as channel:  # grpc.secure_channel where it has TLS
        service = inference_pb2_grpc.InferenceServiceStub(channel)
        ask(service, metadata)
        stream(service, metadata, model)
        be_refused(service, metadata, model)


def ask(service: inference_pb2_grpc.InferenceServiceStub, metadata: list) -> None:
    request = inference_pb2.InferenceRequest(
        prompt="A forebay is", max_tokens=16, temperature=0.7, stop_words=["\n"]
    )
    answer, call = service.Inference.with_call(request, metadata=metadata, timeout=60)
    print(f"{answer.text!r} ({answer.finish_reason}, {answer.usage.total_tokens} tokens)")
    print("receipt:", dict(call.trailing_metadata())["x-audit-receipt"][:16], "…")


def stream(service: inference_pb2_grpc.InferenceServiceStub, metadata: list, model: str) -> None:
    """And reads it again from its second event on, as after a line that broke."""
    messages = [inference_pb2.ChatMessage(role="user", content="What is a forebay?")]
    request = inference_pb2.ChatRequest(model=model, messages=messages, max_tokens=32)
    last = None
    for event in service.ChatStream(request, metadata=metadata, timeout=60):
        print(event.text, end="", flush=True)
        last = event
    print(f" ({last.finish_reason}, event {last.number})")
    again = inference_pb2.ResumeRequest(request_id=last.request_id, after_event=1)
    heard = "".join(event.text for event in service.Resume(again, metadata=metadata, timeout=60))
    print("again:", heard)


def be_refused(
    service: inference_pb2_grpc.InferenceServiceStub, metadata: list, model: str
) -> None:
    try:
        service.Chat(inference_pb2.ChatRequest(model=model), metadata=metadata, timeout=60)
    except grpc.RpcError as error:
        print(error.code().name, "-", error.details())
        for detail in rpc_status.from_call(error).details:
            found = error_details_pb2.BadRequest()
            if detail.Unpack(found):
                print("wrong field:", found.field_violations[0].field)


if __name__ == "__main__":
    main(*sys.argv[1:])
