#include "wire/leg.h"

#include "base/clock.h"
#include "wire/socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    LEG_WRITE_VECTORS = 16,
    LEG_READ_VECTORS = 5, /* LEG_INPUT_BYTES in segments; the first segment may be partly used */
};

bool leg_io_init(struct leg_io *io, struct ev_loop *loop, struct buffer_pool *pool)
{
    *io = (struct leg_io) { .loop = loop, .pool = pool, .input = malloc(LEG_INPUT_BYTES) };
    if (!io->input || !tls_io_init(&io->tls)) {
        free(io->input);
        io->input = NULL;
        return false;
    }
    return true;
}

void leg_io_deinit(struct leg_io *io)
{
    tls_io_deinit(&io->tls);
    free(io->input);
    io->input = NULL;
}

static void on_watcher(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct leg *leg = watcher->data;

    (void)loop;
    if (events & EV_WRITE)
        leg->write_blocked = false;
    if (events & EV_READ)
        leg->drained = false;
    leg->on_ready(leg->owner);
}

void leg_open(struct leg *leg, int fd, const struct leg_options *options)
{
    *leg = (struct leg) {
        .io = options->io,
        .fd = fd,
        .metrics = options->metrics,
        .on_ready = options->on_ready,
        .owner = options->owner,
    };
    buffer_init(&leg->unsent, options->io->pool);
    ev_io_init(&leg->watcher, on_watcher, fd, 0);
    leg->watcher.data = leg;
}

void leg_move(struct leg *to, struct leg *from, leg_on_ready *on_ready, void *owner)
{
    leg_open(to, from->fd,
             &(struct leg_options) {
                 .io = from->io, .metrics = from->metrics, .on_ready = on_ready, .owner = owner });
    to->unsent = from->unsent;
    to->broken = from->broken;
    to->send_error = from->send_error;
    to->write_blocked = from->write_blocked;
    buffer_init(&from->unsent, from->io->pool);
    ev_io_stop(from->io->loop, &from->watcher);
    tls_channel_free(from->tls);
    from->tls = NULL;
    from->fd = -1;
}

void leg_await_connect(struct leg *leg)
{
    leg->write_blocked = true;
}

bool leg_is_secured(const struct leg *leg)
{
    return !leg->tls || tls_channel_is_established(leg->tls);
}

static enum tls_key_state key_state(const struct leg *leg)
{
    return leg->tls ? tls_channel_key_state(leg->tls) : TLS_KEY_UNUSED;
}

enum end_reason leg_lateness(const struct leg *leg)
{
    return key_state(leg) == TLS_KEY_UNUSED ? END_HANDSHAKE_TIMEOUT : END_TOKEN_FAILED;
}

const char *leg_detail(const struct leg *leg)
{
    return leg->tls ? tls_channel_failure_detail(leg->tls) : "";
}

bool leg_is_denied(const struct leg *leg)
{
    return leg->tls && tls_channel_is_denied(leg->tls);
}

bool leg_lacks_issuer(const struct leg *leg)
{
    return leg->tls && tls_channel_lacks_issuer(leg->tls);
}

enum spoken leg_spoken(const struct leg *leg)
{
    return leg_is_secured(leg) ? (enum spoken)leg->spoken : tls_channel_spoken(leg->tls);
}

/* ---- sending ---- */

void leg_break(struct leg *leg, enum end_reason reason)
{
    if (leg->broken != END_NONE)
        return;
    leg->broken = reason;
    if (leg->tls && !leg->handshake_counted && !end_reason_is_benign(reason))
        metrics_add(&leg->metrics->handshakes_failed[reason], 1);
}

static enum leg_status leg_broken(struct leg *leg, enum end_reason reason)
{
    leg_break(leg, reason);
    return LEG_BROKEN;
}

static enum end_reason failure_reason(const struct leg *leg, int error)
{
    bool is_reset = error == ECONNRESET || error == EPIPE;

    if (is_reset && !leg_is_secured(leg))
        return tls_channel_end_of_input(leg->tls); /* during the handshake, or before it */
    if (is_reset && leg->finished)
        return END_RESET_AFTER_END; /* Fluentd's input closes so (SO_LINGER 0), even after a clean exchange */
    return socket_reason_of_errno(error);
}

enum tls_peer_protocol leg_peer_protocol(const struct leg *leg)
{
    return leg->tls ? tls_channel_peer_protocol(leg->tls) : TLS_PEER_UNKNOWN;
}

bool leg_can_send(const struct leg *leg)
{
    return leg->broken == END_NONE && !leg->send_error;
}

/* The result of a send after a reset, by the rule of leg_can_send. */
static enum leg_status send_refused(struct leg *leg)
{
    return leg->read_over ? leg_broken(leg, failure_reason(leg, leg->send_error)) : LEG_WAITING;
}

static enum leg_status send_failed(struct leg *leg, int error)
{
    if (error != ECONNRESET && error != EPIPE)
        return leg_broken(leg, failure_reason(leg, error));
    leg->send_error = error;
    leg->write_blocked = false;
    leg->drained = false; /* the watcher may not have reported yet what the peer sent before its reset */
    return LEG_WAITING;
}

/* Writes the front of `from` to the socket once. */
static enum leg_status socket_write(struct leg *leg, struct buffer *from)
{
    struct iovec vectors[LEG_WRITE_VECTORS];
    struct msghdr message = { .msg_iov = vectors,
                              .msg_iovlen = buffer_vectors(from, vectors, LEG_WRITE_VECTORS) };
    size_t offered = 0;

    for (size_t i = 0; i < message.msg_iovlen; i++)
        offered += vectors[i].iov_len;
    ssize_t sent;
    do
        sent = sendmsg(leg->fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        if (errno != EAGAIN)
            return send_failed(leg, errno);
        leg->write_blocked = true;
        return LEG_WAITING;
    }
    buffer_consume(from, (size_t)sent);
    leg->write_blocked = (size_t)sent < offered;
    return LEG_MOVED;
}

/* After a reset, records that TLS adds itself (tickets, alerts, close_notify) are dropped. Payload is kept:
 * the peer has not taken it. */
enum records { RECORDS_OF_TLS, RECORDS_OF_PAYLOAD };

/* Sends the records of the last channel call and appends what the socket does not take to `unsent`. */
static void records_send(struct leg *leg, enum records kind)
{
    struct tls_io *tls = &leg->io->tls;
    const uint8_t *at = tls->output;
    size_t left = tls->output_length;

    tls->output_length = 0;
    if (!left || leg->finished || leg->broken != END_NONE)
        return;
    if (leg->unsent.length == 0 && !leg->send_error) {
        ssize_t sent = send(leg->fd, at, left, MSG_NOSIGNAL);
        int error = sent < 0 ? errno : 0;
        at += sent > 0 ? sent : 0;
        left -= sent > 0 ? (size_t)sent : 0;
        leg->write_blocked = left > 0;
        if (error && error != EAGAIN && error != EINTR && send_failed(leg, error) == LEG_BROKEN)
            return;
    }
    if (leg->send_error && kind == RECORDS_OF_TLS)
        return;
    if (!buffer_append(&leg->unsent, at, left))
        leg_break(leg, END_NO_MEMORY);
}

static enum leg_status unsent_flush(struct leg *leg)
{
    if (leg->broken != END_NONE)
        return LEG_BROKEN;
    while (leg->unsent.length && !leg->write_blocked && !leg->send_error) {
        if (socket_write(leg, &leg->unsent) == LEG_BROKEN)
            return LEG_BROKEN;
    }
    if (!leg->unsent.length)
        return LEG_MOVED;
    return leg->send_error ? send_refused(leg) : LEG_WAITING;
}

enum leg_status leg_write(struct leg *leg, struct buffer *from)
{
    if (leg->broken != END_NONE)
        return LEG_BROKEN;
    if (leg->write_blocked)
        return LEG_WAITING;
    enum leg_status status = unsent_flush(leg);
    if (status != LEG_MOVED || !from->length)
        return status == LEG_MOVED ? LEG_WAITING : status;
    if (leg->send_error)
        return send_refused(leg);

    size_t before = from->length;
    if (leg->tls) {
        if (tls_channel_send(leg->tls, from) == TLS_FAILED)
            leg_break(leg, tls_channel_failure(leg->tls));
        records_send(leg, RECORDS_OF_PAYLOAD);
    } else {
        status = socket_write(leg, from);
    }
    metrics_add(&leg->metrics->bytes[METRICS_SENT], before - from->length);
    if (leg->send_error)
        return send_refused(leg);
    return leg->broken != END_NONE ? LEG_BROKEN : status;
}

enum leg_status leg_finish(struct leg *leg)
{
    if (leg->finished)
        return LEG_MOVED;
    if (leg->broken != END_NONE)
        return LEG_BROKEN;
    if (leg->tls && !leg->finishing) {
        tls_channel_close(leg->tls);
        records_send(leg, RECORDS_OF_TLS);
    }
    leg->finishing = true;
    enum leg_status status = unsent_flush(leg);
    if (status == LEG_MOVED) {
        shutdown(leg->fd, SHUT_WR);
        leg->finished = true;
    }
    return status;
}

/* ---- receiving ---- */

static enum leg_status socket_read(struct leg *leg, struct iovec *vectors, unsigned count, size_t *got)
{
    struct msghdr message = { .msg_iov = vectors, .msg_iovlen = count };
    size_t capacity = 0;

    for (unsigned i = 0; i < count; i++)
        capacity += vectors[i].iov_len;
    ssize_t received = recvmsg(leg->fd, &message, 0);
    *got = received > 0 ? (size_t)received : 0;
    leg->drained = *got < capacity;
    if (received > 0)
        return LEG_MOVED;
    /* The failed send has consumed the socket error that this call would have reported. EPIPE means that the
     * peer had ended its direction before it reset the connection. */
    if (received == 0 && leg->send_error == ECONNRESET)
        return leg_broken(leg, failure_reason(leg, leg->send_error));
    if (received == 0)
        return LEG_ENDED;
    if (errno == EINTR)
        return LEG_MOVED;
    if (errno == EAGAIN)
        return LEG_WAITING;
    /* A leg that broke while it was sending keeps that more exact reason. */
    return leg_broken(leg, failure_reason(leg, errno));
}

static enum leg_status plain_read(struct leg *leg, struct buffer *into, size_t limit)
{
    struct iovec vectors[LEG_READ_VECTORS];
    size_t got;
    unsigned count = buffer_reserve_vectors(into, limit, vectors, LEG_READ_VECTORS);

    if (!count)
        return leg_broken(leg, END_NO_MEMORY);
    for (unsigned i = 0; i < count; i++) {
        vectors[i].iov_len = vectors[i].iov_len < limit ? vectors[i].iov_len : limit;
        limit -= vectors[i].iov_len;
    }
    enum leg_status status = socket_read(leg, vectors, count, &got);
    buffer_commit(into, got);
    return status;
}

void leg_count_handshake(struct leg *leg)
{
    struct side_metrics *metrics = leg->metrics;

    if (leg->handshake_counted)
        return;
    leg->handshake_counted = true;
    struct tls_facts facts = tls_channel_facts(leg->tls);
    metrics_add(facts.resumed ? &metrics->handshakes_resumed : &metrics->handshakes_full, 1);
    metrics_add(&metrics->tls_versions[facts.version], 1);
    metrics_add(&metrics->ciphers[facts.cipher], 1);
    metrics_add(&metrics->groups[facts.group], 1);
    metrics_observe(&metrics->handshake_duration, &metrics_handshake_bounds,
                    clock_monotonic_us() - leg->tls_started_us);
}

/* Passes ciphertext to the channel and sends the records that the channel produces. */
static enum leg_status channel_feed(struct leg *leg, const uint8_t *bytes, size_t length, struct buffer *into)
{
    enum tls_status status = tls_channel_receive(leg->tls, bytes, length, into);

    records_send(leg, RECORDS_OF_TLS);
    if (tls_channel_is_confirmed(leg->tls))
        leg_count_handshake(leg);
    if (status == TLS_FAILED)
        return leg_broken(leg, tls_channel_failure(leg->tls));
    return status == TLS_CLOSED ? LEG_ENDED : LEG_MOVED;
}

/* A token has signed or failed: the handshake goes on with the input that the channel holds. */
static enum leg_status channel_resume(struct leg *leg, struct buffer *into)
{
    metrics_observe(&leg->metrics->signature_duration, &metrics_handshake_bounds,
                    tls_channel_key_us(leg->tls));
    return channel_feed(leg, NULL, 0, into);
}

/* Looks only whether the peer is still there: a peer that waits for us, as the protocol says, sends nothing.
 */
static enum leg_status awaiting_read(struct leg *leg)
{
    struct iovec vector = { leg->io->input, tls_channel_hold_space(leg->tls) };
    size_t got;

    if (!vector.iov_len || leg->drained)
        return LEG_WAITING;
    enum leg_status status = socket_read(leg, &vector, 1, &got);
    if (status == LEG_ENDED)
        return leg_broken(leg, tls_channel_end_of_input(leg->tls));
    if (got && !tls_channel_hold(leg->tls, leg->io->input, got))
        return leg_broken(leg, tls_channel_failure(leg->tls));
    return status;
}

static enum leg_status tls_read(struct leg *leg, struct buffer *into, size_t limit)
{
    struct iovec vector = { .iov_base = leg->io->input };
    size_t got;

    /* The plaintext of everything read must fit in the window, and the channel may hold a part of a record
     * already. */
    if (limit <= TLS_RECORD_BYTES)
        return LEG_WAITING;
    limit -= TLS_RECORD_BYTES;
    vector.iov_len = limit < LEG_INPUT_BYTES ? limit : LEG_INPUT_BYTES;
    enum leg_status status = socket_read(leg, &vector, 1, &got);
    if (got)
        return channel_feed(leg, leg->io->input, got, into);
    if (status == LEG_ENDED) {
        enum end_reason reason = tls_channel_end_of_input(leg->tls);
        if (reason != END_CLOSED)
            return leg_broken(leg, reason);
    }
    return status;
}

/* While it is unclear what the peer speaks, its bytes are no whole message: all of them are in `received`. */
static void spoken_note(struct leg *leg, const struct buffer *received)
{
    uint8_t bytes[SPOKEN_BYTES_MAX];

    leg->spoken = (uint8_t)spoken_of(bytes, buffer_peek(received, 0, bytes, sizeof bytes));
}

enum leg_status leg_read(struct leg *leg, struct buffer *into, size_t window_bytes)
{
    size_t before = into->length;

    (void)unsent_flush(leg); /* a handshake flight may be larger than the socket buffer */
    if (leg->read_over)
        return leg->broken == END_NONE ? LEG_ENDED : LEG_BROKEN;
    enum tls_key_state key = key_state(leg);
    if (before >= window_bytes || (leg->drained && key == TLS_KEY_UNUSED))
        return LEG_WAITING;
    enum leg_status status = key == TLS_KEY_READY     ? channel_resume(leg, into)
                             : key == TLS_KEY_AWAITED ? awaiting_read(leg)
                             : leg->tls               ? tls_read(leg, into, window_bytes - before)
                                                      : plain_read(leg, into, window_bytes - before);
    leg->read_over = status == LEG_ENDED || status == LEG_BROKEN;
    metrics_add(&leg->metrics->bytes[METRICS_RECEIVED], into->length - before);
    if (leg->spoken <= SPOKEN_UNCLEAR && into->length > before)
        spoken_note(leg, into);
    return status;
}

enum leg_status leg_discard(struct leg *leg, struct flight *flight)
{
    struct iovec vector = { leg->io->input, LEG_INPUT_BYTES };
    size_t got;
    enum leg_status status = socket_read(leg, &vector, 1, &got);

    if (flight)
        flight_read(flight, leg->io->input, got);
    leg->read_over = status == LEG_ENDED || status == LEG_BROKEN;
    return status;
}

void leg_shut(struct leg *leg)
{
    enum leg_status status = LEG_MOVED;

    if (leg->finished)
        return;
    while (leg->unsent.length && !leg->write_blocked && !leg->send_error && status != LEG_BROKEN)
        status = socket_write(leg, &leg->unsent);
    if (leg->unsent.length && !leg->send_error && status != LEG_BROKEN)
        return;
    shutdown(leg->fd, SHUT_WR);
    leg->finished = true;
}

void leg_start_tls(struct leg *leg, struct tls_channel *tls)
{
    struct buffer nothing;

    leg->tls = tls;
    leg->tls_started_us = clock_monotonic_us();
    tls_channel_on_ready(tls, leg->on_ready, leg->owner);
    buffer_init(&nothing, leg->io->pool);
    (void)channel_feed(leg, NULL, 0, &nothing); /* a failure is kept in leg->broken */
}

/* ---- watching and closing ---- */

void leg_watch(struct leg *leg, enum leg_interest interest)
{
    enum tls_key_state key = key_state(leg);
    bool reads = interest == LEG_READ &&
                 (key == TLS_KEY_UNUSED || (key == TLS_KEY_AWAITED && tls_channel_hold_space(leg->tls)));
    int events = (reads ? EV_READ : 0) | (leg->write_blocked ? EV_WRITE : 0);

    if (leg->fd < 0 || (leg->watcher.events & (EV_READ | EV_WRITE)) == events)
        return;
    ev_io_stop(leg->io->loop, &leg->watcher);
    ev_io_set(&leg->watcher, leg->fd, events);
    if (events)
        ev_io_start(leg->io->loop, &leg->watcher);
}

void leg_close(struct leg *leg, enum leg_closing closing)
{
    if (leg->fd < 0)
        return;
    ev_io_stop(leg->io->loop, &leg->watcher);
    buffer_clear(&leg->unsent);
    tls_channel_free(leg->tls);
    leg->tls = NULL;
    if (closing == LEG_RESET)
        socket_close_by_reset(leg->fd);
    else
        close(leg->fd);
    leg->fd = -1;
}
