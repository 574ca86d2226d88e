/*
 * The checks' inner loops in C: what an answer shares with its text, word by word.
 *
 * pairmill.quality.text, .grounding and .support are the reference in Python; the results are the
 * same, and tests compare them. Nothing depends on this module: where it was not built, the
 * reference runs.
 *
 * A Text holds a hash of 64 bits for each word and each stem, in order. Words are told apart by
 * their hash alone: two different words with the same one are as likely as 1 in 2^64.
 */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000 /* one build for CPython 3.11 and later */
#include <Python.h>
#include <stdint.h>
#include <string.h>

enum { FLAGS = 8, REACH = 5, STEP = 2, AROUND = 3, SIDES = 2, NEGATION_REACH = 4, NEAR_DIGITS = 2 };
enum { LEAST_SHARED = 2 }; /* stems beside a function word that stand beside its opposite */
enum { NEGATION = 4 }; /* number of the flag, as in speedups.py */

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

typedef struct {
    uint64_t word, stem; /* stem 0: a word without content */
    uint32_t flags;
} Entry;

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
        *found = (Entry){hash, stem_length ? hash_bytes(stem, stem_length) : 0, flags};
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
    int32_t counts[FLAGS]; /* different words that have the flag */
    int32_t most_digits;   /* characters of the longest group of numbers */
    int is_country;        /* a number follows two letters, as in an IBAN */
    Index by_word, by_stem;
} Text;

static inline int is_blank(unsigned char byte)
{
    return byte == ' ' || (byte >= 9 && byte <= 13) || (byte >= 28 && byte <= 31);
}

static inline int is_digit(unsigned char byte) { return byte >= '0' && byte <= '9'; }
static inline int is_letter(unsigned char byte) { return (byte | 32) >= 'a' && (byte | 32) <= 'z'; }

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
        self->word_stems[place] = entry.stem;
        self->negations[place] = entry.flags >> NEGATION & 1;
        if (index_add(&self->by_word, hash, place) && entry.flags)
            for (int flag = 0; flag < FLAGS; flag++)
                self->counts[flag] += entry.flags >> flag & 1;
        if (entry.stem) {
            self->stems[self->n_stems] = entry.stem;
            index_add(&self->by_stem, entry.stem, self->n_stems++);
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
        if (group > self->most_digits)
            self->most_digits = group;
        if (start > 1 && is_letter(plain[start - 1]) && is_letter(plain[start - 2]))
            self->is_country = 1;
        last = at;
    }
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

static PyObject *text_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyObject *lexicon;
    const char *folded, *plain;
    Py_ssize_t folded_length, plain_length;
    (void)keywords;
    if (!PyArg_ParseTuple(args, "Oy#y#", &lexicon, &folded, &folded_length, &plain, &plain_length))
        return NULL;
    if (folded_length > INT32_MAX / 4 || plain_length > INT32_MAX / 4) {
        PyErr_SetString(PyExc_OverflowError, "the text is too long");
        return NULL;
    }
    if (PyType_GetSlot(Py_TYPE(lexicon), Py_tp_new) != (void *)lexicon_new) {
        PyErr_SetString(PyExc_TypeError, "a Lexicon is needed");
        return NULL;
    }
    Py_ssize_t words = 0, numbers = 0;
    for (Py_ssize_t at = 0; at < folded_length; at++)
        words += !is_blank(folded[at]) && (!at || is_blank(folded[at - 1]));
    for (Py_ssize_t at = 0; at < plain_length; at++)
        numbers += is_digit(plain[at]) && (!at || !is_digit(plain[at - 1]));
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Text *self = (Text *)allocate(type, 0);
    if (!self)
        return NULL;
    if (text_allocate(self, words, numbers) < 0
        || text_read_words(self, (Lexicon *)lexicon, folded, folded_length) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    text_read_numbers(self, plain, plain_length);
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

static PyObject *text_most_digits(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromLong(((Text *)self)->most_digits);
}

static PyObject *text_is_country(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(((Text *)self)->is_country);
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

/* neighbours: (near in either order, near in the answer's order, longest run of those that are not,
   both in the source, of these apart, strayed words, isolated words) */
static PyObject *text_neighbours(PyObject *object, PyObject *source)
{
    const Text *self = (Text *)object;
    if (Py_TYPE(source) != Py_TYPE(object)) {
        PyErr_SetString(PyExc_TypeError, "a text is needed");
        return NULL;
    }
    const Index *index = &((Text *)source)->by_stem;
    int32_t near = 0, ahead = 0, gap = 0, longest = 0, linked = 0, parted = 0;
    int32_t strayed = 0, isolated = 0;
    unsigned char *links = PyMem_Calloc(self->n_stems + 1, 1);
    if (!links)
        return PyErr_NoMemory();
    int32_t one = self->n_stems ? index_first(index, self->stems[0]) : -1;
    for (int32_t place = 1; place < self->n_stems; place++) {
        int32_t other = index_first(index, self->stems[place]);
        int is_ahead = follows(index, one, other, REACH);
        int is_near = is_ahead || follows(index, other, one, REACH);
        near += is_near;
        ahead += is_ahead;
        gap = is_near ? 0 : gap + 1;
        if (gap > longest)
            longest = gap;
        if (one >= 0 && other >= 0) {
            int is_stepped = is_ahead && follows(index, one, other, STEP);
            links[place - 1] = is_stepped ? LINKED | STEPPED : LINKED;
            linked++;
            parted += !is_stepped;
        }
        one = other;
    }
    if (parted)
        out_of_place(self, (Text *)source, links, &strayed, &isolated);
    PyMem_Free(links);
    return Py_BuildValue("iiiiiii", near, ahead, longest, linked, parted, strayed, isolated);
}

/* fragments (Grusky and others 2018): (words in shared runs, squares of their lengths, longest run) */
static PyObject *text_fragments(PyObject *object, PyObject *source)
{
    const Text *self = (Text *)object, *other = (Text *)source;
    if (Py_TYPE(source) != Py_TYPE(object)) {
        PyErr_SetString(PyExc_TypeError, "a text is needed");
        return NULL;
    }
    long long covered = 0, squares = 0;
    int32_t longest = 0;
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
        covered += best;
        squares += (long long)best * best;
        if (best > longest)
            longest = best;
        at += best ? best : 1;
    }
    return Py_BuildValue("LLi", covered, squares, longest);
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

/* negations: different stems that the first negates, and the second does not */
static PyObject *text_negations(PyObject *object, PyObject *source)
{
    const Text *self = (Text *)object, *other = (Text *)source;
    if (Py_TYPE(source) != Py_TYPE(object)) {
        PyErr_SetString(PyExc_TypeError, "a text is needed");
        return NULL;
    }
    long found = 0;
    if (self->counts[NEGATION])
        for (int32_t place = 0; place < self->n_words; place++) {
            uint64_t stem = self->negations[place] ? negated_by(self, place) : 0;
            found += stem && !is_negated(self, stem, place)
                     && !is_negated(other, stem, other->counts[NEGATION] ? other->n_words : 0);
        }
    return PyLong_FromLong(found);
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

/* Whether the source has an opposite of a stem, and not the stem, where the answer has the stem. */
static int is_opposed(const Text *self, int32_t at, const Text *source, const Text *ones, const Text *others)
{
    uint64_t stem = self->stems[at];
    int32_t pair = index_first(&ones->by_stem, stem);
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

/* opposed: words of the first of which the source has the opposite in the same place */
static PyObject *text_opposed(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    const Text *self = (Text *)object;
    for (Py_ssize_t at = 0; at < count; at++)
        if (Py_TYPE(args[at]) != Py_TYPE(object))
            count = 0;
    if (count != 5) {
        PyErr_SetString(PyExc_TypeError, "five texts are needed");
        return NULL;
    }
    const Text *source = (Text *)args[0], *ones = (Text *)args[1], *others = (Text *)args[2];
    const Text *little = (Text *)args[3], *others_little = (Text *)args[4];
    if (ones->n_stems != others->n_stems || little->n_words != others_little->n_words) {
        PyErr_SetString(PyExc_ValueError, "each word needs one opposite");
        return NULL;
    }
    long found = 0;
    for (int32_t at = 0; at < self->n_stems; at++)
        found += is_opposed(self, at, source, ones, others);
    for (int32_t at = 0; at < self->by_word.count; at++) {
        uint64_t word = self->by_word.keys[at];
        found += index_first(&little->by_word, word) >= 0
                 && says_opposite(self, word, source, little, others_little);
    }
    return PyLong_FromLong(found);
}

static int has_number(const Text *self, uint64_t number, int32_t end)
{
    for (int32_t at = 0; at < end; at++)
        if (self->numbers[at] == number)
            return 1;
    return 0;
}

/* unseen_numbers: different numbers of the first that neither of the others holds */
static PyObject *text_unseen_numbers(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    const Text *self = (Text *)object;
    if (count != 2 || Py_TYPE(args[0]) != Py_TYPE(object) || Py_TYPE(args[1]) != Py_TYPE(object)) {
        PyErr_SetString(PyExc_TypeError, "two texts are needed");
        return NULL;
    }
    const Text *body = (Text *)args[0], *heading = (Text *)args[1];
    long found = 0;
    for (int32_t at = 0; at < self->n_numbers; at++) {
        uint64_t number = self->numbers[at];
        found += !has_number(self, number, at) && !has_number(body, number, body->n_numbers)
                 && !has_number(heading, number, heading->n_numbers);
    }
    return PyLong_FromLong(found);
}

/* ---- module ---- */

static PyGetSetDef text_values[] = {
    {"words", text_words, NULL, "Number of its words.", NULL},
    {"stems", text_stems, NULL, "Number of its content words.", NULL},
    {"distinct", text_distinct, NULL, "Number of its different words.", NULL},
    {"content", text_content, NULL, "Number of its different stems.", NULL},
    {"numbers", text_numbers, NULL, "Number of its written numbers of two characters or more.", NULL},
    {"most_digits", text_most_digits, NULL, "Characters of its longest group of numbers.", NULL},
    {"is_country", text_is_country, NULL, "Whether a number follows two letters.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef text_methods[] = {
    {"count", text_count, METH_O, "count(flag): different words that have it."},
    {"holds", (PyCFunction)(void (*)(void))text_holds, METH_FASTCALL,
     "holds(*words): whether one of the words is in it."},
    {"shared", (PyCFunction)(void (*)(void))text_shared, METH_FASTCALL,
     "shared(other, more=None): different stems of this one that one of the others holds."},
    {"neighbours", text_neighbours, METH_O,
     "neighbours(source): neighbouring stems near each other in the source: (in either order, in "
     "this order, longest run of those that are not, both there, of these apart, strayed, isolated)."},
    {"opposed", (PyCFunction)(void (*)(void))text_opposed, METH_FASTCALL,
     "opposed(source, ones, others, little_ones, little_others): words whose opposite stands in "
     "their place in the source; the others are the opposites of the ones, word by word."},
    {"fragments", text_fragments, METH_O,
     "fragments(source): runs shared with the source: (words, sum of squares, longest)."},
    {"negations", text_negations, METH_O, "negations(source): stems negated here alone."},
    {"unseen_numbers", (PyCFunction)(void (*)(void))text_unseen_numbers, METH_FASTCALL,
     "unseen_numbers(body, heading): different numbers that neither holds."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot text_slots[] = {
    {Py_tp_new, text_new},
    {Py_tp_dealloc, text_dealloc},
    {Py_tp_methods, text_methods},
    {Py_tp_getset, text_values},
    {Py_tp_doc, "Text(lexicon, folded, plain): a text, as hashes of its words and stems."},
    {0, NULL},
};

static PyType_Slot lexicon_slots[] = {
    {Py_tp_new, lexicon_new},
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
    if (seed_hashes() < 0)
        return -1;
    if (PyModule_AddIntConstant(module, "VERSION", 2) < 0) /* of the interface, see speedups.py */
        return -1;
    return add_type(module, &lexicon_spec) < 0 || add_type(module, &text_spec) < 0 ? -1 : 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT, "_speedups", "Inner loops of the checks.", 0, NULL, module_slots,
    NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__speedups(void) { return PyModuleDef_Init(&module_def); }
