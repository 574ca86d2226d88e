/*
 * The checks' inner loops in C: what an answer shares with its text, word by word.
 *
 * pairmill.quality.text, .grounding and .support are the reference in Python; the results are the
 * same, and tests compare them. Nothing depends on this module: where it was not built, the
 * reference runs.
 *
 * A Text holds a hash for each word (64 bits) and each stem (56), in order. They are told apart by
 * their hash alone: two different words with the same one are as likely as 1 in 2^64.
 */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000 /* one build for CPython 3.11 and later */
#include <Python.h>
#include <stdint.h>
#include <string.h>

enum { FLAGS = 8, REACH = 5, STEP = 2, AROUND = 3, SIDES = 2, NEGATION_REACH = 4, NEAR_DIGITS = 2 };
enum { LEAST_SHARED = 2 }; /* stems beside a function word that stand beside its opposite */
enum { OWN = 1, POINTER = 2, POINTER_IN_ANSWER = 3, NEGATION = 4, LEADING = 6 }; /* flags, as in speedups.py */
enum { LEAST_DIGITS = 7, DIGITS_OF_CARD = 13, LEAST_COLONS = 2, OPENING = 160 }; /* as in privacy.py and wording.py */
enum { OWN_HITS = 2 };                                      /* as in language.py, like the next */
static const double OWN_SHARE = 0.06;

/* What checks may find in a text, as in speedups.py; where a bit is not set they surely find nothing. */
enum {
    MAY_POINT = 1, MAY_POINT_IN_ANSWER = 2, MAY_NAME = 4, MAY_REFUSE = 8, MAY_HOLD_PLACE = 16,
    MAY_BE_FOREIGN = 32, MAY_BE_CUT = 64, MAY_BE_PERSONAL = 128, MAY_BE_SECRET = 256,
};

/* ---- hashes: multiply 64 by 64 bits and fold the halves, as in wyhash (public domain) ---- */

static const uint64_t K1 = 0xe7037ed1a0b428dbULL;
static uint64_t K0 = 0xa0761d6478bd642fULL; /* differs by process: texts cannot be made to collide */

static inline uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_bytes(const char *at, size_t length)
{
    uint64_t found = K0 ^ length, part;
    for (; length > 8; at += 8, length -= 8) {
        memcpy(&part, at, 8);
        found = mix(found ^ part, K1);
    }
    part = 0;
    memcpy(&part, at, length);
    found = mix(mix(found ^ part, K1), K0 ^ found);
    return found ? found : 1; /* 0 marks a free slot */
}

/* ---- Lexicon: word -> stem and flags ---- */

enum { STEM_BITS = 64 - FLAGS };

typedef struct {
    uint64_t word;
    uint64_t told; /* its stem's hash, or 0 for a word without content; the flags above it */
} Entry;

static inline uint64_t stem_of(Entry entry) { return entry.told << FLAGS >> FLAGS; }
static inline unsigned int flags_of(Entry entry) { return (unsigned int)(entry.told >> STEM_BITS); }

static Entry make_entry(uint64_t word, const char *stem, size_t length, unsigned int flags)
{
    uint64_t hash = length ? hash_bytes(stem, length) << FLAGS >> FLAGS : 0;
    return (Entry){word, (uint64_t)flags << STEM_BITS | (length && !hash ? 1 : hash)};
}

typedef struct {
    PyObject_HEAD
    PyObject *describe; /* word -> (stem, flags) */
    Entry *entries;
    size_t size, used, most; /* size is a power of two */
} Lexicon;

static Entry *slot_of(Entry *entries, size_t size, uint64_t word)
{
    size_t at = word & (size - 1);
    while (entries[at].word && entries[at].word != word)
        at = (at + 1) & (size - 1);
    return &entries[at];
}

static int lexicon_resize(Lexicon *self, size_t size)
{
    Entry *entries = PyMem_Calloc(size, sizeof(Entry));
    if (!entries) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t at = 0; at < self->size; at++)
        if (self->entries[at].word)
            *slot_of(entries, size, self->entries[at].word) = self->entries[at];
    PyMem_Free(self->entries);
    self->entries = entries;
    self->size = size;
    return 0;
}

/* Look a word up; ask `describe` about a new one. */
static int lexicon_find(Lexicon *self, const char *word, size_t length, uint64_t hash, Entry *found)
{
    Entry *slot = slot_of(self->entries, self->size, hash);
    if (slot->word) {
        *found = *slot;
        return 0;
    }
    PyObject *told = PyObject_CallFunction(self->describe, "s#", word, (Py_ssize_t)length);
    if (!told)
        return -1;
    const char *stem;
    Py_ssize_t stem_length;
    unsigned int flags;
    int is_pair = PyArg_ParseTuple(told, "s#I", &stem, &stem_length, &flags);
    if (is_pair)
        *found = make_entry(hash, stem, stem_length, flags);
    Py_DECREF(told);
    if (!is_pair)
        return -1;
    if (self->used >= self->most) { /* hostile texts must not fill the memory */
        memset(self->entries, 0, self->size * sizeof(Entry));
        self->used = 0;
    }
    if (self->used * 2 >= self->size && lexicon_resize(self, self->size * 2) < 0)
        return -1;
    *slot_of(self->entries, self->size, hash) = *found;
    self->used++;
    return 0;
}

static PyObject *lexicon_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyObject *describe;
    Py_ssize_t most;
    (void)keywords;
    if (!PyArg_ParseTuple(args, "On", &describe, &most))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Lexicon *self = (Lexicon *)allocate(type, 0);
    if (!self)
        return NULL;
    self->describe = Py_NewRef(describe);
    self->most = most > 0 ? (size_t)most : 1;
    if (lexicon_resize(self, 4096) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void lexicon_dealloc(PyObject *object)
{
    Lexicon *self = (Lexicon *)object;
    PyTypeObject *type = Py_TYPE(object);
    Py_XDECREF(self->describe);
    PyMem_Free(self->entries);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

/* ---- Index: hash -> the places where it stands, in order ---- */

typedef struct {
    uint64_t key;
    int32_t first, last; /* places */
} Slot;

typedef struct {
    Slot *slots;
    int32_t *nexts; /* by place: the next one with the same hash, or -1 */
    uint64_t *keys; /* each once, in order of their first places */
    int32_t count;  /* of keys */
    size_t mask;    /* slots - 1, where slots are a power of two */
} Index;

static int index_allocate(Index *self, size_t places)
{
    size_t size = 16;
    while (size < 2 * places)
        size *= 2;
    self->mask = size - 1;
    self->slots = PyMem_Calloc(size, sizeof(Slot));
    self->nexts = PyMem_Malloc((places + 1) * sizeof(int32_t));
    self->keys = PyMem_Malloc((places + 1) * sizeof(uint64_t));
    return self->slots && self->nexts && self->keys ? 0 : -1;
}

/* Add the next place; return whether its hash is new. */
static inline int index_add(Index *self, uint64_t key, int32_t place)
{
    size_t at = key & self->mask;
    while (self->slots[at].key && self->slots[at].key != key)
        at = (at + 1) & self->mask;
    Slot *slot = &self->slots[at];
    self->nexts[place] = -1;
    if (slot->key) {
        self->nexts[slot->last] = place;
        slot->last = place;
        return 0;
    }
    *slot = (Slot){key, place, place};
    self->keys[self->count++] = key;
    return 1;
}

static inline int32_t index_first(const Index *self, uint64_t key)
{
    size_t at = key & self->mask;
    while (self->slots[at].key && self->slots[at].key != key)
        at = (at + 1) & self->mask;
    return self->slots[at].key ? self->slots[at].first : -1;
}

static void index_free(Index *self)
{
    PyMem_Free(self->slots);
    PyMem_Free(self->nexts);
    PyMem_Free(self->keys);
}

/* ---- Text ---- */

typedef struct {
    PyObject_HEAD
    uint64_t *words, *stems, *numbers; /* in order; numbers as often as they stand */
    uint64_t *word_stems;              /* by word: its stem, or 0 */
    unsigned char *negations;          /* by word: whether it is one */
    int32_t n_words, n_stems, n_numbers;
    int32_t n_capitals;    /* words with a capital inside a sentence; -1 where Python has to look */
    int32_t counts[FLAGS]; /* different words that have the flag */
    unsigned hints;
    uint64_t *capitals;    /* those words in lower case */
    uint64_t *filter;      /* bits of the stems, for tables of many words; made when first asked */
    Index by_word, by_stem;
} Text;

/* Kinds of bytes, and what each becomes in ASCII that is folded; made when the module is loaded. */
enum { BLANK = 1, DIGIT = 2, LOWER = 4, UPPER = 8, UNDERSCORE = 16, DELETED = 0xff };
static unsigned char KINDS[256], FOLDED[256];

static inline int is_blank(unsigned char byte) { return KINDS[byte] & BLANK; }
static inline int is_digit(unsigned char byte) { return byte >= '0' && byte <= '9'; }
static inline int is_letter(unsigned char byte) { return KINDS[byte] & (LOWER | UPPER); }
static inline int is_lower(unsigned char byte) { return byte >= 'a' && byte <= 'z'; }
static inline int is_upper(unsigned char byte) { return byte >= 'A' && byte <= 'Z'; }
static inline int is_inner(unsigned char byte) { return KINDS[byte] & (DIGIT | LOWER | UPPER | UNDERSCORE); }

static void make_tables(void)
{
    for (int byte = 0; byte < 256; byte++) {
        int is_space = byte == ' ' || (byte >= 9 && byte <= 13) || (byte >= 28 && byte <= 31);
        KINDS[byte] = is_space ? BLANK : is_digit(byte) ? DIGIT : is_lower(byte) ? LOWER
                      : is_upper(byte) ? UPPER : byte == '_' ? UNDERSCORE : 0;
        int is_mark = byte > ' ' && byte < 127 && !(KINDS[byte] & (DIGIT | LOWER | UPPER));
        FOLDED[byte] = byte == '\'' ? DELETED : is_mark ? ' ' : is_upper(byte) ? byte | 32 : byte;
    }
}

/* Lower case, without apostrophes, blanks for other punctuation: what text.py does with ASCII. */
static Py_ssize_t fold(const char *text, Py_ssize_t length, char *folded)
{
    char *out = folded;
    for (Py_ssize_t at = 0; at < length; at++) {
        unsigned char byte = FOLDED[(unsigned char)text[at]];
        *out = byte;
        out += byte != DELETED;
    }
    return out - folded;
}

/* A new buffer with the folded words of an ASCII string, and their length; NULL with an exception set. */
static char *folded_of(PyObject *given, Py_ssize_t *length)
{
    const char *text = PyUnicode_AsUTF8AndSize(given, length);
    if (!text)
        return NULL;
    char *folded = PyMem_Malloc(*length + 1);
    if (!folded)
        PyErr_NoMemory();
    else
        *length = fold(text, *length, folded);
    return folded;
}

static int text_read_words(Text *self, Lexicon *lexicon, const char *folded, Py_ssize_t length)
{
    for (Py_ssize_t at = 0; at < length;) {
        if (is_blank(folded[at])) {
            at++;
            continue;
        }
        Py_ssize_t start = at;
        while (at < length && !is_blank(folded[at]))
            at++;
        uint64_t hash = hash_bytes(folded + start, at - start);
        Entry entry;
        if (lexicon_find(lexicon, folded + start, at - start, hash, &entry) < 0)
            return -1;
        int32_t place = self->n_words++;
        self->words[place] = hash;
        uint64_t stem = stem_of(entry);
        unsigned int flags = flags_of(entry);
        self->word_stems[place] = stem;
        self->negations[place] = flags >> NEGATION & 1;
        if (!place && flags >> LEADING & 1)
            self->hints |= MAY_POINT;
        if (index_add(&self->by_word, hash, place) && flags)
            for (int flag = 0; flag < FLAGS; flag++)
                self->counts[flag] += flags >> flag & 1;
        if (stem) {
            self->stems[self->n_stems] = stem;
            index_add(&self->by_stem, stem, self->n_stems++);
        }
    }
    return 0;
}

/* Digits, also with . , or : between them; written numbers have two characters or more, not counting commas. */
static void text_read_numbers(Text *self, const char *plain, Py_ssize_t length)
{
    int32_t group = 0;
    Py_ssize_t last = -1; /* end of the number before */
    for (Py_ssize_t at = 0; at < length;) {
        if (!is_digit(plain[at])) {
            at++;
            continue;
        }
        Py_ssize_t start = at, kept = 0;
        uint64_t hash = K1;
        while (at < length) {
            unsigned char byte = plain[at];
            int is_inner = (byte == '.' || byte == ',' || byte == ':') && at + 1 < length
                           && is_digit(plain[at + 1]);
            if (!is_digit(byte) && !is_inner)
                break;
            if (byte != ',') {
                hash = mix(hash ^ byte, K0);
                kept++;
            }
            at++;
        }
        if (kept > 1)
            self->numbers[self->n_numbers++] = hash ? hash : 1;
        int is_near = last >= 0 && start - last <= NEAR_DIGITS;
        group = (int32_t)(at - start) + (is_near ? group : 0);
        int is_whole = is_near || at - start >= DIGITS_OF_CARD || memchr(plain + start, '.', at - start)
                       || (start && plain[start - 1] == '+');
        int is_country = start > 1 && is_letter(plain[start - 1]) && is_letter(plain[start - 2]); /* of an IBAN */
        if ((group >= LEAST_DIGITS && is_whole) || is_country)
            self->hints |= MAY_BE_PERSONAL;
        last = at;
    }
}

/* ---- hints: cheap tests for whether a check may find anything ---- */

static int holds(const char *text, Py_ssize_t length, const char *mark)
{
    size_t size = strlen(mark);
    const char *end = text + length;
    for (const char *at = text; at + size <= end; at++) {
        at = memchr(at, mark[0], end - at);
        if (!at || at + size > end)
            return 0;
        if (!memcmp(at, mark, size))
            return 1;
    }
    return 0;
}

static int holds_any(const char *text, Py_ssize_t length, const char *const *marks)
{
    for (; *marks; marks++)
        if (holds(text, length, *marks))
            return 1;
    return 0;
}

/* Beginnings of secrets, by a character that few texts hold. */
static const char *const UNDERSCORED[] = {"ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "hf_", "_live_", NULL};
static const char *const HYPHENED[] = {"-----BEGIN ", "glpat-", "sk-", "xox", NULL};
static const char *const CAPITALS[] = {"AKIA", "ASIA", "AIza", NULL};
static const char *const TOKENS[] = {"eyJ", NULL};
static const char *const REFUSALS[] = {"i ", "i'", "as an ai", "as a la", "for me to",
    "information to", "regrettably", NULL};
static const char *const PLACES[] = {"[", "<", ">", "\"", "#", NULL};
static const char ENDS[] = ".!?:";                     /* of sentences */
static const char CLOSERS[] = "\"')]}*_` \t\r\n"; /* that may stand behind them */

static void lower(const char *text, Py_ssize_t length, char *lowered)
{
    for (Py_ssize_t at = 0; at < length; at++)
        lowered[at] = is_upper(text[at]) ? text[at] | 32 : text[at];
}

static int is_cut(const char *text, Py_ssize_t length)
{
    if (memchr(text, '`', length))
        return 1;
    while (length && strchr(CLOSERS, text[length - 1]) && text[length - 1])
        length--;
    return length && !(text[length - 1] && strchr(ENDS, text[length - 1]));
}

/* Keep the word with a capital that begins here, in lower case. */
static int text_add_capital(Text *self, const char *text, Py_ssize_t length, int is_ascii)
{
    char word[64];
    Py_ssize_t size = 0;
    for (; size < length && size < (Py_ssize_t)sizeof word && is_inner(text[size]); size++)
        word[size] = is_upper(text[size]) ? text[size] | 32 : text[size];
    unsigned char next = size < length ? text[size] : 0;
    if (size == sizeof word || next == '\'' || next == '-' || (next == '?' && !is_ascii)) {
        self->n_capitals = -1; /* such a "?" stands for another character, by which the word may go on */
        return 0;
    }
    if (!(self->n_capitals & (self->n_capitals - 1))) { /* 0, 1, 2, 4, ...: room for twice as many */
        size_t room = self->n_capitals ? 2 * self->n_capitals : 1;
        uint64_t *capitals = PyMem_Realloc(self->capitals, room * sizeof(uint64_t));
        if (!capitals) {
            PyErr_NoMemory();
            return -1;
        }
        self->capitals = capitals;
    }
    self->capitals[self->n_capitals++] = hash_bytes(word, size);
    return 0;
}

/* A capital behind lower case and a blank; and one word behind another that both begin with one. */
static int text_read_capitals(Text *self, const char *text, Py_ssize_t length, int is_ascii)
{
    int state = 0; /* 1: inside a word with a capital, 2: in the next word */
    for (Py_ssize_t at = 0; at < length; at++) {
        unsigned char byte = text[at];
        if (is_lower(byte))
            continue;
        if (is_upper(byte)) {
            if (state == 2)
                self->hints |= MAY_NAME;
            state = 1;
            unsigned char before = at > 1 && text[at - 1] == ' ' ? text[at - 2] : 0;
            int is_inside = is_lower(before) || before == ',' || before == ';';
            if (is_inside && self->n_capitals >= 0
                && text_add_capital(self, text + at, length - at, is_ascii) < 0)
                return -1;
        } else if (byte == ' ')
            state = state == 1 ? 2 : 0;
        else if (!is_inner(byte) && byte != '\'' && byte != '-' && byte != '?')
            state = 0;
    }
    return 0;
}

/* What needs the words is read before. */
static int text_read_hints(Text *self, const char *text, Py_ssize_t length, int is_ascii, char *lowered)
{
    int32_t colons = 0, tight = 0;
    for (const char *at = text; (at = memchr(at, ':', text + length - at)); at++) {
        unsigned char next = at + 1 < text + length ? at[1] : 0;
        colons++;
        tight |= is_digit(next) || next == ':' || ((next | 32) >= 'a' && (next | 32) <= 'f');
    }
    if (!is_ascii || memchr(text, '@', length) || (colons >= LEAST_COLONS && tight))
        self->hints |= MAY_BE_PERSONAL;
    if ((memchr(text, '_', length) && holds_any(text, length, UNDERSCORED))
        || (memchr(text, '-', length) && holds_any(text, length, HYPHENED))
        || (memchr(text, 'I', length) && holds_any(text, length, CAPITALS))
        || (memchr(text, 'J', length) && holds_any(text, length, TOKENS)))
        self->hints |= MAY_BE_SECRET;
    if (!is_ascii || is_cut(text, length))
        self->hints |= MAY_BE_CUT;
    if (self->counts[POINTER])
        self->hints |= MAY_POINT;
    if (self->counts[POINTER_IN_ANSWER])
        self->hints |= MAY_POINT_IN_ANSWER;
    if (self->counts[OWN] < OWN_HITS || self->counts[OWN] <= OWN_SHARE * self->by_word.count)
        self->hints |= MAY_BE_FOREIGN;
    if (is_ascii)
        lower(text, length, lowered);
    if (!is_ascii || !self->n_words || holds_any(lowered, length < OPENING ? length : OPENING, REFUSALS))
        self->hints |= MAY_REFUSE;
    if (!is_ascii || holds_any(text, length, PLACES) || holds(lowered, length, "prompt")
        || holds(lowered, length, "lorem ipsum"))
        self->hints |= MAY_HOLD_PLACE;
    return text_read_capitals(self, text, length, is_ascii);
}

static int text_allocate(Text *self, Py_ssize_t words, Py_ssize_t numbers)
{
    self->words = PyMem_Malloc((words + 1) * sizeof(uint64_t));
    self->stems = PyMem_Malloc((words + 1) * sizeof(uint64_t));
    self->word_stems = PyMem_Malloc((words + 1) * sizeof(uint64_t));
    self->negations = PyMem_Malloc(words + 1);
    self->numbers = PyMem_Malloc((numbers + 1) * sizeof(uint64_t));
    if (self->words && self->stems && self->word_stems && self->negations && self->numbers
        && index_allocate(&self->by_word, words) == 0 && index_allocate(&self->by_stem, words) == 0)
        return 0;
    PyErr_NoMemory();
    return -1;
}

/* `own` is where it was folded, if that was done here. */
static int text_read(Text *self, Lexicon *lexicon, const char *folded, Py_ssize_t folded_length,
                     const char *plain, Py_ssize_t length, char *own, int is_source)
{
    Py_ssize_t words = 0, numbers = 0;
    for (Py_ssize_t at = 0; at < folded_length; at++)
        words += !is_blank(folded[at]) && (!at || is_blank(folded[at - 1]));
    for (Py_ssize_t at = 0; at < length; at++)
        numbers += is_digit(plain[at]) && (!at || !is_digit(plain[at - 1]));
    if (text_allocate(self, words, numbers) < 0
        || text_read_words(self, lexicon, folded, folded_length) < 0)
        return -1;
    text_read_numbers(self, plain, length);
    if (!is_source)
        return text_read_hints(self, plain, length, own != NULL, own);
    self->hints = ~0u;
    self->n_capitals = -1;
    return 0;
}

static PyObject *text_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyObject *lexicon;
    const char *given, *plain;
    Py_ssize_t folded_length, length;
    int is_source = 0;
    (void)keywords;
    if (!PyArg_ParseTuple(args, "Oz#s#|p", &lexicon, &given, &folded_length, &plain, &length, &is_source))
        return NULL;
    if (folded_length > INT32_MAX / 4 || length > INT32_MAX / 4) {
        PyErr_SetString(PyExc_OverflowError, "the text is too long");
        return NULL;
    }
    if (PyType_GetSlot(Py_TYPE(lexicon), Py_tp_new) != (void *)lexicon_new) {
        PyErr_SetString(PyExc_TypeError, "a Lexicon is needed");
        return NULL;
    }
    char *folded = given ? NULL : PyMem_Malloc(length + 1);
    if (!given && !folded)
        return PyErr_NoMemory();
    if (!given)
        folded_length = fold(plain, length, folded);
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Text *self = (Text *)allocate(type, 0);
    if (self && text_read(self, (Lexicon *)lexicon, given ? given : folded, folded_length, plain, length, folded, is_source) < 0)
        Py_CLEAR(self);
    PyMem_Free(folded);
    return (PyObject *)self;
}

static void text_dealloc(PyObject *object)
{
    Text *self = (Text *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyMem_Free(self->words);
    PyMem_Free(self->stems);
    PyMem_Free(self->word_stems);
    PyMem_Free(self->negations);
    PyMem_Free(self->numbers);
    PyMem_Free(self->capitals);
    PyMem_Free(self->filter);
    index_free(&self->by_word);
    index_free(&self->by_stem);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyObject *text_words(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromLong(((Text *)self)->n_words);
}

static PyObject *text_stems(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromLong(((Text *)self)->n_stems);
}

static PyObject *text_distinct(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromLong(((Text *)self)->by_word.count);
}

static PyObject *text_content(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromLong(((Text *)self)->by_stem.count);
}

static PyObject *text_numbers(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromLong(((Text *)self)->n_numbers);
}

static PyObject *text_hints(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromLong(((Text *)self)->hints);
}

static PyObject *text_count(PyObject *self, PyObject *number)
{
    long flag = PyLong_AsLong(number);
    if (flag == -1 && PyErr_Occurred())
        return NULL;
    if (flag < 0 || flag >= FLAGS) {
        PyErr_SetString(PyExc_ValueError, "no such flag");
        return NULL;
    }
    return PyLong_FromLong(((Text *)self)->counts[flag]);
}

static PyObject *text_holds(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    for (Py_ssize_t at = 0; at < count; at++) {
        Py_ssize_t length;
        const char *bytes = PyUnicode_AsUTF8AndSize(args[at], &length);
        if (!bytes)
            return NULL;
        if (index_first(&((Text *)object)->by_word, hash_bytes(bytes, length)) >= 0)
            Py_RETURN_TRUE;
    }
    Py_RETURN_FALSE;
}

/* count: (words, words that begin with a digit, words with each flag) of ASCII, each as often as it stands;
   words that the lexicon does not know have no flags, and are not asked about */
static PyObject *lexicon_count(PyObject *object, PyObject *given)
{
    const Lexicon *self = (Lexicon *)object;
    Py_ssize_t length;
    char *folded = folded_of(given, &length);
    if (!folded)
        return NULL;
    long counts[FLAGS + 2] = {0};
    for (Py_ssize_t at = 0; at < length;) {
        if (is_blank(folded[at])) {
            at++;
            continue;
        }
        Py_ssize_t start = at;
        while (at < length && !is_blank(folded[at]))
            at++;
        counts[0]++;
        if (is_digit(folded[start])) {
            counts[1]++;
            continue;
        }
        unsigned int flags = flags_of(*slot_of(self->entries, self->size, hash_bytes(folded + start, at - start)));
        for (int flag = 0; flags; flag++, flags >>= 1)
            counts[2 + flag] += flags & 1;
    }
    PyMem_Free(folded);
    PyObject *found = PyTuple_New(FLAGS + 2);
    for (int at = 0; found && at < FLAGS + 2; at++) {
        PyObject *number = PyLong_FromLong(counts[at]);
        if (!number || PyTuple_SetItem(found, at, number) < 0)
            Py_CLEAR(found);
    }
    return found;
}

/* ---- what two texts share ---- */

static int32_t count_shared(const Text *one, const Text *other, const Text *more)
{
    int32_t shared = 0;
    for (int32_t at = 0; at < one->by_stem.count; at++) {
        uint64_t stem = one->by_stem.keys[at];
        shared += index_first(&other->by_stem, stem) >= 0
                  || (more && index_first(&more->by_stem, stem) >= 0);
    }
    return shared;
}

/* coverage: different stems of the first that the second or the third holds */
static PyObject *text_shared(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    if (count < 1 || count > 2 || Py_TYPE(args[0]) != Py_TYPE(object)
        || (count == 2 && Py_TYPE(args[1]) != Py_TYPE(object))) {
        PyErr_SetString(PyExc_TypeError, "one or two texts are needed");
        return NULL;
    }
    const Text *more = count == 2 ? (Text *)args[1] : NULL;
    return PyLong_FromLong(count_shared((Text *)object, (Text *)args[0], more));
}

/* Whether a place of `behind` follows one of `before` within `most` content words. */
static int follows(const Index *index, int32_t before, int32_t behind, int32_t most)
{
    while (before >= 0 && behind >= 0) {
        if (behind <= before)
            behind = index->nexts[behind];
        else if (behind - before <= most)
            return 1;
        else
            before = index->nexts[before];
    }
    return 0;
}

/* Whether the text has a stem two places behind another, and never `here` between them. */
static int has_other_between(const Text *text, int32_t before, uint64_t here, uint64_t behind)
{
    int found = 0;
    for (; before >= 0; before = text->by_stem.nexts[before])
        if (before + 2 < text->n_stems && text->stems[before + 2] == behind) {
            if (text->stems[before + 1] == here)
                return 0;
            found = 1;
        }
    return found;
}

enum { LINKED = 1, STEPPED = 2 }; /* neighbours: both in the text, and following each other there */

static int is_parted(const unsigned char *links, int32_t at) { return links[at] == LINKED; }

/* (words between two others that the text has another between, words that follow neither neighbour) */
static void out_of_place(const Text *self, const Text *source, const unsigned char *links,
                         int32_t *strayed, int32_t *isolated)
{
    const Index *index = &source->by_stem;
    int32_t last = self->n_stems - 1;
    for (int32_t at = 1; at < last; at++) {
        if (!is_parted(links, at - 1) && !is_parted(links, at))
            continue;
        if (links[at - 1] & LINKED && links[at] & LINKED)
            *strayed += has_other_between(source, index_first(index, self->stems[at - 1]),
                                          self->stems[at], self->stems[at + 1]);
        *isolated += is_parted(links, at - 1) && is_parted(links, at) && at > 1 && at < last - 1
                     && links[at - 2] & STEPPED && links[at + 1] & STEPPED;
    }
}

typedef struct {
    int32_t near, ahead, gap; /* near each other in either order, in the answer's; longest run of those that are not */
    int32_t linked, parted;   /* both in the source; of these apart */
    int32_t strayed, isolated;
} Neighbours;

static int count_neighbours(const Text *self, const Text *source, Neighbours *found)
{
    const Index *index = &source->by_stem;
    int32_t gap = 0;
    unsigned char *links = PyMem_Calloc(self->n_stems + 1, 1);
    if (!links) {
        PyErr_NoMemory();
        return -1;
    }
    int32_t one = self->n_stems ? index_first(index, self->stems[0]) : -1;
    for (int32_t place = 1; place < self->n_stems; place++) {
        int32_t other = index_first(index, self->stems[place]);
        int is_ahead = follows(index, one, other, REACH);
        int is_near = is_ahead || follows(index, other, one, REACH);
        found->near += is_near;
        found->ahead += is_ahead;
        gap = is_near ? 0 : gap + 1;
        if (gap > found->gap)
            found->gap = gap;
        if (one >= 0 && other >= 0) {
            int is_stepped = is_ahead && follows(index, one, other, STEP);
            links[place - 1] = is_stepped ? LINKED | STEPPED : LINKED;
            found->linked++;
            found->parted += !is_stepped;
        }
        one = other;
    }
    if (found->parted)
        out_of_place(self, source, links, &found->strayed, &found->isolated);
    PyMem_Free(links);
    return 0;
}

typedef struct {
    long long covered, squares; /* words in shared runs, and the squares of the runs' lengths */
    int32_t longest;
} Fragments;

/* Runs of words shared with the source (Grusky and others 2018). */
static void find_fragments(const Text *self, const Text *other, Fragments *found)
{
    for (int32_t at = 0; at < self->n_words;) {
        int32_t best = 0, place = index_first(&other->by_word, self->words[at]);
        for (; place >= 0; place = other->by_word.nexts[place]) {
            int32_t most = self->n_words - at, run = 1;
            if (most > other->n_words - place)
                most = other->n_words - place;
            if (best && (best >= most || self->words[at + best] != other->words[place + best]))
                continue; /* no longer than the best */
            while (run < most && self->words[at + run] == other->words[place + run])
                run++;
            if (run > best)
                best = run;
        }
        found->covered += best;
        found->squares += (long long)best * best;
        if (best > found->longest)
            found->longest = best;
        at += best ? best : 1;
    }
}

/* The stem of the first content word behind a negation, or 0. */
static uint64_t negated_by(const Text *self, int32_t place)
{
    for (int32_t at = place + 1; at <= place + NEGATION_REACH && at < self->n_words; at++)
        if (self->word_stems[at])
            return self->word_stems[at];
    return 0;
}

static int is_negated(const Text *self, uint64_t stem, int32_t end)
{
    for (int32_t place = 0; place < end; place++)
        if (self->negations[place] && negated_by(self, place) == stem)
            return 1;
    return 0;
}

/* Different stems that the first negates, and the second does not. */
static int32_t count_negations(const Text *self, const Text *other)
{
    int32_t found = 0;
    if (self->counts[NEGATION])
        for (int32_t place = 0; place < self->n_words; place++) {
            uint64_t stem = self->negations[place] ? negated_by(self, place) : 0;
            found += stem && !is_negated(self, stem, place)
                     && !is_negated(other, stem, other->counts[NEGATION] ? other->n_words : 0);
        }
    return found;
}

static int negates(const Text *self, uint64_t stem)
{
    return self->counts[NEGATION] && is_negated(self, stem, self->n_words);
}

/* Whether the source has a stem near one of those beside a place of the answer. */
static int is_beside(const Text *self, int32_t at, const Text *source, uint64_t stem)
{
    const Index *index = &source->by_stem;
    int32_t there = index_first(index, stem);
    for (int32_t side = at - SIDES; there >= 0 && side <= at + SIDES; side++) {
        if (side < 0 || side == at || side >= self->n_stems)
            continue;
        int32_t beside = index_first(index, self->stems[side]);
        if (follows(index, beside, there, AROUND) || follows(index, there, beside, AROUND))
            return 1;
    }
    return 0;
}

/* A filter for a table of many words, which lies in a cache where the table does not. */
enum { FILTER_BITS = 1 << 16 };

static int make_filter(Text *self)
{
    if (self->filter)
        return 0;
    self->filter = PyMem_Calloc(FILTER_BITS / 64, sizeof(uint64_t));
    if (!self->filter) {
        PyErr_NoMemory();
        return -1;
    }
    for (int32_t at = 0; at < self->by_stem.count; at++) {
        uint64_t stem = self->by_stem.keys[at];
        self->filter[stem % FILTER_BITS / 64] |= 1ULL << stem % 64;
    }
    return 0;
}

static inline int may_hold_stem(const Text *self, uint64_t stem)
{
    return self->filter[stem % FILTER_BITS / 64] >> stem % 64 & 1;
}

/* Whether the source has an opposite of a stem, and not the stem, where the answer has the stem. */
static int is_opposed(const Text *self, int32_t at, const Text *source, const Text *ones, const Text *others)
{
    uint64_t stem = self->stems[at];
    int32_t pair = may_hold_stem(ones, stem) ? index_first(&ones->by_stem, stem) : -1;
    if (pair < 0 || negates(self, stem) || negates(source, stem) || is_beside(self, at, source, stem))
        return 0;
    for (; pair >= 0; pair = ones->by_stem.nexts[pair]) {
        uint64_t other = others->stems[pair];
        if (is_beside(self, at, source, other) && !negates(self, other) && !negates(source, other))
            return 1;
    }
    return 0;
}

/* The different stems of the words near one, without its own; return how many. */
static int stems_near(const Text *self, int32_t at, uint64_t *found)
{
    int count = 0;
    for (int32_t place = at - AROUND; place <= at + AROUND; place++) {
        uint64_t stem = place < 0 || place >= self->n_words ? 0 : self->word_stems[place];
        int is_new = stem && stem != self->word_stems[at];
        for (int known = 0; known < count; known++)
            is_new = is_new && found[known] != stem;
        if (is_new)
            found[count++] = stem;
    }
    return count;
}

/* The most of some stems that stand near one place of a word in the source. */
static int most_shared(const Text *source, uint64_t word, const uint64_t *stems, int count)
{
    uint64_t near[2 * AROUND + 1];
    int most = 0;
    for (int32_t at = index_first(&source->by_word, word); at >= 0; at = source->by_word.nexts[at]) {
        int shared = 0, total = stems_near(source, at, near);
        for (int one = 0; one < count; one++)
            for (int other = 0; other < total; other++)
                shared += stems[one] == near[other];
        if (shared > most)
            most = shared;
    }
    return most;
}

/* Whether the source has an opposite of a function word with more of what stands near the word. */
static int says_opposite(const Text *self, uint64_t word, const Text *source, const Text *ones, const Text *others)
{
    uint64_t near[2 * AROUND + 1];
    for (int32_t at = index_first(&self->by_word, word); at >= 0; at = self->by_word.nexts[at]) {
        int most = 0, count = stems_near(self, at, near);
        for (int32_t pair = index_first(&ones->by_word, word); pair >= 0; pair = ones->by_word.nexts[pair]) {
            int shared = most_shared(source, others->words[pair], near, count);
            if (shared > most)
                most = shared;
        }
        if (most >= LEAST_SHARED && most > most_shared(source, word, near, count))
            return 1;
    }
    return 0;
}

/* Words of the first of which the source has the opposite in the same place. */
static int32_t count_opposed(const Text *self, const Text *source, const Text *ones, const Text *others,
                             const Text *little, const Text *others_little)
{
    int32_t found = 0;
    for (int32_t at = 0; at < self->n_stems; at++)
        found += is_opposed(self, at, source, ones, others);
    for (int32_t at = 0; at < self->by_word.count; at++) {
        uint64_t word = self->by_word.keys[at];
        found += index_first(&little->by_word, word) >= 0
                 && says_opposite(self, word, source, little, others_little);
    }
    return found;
}

static int has_number(const Text *self, uint64_t number, int32_t end)
{
    for (int32_t at = 0; at < end; at++)
        if (self->numbers[at] == number)
            return 1;
    return 0;
}

/* Different numbers of the first that neither of the others holds. */
static int32_t count_unseen_numbers(const Text *self, const Text *body, const Text *heading)
{
    int32_t found = 0;
    for (int32_t at = 0; at < self->n_numbers; at++) {
        uint64_t number = self->numbers[at];
        found += !has_number(self, number, at) && !has_number(body, number, body->n_numbers)
                 && !has_number(heading, number, heading->n_numbers);
    }
    return found;
}

/* Words with a capital inside a sentence that the source lacks; -1 where Python has to look. */
static int32_t count_unseen_capitals(const Text *self, const Text *source)
{
    int32_t found = 0;
    for (int32_t at = 0; at < self->n_capitals; at++)
        found += index_first(&source->by_word, self->capitals[at]) < 0;
    return self->n_capitals < 0 ? -1 : found;
}

/* compare: all that the checks count of an answer beside its text, in one call */
static PyObject *text_compare(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    const Text *self = (Text *)object;
    for (Py_ssize_t at = 0; at < count; at++)
        if (Py_TYPE(args[at]) != Py_TYPE(object))
            count = 0;
    if (count != 2 && count != 6) {
        PyErr_SetString(PyExc_TypeError, "two or six texts are needed");
        return NULL;
    }
    const Text *body = (Text *)args[0], *heading = (Text *)args[1];
    Neighbours near = {0};
    Fragments runs = {0};
    int32_t opposed = 0;
    if (count == 6) {
        Text *ones = (Text *)args[2], *others = (Text *)args[3];
        const Text *little = (Text *)args[4], *others_little = (Text *)args[5];
        if (ones->n_stems != others->n_stems || little->n_words != others_little->n_words) {
            PyErr_SetString(PyExc_ValueError, "each word needs one opposite");
            return NULL;
        }
        if (make_filter(ones) < 0)
            return NULL;
        opposed = count_opposed(self, body, ones, others, little, others_little);
    }
    if (count_neighbours(self, body, &near) < 0)
        return NULL;
    find_fragments(self, body, &runs);
    return Py_BuildValue("iiiiiiiiiiiiLLi", count_shared(self, body, heading), near.near, near.ahead,
                         near.gap, near.linked, near.parted, near.strayed, near.isolated,
                         count_unseen_numbers(self, body, heading), count_unseen_capitals(self, body),
                         count_negations(self, body), opposed, runs.covered, runs.squares, runs.longest);
}

/* holds_run: whether the words of another text, as it is written in ASCII, stand here in a row */
static PyObject *text_holds_run(PyObject *object, PyObject *given)
{
    const Text *self = (Text *)object;
    Py_ssize_t length;
    char *folded = folded_of(given, &length);
    if (!folded)
        return NULL;
    uint64_t *run = PyMem_Malloc((length / 2 + 1) * sizeof(uint64_t));
    int32_t words = 0, found = 0;
    if (!run) {
        PyMem_Free(folded);
        return PyErr_NoMemory();
    }
    for (Py_ssize_t at = 0; at < length;) {
        Py_ssize_t start = at;
        while (at < length && !is_blank(folded[at]))
            at++;
        if (at > start)
            run[words++] = hash_bytes(folded + start, at - start);
        else
            at++;
    }
    int32_t place = words ? index_first(&self->by_word, run[0]) : -1;
    for (; place >= 0 && !found; place = self->by_word.nexts[place])
        found = place + words <= self->n_words && !memcmp(self->words + place, run, words * sizeof *run);
    PyMem_Free(folded);
    PyMem_Free(run);
    return PyBool_FromLong(found);
}

/* ---- module ---- */

static PyGetSetDef text_values[] = {
    {"words", text_words, NULL, "Number of its words.", NULL},
    {"stems", text_stems, NULL, "Number of its content words.", NULL},
    {"distinct", text_distinct, NULL, "Number of its different words.", NULL},
    {"content", text_content, NULL, "Number of its different stems.", NULL},
    {"numbers", text_numbers, NULL, "Number of its written numbers of two characters or more.", NULL},
    {"hints", text_hints, NULL, "Bits for what checks may find in it.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef text_methods[] = {
    {"count", text_count, METH_O, "count(flag): different words that have it."},
    {"holds", (PyCFunction)(void (*)(void))text_holds, METH_FASTCALL,
     "holds(*words): whether one of the words is in it."},
    {"shared", (PyCFunction)(void (*)(void))text_shared, METH_FASTCALL,
     "shared(other, more=None): different stems of this one that one of the others holds."},
    {"compare", (PyCFunction)(void (*)(void))text_compare, METH_FASTCALL,
     "compare(body, heading, ones, others, little_ones, little_others): counts of an answer beside "
     "its text (speedups.Comparison); words whose opposite stands in their place only with the last "
     "four, of which the others are the opposites of the ones, word by word."},
    {"holds_run", text_holds_run, METH_O, "holds_run(text): whether its words stand here in a row."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot text_slots[] = {
    {Py_tp_new, text_new},
    {Py_tp_dealloc, text_dealloc},
    {Py_tp_methods, text_methods},
    {Py_tp_getset, text_values},
    {Py_tp_doc, "Text(lexicon, folded, plain, is_source=False): a text, as hashes of its words and stems. Where "
                "folded is None, plain is ASCII, and is folded here; a source is not looked at for hints."},
    {0, NULL},
};

static PyMethodDef lexicon_methods[] = {
    {"count", lexicon_count, METH_O,
     "count(text): (words, words that begin with a digit, words with each flag) of ASCII."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot lexicon_slots[] = {
    {Py_tp_new, lexicon_new},
    {Py_tp_methods, lexicon_methods},
    {Py_tp_dealloc, lexicon_dealloc},
    {Py_tp_doc, "Lexicon(describe, most): stems and flags of words, asked for once each."},
    {0, NULL},
};

static PyType_Spec text_spec = {"pairmill.quality._speedups.Text", sizeof(Text), 0,
                                Py_TPFLAGS_DEFAULT, text_slots};
static PyType_Spec lexicon_spec = {"pairmill.quality._speedups.Lexicon", sizeof(Lexicon), 0,
                                   Py_TPFLAGS_DEFAULT, lexicon_slots};

static int add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromSpec(spec);
    if (!type)
        return -1;
    int failed = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return failed;
}

/* Take the seed of Python's own hashes, once: it is random unless PYTHONHASHSEED is set. */
static int seed_hashes(void)
{
    static int is_done = 0;
    PyObject *text = is_done ? NULL : PyUnicode_FromString("pairmill");
    if (is_done)
        return 0;
    if (!text)
        return -1;
    Py_hash_t found = PyObject_Hash(text);
    Py_DECREF(text);
    K0 ^= mix((uint64_t)found, K1);
    is_done = 1;
    return 0;
}

static int module_exec(PyObject *module)
{
    make_tables();
    if (seed_hashes() < 0)
        return -1;
    if (PyModule_AddIntConstant(module, "VERSION", 3) < 0) /* of the interface, see speedups.py */
        return -1;
    return add_type(module, &lexicon_spec) < 0 || add_type(module, &text_spec) < 0 ? -1 : 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT, "_speedups", "Inner loops of the checks.", 0, NULL, module_slots,
    NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__speedups(void) { return PyModuleDef_Init(&module_def); }
