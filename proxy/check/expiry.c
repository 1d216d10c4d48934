#include "check/expiry.h"

enum {
    HOUR_SECONDS = 3600,
    DAY_SECONDS = 24 * HOUR_SECONDS,
    TWO_DAYS_SECONDS = 2 * DAY_SECONDS,
    DURATION_BYTES = 32
};

enum expiry expiry_of(int64_t not_before, int64_t not_after, int64_t now)
{
    int64_t margin = (int64_t)EXPIRY_WARNING_DAYS * DAY_SECONDS;
    int64_t share = (not_after - not_before) / EXPIRY_WARNING_SHARE;

    if (now > not_after)
        return EXPIRY_PAST;
    if (now < not_before)
        return EXPIRY_FUTURE;
    return not_after - now < (share < margin ? share : margin) ? EXPIRY_SOON : EXPIRY_GOOD;
}

/* Whole days; below two days, hours. */
static void duration_format(char text[DURATION_BYTES], int64_t seconds)
{
    bool is_short = seconds < TWO_DAYS_SECONDS;
    long long count = (long long)(seconds / (is_short ? HOUR_SECONDS : DAY_SECONDS));

    snprintf(text, DURATION_BYTES, "%lld %s%s", count, is_short ? "hour" : "day", count == 1 ? "" : "s");
}

void expiry_report(struct report *report, const struct subject *subject,
                   const struct certificate_facts *facts, enum finding_level failure, int64_t now)
{
    char from[CERTIFICATE_TIME_BYTES], until[CERTIFICATE_TIME_BYTES], duration[DURATION_BYTES];
    enum expiry expiry = expiry_of(facts->not_before, facts->not_after, now);

    certificate_describe_time(facts->not_before, from);
    certificate_describe_time(facts->not_after, until);
    duration_format(duration, expiry == EXPIRY_PAST ? now - facts->not_after : facts->not_after - now);
    switch (expiry) {
    case EXPIRY_GOOD:
        report_add(report, FINDING_OK, subject, "certificate %s is valid until %s, for %s more", facts->name,
                   until, duration);
        return;
    case EXPIRY_SOON:
        report_add(report, FINDING_WARNING, subject, "certificate %s expires in %s, at %s", facts->name,
                   duration, until);
        report_advise(report, "renew the certificate");
        return;
    case EXPIRY_PAST:
        report_add(report, failure, subject, "certificate %s expired at %s, %s ago", facts->name, until,
                   duration);
        report_advise(report,
                      "renew the certificate; if the certificate is new, check the clock of this machine");
        return;
    case EXPIRY_FUTURE:
        report_add(report, failure, subject, "certificate %s is not valid before %s", facts->name, from);
        report_advise(report, "check the clock of this machine, and the clock of the CA");
        return;
    }
}
