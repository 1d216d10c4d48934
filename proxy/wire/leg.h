/* One connection of ours: descriptor, unsent records, watcher, and TLS or not. `tls == NULL` means plain;
 * there is no other difference.
 *
 * Owns its descriptor and its tls_channel. Reading and writing never block and never call back: the watcher
 * tells the owner that something may be possible, and the owner's step asks. Belongs to its worker's thread.
 */
#ifndef HUSK_WIRE_LEG_H
#define HUSK_WIRE_LEG_H

#include "base/buffer.h"
#include "base/end_reason.h"
#include "base/metrics.h"
#include "wire/tls_channel.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

enum { LEG_INPUT_BYTES = 256 * 1024 };

/* What the legs of one worker share. */
struct leg_io {
    struct ev_loop *loop;     /* borrowed */
    struct buffer_pool *pool; /* borrowed */
    struct tls_io tls;
    uint8_t *input; /* LEG_INPUT_BYTES: ciphertext between recv and the channel, for the length of a call */
};

MUST_CHECK bool leg_io_init(struct leg_io *io, struct ev_loop *loop, struct buffer_pool *pool);
void leg_io_deinit(struct leg_io *io);

/* Something may be possible on the leg. */
typedef void leg_on_ready(void *owner);

struct leg {
    struct leg_io *io; /* borrowed */
    int fd;            /* -1: not open */
    struct tls_channel *tls;
    struct side_metrics *metrics; /* borrowed: where bytes are counted */
    struct buffer unsent;         /* sealed records the socket has not taken yet */
    ev_io watcher;
    leg_on_ready *on_ready;
    void *owner;
    uint64_t tls_started_us;
    enum end_reason broken; /* END_NONE, or what went wrong; nothing more is sent then */
    int send_error;         /* 0, or the errno of a send that the peer's reset ended (see leg_can_send) */
    bool read_over;         /* nothing more will be read: the peer ended in order, or see `broken` */
    bool blocked;           /* the socket took less than it was offered */
    bool drained;           /* the last read emptied the socket: the watcher tells when there is more */
    bool handshake_counted; /* in the metrics, as a success */
    bool finishing;         /* our end is on its way: close_notify sealed */
    bool finished;          /* and FIN sent */
};

struct leg_options {
    struct leg_io *io;            /* borrowed */
    struct side_metrics *metrics; /* borrowed */
    leg_on_ready *on_ready;
    void *owner; /* borrowed: the first argument of on_ready */
};

/* Takes `fd`, copies `options`. The watcher stays idle until leg_watch. */
void leg_open(struct leg *leg, int fd, const struct leg_options *options);

/* The socket is still connecting: `blocked` stays true until the watcher reports that it is writable. */
void leg_await_connect(struct leg *leg);

/* Takes `tls`; in the client's role this sends the first flight. */
void leg_start_tls(struct leg *leg, struct tls_channel *tls);

/* The TLS handshake is finished, or there is none to do. */
bool leg_is_secured(const struct leg *leg);

/* Whether anything can be sent. A peer that closes with something of ours unread resets the connection, and a
 * TLS 1.3 peer that never reads has our tickets unread. What it sent before is still in the socket, so a send
 * that fails for it does not break the leg: it is read to its end first, and breaks then, or when it ended in
 * order, once there is something it should have taken. */
bool leg_can_send(const struct leg *leg);

enum leg_status {
    LEG_MOVED,   /* something moved: ask again */
    LEG_WAITING, /* nothing to be had or taken now: the watcher will tell */
    LEG_ENDED,   /* read: the peer ended its direction in order */
    LEG_BROKEN,  /* see leg->broken */
};

/* Reads once: into `into`, so that it holds at most `window_bytes` (a TLS leg needs room for a record and
 * more, else it waits). Drives the handshake too. */
enum leg_status leg_read(struct leg *leg, struct buffer *into, size_t window_bytes);

/* Writes once from the front of `from` and removes what is taken; with an empty `from` it sends unsent
 * records. After a reset LEG_WAITING until all is read, LEG_BROKEN then; nothing to be sent breaks nothing.
 */
enum leg_status leg_write(struct leg *leg, struct buffer *from);

/* Ends our direction in order: unsent records, close_notify, FIN. LEG_MOVED once all of it is with the
 * socket, or when only the end itself is lost on a peer that is gone. */
enum leg_status leg_finish(struct leg *leg);

/* Reads once and throws away: for a leg that has nothing more to say but wants its last words to arrive. */
enum leg_status leg_discard(struct leg *leg);

/* Gives up on a leg for a reason found outside of it, such as a deadline. */
void leg_break(struct leg *leg, enum end_reason reason);

/* Ends our direction of a broken leg once its alert is with the socket, so that it arrives before the
 * connection is gone. */
void leg_shut(struct leg *leg);

/* Counts a finished TLS handshake as a success. It does so by itself once the peer has confirmed it. */
void leg_count_handshake(struct leg *leg);

/* Interest of the watcher: reading as asked, writing while the socket is blocked or connecting. */
enum leg_interest { LEG_NO_READ, LEG_READ };
void leg_watch(struct leg *leg, enum leg_interest interest);

/* Closes with FIN, or with RST so that the peer knows that something is lost. Harmless on a leg that is not
 * open. */
enum leg_closing { LEG_CLOSE, LEG_RESET };
void leg_close(struct leg *leg, enum leg_closing closing);

/* What TLS had to say about a failure; empty when nothing. */
const char *leg_detail(const struct leg *leg);

#endif
