"""What things are called in OpenTelemetry, all in one place: the conventions for generative AI are still moving.

Spans and metrics of model calls have the names of semantic conventions 1.41, the last ones that were published; for guardrails
there is a proposal alone (open-telemetry/semantic-conventions-genai#427), whose attributes are used as they stand there. What
neither has a word for begins with `weir.`.
"""

from __future__ import annotations

SCOPE = "weir"

# -- HTTP, of the request itself
HTTP_METHOD = "http.request.method"
HTTP_ROUTE = "http.route"
HTTP_STATUS = "http.response.status_code"
ERROR_TYPE = "error.type"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"

# -- generative AI
OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
TOKEN_TYPE = "gen_ai.token.type"

OPERATIONS = {
    "chat/completions": "chat", "responses": "chat", "messages": "chat", "completions": "text_completion",
    "embeddings": "embeddings", "messages/count_tokens": "count_tokens",
}  # fmt: skip

DURATION = "gen_ai.client.operation.duration"  # seconds
DURATION_BUCKETS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS = "gen_ai.client.token.usage"
TOKENS_BUCKETS = tuple(4**power for power in range(14))

# -- guardrails, as proposed
APPLY_GUARDRAIL = "apply_guardrail"
GUARDRAIL = "gen_ai.guardrail.component.name"
GUARDRAIL_POLICY = "gen_ai.guardrail.policy.id"
GUARDRAIL_VERSION = "gen_ai.guardrail.policy.version"
GUARDRAIL_RULE = "gen_ai.guardrail.policy.rule.id"
GUARDRAIL_SOURCE = "gen_ai.guardrail.source"  # prompt or completion
GUARDRAIL_RESULT_TYPE = "gen_ai.guardrail.result.type"  # always `action`
GUARDRAIL_RESULT = "gen_ai.guardrail.result.value"  # pass, flag, redact, block
GUARDRAIL_CATEGORY = "gen_ai.guardrail.risk.category"
GUARDRAIL_SCORE = "gen_ai.guardrail.risk.score"
GUARDRAIL_EVENT = "gen_ai.guardrail.result"  # one a rule that spoke

# -- Weir's own
REQUEST_ID = "weir.request.id"
ROUTE = "weir.route"
KEY = "weir.key"
ACTION = "weir.action"  # on the prompt
ENDED = "weir.ended"  # done, blocked, refused, error, disconnected
ENFORCED = "weir.rule.enforced"
DECIDED_BY = "weir.rule.decided_by"  # pattern, classifier, judge, policy
THRESHOLD = "weir.rule.threshold"
NOT_INSPECTED = "weir.not_inspected"  # how often something was not judged
CLASSIFIER = "weir.classifier"  # the hash of the model
GUARD_DURATION = "weir.guard.duration"  # seconds, of the prompt or of an answer that is not streamed
