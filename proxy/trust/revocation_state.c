#include "trust/revocation_state.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct report {
    const struct revocation *revocation;
    enum revocation_policy policy;
    int64_t now;
    char *text;
    size_t used;
};

__attribute__((format(printf, 2, 3))) static void line_add(struct report *report, const char *format, ...)
{
    size_t space = REVOCATION_STATE_BYTES - report->used;
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(report->text + report->used, space, format, arguments);
    va_end(arguments);
    if (length > 0 && (size_t)length < space)
        report->used += (size_t)length;
    report->text[report->used] = '\0';
}

static void list_describe(struct report *report, const struct revocation_facts *list)
{
    enum revocation_status status = revocation_freshness(list, report->now);
    const char *effect = report->policy == REVOCATION_REQUIRE ? "certificates of this CA are refused"
                                                              : "the list still applies";
    char time[CERTIFICATE_TIME_BYTES];

    certificate_describe_time(status == REVOCATION_STALE ? list->next_update : list->this_update, time);
    if (status == REVOCATION_STALE)
        line_add(report,
                 "%s: the revocation list of %s is stale since %s; %s: fetch the newest list of the CA\n",
                 list->path, list->issuer, time, effect);
    else if (status == REVOCATION_EARLY)
        line_add(report, "%s: the revocation list of %s is not valid before %s; %s: compare the clocks\n",
                 list->path, list->issuer, time, effect);
}

/* Of lists for several scopes, the best one counts. */
static enum revocation_status status_of_ca(const struct report *report, size_t ca)
{
    enum revocation_status best = REVOCATION_NO_LIST;

    for (size_t i = 0; i < revocation_count(report->revocation); i++) {
        const struct revocation_facts *list = revocation_facts_of(report->revocation, i);
        enum revocation_status status = revocation_freshness(list, report->now);
        if (list->signer == REVOCATION_SIGNER_OURS && list->ca == ca && status < best &&
            revocation_counts(report->revocation, i, report->now))
            best = status;
    }
    return best;
}

/* Whether a CA has a fresh list. */
static bool cas_describe(struct report *report)
{
    size_t count = revocation_ca_count(report->revocation), missing = 0, first = 0;
    bool is_fresh = false;

    for (size_t i = 0; i < count; i++) {
        enum revocation_status status = status_of_ca(report, i);
        is_fresh = is_fresh || status == REVOCATION_GOOD;
        if (status == REVOCATION_NO_LIST && !missing++)
            first = i;
    }
    if (!missing || (report->policy != REVOCATION_REQUIRE && !revocation_count(report->revocation)))
        return is_fresh;
    char others[64] = "";
    if (missing > 1)
        snprintf(others, sizeof others, " and %zu other CAs", missing - 1);
    line_add(report, "no revocation list is there of %s%s of --ca; %s: add the list of each CA with --crl\n",
             revocation_ca_name(report->revocation, first), others,
             report->policy == REVOCATION_REQUIRE ? "their certificates are refused"
                                                  : "their certificates cannot be revoked");
    return is_fresh;
}

bool revocation_state_describe(struct revocation_use use, int64_t now, char text[REVOCATION_STATE_BYTES])
{
    struct report report = { use.lists, use.policy, now, text, 0 };

    text[0] = '\0';
    if (!use.lists || use.policy == REVOCATION_IGNORE)
        return true;
    for (size_t i = 0; i < revocation_count(use.lists); i++) {
        const struct revocation_facts *list = revocation_facts_of(use.lists, i);
        if (list->signer != REVOCATION_SIGNER_WRONG && revocation_counts(use.lists, i, now))
            list_describe(&report, list);
    }
    return cas_describe(&report) || use.policy == REVOCATION_WARN;
}

size_t revocation_state_stale(const struct revocation *lists, int64_t now)
{
    size_t stale = 0;

    for (size_t i = 0; lists && i < revocation_count(lists); i++)
        stale += revocation_freshness(revocation_facts_of(lists, i), now) == REVOCATION_STALE;
    return stale;
}
