#include "admin/metrics_text.h"

#include "admin/metrics_certificates.h"
#include "admin/metrics_label.h"
#include "admin/metrics_series.h"
#include "admin/workload_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct family;
typedef void family_write(FILE *out, const struct family *family, const struct metrics_route *route);
typedef void family_write_process(FILE *out, const struct family *family,
                                  const struct metrics_snapshot *snapshot);

struct family {
    const char *name;
    const char *help;
    const char *type;
    family_write *write; /* the samples of one route; NULL: the family is of the process */
    family_write_process *write_process;
    /* For plain counters: the offset of the first in struct side_metrics or struct metrics, how many there
     * are, and the label that distinguishes them. */
    size_t offset;
    unsigned count;
    /* Counters below this index are written only when they are not zero: reasons that do not belong to the
     * family, but must not be hidden if they are counted. */
    unsigned zero_from;
    const char *label;
    const char *(*label_value)(unsigned index);
    const struct metrics_bounds *bounds; /* of a histogram */
};

_Static_assert(offsetof(struct side_metrics, handshakes_resumed) ==
                   offsetof(struct side_metrics, handshakes_full) + sizeof(metrics_counter),
               "husk_handshakes_total reads them as an array of two");

/* ---- how a family is written ---- */

static void write_side_counters(FILE *out, const struct family *family, const struct metrics_route *route)
{
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        for (unsigned i = 0; i < family->count; i++) {
            uint64_t value = metrics_series_side_sum(route, side, family->offset, i);

            if (value == 0 && i < family->zero_from)
                continue;
            metrics_series_of_side(out, family->name, route, side);
            if (family->label)
                fprintf(out, ",%s=\"%s\"", family->label, family->label_value(i));
            fprintf(out, "} %" PRIu64 "\n", value);
        }
    }
}

static void write_route_counters(FILE *out, const struct family *family, const struct metrics_route *route)
{
    for (unsigned i = 0; i < family->count; i++) {
        uint64_t value = metrics_series_sum(route, family->offset + i * sizeof(metrics_counter));

        if (value == 0 && i < family->zero_from)
            continue;
        metrics_series_of_route(out, family->name, route);
        if (family->label)
            fprintf(out, ",%s=\"%s\"", family->label, family->label_value(i));
        fprintf(out, "} %" PRIu64 "\n", value);
    }
}

static void write_active(FILE *out, const struct family *family, const struct metrics_route *route)
{
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        uint64_t active = 0;

        for (size_t i = 0; i < route->worker_count; i++)
            active += metrics_active(&route->workers[i]->side[side]);
        metrics_series_of_side(out, family->name, route, side);
        fprintf(out, "} %" PRIu64 "\n", active);
    }
}

static void put_histogram(FILE *out, const struct family *family, const struct metrics_route *route,
                          const enum side *side)
{
    size_t at = family->offset;
    uint64_t cumulative = 0;
    char name[64];

    if (side)
        at += offsetof(struct metrics, side) + *side * sizeof(struct side_metrics);
    snprintf(name, sizeof name, "%s_bucket", family->name);
    for (unsigned i = 0; i <= family->bounds->count; i++) {
        char bound[32] = "+Inf";

        if (i < family->bounds->count)
            snprintf(bound, sizeof bound, "%g", family->bounds->us[i] / 1e6);
        cumulative += metrics_series_sum(route, at + offsetof(struct metrics_histogram, buckets) +
                                                    i * sizeof(metrics_counter));
        metrics_series_of_part(out, name, route, side);
        fprintf(out, ",le=\"%s\"} %" PRIu64 "\n", bound, cumulative);
    }
    uint64_t sum_us = metrics_series_sum(route, at + offsetof(struct metrics_histogram, sum_us));
    snprintf(name, sizeof name, "%s_sum", family->name);
    metrics_series_of_part(out, name, route, side);
    fprintf(out, "} %" PRIu64 ".%06" PRIu64 "\n", sum_us / 1000000, sum_us % 1000000);
    snprintf(name, sizeof name, "%s_count", family->name);
    metrics_series_of_part(out, name, route, side);
    fprintf(out, "} %" PRIu64 "\n", cumulative);
}

static void write_side_histograms(FILE *out, const struct family *family, const struct metrics_route *route)
{
    for (enum side side = 0; side < SIDE_COUNT; side++)
        put_histogram(out, family, route, &side);
}

static void write_route_histogram(FILE *out, const struct family *family, const struct metrics_route *route)
{
    put_histogram(out, family, route, NULL);
}

static void write_not_after(FILE *out, const struct family *family, const struct metrics_route *route)
{
    metrics_certificates_write_ends(out, family->name, route,
                                    (const void *)((const char *)route + family->offset));
}

static void write_own(FILE *out, const struct family *family, const struct metrics_route *route)
{
    metrics_certificates_write_own(out, family->name, route, family->offset);
}

static void write_crls(FILE *out, const struct family *family, const struct metrics_route *route)
{
    metrics_certificates_write_crls(out, family->name, route);
}

static void write_build_info(FILE *out, const struct family *family, const struct metrics_snapshot *snapshot)
{
    fprintf(out, "%s{version=\"", family->name);
    metrics_series_escape(out, snapshot->version);
    fputs("\",tls_library=\"", out);
    metrics_series_escape(out, snapshot->tls_library);
    fputs("\"} 1\n", out);
}

static void write_reloads(FILE *out, const struct family *family, const struct metrics_snapshot *snapshot)
{
    fprintf(out, "%s{result=\"success\"} %" PRIu64 "\n", family->name, snapshot->reloads_succeeded);
    fprintf(out, "%s{result=\"failure\"} %" PRIu64 "\n", family->name, snapshot->reloads_failed);
}

static void write_config_reloads(FILE *out, const struct family *family,
                                 const struct metrics_snapshot *snapshot)
{
    fprintf(out, "%s{result=\"success\"} %" PRIu64 "\n", family->name, snapshot->config_reloads_succeeded);
    fprintf(out, "%s{result=\"failure\"} %" PRIu64 "\n", family->name, snapshot->config_reloads_failed);
}

static void write_reload_pending(FILE *out, const struct family *family,
                                 const struct metrics_snapshot *snapshot)
{
    fprintf(out, "%s %d\n", family->name, snapshot->reload_pending);
}

static void write_config_reload_pending(FILE *out, const struct family *family,
                                        const struct metrics_snapshot *snapshot)
{
    fprintf(out, "%s %d\n", family->name, snapshot->config_reload_pending);
}

static void write_removed_undelivered(FILE *out, const struct family *family,
                                      const struct metrics_snapshot *snapshot)
{
    fprintf(out, "%s %" PRIu64 "\n", family->name, snapshot->removed_undelivered);
}

static void write_draining(FILE *out, const struct family *family, const struct metrics_snapshot *snapshot)
{
    fprintf(out, "%s %d\n", family->name, snapshot->draining);
}

static void write_route_flag(FILE *out, const struct family *family, const struct metrics_route *route)
{
    metrics_series_of_route(out, family->name, route);
    fprintf(out, "} %d\n", *(const bool *)((const char *)route + family->offset));
}

static void write_heartbeats(FILE *out, const struct family *family, const struct metrics_route *route)
{
    const uint64_t *count = (const uint64_t *)((const char *)route + family->offset);

    metrics_series_of_route(out, family->name, route);
    fprintf(out, "} %" PRIu64 "\n", *count);
}

/* An address that is no longer listed is written while it has connections. */
static void write_upstream_connections(FILE *out, const struct family *family,
                                       const struct metrics_route *route)
{
    const struct endpoint_metrics *endpoint;

    for (endpoint = route->endpoints; endpoint; endpoint = endpoint->next) {
        uint64_t counts[METRICS_OUTLET_STATE_COUNT], sum = 0;

        for (unsigned state = 0; state < METRICS_OUTLET_STATE_COUNT; state++) {
            counts[state] = metrics_read(&endpoint->connections[state]);
            sum += counts[state];
        }
        if (!sum && !endpoint->is_listed)
            continue;
        for (unsigned state = 0; state < METRICS_OUTLET_STATE_COUNT; state++) {
            metrics_series_of_endpoint(out, family->name, route, endpoint);
            fprintf(out, ",state=\"%s\"} %" PRIu64 "\n",
                    metrics_outlet_state_name((enum metrics_outlet_state)state), counts[state]);
        }
    }
}

/* The offset in struct endpoint_metrics says which flag. */
static void write_endpoint_flags(FILE *out, const struct family *family, const struct metrics_route *route)
{
    const struct endpoint_metrics *endpoint;

    for (endpoint = route->endpoints; endpoint; endpoint = endpoint->next) {
        bool is_set = family->offset == offsetof(struct endpoint_metrics, acks)
                          ? endpoint->acks == METRICS_ACKS_NEVER
                          : route->now_ms < metrics_read(&endpoint->ejected_until_ms);
        if (!endpoint->is_listed)
            continue;
        metrics_series_of_endpoint(out, family->name, route, endpoint);
        fprintf(out, "} %d\n", is_set);
    }
}

/* ---- the families ---- */

#define SIDE_COUNTERS(field, n)                                                                              \
    .type = "counter", .write = write_side_counters, .offset = offsetof(struct side_metrics, field),         \
    .count = (n)
#define SIDE_HISTOGRAM(field)                                                                                \
    .type = "histogram", .write = write_side_histograms, .bounds = &metrics_handshake_bounds,                \
    .offset = offsetof(struct side_metrics, field)
#define NOT_AFTER(field)                                                                                     \
    .type = "gauge", .write = write_not_after, .offset = offsetof(struct metrics_route, field)
#define OWN_CERTIFICATE(field)                                                                               \
    .type = "gauge", .write = write_own, .offset = offsetof(struct metrics_certificate, field)
#define ROUTE_COUNTER(field)                                                                                 \
    .type = "counter", .write = write_route_counters, .offset = offsetof(struct metrics, field), .count = 1
#define ROUTE_GAUGE(field)                                                                                   \
    .type = "gauge", .write = write_route_counters, .offset = offsetof(struct metrics, field), .count = 1
#define ROUTE_FLAG(field)                                                                                    \
    .type = "gauge", .write = write_route_flag, .offset = offsetof(struct metrics_route, field)
#define ENDPOINT_FLAG(field)                                                                                 \
    .type = "gauge", .write = write_endpoint_flags, .offset = offsetof(struct endpoint_metrics, field)

static const struct family families[] = {
    { .name = "husk_build_info",
      .help = "Version and TLS library of this process; always 1.",
      .type = "gauge",
      .write_process = write_build_info },
    { .name = "husk_connections_opened_total",
      .help = "Connections accepted (downstream) or dialled (upstream).",
      SIDE_COUNTERS(opened, 1) },
    { .name = "husk_connections_active",
      .help = "Connections that are open.",
      .type = "gauge",
      .write = write_active },
    { .name = "husk_connections_ended_total",
      .help = "Connections that ended, by reason.",
      SIDE_COUNTERS(ended, END_REASON_COUNT),
      .zero_from = END_NONE + 1,
      .label = "reason",
      .label_value = metrics_label_reason },
    { .name = "husk_bytes_total",
      .help = "Payload bytes received from peers and sent to peers.",
      SIDE_COUNTERS(bytes, METRICS_DIRECTION_COUNT),
      .label = "direction",
      .label_value = metrics_label_direction },
    { .name = "husk_handshakes_total",
      .help = "TLS handshakes that succeeded, full or resumed.",
      SIDE_COUNTERS(handshakes_full, 2),
      .label = "result",
      .label_value = metrics_label_handshake },
    { .name = "husk_handshake_failures_total",
      .help = "TLS handshakes that failed, by reason.",
      SIDE_COUNTERS(handshakes_failed, END_REASON_COUNT),
      .zero_from = END_HANDSHAKE_TIMEOUT, /* the reasons from here on are about handshakes */
      .label = "reason",
      .label_value = metrics_label_reason },
    { .name = "husk_handshake_duration_seconds",
      SIDE_HISTOGRAM(handshake_duration),
      .help = "Duration of TLS handshakes that succeeded." },
    { .name = "husk_token_signature_duration_seconds",
      .help = "Duration of signatures by a PKCS#11 token, with the wait for a session.",
      SIDE_HISTOGRAM(signature_duration) },
    { .name = "husk_tls_connections_total",
      .help = "TLS connections established, by protocol version.",
      SIDE_COUNTERS(tls_versions, METRICS_TLS_VERSION_COUNT),
      .label = "version",
      .label_value = metrics_label_tls_version },
    { .name = "husk_tls_ciphers_total",
      .help = "TLS connections established, by cipher.",
      SIDE_COUNTERS(ciphers, METRICS_CIPHER_COUNT),
      .label = "cipher",
      .label_value = metrics_label_cipher },
    { .name = "husk_tls_groups_total",
      .help = "TLS connections established, by group of the key exchange.",
      SIDE_COUNTERS(groups, METRICS_GROUP_COUNT),
      .label = "group",
      .label_value = metrics_label_group },
    { .name = "husk_certificate_not_after_seconds",
      .help = "Time at which the certificate in use expires, in seconds since the epoch.",
      OWN_CERTIFICATE(not_after) },
    { .name = "husk_certificate_not_before_seconds",
      .help = "Time from which the certificate in use is valid, in seconds since the epoch.",
      OWN_CERTIFICATE(not_before) },
    { .name = "husk_certificate_intermediate_not_after_seconds",
      .help = "Time at which the first intermediate of the certificate expires.",
      NOT_AFTER(intermediate_not_after) },
    { .name = "husk_certificate_ca_not_after_seconds",
      .help = "Time at which the first CA of --ca expires, except CAs that had expired when loaded.",
      NOT_AFTER(ca_not_after) },
    { .name = "husk_crl_next_update_seconds",
      .help = "Time at which a newer revocation list of the issuer is due, in seconds since the epoch.",
      .type = "gauge",
      .write = write_crls },
    { .name = "husk_reloads_total",
      .help = "Reloads of certificates and keys, by result. A retry that fails alike is not counted.",
      .type = "counter",
      .write_process = write_reloads },
    { .name = "husk_config_reloads_total",
      .help = "How often the file of husk run was read again, by result.",
      .type = "counter",
      .write_process = write_config_reloads },
    { .name = "husk_config_reload_pending",
      .help = "1 while the file of husk run cannot be used, for a cause that can pass; husk tries again.",
      .type = "gauge",
      .write_process = write_config_reload_pending },
    { .name = "husk_removed_routes_undelivered_total",
      .help = "Connections and messages that routes gave up or left undelivered after a reload removed them.",
      .type = "counter",
      .write_process = write_removed_undelivered },
    { .name = "husk_reload_pending",
      .help = "1 while changed files of certificates and keys cannot be loaded; husk tries again.",
      .type = "gauge",
      .write_process = write_reload_pending },
    { .name = "husk_messages_received_total",
      .help = "Forward messages received completely from agents.",
      ROUTE_COUNTER(messages.received) },
    { .name = "husk_messages_settled_total",
      .help = "Messages that the aggregator has acknowledged, or that were sent where no ack is expected.",
      ROUTE_COUNTER(messages.settled) },
    { .name = "husk_messages_unacknowledged_total",
      .help = "Messages settled without the ack that was asked for: the aggregator never acknowledges.",
      ROUTE_COUNTER(messages.unacknowledged) },
    { .name = "husk_events_received_total",
      .help = "Events in messages received, as many as the size option of a PackedForward message can say.",
      ROUTE_COUNTER(messages.events_received) },
    { .name = "husk_events_settled_total",
      .help = "Events in messages settled, counted in the same way.",
      ROUTE_COUNTER(messages.events_settled) },
    { .name = "husk_messages_retried_total",
      .help = "Messages to be sent again because their upstream connection ended.",
      ROUTE_COUNTER(messages.retried) },
    { .name = "husk_messages_cut_through_total",
      .help = "Messages larger than --cut-through-bytes, sent upstream while they were read.",
      ROUTE_COUNTER(messages.cut_through) },
    { .name = "husk_messages_unprotected_total",
      .help = "Messages larger than --retain-bytes: husk does not keep them and requests no ack of its own.",
      ROUTE_COUNTER(messages.unprotected) },
    { .name = "husk_messages_dropped_total",
      .help = "Messages given up, by reason.",
      .type = "counter",
      .write = write_route_counters,
      .offset = offsetof(struct metrics, messages.dropped),
      .count = END_REASON_COUNT,
      .zero_from = END_REASON_COUNT,
      .label = "reason",
      .label_value = metrics_label_reason },
    { .name = "husk_acks_given_up_total",
      .help = "Acks beyond --unread-acks that husk gave up because agents did not read them.",
      ROUTE_COUNTER(messages.acks_given_up) },
    { .name = "husk_rate_limited_total",
      .help = "Times that a rate limit paused the reading of an agent.",
      ROUTE_COUNTER(messages.rate_limited) },
    { .name = "husk_rate_limited_agents",
      .help = "Agents that a rate limit has paused and that have messages already read.",
      ROUTE_GAUGE(messages.rate_limited_agents) },
    { .name = "husk_messages_retained_bytes",
      .help = "Bytes of messages that are read and not settled.",
      ROUTE_GAUGE(messages.retained_bytes) },
    { .name = "husk_messages_unacked",
      .help = "Messages sent on an upstream connection and not settled.",
      ROUTE_GAUGE(messages.unacked) },
    { .name = "husk_messages_waiting",
      .help = "Complete messages that wait for an upstream connection.",
      ROUTE_GAUGE(messages.waiting) },
    { .name = "husk_cut_through_waiting",
      .help = "Cut-through messages that wait for an exclusive upstream connection.",
      ROUTE_GAUGE(messages.cut_through_waiting) },
    { .name = "husk_ack_latency_seconds",
      .help = "Time from sending a message upstream to its ack; a batch counts once.",
      .type = "histogram",
      .write = write_route_histogram,
      .offset = offsetof(struct metrics, messages.ack_latency),
      .bounds = &metrics_ack_bounds },
    { .name = "husk_bodies_rewritten_total",
      .help = "Messages whose body husk compressed, stripped of metadata, or gave the identity of the agent.",
      .type = "counter",
      .write = write_route_counters,
      .offset = offsetof(struct metrics, bodies.rewritten),
      .count = METRICS_BODY_CHANGE_COUNT,
      .label = "how",
      .label_value = metrics_label_body_change },
    { .name = "husk_bodies_unreadable_total",
      .help = "Compressed bodies passed on unchanged because they are damaged or too large inside.",
      ROUTE_COUNTER(bodies.unreadable) },
    { .name = "husk_bodies_saved_bytes_total",
      .help = "Bytes by which rewriting has shortened messages.",
      ROUTE_COUNTER(bodies.saved_bytes) },
    { .name = "husk_invalid_events_total",
      .help = "Events and values that the Forward protocol does not allow, left out or passed on.",
      .type = "counter",
      .write = write_route_counters,
      .offset = offsetof(struct metrics, bodies.invalid_events),
      .count = EVENT_FAULT_COUNT,
      .label = "reason",
      .label_value = metrics_label_event_fault },
    { .name = "husk_accept_errors_total",
      .help = "Times that accepting paused because descriptors or memory ran out.",
      ROUTE_COUNTER(accept_errors) },
    { .name = "husk_accept_limited_total",
      .help = "Times that accepting paused because a connection or handshake limit was reached.",
      ROUTE_COUNTER(accept_limited) },
    { .name = "husk_upstream_unconfirmed_total",
      .help = "Upstream connections put to use without evidence that the peer accepted our certificate.",
      ROUTE_COUNTER(unconfirmed) },
    { .name = "husk_upstream_connections",
      .help = "Connections to each upstream address, by state.",
      .type = "gauge",
      .write = write_upstream_connections },
    { .name = "husk_endpoint_ejected",
      .help = "1 while an upstream address is ejected: its last dial failed, and it is tried last.",
      ENDPOINT_FLAG(ejected_until_ms) },
    { .name = "husk_endpoint_without_acks",
      .help = "1 while husk knows that an upstream address reads messages and never acknowledges them.",
      ENDPOINT_FLAG(acks) },
    { .name = "husk_upstream_healthy",
      .help = "0 while probes or dials show that the upstream fails, else 1.",
      ROUTE_FLAG(upstream_healthy) },
    { .name = "husk_tls_insecure",
      .help = "1 while husk verifies no certificate of an upstream (--insecure), else 0.",
      ROUTE_FLAG(is_insecure) },
    { .name = "husk_udp_heartbeats_answered_total",
      .help = "UDP heartbeats answered.",
      .type = "counter",
      .write = write_heartbeats,
      .offset = offsetof(struct metrics_route, heartbeats_answered) },
    { .name = "husk_udp_heartbeats_limited_total",
      .help = "UDP heartbeats not answered because their source exceeded --udp-heartbeats-per-source.",
      .type = "counter",
      .write = write_heartbeats,
      .offset = offsetof(struct metrics_route, heartbeats_limited) },
    { .name = "husk_draining",
      .help = "1 while the process drains before it exits.",
      .type = "gauge",
      .write_process = write_draining },
};

char *metrics_text_render(const struct metrics_snapshot *snapshot)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    if (!out)
        return NULL;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        const struct family *family = &families[i];
        fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help, family->name, family->type);
        if (family->write_process)
            family->write_process(out, family, snapshot);
        for (const struct metrics_route *route = snapshot->routes; family->write && route;
             route = route->next)
            family->write(out, family, route);
    }
    workload_text_write(out, snapshot->workload_apis);
    int failed = ferror(out);
    if (fclose(out) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}
