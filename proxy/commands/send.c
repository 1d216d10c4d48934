/* husk send: a Forward agent for trying things out. Sends one message at a time and, with --ack, waits for
 * its ack before the next, so that what it reports as acked is what the far end has. */
#include "commands/commands.h"

#include "base/clock.h"
#include "commands/forward_batch.h"
#include "commands/forward_message.h"
#include "commands/json_record.h"
#include "commands/object_stream.h"
#include "commands/plain_connection.h"
#include "config/settings.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { CHUNK_RANDOM_BYTES = 16, CHUNK_TEXT_BYTES = 25, READ_BYTES = 4096, REPLY_BYTES = 65536 };

enum mode_choice { MODE_AUTO, MODE_MESSAGE, MODE_FORWARD, MODE_PACKED };
static const char *const mode_choices[] = { "auto", "message", "forward", "packed", NULL };

struct send_options {
    const char *to, *tag;
    uint64_t count, rate, batch, timeout_ms;
    unsigned mode; /* enum mode_choice */
    bool ack;
};

#define AT(field) offsetof(struct send_options, field)
static const struct setting settings[] = {
    { "to", SETTING_TEXT, AT(to), .required = true, .value_name = "ADDR", .help = "host:port or unix:PATH" },
    { "tag", SETTING_TEXT, AT(tag), .required = true, .value_name = "TAG", .help = "tag of every event" },
    { "count", SETTING_COUNT, AT(count), .min = 1, .value_name = "N",
      .help = "send N sample events instead of reading stdin (1 when stdin is a terminal)" },
    { "ack", SETTING_FLAG, AT(ack), .help = "ask for an ack of each message and wait for it" },
    { "rate", SETTING_COUNT, AT(rate), .fallback = "0", .value_name = "R",
      .help = "events per second; 0: as fast as possible" },
    { "batch", SETTING_COUNT, AT(batch), .fallback = "1", .min = 1, .max = 1000000, .value_name = "N",
      .help = "events per message" },
    { "mode", SETTING_CHOICE, AT(mode), .fallback = "auto", .choices = mode_choices, .value_name = "MODE",
      .help = "shape of the messages; auto: message, or forward when --batch is more than 1" },
    { "timeout", SETTING_DURATION, AT(timeout_ms), .fallback = "10s", .min = 1, .max = 86400000,
      .value_name = "DURATION", .help = "the longest wait for the connection, an ack or the peer's end" },
};
#undef AT
enum { SETTING_TOTAL = sizeof settings / sizeof settings[0] };

struct sender {
    const struct send_options *options;
    struct plain_connection connection;
    struct forward_batch batch;
    msgpack_sbuffer record, message;
    struct object_stream replies;
    uint64_t started_us;
    uint64_t events, messages, acked; /* sent */
};

static void chunk_make(char text[CHUNK_TEXT_BYTES])
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char bytes[CHUNK_RANDOM_BYTES + 2] = { 0 }; /* two zeros complete the last group of three */

    if (getrandom(bytes, CHUNK_RANDOM_BYTES, 0) != CHUNK_RANDOM_BYTES)
        abort(); /* the kernel promises up to 256 bytes */
    char *out = text;
    for (int i = 0; i < CHUNK_RANDOM_BYTES; i += 3) {
        unsigned group = (unsigned)bytes[i] << 16 | (unsigned)bytes[i + 1] << 8 | bytes[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6)
            *out++ = alphabet[group >> shift & 63];
    }
    memcpy(text + CHUNK_TEXT_BYTES - 3, "==", 3);
}

/* True when the reply is the ack of `chunk` (NULL: none is due). */
static bool reply_check(const struct sender *sender, const msgpack_object *reply, const char *chunk,
                        struct fault *fault)
{
    if (reply->type == MSGPACK_OBJECT_ARRAY && reply->via.array.size > 0 &&
        forward_text_equals(&reply->via.array.ptr[0], "HELO")) {
        fault_set(fault, "%s wants the shared-key handshake, which send does not have", sender->options->to);
        return false;
    }
    for (uint32_t i = 0; chunk && reply->type == MSGPACK_OBJECT_MAP && i < reply->via.map.size; i++) {
        const msgpack_object_kv *pair = &reply->via.map.ptr[i];
        if (forward_text_equals(&pair->key, "ack") && forward_text_equals(&pair->val, chunk))
            return true;
    }
    fault_set(fault, "%s sent something that is not the ack of this message", sender->options->to);
    return false;
}

/* Reads until one whole reply is there, and checks it. *ended: the peer ended instead. */
static bool reply_read(struct sender *sender, const char *chunk, bool *ended, struct fault *fault)
{
    enum object_stream_state state;
    msgpack_object reply;
    char bytes[READ_BYTES];
    size_t got;

    *ended = false;
    while ((state = object_stream_next(&sender->replies, &reply, fault)) == OBJECT_INCOMPLETE) {
        if (!plain_connection_read(&sender->connection, bytes, sizeof bytes, &got, fault))
            return false;
        if (got == 0) {
            *ended = true;
            return true;
        }
        if (!object_stream_append(&sender->replies, bytes, got, fault))
            return false;
    }
    if (state == OBJECT_WHOLE)
        return reply_check(sender, &reply, chunk, fault);
    fault_wrap(fault, "%s sent something that is not Forward", sender->options->to);
    return false;
}

static bool ack_await(struct sender *sender, const char *chunk, struct fault *fault)
{
    bool ended;

    if (!reply_read(sender, chunk, &ended, fault)) {
        fault_wrap(fault, "no ack");
        return false;
    }
    if (ended) {
        fault_set(fault, "no ack: %s closed the connection", sender->options->to);
        return false;
    }
    sender->acked++;
    return true;
}

/* Nothing is due from the peer now: its end or a word of its own is bad news, better heard before than after
 * the next message. */
static bool peer_is_quiet_until(struct sender *sender, uint64_t due_us, struct fault *fault)
{
    bool ended;

    if (!plain_connection_is_readable(&sender->connection, due_us))
        return true;
    if (reply_read(sender, NULL, &ended, fault) && ended)
        fault_set(fault, "%s closed the connection", sender->options->to);
    return false;
}

static bool batch_send(struct sender *sender, struct fault *fault)
{
    char chunk[CHUNK_TEXT_BYTES];
    uint64_t count = sender->batch.count;
    const char *id = NULL;

    if (count == 0)
        return true;
    if (sender->options->ack) {
        chunk_make(chunk);
        id = chunk;
    }
    if (!forward_batch_encode(&sender->batch, id, &sender->message, fault) ||
        !plain_connection_write(&sender->connection, sender->message.data, sender->message.size, fault))
        return false;
    sender->events += count;
    sender->messages++;
    return !id || ack_await(sender, id, fault);
}

/* Sends `sender->record` as one event: now, or with the batch it completes. The rate is kept by whole
 * batches. */
static bool record_send(struct sender *sender, struct fault *fault)
{
    struct timespec now;

    if (sender->batch.count == 0) {
        double seconds = sender->options->rate ? (double)sender->events / (double)sender->options->rate : 0;
        if (!peer_is_quiet_until(sender, sender->started_us + (uint64_t)(seconds * 1e6), fault))
            return false;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    if (!forward_batch_add(&sender->batch, &now, &sender->record, fault))
        return false;
    return sender->batch.count < sender->options->batch || batch_send(sender, fault);
}

static bool samples_send(struct sender *sender, uint64_t count, struct fault *fault)
{
    msgpack_packer packer;
    char text[64];

    msgpack_packer_init(&packer, &sender->record, msgpack_sbuffer_write);
    for (uint64_t sequence = 0; sequence < count; sequence++) {
        int length = snprintf(text, sizeof text, "sample %" PRIu64 " of husk send", sequence);
        msgpack_sbuffer_clear(&sender->record);
        int failures = msgpack_pack_map(&packer, 2);
        failures |= msgpack_pack_str_with_body(&packer, "message", strlen("message"));
        failures |= msgpack_pack_str_with_body(&packer, text, (size_t)length);
        failures |= msgpack_pack_str_with_body(&packer, "sequence", strlen("sequence"));
        failures |= msgpack_pack_uint64(&packer, sequence);
        if (failures) {
            fault_set(fault, "out of memory");
            return false;
        }
        if (!record_send(sender, fault))
            return false;
    }
    return true;
}

/* Blank lines are skipped. When it fails for a line that is no record, *is_bad_line is set: everything before
 * that line is sent or in the batch. */
static bool lines_send(struct sender *sender, FILE *in, bool *is_bad_line, struct fault *fault)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    uint64_t number = 0;
    bool done = true;

    *is_bad_line = false;
    while (done && (length = getline(&line, &room, in)) >= 0) {
        number++;
        if ((size_t)length == strspn(line, " \t\r\n"))
            continue;
        msgpack_sbuffer_clear(&sender->record);
        if (json_record_append(&sender->record, line, (size_t)length, fault)) {
            done = record_send(sender, fault);
        } else {
            fault_wrap(fault, "stdin line %" PRIu64, number);
            *is_bad_line = true;
            done = false;
        }
    }
    free(line);
    if (done && ferror(in)) {
        fault_set(fault, "cannot read stdin");
        done = false;
    }
    return done;
}

/* The rest of the batch, then an orderly end: only when the peer has ended too is it certain that it has read
 * everything. Fluentd resets instead of ending; with every message acked that says nothing bad. */
static bool finish(struct sender *sender, struct fault *fault)
{
    bool ended = false;

    if (!batch_send(sender, fault))
        return false;
    if (plain_connection_end(&sender->connection, fault) && reply_read(sender, NULL, &ended, fault))
        return true;
    if (sender->options->ack)
        return true;
    fault_wrap(fault, "the last events may be lost (--ack would tell)");
    return false;
}

static bool sender_open(struct sender *sender, const struct send_options *options, struct fault *fault)
{
    enum forward_mode mode = FORWARD_MODE_MESSAGE;

    if (options->mode == MODE_PACKED)
        mode = FORWARD_MODE_PACKED;
    else if (options->mode == MODE_FORWARD || options->batch > 1)
        mode = FORWARD_MODE_FORWARD;
    *sender = (struct sender) { .options = options, .connection = { .fd = -1 } };
    forward_batch_init(&sender->batch, options->tag, mode);
    msgpack_sbuffer_init(&sender->record);
    msgpack_sbuffer_init(&sender->message);
    object_stream_init(&sender->replies, REPLY_BYTES);
    if (!plain_connection_open(&sender->connection, options->to, options->timeout_ms, fault))
        return false;
    sender->started_us = clock_monotonic_us();
    return true;
}

static void sender_close(struct sender *sender)
{
    plain_connection_close(&sender->connection);
    object_stream_deinit(&sender->replies);
    msgpack_sbuffer_destroy(&sender->message);
    msgpack_sbuffer_destroy(&sender->record);
    forward_batch_deinit(&sender->batch);
}

static void report(const struct sender *sender, const struct fault *failure)
{
    char acked[40] = "";

    if (sender->options->ack)
        snprintf(acked, sizeof acked, ", %" PRIu64 " acked", sender->acked);
    fprintf(stderr, "%s%s%ssent %" PRIu64 " events in %" PRIu64 " messages%s%s\n",
            failure ? "husk send: " : "", failure ? failure->text : "", failure ? " (" : "", sender->events,
            sender->messages, acked, failure ? ")" : "");
}

static bool events_send(struct sender *sender, struct fault *fault)
{
    struct fault ending;
    bool done, is_bad_line = false;

    if (sender->options->count > 0 || isatty(STDIN_FILENO))
        done = samples_send(sender, sender->options->count ? sender->options->count : 1, fault);
    else
        done = lines_send(sender, stdin, &is_bad_line, fault);
    if (done)
        return finish(sender, fault);
    if (is_bad_line && !finish(sender, &ending)) {
        fault_wrap(&ending, "%s; and then", fault->text);
        *fault = ending;
    }
    return false;
}

static int send_all(const struct send_options *options)
{
    struct sender sender;
    struct fault fault;

    bool done = sender_open(&sender, options, &fault) && events_send(&sender, &fault);
    report(&sender, done ? NULL : &fault);
    sender_close(&sender);
    return done ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
}

int send_command(int argc, char **argv)
{
    struct send_options options = { 0 };
    struct address address;
    struct fault fault;

    bool usable = settings_parse(settings, SETTING_TOTAL, &options, argc, argv, NULL, &fault);
    if (usable && !address_parse(&address, options.to, &fault)) {
        fault_wrap(&fault, "--to");
        usable = false;
    }
    if (usable && options.mode == MODE_MESSAGE && options.batch > 1) {
        fault_set(&fault, "--batch: a message of --mode message holds one event");
        usable = false;
    }
    if (!usable) {
        fprintf(stderr, "husk send: %s\n", fault.text);
        return EXIT_STATUS_USAGE;
    }
    return send_all(&options);
}

void send_print_help(FILE *out)
{
    fputs("husk send: sends events as a plain Forward agent: the JSON objects on stdin, one a line, or "
          "samples\n\n",
          out);
    settings_print_help(settings, SETTING_TOTAL, out);
}
