#include "base/metrics.h"

const struct metrics_bounds metrics_handshake_bounds = {
    12,
    { 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 5000000 },
};

const struct metrics_bounds metrics_ack_bounds = {
    15,
    { 1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000, 500000, 1000000, 2000000, 5000000, 10000000,
      20000000, 60000000 },
};

uint64_t metrics_active(const struct side_metrics *side)
{
    uint64_t ended = 0;

    /* Ends are read first: a connection that opens and ends meanwhile makes the result too large, never
     * negative. */
    for (unsigned reason = 0; reason < END_REASON_COUNT; reason++)
        ended += metrics_read(&side->ended[reason]);
    uint64_t opened = metrics_read(&side->opened);
    return opened > ended ? opened - ended : 0;
}

void metrics_observe(struct metrics_histogram *histogram, const struct metrics_bounds *bounds,
                     uint64_t duration_us)
{
    unsigned bucket = 0;

    while (bucket < bounds->count && duration_us > bounds->us[bucket])
        bucket++;
    metrics_add(&histogram->buckets[bucket], 1);
    metrics_add(&histogram->sum_us, duration_us);
}

const char *metrics_tls_version_name(enum metrics_tls_version version)
{
    return version == METRICS_TLS_1_3 ? "TLSv1.3" : "TLSv1.2";
}

const char *metrics_cipher_name(enum metrics_cipher cipher)
{
    static const char *const names[METRICS_CIPHER_COUNT] = {
        [METRICS_AES_128_GCM] = "AES_128_GCM",
        [METRICS_AES_256_GCM] = "AES_256_GCM",
        [METRICS_CHACHA20_POLY1305] = "CHACHA20_POLY1305",
        [METRICS_CIPHER_OTHER] = "other",
    };

    return names[cipher];
}

const char *metrics_group_name(enum metrics_group group)
{
    static const char *const names[METRICS_GROUP_COUNT] = {
        [METRICS_X25519_MLKEM768] = "X25519MLKEM768",
        [METRICS_X25519] = "X25519",
        [METRICS_P_256] = "P-256",
        [METRICS_P_384] = "P-384",
        [METRICS_P_521] = "P-521",
        [METRICS_GROUP_OTHER] = "other",
    };

    return names[group];
}

const char *metrics_direction_name(enum metrics_direction direction)
{
    return direction == METRICS_RECEIVED ? "received" : "sent";
}

const char *metrics_body_change_name(enum metrics_body_change change)
{
    static const char *const names[METRICS_BODY_CHANGE_COUNT] = {
        [METRICS_BODY_COMPRESSED] = "compressed",
        [METRICS_BODY_STRIPPED] = "stripped",
        [METRICS_BODY_IDENTIFIED] = "identified",
    };

    return names[change];
}

const char *metrics_outlet_state_name(enum metrics_outlet_state state)
{
    static const char *const names[METRICS_OUTLET_STATE_COUNT] = {
        [METRICS_CONNECTING] = "connecting",
        [METRICS_SECURING] = "securing",
        [METRICS_CONFIRMING] = "confirming",
        [METRICS_READY] = "ready",
    };

    return names[state];
}
