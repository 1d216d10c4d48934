/* Why a connection ended: one enum, which is also the log field and the metric label.
 *
 * Pure. A reason belongs to one side of a connection (see `enum side`); what happened to the other side as a
 * consequence is END_OTHER_SIDE. */
#ifndef HUSK_BASE_END_REASON_H
#define HUSK_BASE_END_REASON_H

#include <stdbool.h>

enum side { SIDE_DOWNSTREAM, SIDE_UPSTREAM, SIDE_COUNT };

enum end_reason {
    END_NONE,            /* has not ended */
    END_CLOSED,          /* both directions ended in order */
    END_PROBE,           /* closed without having sent a byte */
    END_LEFT,            /* the downstream peer left before its upstream was there */
    END_HANDSHAKE_LEFT,  /* a peer that called us left during its TLS handshake */
    END_OTHER_SIDE,      /* nothing wrong here: the other side ended it */
    END_SHUTDOWN,        /* this process is stopping */
    END_RETIRED,         /* old, or its address or credentials are no longer in use */
    END_RESET,           /* connection reset by the peer */
    END_DEAD_PEER,       /* keepalive or TCP_USER_TIMEOUT gave the peer up */
    END_TRUNCATED,       /* TCP ended without TLS close_notify (RFC 8446, 6.1) */
    END_RESET_AFTER_END, /* connection reset by the peer after we had ended our direction */
    END_IDLE,            /* no progress for the idle timeout */
    END_IO_ERROR,        /* any other socket error */
    END_NO_MEMORY,
    END_NO_DESCRIPTOR, /* EMFILE, ENFILE */
    END_UNRESOLVED,    /* upstream name has no address (yet) */
    END_CONNECT_REFUSED,
    END_CONNECT_FAILED, /* unreachable and the like */
    END_CONNECT_TIMEOUT,
    END_NOT_FORWARD, /* what came is no Forward message */
    END_JSON,        /* but JSON, which only `protocol: tcp` carries */
    END_TAG_TOO_LONG,
    END_MESSAGE_TOO_LONG,
    END_MESSAGE_TOO_DEEP,
    END_BAD_OPTION,      /* a message's option, or the chunk id in it, has the wrong type */
    END_MESSAGE_CUT,     /* the agent ended in the middle of a message */
    END_MESSAGE_STALLED, /* the agent stopped in the middle of a message */
    END_TAG_NOT_ALLOWED, /* verified, but no rule allows this identity to write this tag */
    END_UNDELIVERED,     /* a message of this agent cannot be delivered */
    END_UPSTREAM_CLOSED, /* closed in order, but with messages unacknowledged */
    END_ACK_TIMEOUT,
    END_BAD_ACK,       /* what came is no ack */
    END_UNKNOWN_ACK,   /* an ack for a message that was not sent here */
    END_KEY_MALFORMED, /* not the shared-key handshake's next message */
    END_KEY_WRONG,     /* the peer does not know the shared key */
    END_KEY_USER,      /* unknown user, or a wrong password */
    END_KEY_REJECTED,  /* the aggregator says no */
    END_KEY_SAME_NAME, /* the aggregator calls itself what we call ourselves */
    END_KEY_TIMEOUT,
    END_HANDSHAKE_TIMEOUT,
    END_HANDSHAKE_CLOSED,    /* a server we dialled closed during the TLS handshake */
    END_NOT_TLS,             /* the first bytes are not a TLS record */
    END_TLS_VERSION,         /* no TLS version in common */
    END_TLS_PROTOCOL,        /* any other TLS failure found here */
    END_TLS_REJECTED,        /* the peer sent an alert: its log knows more */
    END_CERTIFICATE_MISSING, /* the peer sent no certificate */
    END_CERTIFICATE_UNKNOWN_CA,
    END_CERTIFICATE_EXPIRED, /* expired, or not valid yet */
    END_CERTIFICATE_NAME,    /* does not carry the expected server name */
    END_CERTIFICATE_USAGE,   /* not meant for this role */
    END_CERTIFICATE_INVALID, /* any other failure to verify it */
    END_NOT_ALLOWED,         /* verified, but the policy does not allow this identity */
    END_REASON_COUNT
};

/* The reason as log fields and metric labels spell it, e.g. "certificate_expired". */
const char *end_reason_name(enum end_reason reason);

/* The reason as a person reads it, e.g. "certificate expired or not yet valid". */
const char *end_reason_phrase(enum end_reason reason);

/* Ordinary life, worth a debug line at most. */
bool end_reason_is_benign(enum end_reason reason);

/* We ended it ourselves, for no fault of the peer's. */
bool end_reason_is_ours(enum end_reason reason);

/* This process ran out of something: no peer's fault. */
bool end_reason_is_local(enum end_reason reason);

/* Found by our side of TLS, which told the peer by an alert (RFC 8446, 6.2). */
bool end_reason_sends_alert(enum end_reason reason);

/* "downstream" or "upstream". */
const char *side_name(enum side side);

#endif
