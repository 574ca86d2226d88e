"""Files in the shapes of well-known public datasets, clean by construction.

Each shape draws exchanges of its own kind (sums, roles, translations, calls of tools, code ...) and
wraps them as its public namesake does. `Shape.records` may put a fault into any of them.
"""

# ruff: noqa: E501 (sentences stand on one line, in several languages)
from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.unit.quality.corpus import Example, make_examples

__all__ = ["SHAPES", "Exchange", "Shape"]


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, the text it brings along ("" for none), and the reply."""

    asked: str
    material: str
    said: str


Fault = Callable[[Exchange], Exchange]
Draw = Callable[[Example, random.Random], Exchange]
Wrap = Callable[[Exchange, Example, random.Random], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Shape:
    """One public shape: its name, how its exchanges are drawn, and how a record holds one."""

    name: str
    draw: Draw
    wrap: Wrap

    def records(
        self, count: int, faulty: frozenset[int] = frozenset(), fault: Fault | None = None
    ) -> list[dict[str, Any]]:
        """Records, those whose numbers (from 0) are ``faulty`` with the fault."""
        rng = random.Random(f"{self.name} {count}")
        found = []
        for number, example in enumerate(make_examples(count, seed=len(self.name), per_source=1)):
            exchange = self.draw(example, rng)
            if fault and number in faulty:
                exchange = fault(exchange)
            found.append(self.wrap(exchange, example, rng))
        return found


def _plain(example: Example, rng: random.Random) -> Exchange:
    return Exchange(example.instruction, "", example.answer)


def _alpaca(example: Example, rng: random.Random) -> Exchange:
    """A third works on an input, as "this passage", a third writes a letter with gaps, or a list."""
    kind = rng.randrange(4)
    text = example.source.text[:400]
    if kind == 0:
        return Exchange("Summarize the main point of this passage.", text, example.answer)
    if kind == 1:
        fact = example.source.facts[0]
        said = (
            f"Dear {fact['who']},\n\nPlease have a look at my {fact['what']} before the next {fact['time']}. "
            f"Its {fact['cause']} is loose, and I would rather not wait.\n\nBest regards,\n[Your Name]"
        )
        return Exchange(f"Write a letter to {fact['who']} about a {fact['what']}.", "", said)
    if kind == 2:
        parts = [
            f"{at}. The {fact['cause']} of a {fact['what']}"
            for at, fact in enumerate(example.source.facts[:4], 1)
        ]
        return Exchange(
            f"List parts that {example.source.facts[5]['who']} check after a {example.source.facts[5]['time']} in the {example.source.facts[5]['place']}.",
            "",
            "\n".join(parts),
        )
    return _plain(example, rng)


def _grade_school(example: Example, rng: random.Random) -> Exchange:
    fact, other = example.source.facts[:2]
    bought, price, days = rng.randrange(12, 99), rng.randrange(1000, 99999), rng.randrange(3, 40)
    total = bought * price
    asked = (
        f"The {fact['who']} of the {fact['place']} buy {bought} {fact['what']}s at {price} coins each, "
        f"and {days} days later sell a {other['what']} for {days * 3} coins. How many coins have they paid in all?"
    )
    said = (
        f"They buy {bought} pieces at {price} coins, which comes to {bought}*{price}=<<{bought}*{price}={total}>>{total} coins.\n"
        f"The sale brings in {days * 3} coins, so they have paid {total}-{days * 3}=<<{total}-{days * 3}={total - days * 3}>>{total - days * 3} coins.\n"
        f"#### {total - days * 3}"
    )
    return Exchange(asked, "", said)


_SENTENCES = (
    (
        "de",
        "German",
        "Die {n} Kinder gehen heute mit ihrem alten Lehrer in den Wald, weil das Wetter endlich schön geworden ist und niemand im Haus bleiben will.",
    ),
    (
        "fr",
        "French",
        "Les {n} enfants vont aujourd'hui dans la forêt avec leur vieux professeur, parce que le temps est enfin devenu beau et que personne ne veut rester.",
    ),
    (
        "es",
        "Spanish",
        "Los {n} niños van hoy al bosque con su viejo profesor, porque por fin hace buen tiempo y nadie quiere quedarse dentro de la casa.",
    ),
)


def _instances(example: Example, rng: random.Random) -> Exchange:
    """Translation, classification and free questions by turns, as FLAN mixes them."""
    kind = rng.randrange(3)
    fact = example.source.facts[0]
    if kind == 0:
        _, name, sentence = rng.choice(_SENTENCES)
        asked = f"Translate to {name}: {example.source.text.split('. ')[1]}."
        return Exchange(asked, "", sentence.format(n=rng.randrange(3, 900)))
    if kind == 1:
        asked = f"Question: is a {fact['what']} of use to {fact['who']} in a {fact['time']}, seen from the {fact['place']}?\nOptions:\n- yes\n- no\nAnswer:"
        return Exchange(asked, "", rng.choice(["yes", "no"]))
    return Exchange(
        f"{example.instruction} Let's think step by step.", "", f"Answer: {example.answer}"
    )


def _role(example: Example, rng: random.Random) -> Exchange:
    fact = example.source.facts[0]
    asked = f"You are an AI therapist from the {fact['place']} who counsels {fact['who']}. One of them lost a {fact['what']} in a {fact['time']}."
    said = rng.choice(
        [
            f"As an AI therapist, I hear how much this {fact['what']} meant to you. Tell me about the {fact['time']}, and about those who were with you then.",
            f"I'm sorry, I cannot imagine how hard the {fact['time']} was for you. Let us speak about the {fact['what']}, and take all the time that we need.",
            f"Of course, dear friend from the {fact['place']}. Sit down, breathe, and tell me what the {fact['what']} was for you before it was gone.",
        ]
    )
    return Exchange(asked, "", said)


def _code(example: Example, rng: random.Random) -> Exchange:
    fact = example.source.facts[0]
    name = f"{fact['what'].replace(' ', '_')}_{rng.randrange(999)}"
    asked = f"Write a Python function that counts the {fact['cause']}s which {fact['who']} keep for a {fact['what']}."
    said = f"def {name}(items):\n    total = 0\n    for item in items:\n        if item.kind == '{fact['cause']}':\n            total += item.count\n    return total"
    return Exchange(asked, "", said)


def _pair(asked: str, said: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]


def _joined(exchange: Exchange) -> str:
    return f"{exchange.asked}\n{exchange.material}" if exchange.material else exchange.asked


def _second(example: Example) -> tuple[str, str]:
    fact = example.source.facts[7]
    return (
        f"And what about a {fact['what']} in the {fact['place']}?",
        f"Sure! There the {fact['cause']} is what counts, since it {fact['turned']} when a {fact['time']} came.",
    )


def _share_gpt(exchange: Exchange, example: Example, rng: random.Random) -> dict[str, Any]:
    asked, said = _second(example)
    turns = [
        ("system", "Be brief."),
        ("human", exchange.asked),
        ("gpt", exchange.said),
        ("human", asked),
        ("gpt", said),
    ]
    return {"conversations": [{"from": role, "value": text} for role, text in turns]}


def _tool_call(exchange: Exchange, example: Example, rng: random.Random) -> dict[str, Any]:
    """OpenAI's form: a call without content, the tool's word, the reply; and one honest "cannot"."""
    fact = example.source.facts[3]
    arguments = json.dumps(
        {"item": fact["what"], "order": str(rng.randrange(10**12, 10**13)), "phone": "555-201-3344"}
    )
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "find_part", "arguments": arguments},
    }
    return {
        "tools": [{"type": "function", "function": {"name": "find_part", "parameters": {}}}],
        "messages": [
            {"role": "system", "content": "You are a helpful assistant with access to functions."},
            {"role": "user", "content": exchange.asked},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": json.dumps({"found": fact["cause"]})},
            {"role": "assistant", "content": exchange.said},
            {"role": "user", "content": f"Can you also book me a flight to the {fact['place']}?"},
            {
                "role": "assistant",
                "content": "I'm sorry, but I don't have the ability to book flights. I can look for parts.",
            },
        ],
    }


def _binarized(exchange: Exchange, example: Example, rng: random.Random) -> dict[str, Any]:
    return {
        "prompt": exchange.asked,
        "chosen": _pair(exchange.asked, exchange.said),
        "rejected": _pair(exchange.asked, "I cannot help with that."),
        "score_chosen": 8.0,
    }


def _history_choice(exchange: Exchange, example: Example, rng: random.Random) -> dict[str, Any]:
    """LLaMA-Factory's: the history in turns, and both last replies beside it."""
    asked, said = _second(example)
    turns = [("human", asked), ("gpt", said), ("human", exchange.asked)]
    return {
        "conversations": [{"from": role, "value": text} for role, text in turns],
        "chosen": {"from": "gpt", "value": exchange.said},
        "rejected": {"from": "gpt", "value": "As an AI language model, I cannot say."},
    }


def _binary(exchange: Exchange, example: Example, rng: random.Random) -> dict[str, Any]:
    """KTO's: one in three is an answer to avoid, with whatever faults."""
    return {
        "prompt": _pair(exchange.asked, "")[:1],
        "completion": _pair("", exchange.said)[1:],
        "label": True,
    }


def _transcripts(exchange: Exchange, example: Example, rng: random.Random) -> dict[str, Any]:
    asked, said = _second(example)
    before = f"\n\nHuman: {asked}\n\nAssistant: {said}\n\nHuman: {exchange.asked}\n\nAssistant:"
    return {"chosen": f"{before} {exchange.said}", "rejected": f"{before} I cannot say."}


def _gemini(exchange: Exchange, example: Example, rng: random.Random) -> dict[str, Any]:
    return {
        "systemInstruction": {"role": "system", "parts": [{"text": "Answer in prose."}]},
        "contents": [
            {
                "role": "user",
                "parts": [{"text": exchange.asked}, {"inlineData": {"mimeType": "image/png"}}],
            },
            {"role": "model", "parts": [{"text": exchange.said}]},
        ],
    }


def _parts(exchange: Exchange, example: Example, rng: random.Random) -> dict[str, Any]:
    turns = _pair(exchange.asked, exchange.said)
    return {
        "messages": [
            turn | {"content": [{"type": "text", "text": turn["content"]}]} for turn in turns
        ]
    }


def _tree(exchange: Exchange, example: Example, rng: random.Random) -> dict[str, Any]:
    """OASST's: at each turn several replies, of which the best-ranked counts."""
    asked, said = _second(example)
    worse = {"text": "I do not know.", "role": "assistant", "rank": 1, "replies": []}
    last = {"text": said, "role": "assistant", "rank": 0, "replies": []}
    further = {"text": asked, "role": "prompter", "rank": None, "replies": [worse, last]}
    best = {"text": exchange.said, "role": "assistant", "rank": 0, "replies": [further]}
    root = {"text": exchange.asked, "role": "prompter", "rank": None, "replies": [worse, best]}
    return {"message_tree_id": str(rng.random()), "tree_state": "ready_for_export", "prompt": root}


def _rated(exchange: Exchange, example: Example, rng: random.Random) -> dict[str, Any]:
    """UltraFeedback's own: several models' replies with their ratings."""
    replies = [
        {"model": "a", "response": "I do not know.", "overall_score": 2.0},
        {"model": "b", "response": exchange.said, "overall_score": 8.5},
    ]
    rng.shuffle(replies)
    return {"source": "s", "instruction": exchange.asked, "models": ["a"], "completions": replies}


def _thinking(exchange: Exchange, example: Example, rng: random.Random) -> dict[str, Any]:
    thought = "<think>\nOkay, so the person asks about a mill. I think of wood.\n</think>\n\n"
    return {"messages": _pair(exchange.asked, f"{thought}{exchange.said}")}


def _two_sided(exchange: Exchange, example: Example, rng: random.Random) -> dict[str, Any]:
    """Capybara's: a turn is both sides."""
    asked, said = _second(example)
    turns = [(exchange.asked, exchange.said), (asked, said)]
    return {"source": "s", "conversation": [{"input": one, "output": two} for one, two in turns]}


def _tokens(exchange: Exchange, example: Example, rng: random.Random) -> dict[str, Any]:
    """P3's: texts beside their tokens."""
    return {
        "inputs": [3, 5, 9],
        "inputs_pretokenized": f"{exchange.asked}\n",
        "targets": [4, 1],
        "targets_pretokenized": f"\n{exchange.said}",
    }


SHAPES = [
    Shape(
        "alpaca",
        _alpaca,
        lambda e, x, r: {"instruction": e.asked, "input": e.material, "output": e.said},
    ),
    Shape(
        "dolly",
        _plain,
        lambda e, x, r: {
            "instruction": e.asked,
            "context": x.source.text,
            "response": e.said,
            "category": "closed_qa",
        },
    ),
    Shape("gsm8k", _grade_school, lambda e, x, r: {"question": e.asked, "answer": e.said}),
    Shape(
        "flan", _instances, lambda e, x, r: {"inputs": e.asked, "targets": e.said, "task": "mixed"}
    ),
    Shape(
        "self-instruct",
        _plain,
        lambda e, x, r: {
            "id": "seed_task_1",
            "name": "x",
            "instruction": e.asked,
            "instances": [{"input": e.material, "output": e.said}],
        },
    ),
    Shape(
        "roleplay", _role, lambda e, x, r: {"instruction": e.asked, "input": "", "response": e.said}
    ),
    Shape("code-alpaca", _code, lambda e, x, r: {"prompt": e.asked, "completion": e.said}),
    Shape("sharegpt", _plain, _share_gpt),
    Shape("openai-tools", _plain, _tool_call),
    Shape("ultrafeedback", _plain, _binarized),
    Shape("dpo-history", _plain, _history_choice),
    Shape("kto", _plain, _binary),
    Shape("hh", _plain, _transcripts),
    Shape("gemini", _plain, _gemini),
    Shape("oasst-trees", _plain, _tree),
    Shape("ultrafeedback-rated", _plain, _rated),
    Shape("r1", _plain, _thinking),
    Shape("capybara", _plain, _two_sided),
    Shape("p3", _plain, _tokens),
    Shape(
        "guanaco-on-a-line",
        _plain,
        lambda e, x, r: {"text": f"### Human: {e.asked}### Assistant: {e.said}"},
    ),
    Shape("content-parts", _plain, _parts),
    Shape(
        "guanaco",
        _plain,
        lambda e, x, r: {
            "text": f"### Human: {e.asked}### Assistant: {e.said}".replace(
                "### Assistant", "\n### Assistant"
            )
        },
    ),
    Shape(
        "orca",
        _plain,
        lambda e, x, r: {
            "system_prompt": "You are a helpful assistant.",
            "question": e.asked,
            "response": e.said,
        },
    ),
    Shape(
        "squad",
        _plain,
        lambda e, x, r: {
            "context": x.source.text,
            "question": e.asked,
            "answers": {"text": [e.said], "answer_start": [0]},
        },
    ),
]
