#include "wire/tls_channel.h"

#include "base/clock.h"
#include "trust/certificate.h"
#include "trust/token_handshake.h"
#include "wire/tls_library.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    GATHER_BYTES = 4096
}; /* a shorter piece is joined with the next ones: a copy costs less than another record */
enum { HELD_BYTES_MAX = TLS_RECORD_SEALED_BYTES };     /* a peer that waits for us has nothing to send */
enum { RECORD_HANDSHAKE = 0x16, RECORD_ALERT = 0x15 }; /* RFC 8446, 5.1 */

struct tls_channel {
    struct peer_check check; /* first: the SSL points to its check, and so to the channel */
    SSL *ssl;
    char *server_name;               /* owned: what `check` points to; NULL: none */
    struct tls_io *io;               /* borrowed */
    struct credentials *credentials; /* shared */
    struct tls_sessions *sessions;   /* borrowed, may be NULL */
    int64_t own_not_after;           /* the first end of our chain after the handshake; 0: none */
    enum end_reason failure;
    enum spoken spoken;   /* by its first bytes */
    struct flight flight; /* what came after a failure */
    struct tls_progress progress;
    uint8_t *held; /* owned: input that is not consumed while the key is awaited; NULL: none */
    size_t held_length;
    bool paused;   /* the handshake waits for our key */
    bool resuming; /* a session was offered */
    bool established;
    bool confirmed;
    bool denied; /* the channel has failed because of the alert access_denied */
    bool closed; /* the close_notify of the peer was read */
};

/* ---- sessions ---- */

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_channel *channel = (struct tls_channel *)credentials_check_of(ssl);

    channel->confirmed = true;
    return channel->sessions &&
           tls_sessions_take(channel->sessions, channel->credentials, channel->check.server_name, session);
}

static bool session_offer(struct tls_channel *channel)
{
    enum tls_offer offer = channel->sessions ? tls_sessions_offer(channel->sessions, channel->credentials,
                                                                  channel->check.server_name, channel->ssl)
                                             : TLS_OFFER_NONE;

    channel->resuming = offer == TLS_OFFER_MADE;
    return offer != TLS_OFFER_FAILED;
}

/* ---- opening and freeing ---- */

struct tls_channel *tls_channel_new(struct tls_io *io, struct credentials *credentials,
                                    const char *server_name, struct tls_sessions *sessions)
{
    struct tls_channel *channel = calloc(1, sizeof *channel);

    if (!channel)
        return NULL;
    channel->server_name = server_name ? strdup(server_name) : NULL;
    channel->check.server_name = channel->server_name;
    channel->io = io;
    channel->sessions = server_name ? sessions : NULL;
    channel->credentials = credentials_share(credentials);
    if (channel->server_name || !server_name)
        channel->ssl = credentials_start_session(credentials, &channel->check);
    if (!channel->ssl || !tls_io_attach(io, channel->ssl) || !session_offer(channel)) {
        tls_channel_free(channel);
        return NULL;
    }
    credentials_on_new_session(credentials, on_new_session);
    return channel;
}

void tls_channel_free(struct tls_channel *channel)
{
    if (!channel)
        return;
    SSL_free(channel->ssl);
    token_signature_free(channel->check.signature);
    free(channel->held);
    peer_check_deinit(&channel->check);
    credentials_release(channel->credentials);
    free(channel->server_name);
    free(channel);
}

/* ---- failures ---- */

static enum tls_status channel_fail(struct tls_channel *channel, enum end_reason reason, const char *detail)
{
    channel->failure = reason;
    if (!channel->check.detail[0] && detail)
        snprintf(channel->check.detail, sizeof channel->check.detail, "%s", detail);
    return TLS_FAILED;
}

/* Fails with the error of the last SSL call. This is the only place that reads the error queue, and it leaves
 * the queue empty. */
static enum tls_status channel_fail_by_queue(struct tls_channel *channel)
{
    uint32_t packed = ERR_get_error();
    const char *words = packed ? ERR_reason_error_string(packed) : NULL;
    enum end_reason reason = END_TLS_PROTOCOL;

    ERR_clear_error();
    if (channel->check.reason != END_NONE)
        return channel_fail(channel, channel->check.reason, words);
    if (packed && ERR_GET_LIB(packed) == ERR_LIB_SSL) {
        reason = tls_library_end_reason(ERR_GET_REASON(packed));
        channel->denied = ERR_GET_REASON(packed) == SSL_R_TLSV1_ALERT_ACCESS_DENIED;
    }
    if (reason == END_NOT_TLS && channel->established)
        reason = END_TLS_PROTOCOL;
    return channel_fail(channel, reason, words);
}

/* ---- our key ---- */

void tls_channel_on_ready(struct tls_channel *channel, void (*on_ready)(void *owner), void *owner)
{
    if (channel->check.signature && channel->io->results)
        token_signature_await(channel->check.signature, channel->io->results, on_ready, owner);
}

enum tls_key_state tls_channel_key_state(const struct tls_channel *channel)
{
    if (!channel->paused)
        return TLS_KEY_UNUSED;
    return token_signature_is_awaited(channel->check.signature) ? TLS_KEY_AWAITED : TLS_KEY_READY;
}

uint64_t tls_channel_key_us(const struct tls_channel *channel)
{
    return token_signature_us(channel->check.signature);
}

static bool held_append(struct tls_channel *channel, const uint8_t *bytes, size_t length)
{
    uint8_t *held = realloc(channel->held, channel->held_length + length);

    if (!held) {
        channel_fail(channel, END_NO_MEMORY, NULL);
        return false;
    }
    memcpy(held + channel->held_length, bytes, length);
    channel->held = held;
    channel->held_length += length;
    return true;
}

/* Keeps what is not consumed until the handshake goes on. */
static enum tls_status input_hold(struct tls_channel *channel)
{
    struct tls_io *io = channel->io;
    size_t left = io->input_length;

    channel->paused = true;
    io->input_length = 0;
    return !left || held_append(channel, io->input, left) ? TLS_OPEN : TLS_FAILED;
}

size_t tls_channel_hold_space(const struct tls_channel *channel)
{
    return channel->held_length < HELD_BYTES_MAX ? HELD_BYTES_MAX - channel->held_length : 0;
}

bool tls_channel_hold(struct tls_channel *channel, const uint8_t *bytes, size_t length)
{
    assert(tls_channel_key_state(channel) == TLS_KEY_AWAITED && length);
    channel->progress.bytes_received += length;
    return held_append(channel, bytes, length);
}

/* ---- bytes in ---- */

/* A TLS 1.3 server sends its tickets with its first write. An empty write sends them now, which shows a husk
 * that its certificate was accepted. Other peers do not get them early: a peer that closes without reading
 * them would reset the connection, and the bytes that it sent last would be lost. */
static bool wants_tickets_now(SSL *ssl)
{
    return SSL_is_server(ssl) && SSL_version(ssl) == TLS1_3_VERSION &&
           alpn_protocol_of(ssl) != TLS_PEER_UNKNOWN;
}

static void handshake_finish(struct tls_channel *channel)
{
    SSL *ssl = channel->ssl;
    bool is_client_1_3 = !SSL_is_server(ssl) && SSL_version(ssl) == TLS1_3_VERSION;

    /* BoringSSL does not verify the certificate of a resumed client again, but validity and policy may have
     * changed; and it verifies no client without certificate. */
    if (SSL_is_server(ssl) && (SSL_session_reused(ssl) || !SSL_get_peer_full_cert_chain(ssl)) &&
        !credentials_recheck_peer(channel->credentials, ssl, &channel->check)) {
        SSL_send_fatal_alert(ssl, SSL_AD_ACCESS_DENIED);
        ERR_clear_error();
        channel_fail(channel, channel->check.reason, NULL);
        return;
    }
    const struct validity own = credentials_validity(channel->credentials);
    channel->own_not_after = validity_next_end(&own, clock_wall_seconds());
    token_signature_free(channel->check.signature);
    channel->check.signature = NULL;
    channel->established = true;
    channel->confirmed = !is_client_1_3;
    if (wants_tickets_now(ssl) && SSL_write(ssl, "", 0) < 0)
        channel_fail_by_queue(channel);
}

static enum tls_status handshake_advance(struct tls_channel *channel)
{
    int result = SSL_do_handshake(channel->ssl);

    if (result == 1) {
        handshake_finish(channel);
        return channel->failure == END_NONE ? TLS_OPEN : TLS_FAILED;
    }
    switch (SSL_get_error(channel->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return TLS_OPEN;
    case SSL_ERROR_WANT_PRIVATE_KEY_OPERATION:
        return input_hold(channel);
    case SSL_ERROR_ZERO_RETURN: /* close_notify: the peer cancels the handshake (RFC 8446, 6.1) */
        return channel_fail(channel, tls_channel_end_of_input(channel), NULL);
    default:
        return channel_fail_by_queue(channel);
    }
}

static enum tls_status data_open(struct tls_channel *channel, struct buffer *into)
{
    for (;;) {
        size_t space;
        uint8_t *to = buffer_reserve(into, &space);
        if (!to)
            return channel_fail(channel, END_NO_MEMORY, NULL);
        int got = SSL_read(channel->ssl, to, (int)space);
        buffer_commit(into, got > 0 ? (size_t)got : 0);
        if (got > 0) {
            channel->confirmed = true;
            continue;
        }
        switch (SSL_get_error(channel->ssl, got)) {
        case SSL_ERROR_WANT_READ:
            return TLS_OPEN;
        case SSL_ERROR_ZERO_RETURN:
            channel->closed = true;
            return TLS_CLOSED;
        default:
            return channel_fail_by_queue(channel);
        }
    }
}

enum tls_status tls_channel_receive(struct tls_channel *channel, const uint8_t *bytes, size_t length,
                                    struct buffer *into)
{
    struct tls_io *io = channel->io;
    enum tls_status status = TLS_OPEN;

    io->output_length = 0;
    if (channel->failure != END_NONE)
        return TLS_FAILED;
    if (channel->closed)
        return TLS_CLOSED;
    if (length && channel->spoken == SPOKEN_NOTHING) {
        channel->spoken = spoken_of(bytes, length);
        if (bytes[0] != RECORD_HANDSHAKE && bytes[0] != RECORD_ALERT)
            return channel_fail(channel, END_NOT_TLS, NULL);
    }
    channel->progress.bytes_received += channel->established ? 0 : length;
    uint8_t *held = channel->held;
    assert(tls_channel_key_state(channel) != TLS_KEY_AWAITED && (!length || !channel->paused));
    io->input = held ? held : bytes;
    io->input_length = held ? channel->held_length : length;
    channel->held = NULL;
    channel->held_length = 0;
    channel->paused = false;
    ERR_clear_error();
    if (!channel->established) {
        status = handshake_advance(channel);
        channel->progress.flights_sent += io->output_length > 0;
    }
    if (status == TLS_OPEN && channel->established)
        status = data_open(channel, into);
    assert(status != TLS_OPEN || io->input_length == 0);
    if (status == TLS_FAILED)
        flight_read(&channel->flight, io->input, io->input_length);
    io->input = NULL;
    io->input_length = 0;
    free(held);
    return status;
}

enum end_reason tls_channel_end_of_input(const struct tls_channel *channel)
{
    if (channel->closed)
        return END_CLOSED;
    if (channel->established)
        return END_TRUNCATED;
    if (!SSL_is_server(channel->ssl))
        return END_HANDSHAKE_CLOSED;
    return channel->spoken == SPOKEN_NOTHING ? END_PROBE : END_HANDSHAKE_LEFT;
}

/* ---- bytes out ---- */

enum tls_status tls_channel_send(struct tls_channel *channel, struct buffer *from)
{
    struct tls_io *io = channel->io;
    struct iovec front;

    assert(channel->established);
    io->output_length = 0;
    ERR_clear_error();
    while (TLS_IO_BYTES - io->output_length >= TLS_RECORD_SEALED_BYTES && buffer_vectors(from, &front, 1)) {
        size_t part = front.iov_len < TLS_RECORD_BYTES ? front.iov_len : TLS_RECORD_BYTES;
        const void *plain = front.iov_base;
        if (part < GATHER_BYTES && from->length > part) {
            part = buffer_peek(from, 0, io->gathered, sizeof io->gathered);
            plain = io->gathered;
        }
        int sealed = SSL_write(channel->ssl, plain, (int)part);
        if (sealed <= 0)
            return channel_fail_by_queue(channel);
        buffer_consume(from, (size_t)sealed);
    }
    return TLS_OPEN;
}

void tls_channel_close(struct tls_channel *channel)
{
    channel->io->output_length = 0;
    if (!channel->established || channel->failure != END_NONE)
        return;
    ERR_clear_error();
    SSL_shutdown(channel->ssl);
    ERR_clear_error();
}

/* ---- after the handshake ---- */

enum end_reason tls_channel_judge(struct tls_channel *channel, struct credentials *credentials)
{
    struct peer_check verdict = { .server_name = channel->check.server_name };

    assert(channel->established);
    ERR_clear_error();
    if (!credentials_recheck_peer(credentials, channel->ssl, &verdict))
        memcpy(channel->check.detail, verdict.detail, sizeof verdict.detail);
    else
        channel->check.not_after = verdict.not_after;
    ERR_clear_error();
    peer_check_deinit(&verdict);
    return verdict.reason;
}

static bool ends_first_by_peer(const struct tls_channel *channel)
{
    int64_t peer = channel->check.not_after, own = channel->own_not_after;

    return peer && (!own || peer <= own);
}

int64_t tls_channel_not_after(const struct tls_channel *channel)
{
    return ends_first_by_peer(channel) ? channel->check.not_after : channel->own_not_after;
}

void tls_channel_describe_end(struct tls_channel *channel)
{
    char time[CERTIFICATE_TIME_BYTES];

    certificate_describe_time(tls_channel_not_after(channel), time);
    snprintf(channel->check.detail, sizeof channel->check.detail,
             ends_first_by_peer(channel) ? "the certificate of the peer, or of its CA, ends at %s"
                                         : "the certificate that husk has shown to the peer ends at %s",
             time);
}

bool tls_channel_shows(const struct tls_channel *channel, const struct credentials *credentials)
{
    return credentials_have_same_certificate(channel->credentials, credentials);
}

/* ---- facts ---- */

bool tls_channel_is_established(const struct tls_channel *channel)
{
    return channel->established;
}

bool tls_channel_is_confirmed(const struct tls_channel *channel)
{
    return channel->confirmed;
}

enum tls_peer_protocol tls_channel_peer_protocol(const struct tls_channel *channel)
{
    return alpn_protocol_of(channel->ssl);
}

bool tls_channel_drop_rejected_sessions(struct tls_channel *channel)
{
    if (!channel->resuming || channel->confirmed || channel->failure != END_TLS_REJECTED)
        return false;
    tls_sessions_note_rejected(channel->sessions, channel->credentials);
    return true;
}

bool tls_channel_stop_resuming(struct tls_channel *channel)
{
    return channel->sessions && !channel->resuming &&
           tls_sessions_note_full(channel->sessions, channel->credentials);
}

enum end_reason tls_channel_failure(const struct tls_channel *channel)
{
    return channel->failure;
}

const char *tls_channel_failure_detail(const struct tls_channel *channel)
{
    return channel->check.detail;
}

bool tls_channel_is_denied(const struct tls_channel *channel)
{
    return channel->denied;
}

bool tls_channel_lacks_issuer(const struct tls_channel *channel)
{
    return channel->check.lacks_issuer;
}

enum ocsp_status tls_channel_bad_staple(const struct tls_channel *channel)
{
    return channel->check.bad_staple;
}

struct tls_progress tls_channel_progress(const struct tls_channel *channel)
{
    return channel->progress;
}

struct flight tls_channel_flight(const struct tls_channel *channel)
{
    return channel->flight;
}

enum spoken tls_channel_spoken(const struct tls_channel *channel)
{
    return channel->spoken;
}

/* The peer was verified, so it has a certificate. */
size_t tls_channel_peer_chain_length(const struct tls_channel *channel)
{
    return sk_X509_num(SSL_get_peer_full_cert_chain(channel->ssl));
}

void tls_channel_describe_peer(const struct tls_channel *channel, size_t at, struct certificate_facts *facts)
{
    certificate_facts_of(sk_X509_value(SSL_get_peer_full_cert_chain(channel->ssl), at), facts);
}

const struct identity *tls_channel_peer(const struct tls_channel *channel)
{
    return channel->established ? channel->check.identity : NULL;
}

struct tls_facts tls_channel_facts(const struct tls_channel *channel)
{
    return tls_facts_of(channel->ssl);
}
