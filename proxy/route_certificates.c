#include "route_certificates.h"

#include "base/clock.h"

enum { JUMP_MS = 1000 };

static void expiry_tell(struct expiry_watch *watch, const struct reload *reload, enum side side)
{
    const struct credentials *credentials = reload->credentials[side];
    const struct validity validity =
        credentials ? credentials_validity(credentials) : (struct validity) { 0 };
    char text[EXPIRY_LINE_BYTES];
    struct log_line line;

    if (!expiry_watch_look(watch, &validity, clock_wall_seconds(), text))
        return;
    log_begin(&line, reload->log, watch->told == EXPIRY_STAGE_LONG ? LOG_INFO : LOG_WARN, text);
    log_text(&line, "route", reload->options.route);
    log_text(&line, "side", side_name(side));
    log_end(&line);
}

static int64_t clock_offset_ms(void)
{
    return clock_wall_ms() - (int64_t)clock_monotonic_ms();
}

static bool clock_has_jumped(struct route_certificates *certificates)
{
    int64_t offset_ms = clock_offset_ms(), change_ms = offset_ms - certificates->clock_offset_ms;

    if (change_ms > -JUMP_MS && change_ms < JUMP_MS)
        return false;
    certificates->clock_offset_ms = offset_ms;
    return change_ms > 0;
}

void route_certificates_begin(struct route_certificates *certificates)
{
    *certificates = (struct route_certificates) { .clock_offset_ms = clock_offset_ms() };
}

void route_certificates_deinit(struct route_certificates *certificates)
{
    for (enum side side = 0; side < SIDE_COUNT; side++)
        revocation_watch_deinit(&certificates->revocation[side]);
}

bool route_certificates_watch(struct route_certificates *certificates, const struct reload *reload)
{
    bool is_judged_again = clock_has_jumped(certificates);

    for (enum side side = 0; side < SIDE_COUNT; side++) {
        const struct revocation_use use = credentials_revocation(reload->credentials[side]);
        expiry_tell(&certificates->expiry[side], reload, side);
        is_judged_again |=
            revocation_watch_look(&certificates->revocation[side], use, reload->options.route, reload->log);
    }
    return is_judged_again;
}
