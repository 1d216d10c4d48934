#include "base/end_reason.h"

#include <assert.h>

struct reason_facts {
    const char *name;
    const char *phrase;
    bool benign;
};

static const struct reason_facts reasons[END_REASON_COUNT] = {
    [END_NONE] = { "none", "has not ended", true },
    [END_CLOSED] = { "closed", "closed in order", true },
    [END_PROBE] = { "probe", "closed without having sent a byte", true },
    [END_LEFT] = { "left", "peer left before its upstream was connected", true },
    [END_OTHER_SIDE] = { "other_side", "ended by the other side", true },
    [END_SHUTDOWN] = { "shutdown", "husk is stopping", true },
    [END_RESET] = { "reset", "connection reset by peer", false },
    [END_TRUNCATED] = { "truncated", "connection closed without TLS close_notify", false },
    [END_IDLE] = { "idle", "no progress for the idle timeout", true },
    [END_IO_ERROR] = { "io_error", "socket error", false },
    [END_NO_MEMORY] = { "no_memory", "out of memory", false },
    [END_NO_DESCRIPTOR] = { "no_descriptor", "out of file descriptors", false },
    [END_UNRESOLVED] = { "unresolved", "upstream name has no address", false },
    [END_CONNECT_REFUSED] = { "connect_refused", "connection refused", false },
    [END_CONNECT_FAILED] = { "connect_failed", "connection failed", false },
    [END_CONNECT_TIMEOUT] = { "connect_timeout", "connecting timed out", false },
    [END_HANDSHAKE_TIMEOUT] = { "handshake_timeout", "TLS handshake timed out", false },
    [END_HANDSHAKE_CLOSED] = { "handshake_closed", "peer closed during the TLS handshake", false },
    [END_NOT_TLS] = { "not_tls", "peer does not speak TLS", false },
    [END_TLS_VERSION] = { "tls_version", "no TLS version in common", false },
    [END_TLS_PROTOCOL] = { "tls_protocol", "TLS protocol failure", false },
    [END_TLS_REJECTED] = { "tls_rejected", "peer rejected the TLS connection", false },
    [END_CERTIFICATE_MISSING] = { "certificate_missing", "peer sent no certificate", false },
    [END_CERTIFICATE_UNKNOWN_CA] = { "certificate_unknown_ca", "certificate from an unknown CA", false },
    [END_CERTIFICATE_EXPIRED] = { "certificate_expired", "certificate expired or not yet valid", false },
    [END_CERTIFICATE_NAME] = { "certificate_name", "certificate does not carry the expected name", false },
    [END_CERTIFICATE_USAGE] = { "certificate_usage", "certificate is not meant for this use", false },
    [END_CERTIFICATE_INVALID] = { "certificate_invalid", "certificate does not verify", false },
    [END_NOT_ALLOWED] = { "not_allowed", "identity is not allowed", false },
};

const char *end_reason_name(enum end_reason reason)
{
    assert(reason < END_REASON_COUNT);
    return reasons[reason].name;
}

const char *end_reason_phrase(enum end_reason reason)
{
    assert(reason < END_REASON_COUNT);
    return reasons[reason].phrase;
}

bool end_reason_is_benign(enum end_reason reason)
{
    assert(reason < END_REASON_COUNT);
    return reasons[reason].benign;
}

const char *side_name(enum side side)
{
    return side == SIDE_DOWNSTREAM ? "downstream" : "upstream";
}
