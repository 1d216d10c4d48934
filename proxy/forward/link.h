/* Control frames of the link, the protocol between two husks: read and written. Pure.
 *
 * A control frame is one MessagePack map. Control frames stand between Forward messages, which are arrays.
 * This unit knows the form of a frame. It does not know which senders, messages and ids exist.
 *
 * Source: docs/link.md. */
#ifndef HUSK_FORWARD_LINK_H
#define HUSK_FORWARD_LINK_H

#include "forward/ack.h"

enum {
    LINK_FRAME_BYTES_MAX = 2048,     /* of a frame that is read */
    LINK_TEXT_BYTES_MAX = 64,        /* of a reason, and of the text of "waiting" */
    LINK_WAITING_EVERY_MS_MIN = 100, /* a server may treat a shorter interval as this one */
    LINK_SHORT_BYTES_MAX = 80,       /* of a written frame without an ack */
    LINK_ACK_BYTES_MAX = ACK_BYTES_MAX + 128,
    LINK_VERSION = 1,
};

enum link_status {
    LINK_MORE,    /* the bytes are an incomplete frame */
    LINK_FOUND,   /* the first `taken` bytes are a frame */
    LINK_REFUSED, /* not a frame, or longer than LINK_FRAME_BYTES_MAX; reported when the value at fault has
                     been read, at the latest at the end of the frame; more bytes cannot change that */
};

/* A frame from client to server. Zero: the frame says nothing. */
struct link_request {
    bool names_sender, names_gone;
    uint64_t sender; /* the messages that follow are of this sender */
    uint64_t gone;   /* this sender has ended */
    uint32_t
        waiting_every_ms; /* longest silence while the server holds messages; 0: the frame does not say */
};

/* Whether the frame has a known key with a valid value. */
static inline bool link_request_speaks(const struct link_request *request)
{
    return request->names_sender || request->names_gone || request->waiting_every_ms;
}

/* A frame from server to client. Zero: the frame says nothing. */
struct link_answer {
    struct span ack;  /* value of the id in the bytes of the frame, header included; empty: no ack */
    uint64_t refused; /* how many events of the message were refused; 0: none */
    struct span
        reason; /* text in the bytes of the frame, without header, any bytes; empty: the frame has none */
    struct span waiting; /* text in the bytes of the frame, without header, any bytes; may be empty */
    struct span goaway;  /* as `waiting` */
    bool is_waiting, is_goaway;
    bool names_sender, names_window; /* a frame that names a window names a sender */
    uint64_t sender;                 /* whose message is acknowledged, and whose window it is */
    uint64_t version; /* of the link that is offered on a connection without TLS; 0: none is offered */
    uint64_t window;  /* how many messages of the sender may be unsettled; UINT64_MAX: no limit */
};

/* Whether a frame begins with this byte. */
static inline bool link_is_frame(uint8_t first_byte)
{
    return (first_byte & 0xf0) == 0x80 || first_byte == 0xde || first_byte == 0xdf;
}

/* Whether this byte is a nil, the heartbeat of Forward, which has no content. */
static inline bool link_is_nil(uint8_t first_byte)
{
    return first_byte == 0xc0;
}

/* Whether a Forward message begins with this byte. */
static inline bool link_is_message(uint8_t first_byte)
{
    return (first_byte & 0xf0) == 0x90 || first_byte == 0xdc || first_byte == 0xdd;
}

/* Reads the frame at the front of `bytes`. *taken is 0, and the frame is zero, unless the status is
 * LINK_FOUND. */
enum link_status link_request_parse(const uint8_t *bytes, size_t length, size_t *taken,
                                    struct link_request *request);
enum link_status link_answer_parse(const uint8_t *bytes, size_t length, size_t *taken,
                                   struct link_answer *answer);

/* These write one frame and return its length. */

/* {"waiting_every_ms": ms}; at least 1. */
size_t link_write_waiting_every(uint8_t to[LINK_SHORT_BYTES_MAX], uint32_t ms);
/* {"sender": sender}. */
size_t link_write_sender(uint8_t to[LINK_SHORT_BYTES_MAX], uint64_t sender);
/* {"gone": sender}. */
size_t link_write_gone(uint8_t to[LINK_SHORT_BYTES_MAX], uint64_t sender);
/* {"waiting": text}; at most LINK_TEXT_BYTES_MAX bytes. */
size_t link_write_waiting(uint8_t to[LINK_SHORT_BYTES_MAX], const char *text);
/* {"goaway": text}; at most LINK_TEXT_BYTES_MAX bytes. */
size_t link_write_goaway(uint8_t to[LINK_SHORT_BYTES_MAX], const char *text);
/* {"sender": sender, "window": window}; UINT64_MAX, no limit, is written as nil. */
size_t link_write_window(uint8_t to[LINK_SHORT_BYTES_MAX], uint64_t sender, uint64_t window);
/* An ack. Only the id is required. */
struct link_ack {
    const uint8_t *id; /* as for ack_write */
    size_t id_length;
    uint64_t sender;    /* LINK_NO_SENDER: not named */
    uint64_t refused;   /* 0: nothing is refused */
    const char *reason; /* why; 1 to LINK_TEXT_BYTES_MAX bytes; NULL if nothing is refused */
    uint64_t version;   /* of the link that is offered; 0: none */
};
#define LINK_NO_SENDER UINT64_MAX

/* {"ack": id, "sender": sender, "refused": refused, "reason": reason, "link": version}, as far as given. */
size_t link_write_ack(uint8_t to[LINK_ACK_BYTES_MAX], const struct link_ack *ack);

#endif
