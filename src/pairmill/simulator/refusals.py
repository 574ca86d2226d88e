"""Errors with their own HTTP status, and the bodies that servers send."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["REFUSALS", "SimulatedReply", "quota_gone"]


@dataclass(frozen=True, slots=True)
class SimulatedReply:
    """A status and a body; a body that is not a string is sent as JSON."""

    status: int
    body: Any
    content_type: str = "application/json"


def _error(message: str, kind: str, code: str | None = None, param: str | None = None) -> Any:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


_QUOTA_TEXT = (
    "You exceeded your current quota, please check your plan and billing details. For more "
    "information on this error, read the docs."
)
_GATEWAY = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"

REFUSALS: dict[str, SimulatedReply] = {
    "bad_gateway": SimulatedReply(502, _GATEWAY.replace("{0}", "502 Bad Gateway"), "text/html"),
    "bad_key": SimulatedReply(
        401,
        _error(
            "Incorrect API key provided: sk-sim***.", "invalid_request_error", "invalid_api_key"
        ),
    ),
    "conflict": SimulatedReply(409, _error("The resource is locked.", "conflict_error")),
    "content_filter": SimulatedReply(
        400,
        _error(
            "The response was filtered due to the prompt triggering a content management policy.",
            "invalid_request_error",
            "content_filter",
            "prompt",
        ),
    ),
    "context_too_long": SimulatedReply(
        400,
        _error(
            "This model's maximum context length is 8192 tokens. Please reduce the length of the "
            "messages.",
            "invalid_request_error",
            "context_length_exceeded",
            "messages",
        ),
    ),
    "forbidden": SimulatedReply(
        403, _error("Project does not have access.", "invalid_request_error")
    ),
    "gateway_timeout": SimulatedReply(
        504, _GATEWAY.replace("{0}", "504 Gateway Time-out"), "text/html"
    ),
    "insufficient_quota": SimulatedReply(
        429, _error(_QUOTA_TEXT, "insufficient_quota", "insufficient_quota")
    ),
    "loading": SimulatedReply(
        503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
    ),
    "model_not_found": SimulatedReply(
        404,
        _error(
            "The model does not exist or you do not have access to it.",
            "invalid_request_error",
            "model_not_found",
        ),
    ),
    "overloaded": SimulatedReply(
        503, _error("The server is overloaded or not ready yet.", "server_error")
    ),
    "overloaded_529": SimulatedReply(
        529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    ),
    "payload_too_large": SimulatedReply(413, _error("Request too large.", "invalid_request_error")),
    "payment_required": SimulatedReply(
        402, {"error": {"message": "Insufficient credits. Add more to go on.", "code": 402}}
    ),
    "resource_exhausted": SimulatedReply(
        503, {"error": {"code": 503, "message": "Try again.", "status": "RESOURCE_EXHAUSTED"}}
    ),
    "server_error": SimulatedReply(
        500,
        _error("The server had an error while processing your request.", "server_error"),
    ),
    "tgi_overloaded": SimulatedReply(
        429, {"error": "Model is overloaded", "error_type": "overloaded"}
    ),
    "together_capacity": SimulatedReply(
        503, {"error": {"message": "No capacity for this model.", "type": "service_unavailable"}}
    ),
    "unknown_parameter": SimulatedReply(
        400,
        _error(
            "Unsupported parameter: 'max_tokens' is not supported with this model.",
            "invalid_request_error",
            "unsupported_parameter",
            "max_tokens",
        ),
    ),
    "unprocessable": SimulatedReply(
        422, {"error": "Input validation error", "error_type": "validation"}
    ),
}
"""Map of fault name to the reply of OpenAI, or of the server that it is named after."""

_PER_DAY = {
    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
    "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}],
}
_RETRY_SOON = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "22s"}
_QUOTA_GONE: dict[str, SimulatedReply] = {
    "anthropic": SimulatedReply(
        400,
        {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": "Your credit balance is too low to access the API. Please go to Plans & "
                "Billing to upgrade or purchase credits.",
            },
        },
    ),
    "gemini": SimulatedReply(
        429,
        [
            {
                "error": {
                    "code": 429,
                    "message": _QUOTA_TEXT,
                    "status": "RESOURCE_EXHAUSTED",
                    "details": [_PER_DAY, _RETRY_SOON],
                }
            }
        ],
    ),
    "openrouter": REFUSALS["payment_required"],
}


def quota_gone(dialect: str) -> SimulatedReply:
    """Return this dialect's refusal that no wait can help: money or daily allowance are used up."""
    return _QUOTA_GONE.get(dialect, REFUSALS["insufficient_quota"])
