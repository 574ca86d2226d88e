"""An export format of your own: one text with ChatML's marks, for trainers without chat templates.

    pairmill export dataset/ --to examples/formats/chatml.py:CHATML

Installed packages can provide it under a name, with an entry point in the group
``pairmill.formats``.
"""

from pairmill.output.formats.format import Format, each


def as_text(row: dict) -> dict:
    """Return the record of one row; the keys are those of ``schema``."""
    turns = (("system", row["system"]), ("user", row["instruction"]), ("assistant", row["answer"]))
    marked = [f"<|im_start|>{who}\n{said}<|im_end|>\n" for who, said in turns if said]
    return {"text": "".join(marked)}


CHATML = Format(
    name="chatml",
    summary="one text with ChatML's marks",
    schema={"text": "string"},
    notes={"text": "System message, request and reply between <|im_start|> and <|im_end|>"},
    write=each(as_text),
    llama_factory={"columns": {"prompt": "text"}},
    llama_stage="pt",
    axolotl={"type": "completion", "field": "text"},
    system="own",
)
