#include "forward/tag_pattern.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The pattern is a nondeterministic automaton; a set of states moves over the tag byte by byte. A transition
 * that takes no byte always leads to a later state, so one pass over the set in ascending order is enough. */
enum tag_pattern_op {
    OP_BYTE,           /* takes one byte: `byte` */
    OP_RUN_IN_PART,    /* takes any number of bytes except dots: [^\.]* */
    OP_RUN_IN_LINE,    /* takes any number of bytes except newlines: .* */
    OP_RUN,            /* takes any number of bytes */
    OP_AT_START,       /* takes nothing; only at the start of the tag: \A */
    OP_AT_END_OF_PART, /* takes nothing; only before a dot or at the end of the tag: (?![^\.]) */
    OP_FORK,           /* takes nothing; goes to the next state and to the target */
    OP_JUMP,           /* takes nothing; goes to the target */
    OP_END,            /* the end of the tag, or a newline before the end: \Z */
};

struct tag_pattern_state {
    uint8_t op; /* enum tag_pattern_op */
    uint8_t byte;
    uint16_t target; /* of a fork or jump; a later state */
};

/* A character makes at most two states on average. OP_END is one more. */
enum { STATES_MAX = 2 * TAG_PATTERN_BYTES_MAX + 1, SET_WORDS = (STATES_MAX + 63) / 64 };
enum { NO_STATE = UINT16_MAX };

/* ---- compiling ---- */

struct brace {
    uint16_t fork; /* of the current alternative; its target is the next alternative */
    uint16_t
        jumps; /* the last jump from the end of an alternative to the end of the brace; chained by target */
};

struct compiler {
    struct tag_pattern_state *states;
    uint16_t count;
    bool has_dot; /* a dot was read and has no state yet: its meaning depends on the next characters */
    bool is_escaped;
    unsigned depth;
    struct brace braces[TAG_PATTERN_BRACES_MAX];
};

static uint16_t put(struct compiler *compiler, enum tag_pattern_op op, uint8_t byte, uint16_t target)
{
    assert(compiler->count < STATES_MAX);
    compiler->states[compiler->count] = (struct tag_pattern_state) { (uint8_t)op, byte, target };
    return compiler->count++;
}

static void put_byte(struct compiler *compiler, char byte)
{
    put(compiler, OP_BYTE, (uint8_t)byte, 0);
}

/* Compiles `**` or `**.`. Returns the number of characters of the pattern. */
static size_t put_any_parts(struct compiler *compiler, bool is_dot_next)
{
    if (compiler->has_dot)
        put(compiler, OP_AT_END_OF_PART, 0, 0);
    compiler->has_dot = false;
    if (!is_dot_next) {
        put(compiler, OP_RUN_IN_LINE, 0, 0);
        return 2;
    }
    /* (?:.*\.|\A) */
    uint16_t fork = put(compiler, OP_FORK, 0, 0);
    put(compiler, OP_RUN_IN_LINE, 0, 0);
    put_byte(compiler, '.');
    put(compiler, OP_JUMP, 0, (uint16_t)(compiler->count + 2));
    compiler->states[fork].target = compiler->count;
    put(compiler, OP_AT_START, 0, 0);
    return 3;
}

static void alternative_begin(struct compiler *compiler, struct brace *brace)
{
    brace->fork = put(compiler, OP_FORK, 0, (uint16_t)(compiler->count + 1));
}

static void alternative_next(struct compiler *compiler)
{
    struct brace *brace = &compiler->braces[compiler->depth - 1];

    brace->jumps = put(compiler, OP_JUMP, 0, brace->jumps);
    compiler->states[brace->fork].target = compiler->count;
    alternative_begin(compiler, brace);
}

static void brace_close(struct compiler *compiler)
{
    struct brace *brace = &compiler->braces[--compiler->depth];

    while (brace->jumps != NO_STATE) {
        struct tag_pattern_state *jump = &compiler->states[brace->jumps];
        brace->jumps = jump->target;
        jump->target = compiler->count;
    }
}

static bool brace_open(struct compiler *compiler, struct fault *fault)
{
    if (compiler->depth == TAG_PATTERN_BRACES_MAX) {
        fault_set(fault, "braces nest deeper than %d", TAG_PATTERN_BRACES_MAX);
        return false;
    }
    struct brace *brace = &compiler->braces[compiler->depth++];
    brace->jumps = NO_STATE;
    alternative_begin(compiler, brace);
    return true;
}

/* Compiles a character that is neither escaped nor part of a `**`. */
static bool compile_character(struct compiler *compiler, char character, struct fault *fault)
{
    if (compiler->has_dot)
        put_byte(compiler, '.');
    compiler->has_dot = character == '.';
    if (character == '{')
        return brace_open(compiler, fault);
    if (character == '}' && compiler->depth)
        brace_close(compiler);
    else if (character == ',' && compiler->depth)
        alternative_next(compiler);
    else if (character == '*')
        put(compiler, OP_RUN_IN_PART, 0, 0);
    else if (character == '\\')
        compiler->is_escaped = true;
    else if (character != '.')
        put_byte(compiler, character);
    return true;
}

static bool compile(struct compiler *compiler, const char *text, size_t length, struct fault *fault)
{
    if (length == 2 && memcmp(text, "**", 2) == 0) {
        put(compiler, OP_RUN, 0, 0); /* `**` alone also matches newlines */
        put(compiler, OP_END, 0, 0);
        return true;
    }
    for (size_t at = 0; at < length;) {
        if (compiler->is_escaped) {
            put_byte(compiler, text[at++]);
            compiler->is_escaped = false;
        } else if (length - at >= 2 && memcmp(text + at, "**", 2) == 0) {
            at += put_any_parts(compiler, length - at >= 3 && text[at + 2] == '.');
        } else if (!compile_character(compiler, text[at++], fault)) {
            return false;
        }
    }
    if (compiler->depth) {
        /* Fluentd then matches the text of its incomplete regular expression, which cannot be intended. */
        fault_set(fault, "a { is not closed");
        return false;
    }
    put(compiler, OP_END, 0, 0);
    return true;
}

static bool text_check(const char *text, size_t length, struct fault *fault)
{
    if (length == 0)
        fault_set(fault, "the pattern is empty");
    else if (length > TAG_PATTERN_BYTES_MAX)
        fault_set(fault, "is longer than %d bytes", TAG_PATTERN_BYTES_MAX);
    else if (text[0] == '/')
        fault_set(fault, "regular expressions are not supported");
    else if (memmem(text, length, "#{", 2))
        fault_set(fault, "#{} is not supported: it would be Ruby code");
    else if (memchr(text, ' ', length) || memchr(text, '\t', length) || memchr(text, '\n', length))
        fault_set(fault, "has a space: several patterns are several items of the list");
    else
        return true;
    return false;
}

bool tag_pattern_init(struct tag_pattern *pattern, const char *text, size_t length, struct fault *fault)
{
    struct tag_pattern_state states[STATES_MAX];
    struct compiler compiler = { .states = states };

    *pattern = (struct tag_pattern) { 0 };
    if (!text_check(text, length, fault) || !compile(&compiler, text, length, fault)) {
        fault_wrap(fault, "\"%.*s\"", (int)(length < 64 ? length : 64), text);
        return false;
    }
    pattern->states = malloc(compiler.count * sizeof *states);
    if (!pattern->states) {
        fault_set(fault, "out of memory");
        return false;
    }
    memcpy(pattern->states, states, compiler.count * sizeof *states);
    pattern->count = compiler.count;
    return true;
}

void tag_pattern_deinit(struct tag_pattern *pattern)
{
    free(pattern->states);
    *pattern = (struct tag_pattern) { 0 };
}

/* ---- matching ---- */

struct set {
    uint64_t words[SET_WORDS];
};

static void set_add(struct set *set, unsigned state)
{
    set->words[state / 64] |= UINT64_C(1) << state % 64;
}

static bool set_is_empty(const struct set *set, unsigned words)
{
    uint64_t any = 0;

    for (unsigned i = 0; i < words; i++)
        any |= set->words[i];
    return any == 0;
}

struct position {
    const uint8_t *next; /* NULL: the tag has ended */
    bool is_start, is_end;
};

/* Advances one state: adds states to `now` and `then`. True at the end of both the pattern and the tag. */
static bool state_step(const struct tag_pattern_state *states, unsigned at, const struct position *position,
                       struct set *now, struct set *then)
{
    const struct tag_pattern_state *state = &states[at];
    const uint8_t *next = position->next;

    switch ((enum tag_pattern_op)state->op) {
    case OP_BYTE:
        if (next && *next == state->byte)
            set_add(then, at + 1);
        return false;
    case OP_RUN_IN_PART:
    case OP_RUN_IN_LINE:
    case OP_RUN:
        set_add(now, at + 1);
        if (next && (state->op == OP_RUN || *next != (state->op == OP_RUN_IN_PART ? '.' : '\n')))
            set_add(then, at);
        return false;
    case OP_AT_START:
        if (position->is_start)
            set_add(now, at + 1);
        return false;
    case OP_AT_END_OF_PART:
        if (!next || *next == '.')
            set_add(now, at + 1);
        return false;
    case OP_FORK:
        set_add(now, at + 1);
        set_add(now, state->target);
        return false;
    case OP_JUMP:
        set_add(now, state->target);
        return false;
    case OP_END:
        return position->is_end;
    }
    assert(!"tag pattern op");
    return false;
}

bool tag_pattern_matches(const struct tag_pattern *pattern, const uint8_t *tag, size_t length)
{
    unsigned words = (pattern->count + 63U) / 64U;
    struct set now = { { 1 } }, then;

    for (size_t at = 0;; at++) {
        const struct position position = {
            .next = at < length ? tag + at : NULL,
            .is_start = at == 0,
            .is_end = at == length || (at + 1 == length && tag[at] == '\n'),
        };
        then = (struct set) { 0 };
        for (unsigned word = 0; word < words; word++) {
            uint64_t done = 0, left;
            while ((left = now.words[word] & ~done)) {
                unsigned bit = (unsigned)__builtin_ctzll(left);
                done |= UINT64_C(1) << bit;
                if (state_step(pattern->states, word * 64 + bit, &position, &now, &then))
                    return true;
            }
        }
        if (at == length || set_is_empty(&then, words))
            return false;
        now = then;
    }
}
