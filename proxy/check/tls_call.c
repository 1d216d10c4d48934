#include "check/tls_call.h"

#include "base/clock.h"
#include "check/connection.h"
#include "wire/tls_channel.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_BYTES = 16384,
    SECOND_FLIGHT = 2, /* a client sends it after it has verified the server (RFC 5246, 7.3) */
};

/* One end of the handshake. */
struct end {
    struct tls_io io;
    struct tls_channel *channel;
    struct buffer_pool pool;
    struct buffer plain; /* a peer may send data after its handshake; nobody reads them */
};

static struct end *end_new(struct credentials *credentials, const char *server_name)
{
    struct end *end = calloc(1, sizeof *end);

    if (!end)
        return NULL;
    buffer_init(&end->plain, &end->pool);
    if (tls_io_init(&end->io))
        end->channel = tls_channel_new(&end->io, credentials, server_name, NULL);
    return end;
}

static void end_free(struct end *end)
{
    if (!end)
        return;
    tls_channel_free(end->channel);
    tls_io_deinit(&end->io);
    buffer_clear(&end->plain);
    buffer_pool_deinit(&end->pool);
    free(end);
}

/* NULL, 0: begins the handshake of a client. */
static bool end_take(struct end *end, const uint8_t *bytes, size_t length)
{
    enum tls_status status = tls_channel_receive(end->channel, bytes, length, &end->plain);

    buffer_clear(&end->plain);
    return status == TLS_OPEN;
}

/* ---- what came of it ---- */

static void end_note(const struct end *end, struct tls_call_end *to)
{
    to->reason = tls_channel_failure(end->channel);
    to->lacks_issuer = tls_channel_lacks_issuer(end->channel);
    snprintf(to->detail, sizeof to->detail, "%s", tls_channel_failure_detail(end->channel));
}

static void client_note(const struct end *end, struct tls_call_outcome *outcome)
{
    const struct tls_channel *channel = end->channel;

    end_note(end, &outcome->client);
    outcome->is_established = tls_channel_is_established(channel);
    outcome->is_confirmed = tls_channel_is_confirmed(channel);
    outcome->spoken = tls_channel_spoken(channel);
    outcome->is_trusted =
        outcome->is_established || (outcome->client.reason == END_TLS_REJECTED &&
                                    tls_channel_progress(channel).flights_sent >= SECOND_FLIGHT);
    if (!outcome->is_established)
        return;
    tls_channel_describe_peer(channel, 0, &outcome->leaf);
    outcome->is_husk = tls_channel_peer_protocol(channel) != TLS_PEER_UNKNOWN;
}

/* ---- in memory ---- */

/* The ends answer each other until one has no answer. An end that has failed answers with its alert. */
static void ends_talk(struct end *client, struct end *server)
{
    struct end *from = client, *to = server;

    (void)end_take(client, NULL, 0);
    while (from->io.output_length) {
        (void)end_take(to, from->io.output, from->io.output_length);
        from = from == client ? server : client;
        to = to == client ? server : client;
    }
}

bool tls_call_in_memory(const struct tls_call *call, struct credentials *server_credentials,
                        struct tls_call_outcome *outcome)
{
    struct end *client = end_new(call->client, call->server_name);
    struct end *server = end_new(server_credentials, NULL);
    bool is_ready = client && client->channel && server && server->channel;

    *outcome = (struct tls_call_outcome) { .is_trusted = false };
    if (is_ready) {
        ends_talk(client, server);
        client_note(client, outcome);
        end_note(server, &outcome->server);
    }
    end_free(client);
    end_free(server);
    return is_ready;
}

/* ---- over a connection ---- */

static bool output_send(struct end *end, int fd)
{
    return send(fd, end->io.output, end->io.output_length, MSG_NOSIGNAL) == (ssize_t)end->io.output_length;
}

/* END_NONE: the handshake has ended, or the channel knows why it has failed. */
static enum end_reason handshake_do(struct end *end, int fd, uint64_t deadline_ms)
{
    uint8_t bytes[READ_BYTES];

    for (bool goes_on = end_take(end, NULL, 0); output_send(end, fd) && goes_on;) {
        if (tls_channel_is_confirmed(end->channel))
            return END_NONE;
        if (!connection_await(fd, POLLIN, deadline_ms))
            return tls_channel_is_established(end->channel) ? END_NONE : END_HANDSHAKE_TIMEOUT;
        ssize_t got = recv(fd, bytes, sizeof bytes, 0);
        if (got <= 0)
            return got < 0 ? END_RESET : tls_channel_end_of_input(end->channel);
        goes_on = end_take(end, bytes, (size_t)got);
    }
    return tls_channel_failure(end->channel) != END_NONE ? END_NONE : tls_channel_end_of_input(end->channel);
}

bool tls_call_address(const struct tls_call *call, const struct socket_address *address, uint64_t timeout_ms,
                      struct tls_call_outcome *outcome)
{
    struct end *client = end_new(call->client, call->server_name);
    uint64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    bool is_ready = client && client->channel;
    int fd = -1;

    *outcome = (struct tls_call_outcome) { .is_trusted = false };
    if (is_ready) {
        enum end_reason reason = connection_open(address, deadline_ms, &fd);
        outcome->is_connected = reason == END_NONE;
        if (outcome->is_connected)
            reason = handshake_do(client, fd, deadline_ms);
        client_note(client, outcome);
        if (reason != END_NONE && reason != END_CLOSED)
            outcome->client.reason = reason;
        if (outcome->is_established && outcome->client.reason == END_NONE) {
            tls_channel_close(client->channel);
            (void)output_send(client, fd);
        }
    }
    if (fd >= 0)
        close(fd);
    end_free(client);
    return is_ready;
}
