/* The speed of TLS over memory: handshakes of both ends, and application data sealed and opened.
 * Usage: tls_channel [seconds per line] */
#include "wire/tls_channel.h"
#include "micro/measure.h"
#include "pki/setup.h"

#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

enum end { CLIENT, SERVER, END_COUNT };
enum { MESSAGE_BYTES = 65536, MESSAGES = 64 };

struct subject {
    char directory[64];
    struct buffer_pool pool;
    struct tls_io io[END_COUNT]; /* one each, as in two processes */
    struct credentials *credentials[END_COUNT];
    struct tls_sessions sessions, *offered; /* `offered`: NULL for full handshakes */
    struct tls_channel *channel[END_COUNT];
    struct buffer opened, message;
};

static void must(bool good)
{
    if (!good)
        abort();
}

/* Moves the output of `from` to the other end, whose answer stays in its own io. */
static void carry(struct subject *subject, enum end from)
{
    struct tls_io *io = &subject->io[from];
    size_t length = io->output_length;

    io->output_length = 0;
    must(tls_channel_receive(subject->channel[!from], io->output, length, &subject->opened) == TLS_OPEN);
}

static void connect_ends(struct subject *subject)
{
    for (enum end end = 0; end < END_COUNT; end++) {
        subject->channel[end] =
            tls_channel_new(&subject->io[end], subject->credentials[end], end == CLIENT ? "localhost" : NULL,
                            end == CLIENT ? subject->offered : NULL);
        must(subject->channel[end]);
    }
    must(tls_channel_receive(subject->channel[CLIENT], NULL, 0, &subject->opened) == TLS_OPEN);
    while (subject->io[CLIENT].output_length || subject->io[SERVER].output_length)
        carry(subject, subject->io[CLIENT].output_length ? CLIENT : SERVER);
    must(tls_channel_is_confirmed(subject->channel[CLIENT]));
}

static void disconnect_ends(struct subject *subject)
{
    for (enum end end = 0; end < END_COUNT; end++)
        tls_channel_free(subject->channel[end]);
}

static void handshake(void *argument)
{
    connect_ends(argument);
    disconnect_ends(argument);
}

static void seal(struct subject *subject, void (*sealed)(struct subject *))
{
    struct buffer words;

    buffer_init(&words, &subject->pool);
    must(buffer_share(&words, &subject->message));
    while (words.length) {
        must(tls_channel_send(subject->channel[CLIENT], &words) == TLS_OPEN);
        sealed(subject);
    }
}

static void open_sealed(struct subject *subject)
{
    carry(subject, CLIENT);
    buffer_clear(&subject->opened);
}

static void drop_sealed(struct subject *subject)
{
    subject->io[CLIENT].output_length = 0;
}

static void seal_and_open(void *argument)
{
    for (unsigned i = 0; i < MESSAGES; i++)
        seal(argument, open_sealed);
}

static void seal_only(void *argument)
{
    for (unsigned i = 0; i < MESSAGES; i++)
        seal(argument, drop_sealed);
}

static struct credentials *load(const struct subject *subject, enum end end, struct log *log)
{
    char path[3][128];
    const char *name = end == CLIENT ? "client" : "server";
    struct fault fault;
    struct credentials *credentials;

    snprintf(path[0], sizeof path[0], "%s/%s.crt.pem", subject->directory, name);
    snprintf(path[1], sizeof path[1], "%s/%s.key.pem", subject->directory, name);
    snprintf(path[2], sizeof path[2], "%s/ca.crt.pem", subject->directory);
    credentials =
        credentials_load(&(struct credentials_options) { .role = end == CLIENT ? TLS_CLIENT : TLS_SERVER,
                                                         .cert_file = path[0],
                                                         .key_file = path[1],
                                                         .ca_file = path[2],
                                                         .min_version = TLS_VERSION_1_3,
                                                         .max_version = TLS_VERSION_1_3 },
                         log, &fault);
    must(credentials);
    return credentials;
}

static void prepare(struct subject *subject, struct log *log)
{
    static const char *const names[] = { "localhost" };
    static const uint8_t filling[MESSAGE_BYTES];
    struct setup_options options = {
        .server_names = names, .server_name_count = 1, .client_name = "client", .leaf_days = 1
    };
    struct fault fault;

    must(mkdtemp(subject->directory));
    options.directory = subject->directory;
    must(setup_make(&options, &fault));
    subject->pool.idle_limit = 16;
    buffer_init(&subject->opened, &subject->pool);
    buffer_init(&subject->message, &subject->pool);
    must(buffer_append(&subject->message, filling, sizeof filling));
    for (enum end end = 0; end < END_COUNT; end++) {
        must(tls_io_init(&subject->io[end]));
        subject->credentials[end] = load(subject, end, log);
    }
}

static int on_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

static void clear_away(struct subject *subject)
{
    tls_sessions_clear(&subject->sessions);
    buffer_clear(&subject->opened);
    buffer_clear(&subject->message);
    buffer_pool_deinit(&subject->pool);
    for (enum end end = 0; end < END_COUNT; end++) {
        credentials_release(subject->credentials[end]);
        tls_io_deinit(&subject->io[end]);
    }
    nftw(subject->directory, on_entry, 8, FTW_DEPTH | FTW_PHYS);
}

int main(int count, char **arguments)
{
    double seconds = measure_seconds(count, arguments);
    static struct subject subject = { .directory = "/tmp/husk-bench.XXXXXX" };
    struct log log;

    log_init(&log, STDERR_FILENO, LOG_ERROR, LOG_TEXT);
    prepare(&subject, &log);
    measure_run(&(struct measure) { "a full handshake, both ends", handshake, &subject, 1, 0 }, seconds);
    subject.offered = &subject.sessions;
    handshake(&subject);
    measure_run(&(struct measure) { "a resumed handshake, both ends", handshake, &subject, 1, 0 }, seconds);
    connect_ends(&subject);
    measure_run(&(struct measure) { "64 KiB sealed and opened", seal_and_open, &subject, MESSAGES,
                                    (double)MESSAGES * MESSAGE_BYTES },
                seconds);
    measure_run(&(struct measure) { "64 KiB sealed", seal_only, &subject, MESSAGES,
                                    (double)MESSAGES * MESSAGE_BYTES },
                seconds);
    disconnect_ends(&subject);
    clear_away(&subject);
    log_deinit(&log);
    return 0;
}
