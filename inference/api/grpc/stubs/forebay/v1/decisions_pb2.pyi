from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DecideRequest(_message.Message):
    __slots__ = ("policy", "person", "input")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    PERSON_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    policy: str
    person: str
    input: str
    def __init__(self, policy: _Optional[str] = ..., person: _Optional[str] = ..., input: _Optional[str] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("id", "created_at", "policy", "version", "challenger", "outcome", "score", "raw_score", "review_at", "block_at", "source", "fallback", "reasons", "deadline_ms", "latency_ms", "completion")
    ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CHALLENGER_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    RAW_SCORE_FIELD_NUMBER: _ClassVar[int]
    REVIEW_AT_FIELD_NUMBER: _ClassVar[int]
    BLOCK_AT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_FIELD_NUMBER: _ClassVar[int]
    id: str
    created_at: int
    policy: str
    version: int
    challenger: bool
    outcome: str
    score: float
    raw_score: float
    review_at: float
    block_at: float
    source: str
    fallback: str
    reasons: _containers.RepeatedCompositeFieldContainer[DecisionReason]
    deadline_ms: int
    latency_ms: int
    completion: str
    def __init__(self, id: _Optional[str] = ..., created_at: _Optional[int] = ..., policy: _Optional[str] = ..., version: _Optional[int] = ..., challenger: _Optional[bool] = ..., outcome: _Optional[str] = ..., score: _Optional[float] = ..., raw_score: _Optional[float] = ..., review_at: _Optional[float] = ..., block_at: _Optional[float] = ..., source: _Optional[str] = ..., fallback: _Optional[str] = ..., reasons: _Optional[_Iterable[_Union[DecisionReason, _Mapping]]] = ..., deadline_ms: _Optional[int] = ..., latency_ms: _Optional[int] = ..., completion: _Optional[str] = ...) -> None: ...

class DecisionReason(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...
