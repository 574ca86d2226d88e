"""Word lists: function words, negations, spelled-out numbers, and nouns that refer to a source.

The lists are our own. Words are folded as :mod:`pairmill.quality.text` folds them: lower case, no
apostrophes ("don't" becomes ``dont``).
"""

# ruff: noqa: RUF001 (words of many scripts)
from __future__ import annotations

from functools import cache

__all__ = [
    "ENGLISH",
    "FUNCTION_WORDS",
    "LEADING_PRONOUNS",
    "NEGATIONS",
    "POINTERS",
    "POINTERS_IN_ANSWERS",
    "SOURCE_NOUNS",
    "SPELLED_NUMBERS",
    "SURE_SOURCE_NOUNS",
    "own_words",
]


def _split(words: str) -> frozenset[str]:
    return frozenset(words.split())


ENGLISH = _split(
    """
    a about above after again against all almost also although always am among an and
    another any anything are arent around as at away back be became because become becomes
    been before being below between both but by came can cannot cant come comes could
    couldnt did didnt do does doesnt doing done dont down due during each either else enough
    etc even ever every everything few first for from further get gets getting give given
    gives go goes going gone got had hadnt has hasnt have havent having he her here hers
    herself him himself his how however i id if ill im in instead into is isnt it itd itll
    its itself ive just keep keeps kind know known last least less let lets like likely look
    made make makes making many may maybe me mean means might mine more most mostly much
    must my myself need needs neither never next no nobody none nor not nothing now of off
    often on once one ones only onto or other others otherwise our ours out over own per
    perhaps put puts quite rather really said same say says see seem seemed seems seen
    several shall she should shouldnt since so some something soon still such take taken
    takes than that thats the their theirs them themselves then there therefore these they
    theyre theyve thing things this those though three through thus to together too took
    toward towards two under unless until up upon us use used uses using usually very via
    want wants was wasnt way ways we well went were werent weve what whatever when where
    whereas whether which while who whom whose why will with within without wont would
    wouldnt yet you youll your youre yours yourself youve
    """
)
"""Words that say little about what a text is about."""

_PLAIN = {
    "en": """the of and to in is that it for was with as on are be this by at from or an which you
        have not but they their its can when has were will what how would there been if more who
        your why does should do a""",
    "de": """der die und das den von zu mit sich des auf ist im dem nicht ein eine als auch es
        werden aus er hat dass sie nach wird bei einer um am sind noch wie einem über so zum kann
        einen oder wenn wir nur ich zur durch""",
    "fr": """le la les des et du un une dans est que pour qui sur pas par au plus ce il sont avec
        ne se cette aux ou en elle comme mais été nous vous leur ses ces entre aussi être fait
        comment pourquoi""",
    "es": """el la los las y del un una que por con para es no se lo al como más su sus pero este
        esta ha son fue entre cuando muy sin sobre también hasta donde desde ser está porque cómo
        en""",
    "it": """il lo la gli le e di che del della un una per con non si da è sono come più anche ma
        nel nella al alla dei delle questo questa ha stato essere dal sul loro perché quando in
        come""",
    "pt": """o os as e do da dos das um uma que em para com não se por mais como mas ao foi são na
        no nas nos pelo pela sua seu ou ser quando muito também já está há entre isso é""",
    "nl": """de het een en van in is dat op te zijn met voor niet aan er om ook als maar door bij
        naar dan nog uit over hij ze wordt worden deze dit die tot kan of we geen waarom hoe""",
    "sv": """och att det som en på är av för med till den inte om har de ett var jag men sig från
        vi så kan när under också efter eller nu där vid hur man skulle""",
    "da": """og at det som en på er af for med til den ikke om har de et var jeg men sig fra vi så
        kan når under også efter eller nu der ved hvordan man skulle blev""",
    "pl": """w i na z do nie się że to jest o jak za od po przez ale dla co są czy tak był który
        która które tym tego jego ich może oraz przy lub być już""",
    "cs": """a se na je že v to s z do o i jako za by ale pro po jsou který která které nebo bylo
        jeho také jak než až není tak od při byl být""",
    "fi": """ja on ei että se oli hän mutta kun ovat joka myös niin kuin tai jos ole sen olla sitä
        mitä vain voi tämä ne siitä ovat kanssa""",
    "ro": """și în de la cu pe un o nu care din este pentru că mai sau se au fost ca sunt prin ce
        dar al ale lui după între această""",
    "tr": """ve bir bu için da de ile ne çok olarak daha gibi kadar olan var ama en değil sonra
        ise her mi o ya nasıl neden""",
    "id": """yang dan di dari untuk dengan ini itu pada adalah tidak dalam akan juga ke oleh atau
        dapat karena ada lebih sebagai telah bagaimana mengapa""",
    "ru": """и в не на что с по это как он к но из за от для же так то было все у был бы или если
        его при только они о где когда почему""",
    "uk": """і в не на що з до це як він та але із за від для же так то було все у був би або якщо
        його при тільки вони є де коли чому""",
    "bg": """и в не на че с по това как той но от за до да се е са или ако при само те като
        които""",
}

FUNCTION_WORDS = {language: _split(words) for language, words in _PLAIN.items()}
"""Language code to the function words that identify a text in it."""


@cache
def own_words(language: str) -> frozenset[str]:
    """Function words of a language that no other language has; empty if it has no table."""
    others = (words for name, words in FUNCTION_WORDS.items() if name != language)
    return FUNCTION_WORDS.get(language, frozenset()).difference(*others)


NEGATIONS = frozenset(
    ("not", "no", "never", "cannot", "without", "nor", "neither", "cant", "dont", "doesnt", "didnt",
     "isnt", "arent", "wasnt", "werent", "wont", "wouldnt", "couldnt", "shouldnt", "hasnt",
     "havent", "hadnt")
)  # fmt: skip
"""English words that negate what follows them."""

SPELLED_NUMBERS = {
    "ten": "10", "eleven": "11", "twelve": "12", "dozen": "12", "thirteen": "13", "fourteen": "14",
    "fifteen": "15", "sixteen": "16", "seventeen": "17", "eighteen": "18", "nineteen": "19",
    "twenty": "20", "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70",
    "eighty": "80", "ninety": "90", "hundred": "100", "thousand": "1000",
}  # fmt: skip
"""English numbers in words to the same in digits."""

SURE_SOURCE_NOUNS = (
    "passage", "passages", "excerpt", "excerpts", "extract", "article", "author", "authors",
    "snippet", "transcript", "writer", "speaker",
)  # fmt: skip
"""Nouns that nearly always mean the text that an instruction was written from."""
SOURCE_NOUNS = (
    *SURE_SOURCE_NOUNS,
    "text", "section", "chapter", "document", "context", "paragraph", "source", "material",
    "post", "essay", "tutorial", "page",
)  # fmt: skip
"""Nouns that may mean it."""
LEADING_PRONOUNS = frozenset({"it", "they", "this", "these", "he", "she", "those", "its", "their"})
"""Pronouns that an English instruction must not open with: they would refer to nothing."""
POINTERS = frozenset(
    (*SOURCE_NOUNS, "above", "below", "mentioned", "earlier", "here", "provided", "supplied")
)
"""An instruction that refers to its source contains at least one of these words."""
POINTERS_IN_ANSWERS = frozenset(
    (*SURE_SOURCE_NOUNS, "text", "section", "chapter", "document", "mentioned", "source")
)
"""The same for an answer."""
