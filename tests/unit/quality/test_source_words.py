from __future__ import annotations

import pytest

from pairmill.quality.source_words import find_reference
from pairmill.quality.text import prepare


@pytest.mark.parametrize(
    "instruction",
    [
        "What does the passage say about kettles?",
        "Summarise the main points of this article.",
        "According to the text, why did brewers use copper?",
        "Why does the author prefer copper?",
        "What are the author's views on copper?",
        "Explain the method described above.",
        "List the tools mentioned in the article.",
        "What is the purpose of the given excerpt?",
        "In the provided context, what is a kettle?",
        "How are kettles built, as mentioned by the speaker?",
        "What happens in this chapter?",
        "How does the document explain brewing?",
        "It was used by brewers. Why?",
        "These are common in valleys; explain.",
        "What does the code above do?",
        "Based on the passage, list two reasons.",
        "What do the authors conclude about heat?",
        "What is discussed in the section?",
        "Summarise the passage for me.",
        "Could you summarize the text in two sentences?",
        "Rewrite the article for a beginner.",
        "Paraphrase the excerpt in your own words",
        "Sum up the document",
        "Translate the paragraph into German.",
        "Give me the gist of the text in plain English.",
        "Explain the passage to me please",
        "Condense the entire essay to three bullet points",
        "Using the text above, list two reasons.",
        "What follows from the section below?",
        "What does the author above recommend",
        "Retell the whole post as a dialogue.",
    ],
)
def test_references_are_found(instruction: str) -> None:
    assert find_reference(prepare(instruction))


@pytest.mark.parametrize(
    "instruction",
    [
        "What does overfitting mean in the context of neural networks?",
        "How does the context window of a language model limit it?",
        "Which text editor suits a beginner?",
        "How do I keep the text editor from wrapping lines?",
        "Write an article about copper kettles.",
        "What did the author of Moby-Dick do before he wrote it?",
        "How does a context switch work, and what does the kernel save?",
        "How is a document stored in the document database?",
        "What does Article 5 of the treaty demand?",
        "Draft a paragraph on tidal mills for the section on energy.",
        "Why do these valleys flood in spring?",
        "This winter I want to brew. Where do I start?",
        "How do page tables map an address?",
        "According to the Geneva Convention, who is a prisoner of war?",
        "How can I search for a passage of music by ear?",
        "Explain how text classification works.",
        "What is passed to the extract function in SQL?",
        "Is the above-ground pool cheaper?",
        "Translate the text editor's menu into German.",
        "How do I place text below an image?",
        "How do I centre the text above the button?",
        "Summarise the Treaty of Versailles for me.",
        "Explain the source code layout of the kernel in two sentences.",
        "How do I extract a table from the document in ten minutes?",
        "Rewrite the text field of a record with SQL.",
        "Shorten the page load time for me.",
        "Write a passage for me about copper.",
        "How do I summarise a document with a local model?",
        "Explain the context of the French Revolution to a beginner.",
    ],
)
def test_idioms_are_let_through(instruction: str) -> None:
    assert find_reference(prepare(instruction)) is None


def test_an_answer_may_look_back_at_itself() -> None:
    answer = prepare("It works. As the list above shows, copper spreads heat.")
    assert find_reference(answer, instruction=False) is None
    answer = prepare("A good ghost writer keeps the voice of the author, and copper in the text.")
    assert find_reference(answer, instruction=False) is None
    answer = prepare("The passage explains that copper spreads heat.")
    assert find_reference(answer, instruction=False) == "the passage explains"
