#include "base/end_reason.h"

#include <assert.h>
#include <string.h>

struct reason_facts {
    const char *name;
    const char *phrase;
    enum { FAILURE, BENIGN, ORDERLY, ALERTED } class; /* ORDERLY: in order, logged as a warning */
};

static const struct reason_facts reasons[END_REASON_COUNT] = {
    [END_NONE] = { "none", "has not ended", BENIGN },
    [END_CLOSED] = { "closed", "closed in order", BENIGN },
    [END_PROBE] = { "probe", "closed without having sent a byte", BENIGN },
    [END_LEFT] = { "left", "peer closed before its upstream was connected", BENIGN },
    [END_HANDSHAKE_LEFT] = { "handshake_left", "peer closed during its TLS handshake", BENIGN },
    [END_OTHER_SIDE] = { "other_side", "the connection on the other side ended", BENIGN },
    [END_SHUTDOWN] = { "shutdown", "husk or the route is stopping", BENIGN },
    [END_RETIRED] = { "retired", "connection retired", BENIGN },
    [END_DISTRUSTED] = { "distrusted", "the credentials in use no longer admit the peer", ORDERLY },
    [END_EXPIRED] = { "expired", "a certificate of the connection ends", ORDERLY },
    [END_RESET] = { "reset", "connection reset by peer", FAILURE },
    [END_DEAD_PEER] = { "dead_peer", "peer no longer responds", FAILURE },
    [END_TRUNCATED] = { "truncated", "connection closed without TLS close_notify", FAILURE },
    [END_RESET_AFTER_END] = { "reset_after_end", "reset by peer after we had closed", BENIGN },
    [END_IDLE] = { "idle", "no progress for the idle timeout", BENIGN },
    [END_IO_ERROR] = { "io_error", "socket error", FAILURE },
    [END_NO_MEMORY] = { "no_memory", "out of memory", FAILURE },
    [END_NO_DESCRIPTOR] = { "no_descriptor", "out of file descriptors", FAILURE },
    [END_UNRESOLVED] = { "unresolved", "upstream name has no address", FAILURE },
    [END_CONNECT_REFUSED] = { "connect_refused", "connection refused", FAILURE },
    [END_CONNECT_FAILED] = { "connect_failed", "connection failed", FAILURE },
    [END_CONNECT_TIMEOUT] = { "connect_timeout", "connecting timed out", FAILURE },
    [END_HANDSHAKE_TIMEOUT] = { "handshake_timeout", "TLS handshake timed out", FAILURE },
    [END_TOKEN_FAILED] = { "token_failed", "the token with the private key of husk did not sign", FAILURE },
    [END_WITHDRAWN] = { "credentials_withdrawn", "the credentials of husk are withdrawn", ALERTED },
    [END_HANDSHAKE_MEMORY] = { "handshake_memory", "no memory for the TLS handshake: see --handshake-memory",
                               FAILURE },
    [END_HANDSHAKE_CLOSED] = { "handshake_closed", "server closed during the TLS handshake", FAILURE },
    [END_NOT_TLS] = { "not_tls", "peer does not speak TLS", FAILURE },
    [END_TLS_VERSION] = { "tls_version", "no TLS version in common", ALERTED },
    [END_TLS_PROTOCOL] = { "tls_protocol", "TLS protocol failure", ALERTED },
    [END_TLS_REJECTED] = { "tls_rejected", "peer rejected the TLS connection", FAILURE },
    [END_CERTIFICATE_MISSING] = { "certificate_missing", "peer sent no certificate", ALERTED },
    [END_CERTIFICATE_UNKNOWN_CA] = { "certificate_unknown_ca", "certificate is from an unknown CA", ALERTED },
    [END_CERTIFICATE_EXPIRED] = { "certificate_expired", "certificate is expired or not yet valid", ALERTED },
    [END_CERTIFICATE_REVOKED] = { "certificate_revoked", "certificate is revoked", ALERTED },
    [END_REVOCATION_UNKNOWN] = { "revocation_unknown",
                                 "nothing shows that the certificate is not revoked: see --revocation-policy",
                                 ALERTED },
    [END_CERTIFICATE_NAME] = { "certificate_name", "certificate does not have the expected name", ALERTED },
    [END_CERTIFICATE_USAGE] = { "certificate_usage", "certificate is not meant for this use", ALERTED },
    [END_CERTIFICATE_WEAK] = { "certificate_weak", "certificate is too weak: see --allow-weak-certificates",
                               ALERTED },
    [END_CERTIFICATE_INVALID] = { "certificate_invalid", "certificate could not be verified", ALERTED },
    [END_NOT_FORWARD] = { "not_forward", "peer does not speak Forward", FAILURE },
    [END_JSON] = { "json", "agent sends JSON: use --protocol tcp", FAILURE },
    [END_TAG_TOO_LONG] = { "tag_too_long", "tag is longer than --max-tag", FAILURE },
    [END_MESSAGE_TOO_LONG] = { "message_too_long", "message is longer than --max-message", FAILURE },
    [END_MESSAGE_TOO_DEEP] = { "message_too_deep", "message is nested deeper than --max-depth", FAILURE },
    [END_BAD_OPTION] = { "bad_option", "message has a malformed option", FAILURE },
    [END_MESSAGE_CUT] = { "message_cut", "agent closed in the middle of a message", FAILURE },
    [END_MESSAGE_STALLED] = { "message_stalled", "agent stopped in the middle of a message", FAILURE },
    [END_TAG_NOT_ALLOWED] = { "tag_not_allowed", "no rule allows this identity to write this tag", FAILURE },
    [END_NO_IDENTITY] = { "identity_not_added", "the identity cannot be put into this message", FAILURE },
    [END_REFUSED] = { "refused", "another husk refused a message", FAILURE },
    [END_UNDELIVERED] = { "undelivered", "a message could not be delivered", FAILURE },
    [END_TOO_OLD] = { "too_old", "message was not delivered within --max-age", FAILURE },
    [END_UPSTREAM_CLOSED] = { "upstream_closed", "closed with messages unacknowledged", FAILURE },
    [END_ACK_TIMEOUT] = { "ack_timeout", "aggregator did not acknowledge in time", FAILURE },
    [END_LINK_ERROR] = { "link_error", "husk sent something that the link does not allow", FAILURE },
    [END_BAD_ACK] = { "bad_ack", "aggregator sent something other than an ack", FAILURE },
    [END_ACK_REFUSED] = { "ack_refused", "aggregator refused a message", FAILURE },
    [END_NO_ACKS] = { "no_acks", "taken by an aggregator that never acknowledges", BENIGN },
    [END_UNKNOWN_ACK] = { "unknown_ack", "aggregator acknowledged an unknown message", FAILURE },
    [END_KEY_MALFORMED] = { "key_malformed", "peer does not speak the shared-key handshake", FAILURE },
    [END_KEY_WRONG] = { "key_wrong", "shared key does not match", FAILURE },
    [END_KEY_USER] = { "key_user", "user name or password is wrong", FAILURE },
    [END_KEY_REJECTED] = { "key_rejected", "aggregator refused the shared-key handshake", FAILURE },
    [END_KEY_SAME_NAME] = { "key_same_name", "aggregator has our own host name: see --self-hostname",
                            FAILURE },
    [END_KEY_TIMEOUT] = { "key_timeout", "shared-key handshake timed out", FAILURE },
    [END_NOT_ALLOWED] = { "not_allowed", "identity is not allowed", ALERTED },
};

const char *end_reason_name(enum end_reason reason)
{
    assert(reason < END_REASON_COUNT);
    return reasons[reason].name;
}

enum end_reason end_reason_of_name(const char *name, size_t length)
{
    for (enum end_reason reason = END_CLOSED; reason < END_REASON_COUNT; reason++) {
        if (strlen(reasons[reason].name) == length && !memcmp(reasons[reason].name, name, length))
            return reason;
    }
    return END_NONE;
}

const char *end_reason_phrase(enum end_reason reason)
{
    assert(reason < END_REASON_COUNT);
    return reasons[reason].phrase;
}

bool end_reason_is_benign(enum end_reason reason)
{
    assert(reason < END_REASON_COUNT);
    return reasons[reason].class == BENIGN;
}

bool end_reason_is_orderly(enum end_reason reason)
{
    assert(reason < END_REASON_COUNT);
    return reasons[reason].class == BENIGN || reasons[reason].class == ORDERLY;
}

bool end_reason_is_ours(enum end_reason reason)
{
    return reason == END_RETIRED || reason == END_DISTRUSTED || reason == END_EXPIRED ||
           reason == END_SHUTDOWN || reason == END_OTHER_SIDE;
}

bool end_reason_is_local(enum end_reason reason)
{
    return reason == END_NO_MEMORY || reason == END_NO_DESCRIPTOR || reason == END_TOKEN_FAILED ||
           reason == END_WITHDRAWN;
}

bool end_reason_sends_alert(enum end_reason reason)
{
    assert(reason < END_REASON_COUNT);
    return reasons[reason].class == ALERTED;
}

const char *side_name(enum side side)
{
    return side == SIDE_DOWNSTREAM ? "downstream" : "upstream";
}
