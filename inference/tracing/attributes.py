"""Names of span attributes, from OpenTelemetry's conventions where they have one.

They are repeated here, so that nothing of OpenTelemetry is imported while traces are off; a test
compares them with its own lists.
"""

ERROR_TYPE = "error.type"
HTTP_METHOD = "http.request.method"
HTTP_ROUTE = "http.route"
HTTP_STATUS = "http.response.status_code"
RPC_SYSTEM = "rpc.system.name"
RPC_METHOD = "rpc.method"
RPC_STATUS = "rpc.response.status_code"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"  # seconds
INPUT_TOKENS = "gen_ai.usage.input_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"

# Forebay's own, which no convention has.
REQUEST_ID = "forebay.request.id"
TENANT_ID = "forebay.tenant.id"  # only for those in FOREBAY_TRACES_TENANTS
FRONT_END = "forebay.front_end"
CLASS = "forebay.class"
POOL = "forebay.pool"
ENGINE = "forebay.engine"
ATTEMPT = "forebay.attempt"
PREEMPTIONS = "forebay.preemptions"
STATE = "forebay.state"
CACHE = "forebay.cache"
REFUSAL = "forebay.refusal"
BATCH = "forebay.batch.id"
LINE = "forebay.batch.line"
