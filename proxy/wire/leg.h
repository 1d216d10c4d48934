/* One connection: a descriptor, unsent TLS records, a watcher, and a TLS channel or none. `tls == NULL` means
 * a plain connection; there is no other difference.
 *
 * Owns its descriptor and its tls_channel. Reads and writes never block and never call back: the watcher
 * tells the owner that the leg may be ready, and the owner tries to move bytes. Belongs to its worker's
 * thread. */
#ifndef HUSK_WIRE_LEG_H
#define HUSK_WIRE_LEG_H

#include "base/buffer.h"
#include "base/end_reason.h"
#include "base/metrics.h"
#include "wire/tls_channel.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    LEG_INPUT_BYTES = 256 * 1024,
    LEG_LEAST_WINDOW_BYTES = 2 * TLS_RECORD_BYTES, /* the smallest useful window of leg_read */
};

/* What the legs of one worker share. */
struct leg_io {
    struct ev_loop *loop;     /* borrowed */
    struct buffer_pool *pool; /* borrowed */
    struct tls_io tls;
    uint8_t *input; /* LEG_INPUT_BYTES: ciphertext on its way from recv to the channel, during one call */
};

MUST_CHECK bool leg_io_init(struct leg_io *io, struct ev_loop *loop, struct buffer_pool *pool);
void leg_io_deinit(struct leg_io *io);

/* The leg may be ready to read or to write. */
typedef void leg_on_ready(void *owner);

/* An idle connection is little more than its leg, so the flags are bits. */
struct leg {
    struct leg_io *io; /* borrowed */
    struct tls_channel *tls;
    struct side_metrics *metrics; /* borrowed: counts bytes and handshakes */
    struct buffer unsent;         /* sealed records that the socket has not taken yet */
    ev_io watcher;
    leg_on_ready *on_ready;
    void *owner;
    uint64_t tls_started_us;
    int fd;                 /* -1: not open */
    enum end_reason broken; /* END_NONE, or why the leg failed; nothing is sent after that */
    int send_error;         /* 0, or the errno of a send that failed because of a reset (see leg_can_send) */
    uint8_t spoken;         /* enum spoken: by the first bytes of payload */
    bool read_over : 1;     /* nothing more is read: the peer ended its direction, or the leg is broken */
    bool write_blocked : 1; /* the socket did not take all of the last write, or it is still connecting */
    bool drained : 1;       /* the last read emptied the socket; the watcher reports new input */
    bool handshake_counted : 1; /* as a success, in the metrics */
    bool finishing : 1;         /* close_notify is sealed */
    bool finished : 1;          /* FIN is sent */
};

struct leg_options {
    struct leg_io *io;            /* borrowed */
    struct side_metrics *metrics; /* borrowed */
    leg_on_ready *on_ready;
    void *owner; /* borrowed: the first argument of on_ready */
};

/* Takes `fd`, copies `options`. The watcher stays idle until leg_watch. */
void leg_open(struct leg *leg, int fd, const struct leg_options *options);

/* The socket is still connecting: `write_blocked` stays true until the watcher reports that it is writable.
 */
void leg_await_connect(struct leg *leg);

/* Moves the connection of `from`, which has sealed its last record, to `to`, which is not open. Unsent
 * records, such as an alert, move too; the TLS channel does not. `from` is closed afterwards. */
void leg_move(struct leg *to, struct leg *from, leg_on_ready *on_ready, void *owner);

/* Takes `tls`; in the client's role this sends the first flight. */
void leg_start_tls(struct leg *leg, struct tls_channel *tls);

/* True when the TLS handshake is finished, and on a plain leg. */
bool leg_is_secured(const struct leg *leg);

/* Why a handshake that takes too long ends: END_HANDSHAKE_TIMEOUT, or END_TOKEN_FAILED if a token has not
 * signed. */
enum end_reason leg_lateness(const struct leg *leg);

/* What ALPN says about the peer. Only once the leg is secured; a plain leg knows nothing. */
enum tls_peer_protocol leg_peer_protocol(const struct leg *leg);

/* False when the leg is broken, and after a send failed with ECONNRESET or EPIPE. Such a failure does not
 * break the leg at once: bytes that the peer sent before its reset may be queued in the socket, so reading
 * goes on. At the end of input the leg breaks: always after ECONNRESET, after EPIPE only if payload is
 * unsent.
 *
 * Why this is common: a peer that closes with unread input resets the connection, and a TLS 1.3 peer that
 * never reads leaves our session tickets unread. */
bool leg_can_send(const struct leg *leg);

enum leg_status {
    LEG_MOVED,   /* bytes moved: call again */
    LEG_WAITING, /* no bytes can move now: the watcher reports when they can */
    LEG_ENDED,   /* leg_read: the peer ended its direction in order */
    LEG_BROKEN,  /* see leg->broken */
};

/* Reads once. `into` holds at most `window_bytes` afterwards; a TLS leg waits unless more than
 * TLS_RECORD_BYTES of the window are free. Also drives the TLS handshake; on_ready runs when the handshake
 * has waited for a token and goes on. */
enum leg_status leg_read(struct leg *leg, struct buffer *into, size_t window_bytes);

/* Writes once from the front of `from` and removes what was taken. With an empty `from`, sends unsent
 * records. After a reset (see leg_can_send): LEG_WAITING until all input is read, then LEG_BROKEN if anything
 * is unsent. */
enum leg_status leg_write(struct leg *leg, struct buffer *from);

/* Ends our direction in order: unsent records, close_notify, FIN. LEG_MOVED when the socket has taken all of
 * it, and when the peer has reset the connection and no payload is unsent. */
enum leg_status leg_finish(struct leg *leg);

/* Reads once and discards the bytes. Closing with unread input would reset the connection, and the peer could
 * lose the last bytes that we sent. `flight` reads the headers of the discarded records; NULL: nobody
 * needs the headers. */
enum leg_status leg_discard(struct leg *leg, struct flight *flight);

/* Breaks the leg for a reason that its owner found, such as a deadline. The first reason counts. */
void leg_break(struct leg *leg, enum end_reason reason);

/* Sends FIN on a leg that is broken or moved once the socket has taken the unsent records, so that the peer
 * receives the alert or its last answers. Call it again while records are unsent. */
void leg_shut(struct leg *leg);

/* Counts a finished TLS handshake as a success, once. The leg does so itself when the peer has confirmed the
 * handshake. */
void leg_count_handshake(struct leg *leg);

/* Sets what the watcher waits for: input if `interest` asks for it and TLS can take some, output while the
 * socket is blocked or connecting. */
enum leg_interest { LEG_NO_READ, LEG_READ };
void leg_watch(struct leg *leg, enum leg_interest interest);

/* Closes with FIN, or with RST to tell the peer that bytes are lost. Does nothing on a leg that is not
 * open. */
enum leg_closing { LEG_CLOSE, LEG_RESET };
void leg_close(struct leg *leg, enum leg_closing closing);

/* What the peer speaks: until the TLS handshake is finished on the connection itself, then inside TLS. */
enum spoken leg_spoken(const struct leg *leg);

/* How the TLS channel describes its failure; empty if it has not failed. */
const char *leg_detail(const struct leg *leg);
/* Whether the peer has denied access by an alert: see tls_channel_is_denied. */
bool leg_is_denied(const struct leg *leg);
/* Whether an intermediate may be missing in the chain of the peer (trust/peer_check.h). */
bool leg_lacks_issuer(const struct leg *leg);

#endif
