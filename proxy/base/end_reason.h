/* Why a connection ended: one enum, which is also the log field and the metric label.
 *
 * Pure. A reason belongs to one side of a connection (see `enum side`). The other side, which ends as a
 * consequence, has END_OTHER_SIDE. */
#ifndef HUSK_BASE_END_REASON_H
#define HUSK_BASE_END_REASON_H

#include <stdbool.h>
#include <stddef.h>

enum side { SIDE_DOWNSTREAM, SIDE_UPSTREAM, SIDE_COUNT };

enum end_reason {
    END_NONE,            /* has not ended */
    END_CLOSED,          /* both directions were closed in order */
    END_PROBE,           /* the peer closed without sending a byte */
    END_LEFT,            /* the downstream peer closed before its upstream was connected */
    END_HANDSHAKE_LEFT,  /* the downstream peer closed during its TLS handshake */
    END_OTHER_SIDE,      /* the other side ended, this side has no failure */
    END_SHUTDOWN,        /* this process or the route is stopping */
    END_RETIRED,         /* too old, or its address or our certificate is no longer in use */
    END_DISTRUSTED,      /* the credentials in use no longer admit the peer */
    END_EXPIRED,         /* a certificate of either side ends: of our chain, or of the peer's with its CA */
    END_RESET,           /* connection reset by the peer */
    END_DEAD_PEER,       /* the peer does not answer keepalive probes or acknowledge data */
    END_TRUNCATED,       /* TCP ended without TLS close_notify (RFC 8446, 6.1) */
    END_RESET_AFTER_END, /* connection reset by the peer after we had closed our direction */
    END_IDLE,            /* no progress for the idle timeout */
    END_IO_ERROR,        /* any other socket error */
    END_NO_MEMORY,
    END_NO_DESCRIPTOR, /* EMFILE, ENFILE */
    END_UNRESOLVED,    /* the upstream name has no address, or none yet */
    END_CONNECT_REFUSED,
    END_CONNECT_FAILED, /* unreachable, or another connect error */
    END_CONNECT_TIMEOUT,
    END_NOT_FORWARD, /* the agent sent something other than a Forward message */
    END_JSON,        /* the agent sent JSON, which needs `protocol: tcp` */
    END_TAG_TOO_LONG,
    END_MESSAGE_TOO_LONG,
    END_MESSAGE_TOO_DEEP,
    END_BAD_OPTION,      /* the option of a message, or its chunk id, has the wrong type */
    END_MESSAGE_CUT,     /* the agent closed in the middle of a message */
    END_MESSAGE_STALLED, /* the agent stopped in the middle of a message */
    END_TAG_NOT_ALLOWED, /* no rule allows this verified identity to write this tag */
    END_NO_IDENTITY,     /* the fields of --add-identity cannot be put into a message */
    END_REFUSED,         /* another husk refused a message, for a reason that this version does not know */
    END_UNDELIVERED,     /* a message of this agent cannot be delivered */
    END_TOO_OLD,         /* a message was not delivered within --max-age */
    END_UPSTREAM_CLOSED, /* closed in order with unacknowledged messages */
    END_ACK_TIMEOUT,
    END_LINK_ERROR,    /* a husk sent what docs/link.md forbids */
    END_BAD_ACK,       /* the aggregator sent something other than an ack */
    END_ACK_REFUSED,   /* the aggregator answered a message with a map that has no "ack" */
    END_NO_ACKS,       /* no failure of the message: the agent gets no ack, because the aggregator never
                          acknowledges (--on-no-acks) */
    END_UNKNOWN_ACK,   /* an ack for a message that was not sent on this connection */
    END_KEY_MALFORMED, /* not the next message of the shared-key handshake */
    END_KEY_WRONG,     /* the peer does not know the shared key */
    END_KEY_USER,      /* unknown user, or a wrong password */
    END_KEY_REJECTED,  /* the aggregator refused the shared-key handshake */
    END_KEY_SAME_NAME, /* the aggregator has our own host name */
    END_KEY_TIMEOUT,
    END_HANDSHAKE_TIMEOUT,
    END_TOKEN_FAILED,        /* the token that holds our private key did not sign, or not in time */
    END_WITHDRAWN,           /* the Workload API has withdrawn our credentials */
    END_HANDSHAKE_MEMORY,    /* it waited longest when another TLS handshake needed its --handshake-memory */
    END_HANDSHAKE_CLOSED,    /* the upstream server closed during the TLS handshake */
    END_NOT_TLS,             /* the first bytes are not a TLS record */
    END_TLS_VERSION,         /* no TLS version in common */
    END_TLS_PROTOCOL,        /* any other TLS failure found by husk */
    END_TLS_REJECTED,        /* the peer sent an alert; its log has the cause */
    END_CERTIFICATE_MISSING, /* the peer sent no certificate */
    END_CERTIFICATE_UNKNOWN_CA,
    END_CERTIFICATE_EXPIRED, /* expired, or not valid yet */
    END_CERTIFICATE_REVOKED,
    END_REVOCATION_UNKNOWN,  /* nothing shows that a certificate is not revoked (--revocation-policy) */
    END_CERTIFICATE_NAME,    /* does not have the expected server name */
    END_CERTIFICATE_USAGE,   /* not meant for this role */
    END_CERTIFICATE_WEAK,    /* a weak signature or key */
    END_CERTIFICATE_INVALID, /* any other verification failure */
    END_NOT_ALLOWED,         /* the policy does not allow this verified identity */
    END_REASON_COUNT
};

/* The reason in log fields and metric labels, e.g. "certificate_expired". */
const char *end_reason_name(enum end_reason reason);

/* The reason with this name; END_NONE: no reason has it. `name` needs no terminator. */
enum end_reason end_reason_of_name(const char *name, size_t length);

/* The reason as text for people, e.g. "connection reset by peer". */
const char *end_reason_phrase(enum end_reason reason);

/* Normal operation: logged at debug level at most. */
bool end_reason_is_benign(enum end_reason reason);

/* A connection that ends for this reason ends in order; the peer is reset only if bytes are lost. */
bool end_reason_is_orderly(enum end_reason reason);

/* husk ended the connection, and the peer has no failure. */
bool end_reason_is_ours(enum end_reason reason);

/* This process ran out of a resource, cannot use its private key, or has no credentials. */
bool end_reason_is_local(enum end_reason reason);

/* Our TLS found the failure and sent the peer an alert (RFC 8446, 6.2). */
bool end_reason_sends_alert(enum end_reason reason);

/* "downstream" or "upstream". */
const char *side_name(enum side side);

#endif
