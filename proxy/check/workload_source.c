#include "check/workload_source.h"

#include "check/expiry.h"
#include "check/subject.h"

#include <unistd.h>

static void on_answer(void *owner)
{
    (void)owner;
}

/* A log line would say again what the finding says: only errors are logged. */
static bool source_open(struct workload_source *source, const char *socket,
                        const struct workload_api_limits *limits)
{
    source->loop = ev_loop_new(EVFLAG_AUTO);
    if (!source->loop)
        return false;
    log_init(&source->log, STDERR_FILENO, LOG_ERROR, LOG_TEXT);
    const struct workload_api_options options = {
        .loop = source->loop,
        .log = &source->log,
        .socket = socket,
        .limits = *limits,
        .on_answer = on_answer,
    };
    workload_api_open(&source->api, &options);
    return true;
}

static void advise(struct report *report, const struct workload_api *api)
{
    if (api->code == GRPC_PERMISSION_DENIED)
        report_advise(
            report,
            "the agent knows no identity for the user, pod or program that runs this command: register "
            "an entry whose selectors fit husk");
    else if (api->code < 0)
        report_advise(report, "is the agent running, and may this user open the socket?");
}

bool workload_source_check(struct workload_source *source, struct report *report,
                           const struct credentials_options *options,
                           const struct workload_api_limits *limits, int64_t now)
{
    struct certificate_facts leaf;
    struct subject subject;
    struct fault fault;

    *source = (struct workload_source) { 0 };
    subject_of_setting(&subject, report->words, "spiffe-socket", options->svid.socket);
    if (!source_open(source, options->svid.socket, limits)) {
        report->is_incomplete = true;
        return false;
    }
    while (!workload_api_answer(&source->api, &source->answer) && !source->api.fault.text[0])
        ev_run(source->loop, EVRUN_ONCE);
    if (!source->answer.bytes) {
        report_add(report, FINDING_PROBLEM, &subject, "%s", source->api.fault.text);
        advise(report, &source->api);
        return false;
    }
    if (!svid_inspect(&leaf, &source->answer, &options->svid, &options->revocation, &fault)) {
        report_add(report, FINDING_PROBLEM, &subject, "%s", subject_fault(&fault, options->svid.socket));
        return false;
    }
    report_add(report, FINDING_OK, &subject, "gives the X.509-SVID of %s", leaf.all_names);
    expiry_report(report, &subject, &leaf, FINDING_PROBLEM, now);
    return true;
}

void workload_source_close(struct workload_source *source)
{
    if (!source->loop)
        return;
    workload_api_close(&source->api);
    ev_loop_destroy(source->loop);
    log_deinit(&source->log);
    source->loop = NULL;
}
