"""The kinds of the scenarios in other words, statuses, parameters and marks than theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.support.scenarios import CHUNKS, Case, cases, check, play_again

from pairmill.simulator import Reply, Rule, SimulatorSettings, When

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

SHORT = {"timeout_s": 2.0, "endpoint_wait_s": 8.0}
PROBES = 4


def told(reply: Reply, when: When | None = None, **settings: Any) -> SimulatorSettings:
    return SimulatorSettings(rules=(Rule(reply, when or When()),), **settings)


def gone(name: str, status: int, body: Any, says: str) -> Case:
    """After twelve good answers the account is empty, and stays so."""
    reply = Reply(status=status, body=body, billed=False)
    return Case(
        name, (75,), 8, says=(says,), refused=2 * CHUNKS, bills=1,
        told=told(reply, When(after=12)),
    )  # fmt: skip


@cases(
    gone("fastapi", 402, {"detail": "Your wallet holds no funds."}, "holds no funds"),
    gone(
        "google",
        403,
        [
            {
                "error": {
                    "code": 403,
                    "status": "PERMISSION_DENIED",
                    "message": "This API method requires billing to be enabled. Please do so.",
                }
            }
        ],
        "requires billing",
    ),
    gone(
        "cloudflare",
        429,
        {
            "success": False,
            "errors": [
                {
                    "code": 4006,
                    "message": "you have used up your daily free allocation of 10,000 neurons",
                }
            ],
        },
        "daily free allocation",
    ),
    gone(
        "inside 200",
        200,
        {"error": {"code": 402, "message": "Add credits to go on"}},
        "Add credits",
    ),
    gone(
        "perplexity",
        401,
        {"error": {"type": "insufficient_quota", "message": "Top up to go on", "code": 401}},
        "Top up",
    ),
    gone(
        "subscription",
        403,
        {"message": "The subscription of this workspace ended on 1 May."},
        "subscription",
    ),
    gone(
        "kredit",
        400,
        {"error": "Das Kontingent ist aufgebraucht, bitte Guthaben aufladen"},
        "Guthaben",
    ),
    gone(
        "korean",
        403,
        {"error": {"message": "\ud06c\ub808\ub527\uc774 \ubd80\uc871\ud569\ub2c8\ub2e4"}},
        "403",
    ),
    gone("in words", 429, {"detail": "You hit your limit. It resets in 5h 12m."}, "wait until"),
    gone(
        "nested",
        429,
        {
            "error": {
                "message": "Provider returned error",
                "metadata": {
                    "raw": '{"error":{"message":"Your prepayment credits are depleted."}}'
                },
            }
        },
        "credits are depleted",
    ),
)
def test_money_that_is_gone_stops_the_run_and_costs_no_chunk(case: Case, tmp_path: Path) -> None:
    first = check(case, tmp_path)
    second = play_again(tmp_path)
    assert (second.code, second.chunks, second.lost) == (0, CHUNKS, 0), second.said
    assert second.report["billed"] <= CHUNKS - first.chunks + 3


def learned(
    name: str, status: int, body: Any, refused: int = 12, settings: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None, **when: Any,
) -> Case:  # fmt: skip
    return Case(
        name, refused=refused, billed=CHUNKS + 10, bills=PROBES, settings=settings or {},
        told=told(Reply(status=status, body=body), When(**when), **(server or {})),
    )  # fmt: skip


def error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


FLAT = '[{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Not permitted"}]'


@cases(
    learned(
        "both",
        400,
        error("`temperature` and `top_p` cannot both be specified for this model."),
        settings={"top_p": 0.9},
        parameter="top_p",
    ),
    learned("seed quoted", 400, error(FLAT), parameter="seed"),
    learned(
        "temperature default",
        400,
        error("Only the default (1) value is supported", param="temperature"),
        parameter="temperature",
        not_value=1,
    ),
    learned(
        "max_tokens large",
        400,
        error(
            "max_tokens: 1380 > 1000, which is the maximum allowed number of output tokens for m"
        ),
        parameter="max_tokens",
        above=1000,
    ),
    learned(
        "max_tokens named",
        422,
        error("max_tokens must be less than or equal to 900", param="max_tokens"),
        parameter="max_tokens",
        above=900,
    ),
    learned(
        "developer",
        400,
        [error("Developer instruction is not enabled for models/gemma-3-27b-it", code=400)],
        role="system",
    ),
    learned(
        "first role",
        422,
        {"detail": "messages[0].role must be one of: user, assistant"},
        role="system",
    ),
    learned(
        "mime",
        400,
        [error("JSON mode is not enabled for models/gemma-3-27b-it", code=400)],
        parameter="response_format",
    ),
    learned("501", 501, error("Not Implemented"), parameter="response_format"),
    learned("503", 503, error("guided decoding is not available"), parameter="response_format"),
    learned("500", 500, error("temperature is not implemented"), parameter="temperature"),
    learned("409", 409, error("`temperature` conflicts"), parameter="temperature"),
    learned(
        "strict",
        400,
        error(
            "Unknown parameter: 'response_format.json_schema.strict'.",
            param="response_format.json_schema.strict",
        ),
        parameter="response_format.json_schema.strict",
    ),
    learned(
        "states",
        400,
        [
            error(
                "The specified schema produces a constraint that has too many states for serving.",
                code=400,
            )
        ],
        schema_keyword="maxItems",
    ),
    learned(
        "effort",
        400,
        error("Input should be 'low', 'medium' or 'high'", param="reasoning_effort"),
        server={"scenario": None},
        parameter="reasoning_effort",
        value="none",
    ),
)
def test_a_refused_parameter_is_left_out_or_asked_for_otherwise(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


DRAFT = "${thought}\n${draft}\nNo, not yet."


def drafted(name: str, content: str) -> Case:
    return Case(name, bills=PROBES, told=told(Reply(content=content), When(passage=True)))


@cases(
    drafted("thinking", f"<thinking>{DRAFT}</thinking>${{answer}}"),
    drafted(
        "end_of_thought",
        f"<|begin_of_thought|>{DRAFT}<|end_of_thought|><|begin_of_solution|>${{answer}}<|end_of_solution|>",
    ),
    drafted("heading", f"### Thinking\n{DRAFT}\n### Response\n${{answer}}"),
    drafted("answer tags", f"{DRAFT}\n<answer>\n${{answer}}\n</answer>"),
    drafted(
        "commentary",
        f"<|channel|>commentary<|message|>{DRAFT}<|end|><|start|>assistant"
        "<|channel|>final <|constrain|>json<|message|>${answer}",
    ),
    drafted("thought behind", "${answer}\n<think>Was it well? ${draft}</think>"),
    drafted(
        "trailing note",
        f"<think>{DRAFT}</think>${{answer}}\n\nI hope that this helps {{at least a little}}.",
    ),
)
def test_a_draft_is_not_published(case: Case, tmp_path: Path) -> None:
    outcome = check(case, tmp_path)
    assert not [row for row in outcome.rows if "Draft:" in str(row)]


def elsewhere(name: str, **reply: Any) -> Case:
    return Case(name, billed=CHUNKS + 6, bills=PROBES, told=told(Reply(**reply)))


MESSAGE = "choices.0.message"


@cases(
    elsewhere("text", set={"choices.0.text": "${answer}"}, drop=(MESSAGE,)),
    elsewhere("parts", set={f"{MESSAGE}.content": [{"type": "output_text", "text": "${answer}"}]}),
    elsewhere("part value", set={f"{MESSAGE}.content": [{"text": {"value": "${answer}"}}]}),
    elsewhere(
        "custom call",
        set={
            f"{MESSAGE}.content": None,
            f"{MESSAGE}.tool_calls": [{"type": "custom", "custom": {"input": "${answer}"}}],
        },
    ),
    elsewhere("message text", set={MESSAGE: "${answer}"}),
    elsewhere("quoted", set={f"{MESSAGE}.content": "${answer_json}"}),
    elsewhere("usage text", set={"usage": {"prompt_tokens": "12", "completion_tokens": "7"}}),
    elsewhere(
        "delta",
        set={"choices.0.delta": {"role": "assistant", "content": "${answer}"}},
        drop=(MESSAGE,),
    ),
    elsewhere(
        "events",
        content_type="text/event-stream",
        billed=True,
        body='event: message\ndata: {"choices":[{"message":{"content":${answer_json}},'
        '"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
    ),
)
def test_an_answer_is_found(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


FINISH, TEXT = "choices.0.finish_reason", f"{MESSAGE}.content"


def later(name: str, code: tuple[int, ...], says: str, reply: Reply, **more: Any) -> Case:
    return Case(name, code, 5, says=(says,), refused=80, corpus=90, bills=2, settings=SHORT,
        told=told(reply, When(after=12)), **more)  # fmt: skip


@cases(
    later("426", (75, 78), "newer client", Reply(status=426, body=error("Use a newer client"))),
    later("507", (75,), "storage", Reply(status=507, body=error("Insufficient storage"))),
    later(
        "404 pulled",
        (75, 78),
        "try pulling it",
        Reply(status=404, body=error("model 'simulated' not found, try pulling it first")),
    ),
    later(
        "moved",
        (75, 78),
        "base_url",
        Reply(status=302, headers={"location": "https://elsewhere.invalid/login"}, body=""),
    ),
    later(
        "all filtered", (75,), "withheld", Reply(status=400, body=error("content filter: withheld"))
    ),
    later("broken off", (75,), "broke the answer off", Reply(set={FINISH: "error", TEXT: ""})),
    later("no choices", (75,), "no choice", Reply(body={"id": "x", "choices": []}, billed=False)),
    later(
        "a day",
        (75,),
        "asks to wait until",
        Reply(status=429, headers={"retry-after": "86400"}, body=error("slow down")),
    ),
)
def test_a_server_that_has_had_enough_costs_no_chunk(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
    after = play_again(tmp_path)
    assert (after.code, after.chunks, after.lost) == (0, 90, 0), after.said


def odd(name: str, sends: int, **reply: Any) -> Case:
    """One chunk of all."""
    return Case(name, lost=1, sends=sends, settings=SHORT, told=told(Reply(**reply), When(chunk=7)))


@cases(
    odd("501", 8, status=501, body=error("cannot do that")),
    odd("451", 8, status=451, body=""),
    odd(
        "withheld",
        1,
        set={"choices.0.finish_reason": "PROHIBITED_CONTENT", f"{MESSAGE}.content": None},
    ),
    odd(
        "blocked 200",
        3,
        body={"promptFeedback": {"blockReason": "OTHER"}, "choices": []},
        billed=False,
    ),
    odd(
        "refusal",
        3,
        set={f"{MESSAGE}.content": None, f"{MESSAGE}.refusal": "I cannot help with that."},
    ),
)
def test_one_odd_chunk_costs_itself(case: Case, tmp_path: Path) -> None:
    outcome = check(case, tmp_path)
    assert outcome.lost == 1
    again = play_again(tmp_path)
    assert (again.code, again.report["billed"]) == (0, 0), again.said
