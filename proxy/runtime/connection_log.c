#include "runtime/connection_log.h"

#include "base/clock.h"
#include "worker/worker.h"

static void log_address(struct log_line *line, const char *key, const struct socket_address *address)
{
    char text[ADDRESS_TEXT_BYTES];

    if (!address)
        return;
    socket_address_format(address, text, sizeof text);
    log_text(line, key, text);
}

static void log_identity(struct log_line *line, const struct leg *inlet)
{
    const struct identity *identity = inlet && inlet->tls ? tls_channel_peer(inlet->tls) : NULL;
    char text[ADDRESS_TEXT_BYTES];

    if (!identity)
        return;
    identity_describe(identity, text, sizeof text);
    log_text(line, "identity", text);
}

void end_report_log(struct worker *worker, const struct end_report *report)
{
    bool benign = end_reason_is_benign(report->reason);
    struct log_line line;
    uint32_t suppressed = 0;

    if (!benign && !log_limiter_admit(&worker->limiters[report->reason], clock_monotonic_ms(),
                                      worker->route->log_burst, &suppressed)) {
        worker_note_suppressed(worker);
        return;
    }
    log_begin(&line, worker->log, benign ? LOG_DEBUG : LOG_WARN, "connection ended");
    log_text(&line, "route", worker->route->name);
    log_text(&line, "side", side_name(report->side));
    log_text(&line, "phase", report->phase);
    log_text(&line, "reason", end_reason_name(report->reason));
    log_text(&line, "what", end_reason_phrase(report->reason));
    log_text(&line, "detail", report->detail);
    log_address(&line, "peer", report->peer);
    log_identity(&line, report->inlet);
    log_address(&line, "upstream", report->upstream);
    log_number(&line, "duration_ms", (int64_t)((clock_monotonic_us() - report->opened_us) / 1000));
    if (suppressed)
        log_number(&line, "suppressed", suppressed);
    log_end(&line);
}
