/* Finds the messages in a stream of Forward.
 *
 * Two things nest. The frame (outer array, entries, option) is a walk from place to place along `rules`. What
 * is inside a record, metadata or an option's value is only counted: `left` says how many values each open
 * map or array still lacks.
 *
 * Limits hold by one number: every value costs at least a byte, so a header that announces n bytes or n
 * elements claims them in `announced` at once. It never passes message_bytes, so no count can overflow.
 *
 * Knows bytes only: no buffers, no descriptors, no policy. */
#include "forward/scanner.h"

#include "forward/shape.h"

#include <assert.h>
#include <string.h>

/* Where in the frame the next value stands. */
enum place {
    PLACE_OUTER, /* between two messages, or in the outer array's header */
    PLACE_TAG,
    PLACE_SECOND, /* the tag is complete; the next byte tells the mode */
    PLACE_PACKED,
    PLACE_TIME,
    PLACE_RECORD,
    PLACE_ENTRIES,
    PLACE_ENTRY,
    PLACE_ENTRY_TIME,
    PLACE_PAIR_TIME, /* in [[time, metadata], record] */
    PLACE_PAIR_METADATA,
    PLACE_ENTRY_RECORD,
    PLACE_OPTION,
    PLACE_KEY,
    PLACE_VALUE,
};

#define ONLY(kind) KIND_ONLY(kind)

enum {
    ARRAYS = ONLY(KIND_ARRAY),
    MAPS = ONLY(KIND_MAP),
    STRINGS = KINDS_STRING,
    TIMES = KINDS_TIME,
    ANY = STRINGS | TIMES | ARRAYS | MAPS | ONLY(KIND_BOOL),
};

/* What may stand at a place. */
struct rule {
    uint16_t kinds;
    uint8_t least, most; /* elements, if it is an array; most 0: any */
    uint8_t inside;      /* place of its first element, if it belongs to the frame; else it is only walked */
    uint8_t next;        /* place after it, where that never varies */
};

static const struct rule rules[] = {
    [PLACE_OUTER] = { ARRAYS, 2, 4, PLACE_TAG, 0 },
    [PLACE_TAG] = { STRINGS, 0, 0, 0, PLACE_SECOND },
    [PLACE_SECOND] = { 0, 0, 0, 0, 0 },
    [PLACE_PACKED] = { STRINGS, 0, 0, 0, 0 },
    [PLACE_TIME] = { TIMES, 0, 0, 0, PLACE_RECORD },
    [PLACE_RECORD] = { MAPS, 0, 0, 0, 0 },
    [PLACE_ENTRIES] = { ARRAYS, 0, 0, PLACE_ENTRY, 0 },
    [PLACE_ENTRY] = { ARRAYS, 2, 2, PLACE_ENTRY_TIME, 0 },
    [PLACE_ENTRY_TIME] = { TIMES | ARRAYS, 2, 2, PLACE_PAIR_TIME, PLACE_ENTRY_RECORD },
    [PLACE_PAIR_TIME] = { TIMES, 0, 0, 0, PLACE_PAIR_METADATA },
    [PLACE_PAIR_METADATA] = { MAPS, 0, 0, 0, PLACE_ENTRY_RECORD },
    [PLACE_ENTRY_RECORD] = { MAPS, 0, 0, 0, PLACE_ENTRY },
    [PLACE_OPTION] = { MAPS | ONLY(KIND_NIL), 0, 0, PLACE_KEY, 0 },
    [PLACE_KEY] = { ANY, 0, 0, 0, PLACE_VALUE },
    [PLACE_VALUE] = { ANY, 0, 0, 0, PLACE_KEY },
};

/* Option keys that mean something here. */
enum option_key { KEY_OTHER, KEY_CHUNK, KEY_SIZE, KEY_COMPRESSED };

enum {
    KEY_BYTES_MAX = sizeof "compressed" - 1,
    EVENT_HEAD_BYTES_MAX =
        SHAPE_HEADER_BYTES_MAX + 18 + SHAPE_HEADER_BYTES_MAX, /* the longest time: fixext 16 */
};

/* A header, decoded. */
struct item {
    uint8_t first; /* its first byte */
    uint8_t kind;
    uint8_t header;    /* its bytes */
    uint64_t body;     /* bytes after it */
    uint64_t elements; /* values inside */
};

static enum scanner_status refuse(struct scanner *scanner, enum scanner_refusal refusal)
{
    scanner->refusal = refusal;
    return SCANNER_REFUSED;
}

static void item_decode(struct item *item, const uint8_t *header)
{
    const struct shape *shape = &shapes[header[0]];
    uint64_t size = shape_size(shape, header);

    item->first = header[0];
    item->kind = shape->kind;
    item->header = shape->header;
    item->body = shape->kind < KIND_ARRAY ? size : 0;
    item->elements = shape->kind < KIND_ARRAY ? 0 : size << (shape->kind == KIND_MAP);
}

/* ---- after a value ------------------------------------------------------------------------------------ */

static enum scanner_status end_message(struct scanner *scanner)
{
    assert(scanner->announced == scanner->length);
    scanner->place = PLACE_OUTER;
    return SCANNER_END;
}

static enum scanner_status end_body(struct scanner *scanner)
{
    scanner->body.end = scanner->length;
    if (!scanner->has_option)
        return end_message(scanner);
    scanner->place = PLACE_OPTION;
    scanner->option.start = scanner->length;
    return SCANNER_MORE;
}

static enum scanner_status end_option(struct scanner *scanner)
{
    scanner->option.end = scanner->length;
    scanner->depth = scanner->floor = 0;
    return end_message(scanner);
}

static enum option_key gathered_key(const struct scanner *scanner)
{
    static const struct {
        const char *name;
        enum option_key key;
    } known[] = { { "chunk", KEY_CHUNK }, { "size", KEY_SIZE }, { "compressed", KEY_COMPRESSED } };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t length = strlen(known[i].name);
        if (scanner->gathered_length == 1 + length && !memcmp(scanner->gathered + 1, known[i].name, length))
            return known[i].key;
    }
    return KEY_OTHER;
}

/* The gathered integer; 0 when it is negative. */
static uint64_t gathered_number(const struct scanner *scanner)
{
    uint8_t first = scanner->gathered[0];
    uint64_t number = 0;

    if (scanner->gathered_length == 1)
        return first < 0x80 ? first : 0;
    if (first >= 0xd0 && scanner->gathered[1] >= 0x80)
        return 0;
    for (unsigned i = 1; i < scanner->gathered_length; i++)
        number = number << 8 | scanner->gathered[i];
    return number;
}

/* A value at `place` is complete: where to go on. */
static enum scanner_status end_frame_value(struct scanner *scanner)
{
    switch (scanner->place) {
    case PLACE_PACKED:
    case PLACE_RECORD:
    case PLACE_ENTRIES:
        return end_body(scanner);
    case PLACE_ENTRY_RECORD:
        if (--scanner->elements == 0)
            return end_body(scanner);
        break;
    case PLACE_OPTION:
        return end_option(scanner);
    case PLACE_KEY:
        scanner->option_key = gathered_key(scanner);
        scanner->gathered_length = 0;
        break;
    case PLACE_VALUE:
        if (scanner->gathered_length)
            scanner->entries = gathered_number(scanner);
        scanner->gathered_length = 0;
        if (--scanner->elements == 0)
            return end_option(scanner);
        break;
    default:
        break;
    }
    scanner->place = rules[scanner->place].next;
    return SCANNER_MORE;
}

static enum scanner_status end_value(struct scanner *scanner)
{
    while (scanner->depth > scanner->floor) {
        if (--scanner->left[scanner->depth - 1])
            return SCANNER_MORE;
        scanner->depth--;
    }
    return end_frame_value(scanner);
}

/* ---- a header ----------------------------------------------------------------------------------------- */

/* Keeps a key's bytes, or a number's, as they pass. */
static void gather(struct scanner *scanner, const struct item *item)
{
    scanner->gathered[0] = item->first;
    scanner->gathered_length = 1;
}

static enum scanner_status enter_option_value(struct scanner *scanner, const struct item *item)
{
    struct span content = { scanner->length, scanner->length + item->body };
    bool is_string = ONLY(item->kind) & STRINGS;

    switch (scanner->option_key) {
    case KEY_CHUNK:
        scanner->chunk = (struct span) { 0, 0 };
        if (item->kind == KIND_NIL)
            break;
        if (!is_string || item->header + item->body > SCANNER_CHUNK_BYTES_MAX)
            return refuse(scanner, SCANNER_BAD_OPTION);
        scanner->chunk = (struct span) { content.start - item->header, content.end };
        break;
    case KEY_COMPRESSED:
        scanner->compressed = is_string ? content : (struct span) { 0, 0 };
        break;
    case KEY_SIZE:
        if (scanner->mode != SCANNER_PACKED)
            break;
        scanner->entries = 0;
        if (item->kind == KIND_INT)
            gather(scanner, item);
        break;
    default:
        break;
    }
    return SCANNER_MORE;
}

/* Notes what a value of the frame says, before its body. */
static enum scanner_status enter_frame_value(struct scanner *scanner, const struct item *item)
{
    const struct rule *rule = &rules[scanner->place];

    if (!(ONLY(item->kind) & rule->kinds))
        return refuse(scanner, scanner->place == PLACE_OPTION && item->kind != KIND_UNUSED
                                   ? SCANNER_BAD_OPTION
                                   : SCANNER_NOT_FORWARD);
    if (item->kind == KIND_ARRAY && rule->most &&
        (item->elements < rule->least || item->elements > rule->most))
        return refuse(scanner, SCANNER_NOT_FORWARD);
    switch (scanner->place) {
    case PLACE_TAG:
        if (item->body > scanner->limits.tag_bytes)
            return refuse(scanner, SCANNER_TAG_TOO_LONG);
        scanner->tag = (struct span) { scanner->length, scanner->length + item->body };
        scanner->tag_value = (struct span) { scanner->length - item->header, scanner->tag.end };
        break;
    case PLACE_KEY:
        if ((ONLY(item->kind) & STRINGS) && item->body <= KEY_BYTES_MAX)
            gather(scanner, item);
        break;
    case PLACE_VALUE:
        return enter_option_value(scanner, item);
    default:
        break;
    }
    return SCANNER_MORE;
}

/* Steps into an array or map of the frame. */
static enum scanner_status enter_frame_inside(struct scanner *scanner, const struct item *item)
{
    switch (scanner->place) {
    case PLACE_OUTER:
        scanner->array = (struct span) { 0, scanner->length };
        scanner->array_elements = (uint8_t)item->elements;
        break;
    case PLACE_ENTRIES:
        scanner->entries = scanner->elements = (uint32_t)item->elements;
        break;
    case PLACE_OPTION:
        scanner->option_header = (struct span) { scanner->length - item->header, scanner->length };
        scanner->option_pairs = scanner->elements = (uint32_t)(item->elements / 2);
        scanner->depth = scanner->floor = 1;
        break;
    default:
        break;
    }
    if (!item->elements)
        return end_frame_value(scanner);
    scanner->place = rules[scanner->place].inside;
    return SCANNER_MORE;
}

/* A value's header is taken. */
static enum scanner_status enter_value(struct scanner *scanner, const struct item *item)
{
    bool is_frame = scanner->depth == scanner->floor;
    uint64_t claim = item->header - 1U + item->body + item->elements; /* its first byte is claimed already */

    if (is_frame) {
        enum scanner_status status = enter_frame_value(scanner, item);
        if (status != SCANNER_MORE)
            return status;
    }
    if (item->kind == KIND_UNUSED)
        return refuse(scanner, SCANNER_NOT_FORWARD);
    if (claim > scanner->limits.message_bytes - scanner->announced || item->elements > UINT32_MAX)
        return refuse(scanner, SCANNER_TOO_LONG);
    scanner->announced += claim;
    if (item->kind < KIND_ARRAY) {
        scanner->skip = item->body;
        return item->body ? SCANNER_MORE : end_value(scanner);
    }
    if (is_frame && rules[scanner->place].inside)
        return enter_frame_inside(scanner, item);
    if (scanner->depth >= scanner->limits.depth)
        return refuse(scanner, SCANNER_TOO_DEEP);
    if (!item->elements)
        return end_value(scanner);
    scanner->left[scanner->depth++] = (uint32_t)item->elements;
    return SCANNER_MORE;
}

static void begin_message(struct scanner *scanner)
{
    const struct span absent = { 0, 0 };

    scanner->length = 0;
    scanner->announced = 1;
    scanner->mode = SCANNER_MESSAGE;
    scanner->has_option = false;
    scanner->array = scanner->tag = scanner->tag_value = scanner->body = absent;
    scanner->option = scanner->option_header = scanner->chunk = scanner->compressed = absent;
    scanner->option_pairs = 0;
    scanner->entries = 0;
}

/* Takes a header, or as much of it as there is; `at` < `end`. */
static const uint8_t *take_header(struct scanner *scanner, const uint8_t *at, const uint8_t *end,
                                  enum scanner_status *status)
{
    struct item item;

    if (scanner->gathered_length == 0 && end - at >= SHAPE_HEADER_BYTES_MAX) {
        item_decode(&item, at);
        at += item.header;
        scanner->length += item.header;
    } else {
        if (scanner->gathered_length == 0)
            scanner->gathered[0] = *at;
        while (at < end && scanner->gathered_length < shapes[scanner->gathered[0]].header) {
            scanner->gathered[scanner->gathered_length++] = *at++;
            scanner->length++;
        }
        item_decode(&item, scanner->gathered);
        if (scanner->gathered_length < item.header)
            return at;
        scanner->gathered_length = 0;
    }
    *status = enter_value(scanner, &item);
    return at;
}

static const uint8_t *take_body(struct scanner *scanner, const uint8_t *at, const uint8_t *end,
                                enum scanner_status *status)
{
    uint64_t part = (uint64_t)(end - at) < scanner->skip ? (uint64_t)(end - at) : scanner->skip;

    if (scanner->gathered_length) {
        assert(scanner->gathered_length + part <= sizeof scanner->gathered);
        memcpy(scanner->gathered + scanner->gathered_length, at, part);
        scanner->gathered_length += (uint8_t)part;
    }
    scanner->skip -= part;
    scanner->length += part;
    if (scanner->skip == 0)
        *status = end_value(scanner);
    return at + part;
}

/* The byte after the tag tells the mode; it is not taken. */
static enum scanner_status decide_mode(struct scanner *scanner, uint8_t first)
{
    unsigned kind = ONLY(shapes[first].kind);
    unsigned least = 2;

    scanner->body.start = scanner->length;
    if (kind & STRINGS) {
        scanner->mode = SCANNER_PACKED;
        scanner->place = PLACE_PACKED;
    } else if (kind & ARRAYS) {
        scanner->mode = SCANNER_FORWARD;
        scanner->place = PLACE_ENTRIES;
    } else if (kind & TIMES) {
        scanner->mode = SCANNER_MESSAGE;
        scanner->place = PLACE_TIME;
        scanner->entries = 1;
        least = 3;
    } else {
        return refuse(scanner, SCANNER_NOT_FORWARD);
    }
    if (scanner->array_elements != least && scanner->array_elements != least + 1)
        return refuse(scanner, SCANNER_NOT_FORWARD);
    scanner->has_option = scanner->array_elements > least;
    return SCANNER_HEAD;
}

/* ---- the fast path ------------------------------------------------------------------------------------ */

/* Whatever is cut, rare or must be refused these leave where it is, to the careful path: so there is one
 * place that decides. */

/* The bytes of an entry's array header, in the two forms that agents use; 0: another. */
static inline size_t entry_header(const uint8_t *at)
{
    static const uint8_t wide[] = { 0xdd, 0, 0, 0, 2 }; /* Fluent Bit's */

    return *at == 0x92 ? 1 : memcmp(at, wide, sizeof wide) == 0 ? sizeof wide : 0;
}

/* Takes what an event begins with, up to its record's first key: an entry's header, a time and the record's
 * header. */
static const uint8_t *take_event_head(struct scanner *scanner, const uint8_t *at, const uint8_t *end)
{
    const uint8_t *from = at;
    bool is_entry = scanner->place == PLACE_ENTRY;

    if (end - at < EVENT_HEAD_BYTES_MAX)
        return from;
    if (is_entry)
        at += entry_header(at);
    if (is_entry && at == from)
        return from;
    const struct shape *time = &shapes[*at];
    if (time->header != 1 || !(ONLY(time->kind) & TIMES))
        return from;
    at += 1 + time->inherent;
    const struct shape *record = &shapes[*at];
    uint64_t elements = 2 * shape_size(record, at);
    at += record->header;
    /* What the headers above announced is claimed already: an entry's first byte, or a time's and a record's.
     */
    uint64_t claim = (uint64_t)(at - from) - (is_entry ? 1 : 2) + elements;
    if (record->kind != KIND_MAP || !elements || elements > UINT32_MAX ||
        claim > scanner->limits.message_bytes - scanner->announced)
        return from;
    scanner->announced += claim;
    scanner->length += (uint64_t)(at - from);
    scanner->place = is_entry ? PLACE_ENTRY_RECORD : PLACE_RECORD;
    scanner->left[scanner->depth++] = (uint32_t)elements;
    return at;
}

/* The bytes of a string with a header of one or two bytes; 0 for any other value. Most of what is walked are
 * such strings, and a guess which kind comes next is sooner there than the answer of a table. */
static inline uint64_t short_string_size(const uint8_t *at)
{
    if ((at[0] & 0xe0) == 0xa0)
        return 1 + (at[0] & 0x1fU);
    return at[0] == 0xd9 ? 2 + (uint64_t)at[1] : 0;
}

/* Takes the walked values that lie whole within the slice, up to the end of the outermost. */
static const uint8_t *walk(struct scanner *scanner, const uint8_t *at, const uint8_t *end,
                           enum scanner_status *status)
{
    const uint8_t *from = at;
    uint64_t room = scanner->limits.message_bytes - scanner->announced;
    uint32_t *bottom = scanner->left + scanner->floor;
    uint32_t *top = scanner->left + scanner->depth; /* one above the innermost */
    uint32_t *most = scanner->left + scanner->limits.depth;

    while (end - at >= SHAPE_HEADER_BYTES_MAX) {
        const struct shape *shape = &shapes[*at];
        uint64_t size = short_string_size(at);
        if (size) {
            if (size > (uint64_t)(end - at) || size - 1 > room)
                break;
            room -= size - 1;
            at += size;
        } else if (shape->kind >= KIND_ARRAY) {
            size = shape_size(shape, at) << (shape->kind == KIND_MAP);
            if (shape->header - 1U + size > room || size > UINT32_MAX || top == most)
                break;
            room -= shape->header - 1U + size;
            at += shape->header;
            if (size) {
                *top++ = (uint32_t)size;
                continue;
            }
        } else {
            size = shape->header + shape_size(shape, at);
            if (size > (uint64_t)(end - at) || size - 1 > room || shape->kind == KIND_UNUSED)
                break;
            room -= size - 1;
            at += size;
        }
        while (--top[-1] == 0)
            if (--top == bottom)
                goto whole;
    }
whole:
    scanner->length += (uint64_t)(at - from);
    scanner->announced = scanner->limits.message_bytes - room;
    scanner->depth = (uint8_t)(top - scanner->left);
    if (top == bottom)
        *status = end_frame_value(scanner);
    return at;
}

/* ---- the contract ------------------------------------------------------------------------------------- */

void scanner_init(struct scanner *scanner, const struct scanner_limits *limits)
{
    assert(limits->depth >= 1 && limits->depth <= SCANNER_DEPTH_MAX);
    assert(limits->message_bytes >= 1);
    memset(scanner, 0, offsetof(struct scanner, left)); /* what is beyond `depth` is never read */
    scanner->limits = *limits;
}

size_t scanner_feed(struct scanner *scanner, const uint8_t *bytes, size_t length, enum scanner_status *status)
{
    const uint8_t *at = bytes;

    *status = scanner->refusal ? SCANNER_REFUSED : SCANNER_MORE;
    if (length == 0 || scanner->refusal)
        return 0;
    if (scanner_is_between(scanner))
        begin_message(scanner);
    if (!scanner->begun && (*at == '{' || *at == '[')) {
        *status = refuse(scanner, SCANNER_JSON);
        return 0;
    }
    scanner->begun = 1;
    for (const uint8_t *end = bytes + length; at < end && *status == SCANNER_MORE;) {
        const uint8_t *before = at;
        if (scanner->skip) {
            at = take_body(scanner, at, end, status);
        } else if (scanner->place == PLACE_SECOND) {
            *status = decide_mode(scanner, *at);
        } else {
            if ((scanner->place == PLACE_ENTRY || scanner->place == PLACE_TIME) &&
                scanner->gathered_length == 0)
                at = take_event_head(scanner, at, end);
            if (scanner->depth > scanner->floor && scanner->gathered_length == 0)
                at = walk(scanner, at, end, status);
            if (at == before)
                at = take_header(scanner, at, end, status);
        }
    }
    return (size_t)(at - bytes);
}

bool scanner_is_between(const struct scanner *scanner)
{
    return scanner->place == PLACE_OUTER && scanner->gathered_length == 0 && !scanner->refusal;
}

const char *scanner_refusal_name(enum scanner_refusal refusal)
{
    static const char *const names[] = {
        [SCANNER_NOT_REFUSED] = "not_refused",
        [SCANNER_NOT_FORWARD] = "not_forward",
        [SCANNER_JSON] = "json",
        [SCANNER_TAG_TOO_LONG] = "tag_too_long",
        [SCANNER_TOO_LONG] = "too_long",
        [SCANNER_TOO_DEEP] = "too_deep",
        [SCANNER_BAD_OPTION] = "bad_option",
    };

    return names[refusal];
}
