/* husk send: a Forward agent for tests. Sends one message at a time. With --ack it waits for the ack before
 * it sends the next message, so every message that it reports as acked has arrived. */
#include "commands/commands.h"

#include "base/clock.h"
#include "commands/forward_batch.h"
#include "commands/forward_message.h"
#include "commands/json_record.h"
#include "commands/object_stream.h"
#include "commands/plain_connection.h"
#include "config/setting_value.h"
#include "config/settings.h"
#include "config/settings_help.h"

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
    { "to", SETTING_TEXT, AT(to), .required_by = SETTING_REQUIRED, .value_name = "ADDR",
      .help = "host:port or unix:PATH" },
    { "tag", SETTING_TEXT, AT(tag), .required_by = SETTING_REQUIRED, .value_name = "TAG",
      .help = "tag of every event" },
    { "count", SETTING_COUNT, AT(count), .min = 1, .value_name = "N",
      .help = "send N sample events instead of reading stdin (1 when stdin is a terminal)" },
    { "ack", SETTING_FLAG, AT(ack), .help = "request an ack for each message and wait for it" },
    { "rate", SETTING_COUNT, AT(rate), .fallback = "0", .value_name = "R",
      .help = "events per second; 0: as fast as possible" },
    { "batch", SETTING_COUNT, AT(batch), .fallback = "1", .min = 1, .max = 1000000, .value_name = "N",
      .help = "events per message" },
    { "mode", SETTING_CHOICE, AT(mode), .fallback = "auto", .choices = mode_choices, .value_name = "MODE",
      .help = "Forward mode of the messages; auto: message, or forward when --batch is more than 1" },
    { "timeout", SETTING_DURATION, AT(timeout_ms), .fallback = "10s", .min = 1, .max = 86400000,
      .value_name = "DURATION",
      .help = "longest wait for the connection, for an ack, and for the peer to close" },
};
#undef AT
static const struct settings_table table = { .rows = settings,
                                             .count = sizeof settings / sizeof settings[0] };

struct agent {
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
        abort(); /* the kernel guarantees up to 256 bytes */
    char *out = text;
    for (int i = 0; i < CHUNK_RANDOM_BYTES; i += 3) {
        unsigned group = (unsigned)bytes[i] << 16 | (unsigned)bytes[i + 1] << 8 | bytes[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6)
            *out++ = alphabet[group >> shift & 63];
    }
    memcpy(text + CHUNK_TEXT_BYTES - 3, "==", 3);
}

/* True when the reply is the ack of `chunk` (NULL: no ack is expected). */
static bool reply_check(const struct agent *agent, const msgpack_object *reply, const char *chunk,
                        struct fault *fault)
{
    if (reply->type == MSGPACK_OBJECT_ARRAY && reply->via.array.size > 0 &&
        forward_message_text_equals(&reply->via.array.ptr[0], "HELO")) {
        fault_set(fault, "%s requests the shared-key handshake, which husk send does not support",
                  agent->options->to);
        return false;
    }
    for (uint32_t i = 0; chunk && reply->type == MSGPACK_OBJECT_MAP && i < reply->via.map.size; i++) {
        const msgpack_object_kv *pair = &reply->via.map.ptr[i];
        if (forward_message_text_equals(&pair->key, "ack") && forward_message_text_equals(&pair->val, chunk))
            return true;
    }
    fault_set(fault, "%s sent something that is not the ack of this message", agent->options->to);
    return false;
}

/* Reads until one complete reply has arrived, and checks it. *ended: the peer ended its direction instead. */
static bool reply_read(struct agent *agent, const char *chunk, bool *ended, struct fault *fault)
{
    enum object_stream_state state;
    msgpack_object reply;
    char bytes[READ_BYTES];
    size_t got;

    *ended = false;
    while ((state = object_stream_next(&agent->replies, &reply, fault)) == OBJECT_INCOMPLETE) {
        if (!plain_connection_read(&agent->connection, bytes, sizeof bytes, &got, fault))
            return false;
        if (got == 0) {
            *ended = true;
            return true;
        }
        if (!object_stream_append(&agent->replies, bytes, got, fault))
            return false;
    }
    if (state == OBJECT_WHOLE)
        return reply_check(agent, &reply, chunk, fault);
    fault_wrap(fault, "%s sent something that is not Forward", agent->options->to);
    return false;
}

static bool ack_await(struct agent *agent, const char *chunk, struct fault *fault)
{
    bool ended;

    if (!reply_read(agent, chunk, &ended, fault)) {
        fault_wrap(fault, "no ack");
        return false;
    }
    if (ended) {
        fault_set(fault, "no ack: %s closed the connection", agent->options->to);
        return false;
    }
    agent->acked++;
    return true;
}

/* Waits until `due_us`. Fails if the peer sends something or ends its direction meanwhile: no reply is
 * expected, and it is better to notice this before the next message than after it. */
static bool silence_await(struct agent *agent, uint64_t due_us, struct fault *fault)
{
    bool ended;

    if (!plain_connection_await_readable(&agent->connection, due_us))
        return true;
    if (reply_read(agent, NULL, &ended, fault) && ended)
        fault_set(fault, "%s closed the connection", agent->options->to);
    return false;
}

static bool batch_send(struct agent *agent, struct fault *fault)
{
    char chunk[CHUNK_TEXT_BYTES];
    uint64_t count = agent->batch.count;
    const char *id = NULL;

    if (count == 0)
        return true;
    if (agent->options->ack) {
        chunk_make(chunk);
        id = chunk;
    }
    if (!forward_batch_encode(&agent->batch, id, &agent->message, fault) ||
        !plain_connection_write(&agent->connection, agent->message.data, agent->message.size, fault))
        return false;
    agent->events += count;
    agent->messages++;
    return !id || ack_await(agent, id, fault);
}

/* Sends `agent->record` as one event: now, or together with its batch. The rate applies to whole batches. */
static bool record_send(struct agent *agent, struct fault *fault)
{
    struct timespec now;

    if (agent->batch.count == 0) {
        double seconds = agent->options->rate ? (double)agent->events / (double)agent->options->rate : 0;
        if (!silence_await(agent, agent->started_us + (uint64_t)(seconds * 1e6), fault))
            return false;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    if (!forward_batch_add(&agent->batch, &now, &agent->record, fault))
        return false;
    return agent->batch.count < agent->options->batch || batch_send(agent, fault);
}

static bool samples_send(struct agent *agent, uint64_t count, struct fault *fault)
{
    msgpack_packer packer;
    char text[64];

    msgpack_packer_init(&packer, &agent->record, msgpack_sbuffer_write);
    for (uint64_t sequence = 0; sequence < count; sequence++) {
        int length = snprintf(text, sizeof text, "sample %" PRIu64 " of husk send", sequence);
        msgpack_sbuffer_clear(&agent->record);
        int failures = msgpack_pack_map(&packer, 2);
        failures |= msgpack_pack_str_with_body(&packer, "message", strlen("message"));
        failures |= msgpack_pack_str_with_body(&packer, text, (size_t)length);
        failures |= msgpack_pack_str_with_body(&packer, "sequence", strlen("sequence"));
        failures |= msgpack_pack_uint64(&packer, sequence);
        if (failures) {
            fault_set(fault, "out of memory");
            return false;
        }
        if (!record_send(agent, fault))
            return false;
    }
    return true;
}

/* Skips blank lines. If it fails because a line is not a record, sets *is_bad_line: all earlier lines are
 * sent or are in the batch. */
static bool lines_send(struct agent *agent, FILE *in, bool *is_bad_line, struct fault *fault)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    uint64_t number = 0;
    bool done = true;

    *is_bad_line = false;
    while (done && (length = getline(&line, &capacity, in)) >= 0) {
        number++;
        if ((size_t)length == strspn(line, " \t\r\n"))
            continue;
        msgpack_sbuffer_clear(&agent->record);
        if (json_record_append(&agent->record, line, (size_t)length, fault)) {
            done = record_send(agent, fault);
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

/* Sends the rest of the batch and ends our direction. Only the peer's own end proves that it has read
 * everything. Fluentd resets instead; if every message is acked, a reset does not matter. */
static bool finish(struct agent *agent, struct fault *fault)
{
    bool ended = false;

    if (!batch_send(agent, fault))
        return false;
    if (plain_connection_end(&agent->connection, fault) && reply_read(agent, NULL, &ended, fault))
        return true;
    if (agent->options->ack)
        return true;
    fault_wrap(fault, "the last events may be lost (use --ack to be sure)");
    return false;
}

static bool agent_open(struct agent *agent, const struct send_options *options, struct fault *fault)
{
    enum forward_mode mode = FORWARD_MODE_MESSAGE;

    if (options->mode == MODE_PACKED)
        mode = FORWARD_MODE_PACKED;
    else if (options->mode == MODE_FORWARD || options->batch > 1)
        mode = FORWARD_MODE_FORWARD;
    *agent = (struct agent) { .options = options, .connection = { .fd = -1 } };
    forward_batch_init(&agent->batch, options->tag, mode);
    msgpack_sbuffer_init(&agent->record);
    msgpack_sbuffer_init(&agent->message);
    object_stream_init(&agent->replies, REPLY_BYTES);
    if (!plain_connection_open(&agent->connection, options->to, options->timeout_ms, fault))
        return false;
    agent->started_us = clock_monotonic_us();
    return true;
}

static void agent_close(struct agent *agent)
{
    plain_connection_close(&agent->connection);
    object_stream_deinit(&agent->replies);
    msgpack_sbuffer_destroy(&agent->message);
    msgpack_sbuffer_destroy(&agent->record);
    forward_batch_deinit(&agent->batch);
}

static void report(const struct agent *agent, const struct fault *failure)
{
    char acked[40] = "";

    if (agent->options->ack)
        snprintf(acked, sizeof acked, ", %" PRIu64 " acked", agent->acked);
    fprintf(stderr, "%s%s%ssent %" PRIu64 " events in %" PRIu64 " messages%s%s\n",
            failure ? "husk send: " : "", failure ? failure->text : "", failure ? " (" : "", agent->events,
            agent->messages, acked, failure ? ")" : "");
}

static bool events_send(struct agent *agent, struct fault *fault)
{
    struct fault ending;
    bool done, is_bad_line = false;

    if (agent->options->count > 0 || isatty(STDIN_FILENO))
        done = samples_send(agent, agent->options->count ? agent->options->count : 1, fault);
    else
        done = lines_send(agent, stdin, &is_bad_line, fault);
    if (done)
        return finish(agent, fault);
    if (is_bad_line && !finish(agent, &ending)) {
        fault_wrap(&ending, "%s; and then", fault->text);
        *fault = ending;
    }
    return false;
}

static int send_all(const struct send_options *options)
{
    struct agent agent;
    struct fault fault;

    bool done = agent_open(&agent, options, &fault) && events_send(&agent, &fault);
    report(&agent, done ? NULL : &fault);
    agent_close(&agent);
    return done ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
}

int send_command(int argc, char **argv)
{
    struct send_options options = { 0 };
    struct address address;
    struct fault fault;

    const struct settings_words words = { .count = argc, .items = argv };
    bool usable = settings_parse(&table, &options, &words, &fault);
    if (usable && !address_parse_dialled(&address, options.to, &fault)) {
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
    fputs("husk send: sends events like a Forward agent, without TLS: JSON objects from stdin, one per line, "
          "or samples\n\n",
          out);
    settings_print_help(&table, out);
}
