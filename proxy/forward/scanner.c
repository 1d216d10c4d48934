/* The frame of a message (outer array, entries, option) is a state machine: `frame_rules` is its table.
 * Values inside a record, metadata or an option's value are only counted: `left` says how many values each
 * open map or array still lacks.
 *
 * One number enforces the limits. Every value has at least one byte, so a header that announces n bytes or n
 * elements claims n bytes in `announced` at once. `announced` never exceeds message_bytes, so no count can
 * overflow. */
#include "forward/scanner.h"

#include "forward/event_walk.h"
#include "forward/frame.h"
#include "forward/option_key.h"
#include "forward/shape.h"

#include <assert.h>
#include <string.h>

enum {
    ENTRY_BYTES_MIN = 3, /* an array, a time and a record, each of one byte */
    NIL = 0xc0,
};

static enum scanner_status refuse(struct scanner *scanner, enum scanner_refusal refusal)
{
    scanner->refusal = refusal;
    return SCANNER_REFUSED;
}

/* ---- after a value ------------------------------------------------------------------------------------ */

static enum scanner_status end_message(struct scanner *scanner)
{
    bool is_compressed = scanner->compressed.end > scanner->compressed.start;

    assert(scanner->announced == scanner->length);
    if (scanner->mode == SCANNER_PACKED && !is_compressed &&
        scanner->entries > (scanner->body.end - scanner->body.start) / ENTRY_BYTES_MIN)
        scanner->entries = 0;
    scanner->state = STATE_OUTER;
    return SCANNER_END;
}

static enum scanner_status end_body(struct scanner *scanner)
{
    scanner->body.end = scanner->length;
    if (!scanner->has_option)
        return end_message(scanner);
    scanner->state = STATE_OPTION;
    scanner->option.start = scanner->length;
    return SCANNER_MORE;
}

static enum scanner_status end_option(struct scanner *scanner)
{
    scanner->option.end = scanner->length;
    scanner->depth = scanner->frame_depth = 0;
    return end_message(scanner);
}

static enum option_key gathered_key(const struct scanner *scanner)
{
    size_t length = scanner->gathered_length;

    return length ? option_key_find(scanner->gathered + 1, length - 1) : OPTION_KEY_OTHER;
}

/* A time without a body, or with another form than agents use, has not been gathered. */
static void end_time(struct scanner *scanner)
{
    scanner->lacks_time |= !scanner->gathered_length || !event_walk_time_is_stated(scanner->gathered);
    scanner->gathered_length = 0;
}

/* A value of the frame is complete. */
static enum scanner_status end_frame_value(struct scanner *scanner)
{
    switch (scanner->state) {
    case STATE_PACKED:
    case STATE_RECORD:
    case STATE_ENTRIES:
        return end_body(scanner);
    case STATE_ENTRY_RECORD:
        if (--scanner->elements == 0)
            return end_body(scanner);
        break;
    case STATE_OPTION:
        return end_option(scanner);
    case STATE_REST:
        return end_message(scanner);
    case STATE_KEY:
        scanner->option_key = gathered_key(scanner);
        scanner->gathered_length = 0;
        break;
    case STATE_TIME:
    case STATE_ENTRY_TIME:
    case STATE_PAIR_TIME:
        end_time(scanner);
        break;
    case STATE_VALUE:
        if (scanner->gathered_length)
            scanner->entries = shape_natural(scanner->gathered, scanner->gathered_length);
        scanner->gathered_length = 0;
        if (--scanner->elements == 0)
            return end_option(scanner);
        break;
    default:
        break;
    }
    scanner->state = frame_rules[scanner->state].next;
    return SCANNER_MORE;
}

static enum scanner_status end_value(struct scanner *scanner)
{
    while (scanner->depth > scanner->frame_depth) {
        if (--scanner->left[scanner->depth - 1])
            return SCANNER_MORE;
        scanner->depth--;
    }
    return end_frame_value(scanner);
}

/* ---- a header ----------------------------------------------------------------------------------------- */

static void note_foreign(struct scanner *scanner, enum event_fault fault)
{
    scanner->faults[fault] = 1;
    scanner->is_foreign = true;
}

/* The next `count` values of the frame are only counted. The state of the last of them is `last`. */
static void skip_values(struct scanner *scanner, uint32_t count, enum frame_state last)
{
    if (count > 1)
        scanner->left[scanner->depth++] = count;
    scanner->state = (uint8_t)last;
}

static bool is_in_frame(const struct scanner *scanner)
{
    return scanner->depth == scanner->frame_depth;
}

/* Begins to keep the bytes of a key or a number; take_body adds the rest. */
static void gather(struct scanner *scanner, const struct shape_item *item)
{
    scanner->gathered[0] = item->first;
    scanner->gathered_length = 1;
}

static enum scanner_status enter_option_value(struct scanner *scanner, const struct shape_item *item)
{
    struct span content = { scanner->length, scanner->length + item->body };
    bool is_string = KIND_ONLY(item->kind) & KINDS_STRING;

    switch (scanner->option_key) {
    case OPTION_KEY_CHUNK:
        scanner->chunk = (struct span) { 0, 0 };
        if (item->kind == KIND_NIL)
            break;
        if (!is_string) {
            note_foreign(scanner, EVENT_FAULT_MESSAGE);
            break;
        }
        if (item->header + item->body > SCANNER_CHUNK_BYTES_MAX)
            return refuse(scanner, SCANNER_BAD_OPTION);
        scanner->chunk = (struct span) { content.start - item->header, content.end };
        break;
    case OPTION_KEY_COMPRESSED:
        scanner->compressed = is_string ? content : (struct span) { 0, 0 };
        break;
    case OPTION_KEY_SIZE:
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

/* The value is not what its place in the frame asks for. */
static enum scanner_status enter_wrong_value(struct scanner *scanner, const struct shape_item *item)
{
    const struct frame_rule *rule = &frame_rules[scanner->state];
    bool is_outer = scanner->state == STATE_OUTER;

    if (is_outer && item->kind == KIND_INT)
        return refuse(scanner, SCANNER_NOT_FORWARD);
    if (is_outer && item->kind == KIND_NIL)
        scanner->is_foreign = true;
    else if (is_outer && item->kind != KIND_ARRAY)
        note_foreign(scanner, EVENT_FAULT_VALUE);
    else if (rule->fault == EVENT_FAULT_MESSAGE)
        note_foreign(scanner, EVENT_FAULT_MESSAGE);
    else
        scanner->faults[rule->fault]++;
    scanner->option = (struct span) { 0, 0 };
    skip_values(scanner, rule->skipped, rule->last);
    return SCANNER_MORE;
}

/* Checks a value of the frame at its header, and notes where it is. */
static enum scanner_status enter_frame_value(struct scanner *scanner, const struct shape_item *item)
{
    const struct frame_rule *rule = &frame_rules[scanner->state];
    bool has_size = item->kind != KIND_ARRAY || !rule->most ||
                    (item->elements >= rule->least && item->elements <= rule->most);

    if (!(KIND_ONLY(item->kind) & rule->kinds) || !has_size)
        return enter_wrong_value(scanner, item);
    switch (scanner->state) {
    case STATE_TAG:
        if (item->body > scanner->limits.tag_bytes)
            return refuse(scanner, SCANNER_TAG_TOO_LONG);
        scanner->tag = (struct span) { scanner->length, scanner->length + item->body };
        scanner->tag_value = (struct span) { scanner->length - item->header, scanner->tag.end };
        break;
    case STATE_KEY:
        if ((KIND_ONLY(item->kind) & KINDS_STRING) && item->body <= OPTION_KEY_BYTES_MAX)
            gather(scanner, item);
        break;
    case STATE_TIME:
    case STATE_ENTRY_TIME:
    case STATE_PAIR_TIME:
        if (item->kind == KIND_INT || item->first == 0xd7)
            gather(scanner, item);
        break;
    case STATE_VALUE:
        return enter_option_value(scanner, item);
    default:
        break;
    }
    return SCANNER_MORE;
}

/* Enters an array or map of the frame. */
static enum scanner_status enter_frame_inside(struct scanner *scanner, const struct shape_item *item)
{
    switch (scanner->state) {
    case STATE_OUTER:
        scanner->array = (struct span) { 0, scanner->length };
        scanner->array_elements = (uint8_t)item->elements;
        break;
    case STATE_ENTRIES:
        scanner->entries = scanner->elements = (uint32_t)item->elements;
        break;
    case STATE_OPTION:
        scanner->option_header = (struct span) { scanner->length - item->header, scanner->length };
        scanner->option_pairs = scanner->elements = (uint32_t)(item->elements / 2);
        scanner->depth = scanner->frame_depth = 1;
        break;
    default:
        break;
    }
    if (!item->elements)
        return end_frame_value(scanner);
    scanner->state = frame_rules[scanner->state].inside;
    return SCANNER_MORE;
}

/* The header of a value is taken. */
static enum scanner_status enter_value(struct scanner *scanner, const struct shape_item *item)
{
    uint64_t claim = item->header - 1U + item->body + item->elements; /* its first byte has been claimed */

    if (item->kind == KIND_UNUSED)
        return refuse(scanner, SCANNER_NOT_FORWARD);
    if (is_in_frame(scanner)) {
        enum scanner_status status = enter_frame_value(scanner, item);
        if (status != SCANNER_MORE)
            return status;
    }
    if (claim > scanner->limits.message_bytes - scanner->announced || item->elements > UINT32_MAX)
        return refuse(scanner, SCANNER_TOO_LONG);
    scanner->announced += claim;
    if (item->kind < KIND_ARRAY) {
        scanner->skip = item->body;
        return item->body ? SCANNER_MORE : end_value(scanner);
    }
    if (is_in_frame(scanner) && frame_rules[scanner->state].inside)
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
    scanner->lacks_time = scanner->is_foreign = false;
    memset(scanner->faults, 0, sizeof scanner->faults);
}

/* Takes a header, or the part of it that the slice has; `at` < `end`. */
static const uint8_t *take_header(struct scanner *scanner, const uint8_t *at, const uint8_t *end,
                                  enum scanner_status *status)
{
    struct shape_item item;

    if (scanner->gathered_length == 0 && end - at >= SHAPE_HEADER_BYTES_MAX) {
        shape_item_decode(&item, at);
        at += item.header;
        scanner->length += item.header;
    } else {
        if (scanner->gathered_length == 0)
            scanner->gathered[0] = *at;
        while (at < end && scanner->gathered_length < shapes[scanner->gathered[0]].header) {
            scanner->gathered[scanner->gathered_length++] = *at++;
            scanner->length++;
        }
        shape_item_decode(&item, scanner->gathered);
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

/* The byte after the tag decides the mode. The byte is not taken. */
static enum scanner_status decide_mode(struct scanner *scanner, uint8_t first)
{
    unsigned kind = KIND_ONLY(shapes[first].kind);
    unsigned least = 2;

    if (kind & KINDS_STRING) {
        scanner->mode = SCANNER_PACKED;
        scanner->state = STATE_PACKED;
    } else if (kind & KINDS_ARRAY) {
        scanner->mode = SCANNER_FORWARD;
        scanner->state = STATE_ENTRIES;
    } else {
        scanner->mode = SCANNER_MESSAGE;
        scanner->state = STATE_TIME;
        scanner->entries = 1;
        least = 3;
    }
    if (scanner->array_elements != least && scanner->array_elements != least + 1) {
        note_foreign(scanner, EVENT_FAULT_MESSAGE);
        skip_values(scanner, scanner->array_elements - 1U, STATE_REST);
        return SCANNER_MORE;
    }
    scanner->body.start = scanner->length;
    scanner->has_option = scanner->array_elements > least;
    return SCANNER_HEAD;
}

/* ---- the fast path ------------------------------------------------------------------------------------ */

/* Takes the head of an event, up to the first key of its record: the entry's header, the time and the
 * record's header. Takes nothing when the careful path must look at one of them. */
static const uint8_t *take_event_head(struct scanner *scanner, const uint8_t *at, const uint8_t *end)
{
    bool is_entry = scanner->state == STATE_ENTRY;
    uint64_t elements;
    size_t entry_bytes = 0;

    if (end - at < EVENT_WALK_HEAD_BYTES_MAX)
        return at;
    if (is_entry) {
        entry_bytes = event_walk_entry_header(at);
        if (!entry_bytes)
            return at;
    }
    size_t rest = event_walk_time_and_record(at + entry_bytes, &elements);
    if (!rest || !elements || elements > UINT32_MAX)
        return at;
    /* Earlier headers have claimed the entry's first byte already, or the first bytes of time and record. */
    uint64_t claim = entry_bytes + rest - (is_entry ? 1 : 2) + elements;
    if (claim > scanner->limits.message_bytes - scanner->announced)
        return at;
    scanner->announced += claim;
    scanner->length += entry_bytes + rest;
    scanner->lacks_time |= !event_walk_time_is_stated(at + entry_bytes);
    scanner->state = is_entry ? STATE_ENTRY_RECORD : STATE_RECORD;
    scanner->left[scanner->depth++] = (uint32_t)elements;
    return at + entry_bytes + rest;
}

/* Takes whole values inside a record, metadata or an option's value, up to the end of the outermost. */
static const uint8_t *walk(struct scanner *scanner, const uint8_t *at, const uint8_t *end,
                           enum scanner_status *status)
{
    struct event_walk walk = {
        .claimable = scanner->limits.message_bytes - scanner->announced,
        .bottom = scanner->left + scanner->frame_depth,
        .top = scanner->left + scanner->depth,
        .limit = scanner->left + scanner->limits.depth,
    };
    const uint8_t *next = event_walk_values(&walk, at, end);

    scanner->length += (uint64_t)(next - at);
    scanner->announced = scanner->limits.message_bytes - walk.claimable;
    scanner->depth = (uint8_t)(walk.top - scanner->left);
    if (walk.top == walk.bottom)
        *status = end_frame_value(scanner);
    return next;
}

/* ---- the contract ------------------------------------------------------------------------------------- */

void scanner_init(struct scanner *scanner, const struct scanner_limits *limits)
{
    assert(limits->depth >= 1 && limits->depth <= SCANNER_DEPTH_MAX);
    assert(limits->message_bytes >= 1);
    memset(scanner, 0, offsetof(struct scanner, left)); /* elements beyond `depth` are never read */
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
    scanner->begun |= *at != NIL;
    for (const uint8_t *end = bytes + length; at < end && *status == SCANNER_MORE;) {
        const uint8_t *before = at;
        if (scanner->skip) {
            at = take_body(scanner, at, end, status);
        } else if (scanner->state == STATE_SECOND) {
            *status = decide_mode(scanner, *at);
        } else {
            if ((scanner->state == STATE_ENTRY || scanner->state == STATE_TIME) &&
                scanner->gathered_length == 0)
                at = take_event_head(scanner, at, end);
            if (scanner->depth > scanner->frame_depth && scanner->gathered_length == 0)
                at = walk(scanner, at, end, status);
            if (at == before)
                at = take_header(scanner, at, end, status);
        }
    }
    return (size_t)(at - bytes);
}

bool scanner_is_between(const struct scanner *scanner)
{
    return scanner->state == STATE_OUTER && scanner->gathered_length == 0 && !scanner->refusal;
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
