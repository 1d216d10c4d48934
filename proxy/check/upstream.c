#include "check/upstream.h"

#include "check/probe.h"
#include "runtime/timer.h"

#include <string.h>
#include <unistd.h>

enum { SUBJECT_BYTES = ADDRESS_HOST_BYTES + 32, LIST_BYTES = 512 };

/* What all targets share. */
struct run {
    const struct upstream_check *check;
    struct report *report;
    struct log log; /* what the units below log is in the report, in other words */
    struct reactor reactor;
    struct metrics metrics; /* nobody reads them */
    struct route_options route;
    struct shared_key_slot key;
    struct credentials *credentials; /* NULL: plain, or not loaded */
    bool connects;
};

/* ---- one name ---- */

static void subject_set(char subject[SUBJECT_BYTES], const struct address *address)
{
    if (address->is_unix)
        snprintf(subject, SUBJECT_BYTES, "--upstream unix:%s", address->host);
    else if (address->is_srv)
        snprintf(subject, SUBJECT_BYTES, "--upstream srv+%s", address->host);
    else
        snprintf(subject, SUBJECT_BYTES,
                 strchr(address->host, ':') ? "--upstream [%s]:%u" : "--upstream %s:%u", address->host,
                 (unsigned)address->port);
}

static void on_endpoints(void *owner, struct endpoint_list *list)
{
    struct run *run = owner;

    (void)list;
    reactor_stop(&run->reactor);
}

static void on_timeout(void *owner)
{
    struct run *run = owner;

    reactor_stop(&run->reactor);
}

/* The look-up ends by an answer, or after --connect-timeout. */
static void answer_await(struct run *run, const struct discovery *discovery)
{
    struct timer timer;

    if (discovery->lookups[0].has_answered || discovery->list)
        return;
    timer_init(&timer, &run->reactor, on_timeout, run);
    timer_set(&timer, run->reactor.now_ms + run->route.connect_timeout_ms);
    reactor_run(&run->reactor);
    timer_stop(&timer);
}

static void addresses_report(struct run *run, const char *subject, const struct endpoint_list *list)
{
    char texts[LIST_BYTES] = "", one[ADDRESS_TEXT_BYTES];
    size_t used = 0;

    for (size_t i = 0; i < list->count && used < sizeof texts; i++) {
        socket_address_format(&list->endpoints[i].address, one, sizeof one);
        used += (size_t)snprintf(texts + used, sizeof texts - used, "%s%s", used ? ", " : "", one);
    }
    report_add(run->report, FINDING_OK, subject, "the address%s %s", list->count == 1 ? " is" : "es are",
               texts);
}

static void unresolved_report(struct run *run, const char *subject, const char *why)
{
    report_add(run->report, run->check->connects ? FINDING_PROBLEM : FINDING_WARNING, subject,
               "the name has no address: %s", why ? why : "no answer of a name server came in time");
    report_advise(run->report, "check the name, and --dns-servers; husk starts, and looks the name up again "
                               "until it has an address");
}

static void port_note(struct run *run, const char *subject, const struct discovery_target *target)
{
    if (target->address.port != PROBE_PROMETHEUS_PORT)
        return;
    report_add(run->report, FINDING_NOTE, subject,
               "port %d is the default port of Fluentd's prometheus input; a Forward input usually has 24224",
               PROBE_PROMETHEUS_PORT);
}

/* ---- connections ---- */

static void endpoints_probe(struct run *run, struct endpoint_list *list)
{
    struct dialer dialer;
    const struct probe_options options = {
        .reactor = &run->reactor,
        .dialer = &dialer,
        .report = run->report,
        .tag = run->check->tag,
        .no_message = run->check->no_message,
        .answer_ms = run->check->answer_ms,
    };

    const struct dialer_options of_dialer = {
        .reactor = &run->reactor, .route = &run->route, .log = &run->log, .metrics = &run->metrics
    };

    dialer_init(&dialer, &of_dialer, run->credentials ? credentials_share(run->credentials) : NULL);
    dialer_set_endpoints(&dialer, endpoint_list_share(list));
    for (size_t i = 0; i < list->count; i++)
        probe_run(&options, i);
    dialer_deinit(&dialer);
}

static void target_check(struct run *run, const struct discovery_target *target)
{
    struct discovery_options options = *run->check->discovery;
    struct discovery discovery;
    char subject[SUBJECT_BYTES];
    struct fault fault;

    options.targets = target;
    options.target_count = 1;
    options.health.interval_ms = 0;
    subject_set(subject, &target->address);
    const struct discovery_setup setup = {
        .options = &options, .log = &run->log, .on_endpoints = on_endpoints, .owner = run
    };
    if (!discovery_open(&discovery, run->reactor.loop, &setup, &fault)) {
        report_add(run->report, FINDING_PROBLEM, subject, "%s", fault.text);
        discovery_close(&discovery);
        return;
    }
    answer_await(run, &discovery);
    if (discovery.list)
        addresses_report(run, subject, discovery.list);
    else
        unresolved_report(run, subject, discovery.lookups[0].unresolved);
    port_note(run, subject, target);
    if (discovery.list && run->connects)
        endpoints_probe(run, discovery.list);
    discovery_close(&discovery);
}

/* ---- all ---- */

/* False: without the files no connection can be made. The checks of the files have said why. */
static bool secrets_load(struct run *run)
{
    const struct upstream_check *check = run->check;
    struct credentials_options options;
    struct fault fault;

    if (check->credentials) {
        options = *check->credentials;
        options.speaks_link = false;
        run->credentials = credentials_load(&options, &run->log, &fault);
    }
    struct shared_key *key = check->key ? shared_key_load(check->key, &fault) : NULL;
    if (key) {
        shared_key_slot_replace(&run->key, key);
        run->route.key[SIDE_UPSTREAM] = &run->key;
    }
    return (!check->credentials || run->credentials) && (!check->key || key);
}

void upstream_check(struct report *report, const struct upstream_check *check)
{
    struct run run = { .check = check, .report = report, .route = *check->route };
    struct fault fault;

    log_init(&run.log, STDERR_FILENO, LOG_ERROR, LOG_TEXT);
    shared_key_slot_init(&run.key);
    for (enum side side = 0; side < SIDE_COUNT; side++)
        run.route.key[side] = NULL;
    run.connects = check->connects && secrets_load(&run);
    if (check->connects && !run.connects)
        report_add(report, FINDING_NOTE, "--connect", "husk connects to nothing until its files are right");
    if (!reactor_open(&run.reactor, &fault)) {
        report_add(report, FINDING_PROBLEM, "--connect", "%s", fault.text);
    } else {
        for (size_t i = 0; i < check->discovery->target_count; i++)
            target_check(&run, &check->discovery->targets[i]);
    }
    reactor_close(&run.reactor);
    credentials_release(run.credentials);
    shared_key_slot_clear(&run.key);
    log_deinit(&run.log);
}
