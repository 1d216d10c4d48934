#include "check_route.h"

#include "base/clock.h"
#include "check/listen_address.h"
#include "check/shared_key_source.h"
#include "check/subject.h"
#include "check/tls_files.h"
#include "check/upstream.h"
#include "config/option_words.h"

#include <stdio.h>

static void listen_check(struct report *report, const struct listen_address *listen,
                         const struct check_settings *settings)
{
    bool has_fixed_port =
        listen->address->storage.ss_family == AF_UNIX || socket_address_port(listen->address) != 0;

    if (settings->is_running && has_fixed_port)
        listen_address_check_running(report, listen);
    else
        listen_address_check_free(report, listen);
}

/* The certificate files and the shared key of a side. */
static void secrets_check(struct report *report, const struct options *options, enum side side)
{
    if (options->credentials[side].cert_file)
        tls_files_check(report, &options->credentials[side], clock_wall_seconds());
    if (options->keys.side[side].setting)
        shared_key_source_check(report, &options->keys.side[side]);
}

/* NULL: a message can be sent. */
static const char *why_no_message(const struct options *options, const struct check_settings *settings)
{
    if (settings->sends_nothing)
        return "no message was sent: --no-message";
    if (options->route.delivery == ROUTE_PASSTHROUGH)
        return "no message was sent: with --delivery passthrough husk asks for no acks";
    return NULL;
}

/* ---- how the user writes settings ---- */

struct words {
    struct setting_words words; /* first */
    const struct config *config;
    enum side side; /* of the route */
};

static void on_locate(const void *owner, const char *option, size_t index, struct subject *subject)
{
    const struct words *words = owner;
    struct option_location location;

    option_words_locate(words->config, words->side, option, index, &location);
    snprintf(subject->setting, sizeof subject->setting, "%s", location.path);
    subject->line = location.place.line;
    subject->column = location.place.column;
}

static char *on_translate(const void *owner, const char *text)
{
    return option_words_translate(text, ((const struct words *)owner)->side);
}

/* The next findings are about this side. Settings of client and server are options. */
static void words_use(struct report *report, struct words *words, const struct config *config, enum side side)
{
    *words = (struct words) { .words = { words, on_locate, on_translate }, .config = config, .side = side };
    report_use_words(report, config->mode == CONFIG_FILE ? &words->words : NULL);
}

/* ---- the process, a route ---- */

void check_route_process(struct report *report, const struct process_options *options,
                         const struct config *config, const struct check_settings *settings)
{
    struct words words;

    if (!options->has_admin)
        return;
    report_begin(report, "process");
    words_use(report, &words, config, SIDE_DOWNSTREAM);
    listen_check(report, &(struct listen_address) { .setting = "admin", .address = &options->admin.listen },
                 settings);
    report_use_words(report, NULL);
}

void check_route(struct report *report, const struct options *options, const struct config *config,
                 const struct check_settings *settings)
{
    struct words words;
    const struct upstream_check upstream = {
        .discovery = &options->discovery,
        .route = &options->route,
        .credentials =
            options->credentials[SIDE_UPSTREAM].cert_file ? &options->credentials[SIDE_UPSTREAM] : NULL,
        .key = options->keys.side[SIDE_UPSTREAM].setting ? &options->keys.side[SIDE_UPSTREAM] : NULL,
        .connects = settings->connects,
        .tag = settings->tag,
        .no_message = why_no_message(options, settings),
        .answer_ms = settings->answer_ms,
    };

    report_begin(report, "%s, %s", options->route.name, side_name(SIDE_DOWNSTREAM));
    words_use(report, &words, config, SIDE_DOWNSTREAM);
    for (unsigned i = 0; i < options->listen.count; i++)
        listen_check(report,
                     &(struct listen_address) { .setting = "listen",
                                                .index = i,
                                                .address = &options->listen.addresses[i].address,
                                                .access = &options->listen.addresses[i].access,
                                                .takes_heartbeats = options->heartbeats_per_second },
                     settings);
    secrets_check(report, options, SIDE_DOWNSTREAM);
    report_begin(report, "%s, %s", options->route.name, side_name(SIDE_UPSTREAM));
    words_use(report, &words, config, SIDE_UPSTREAM);
    secrets_check(report, options, SIDE_UPSTREAM);
    upstream_check(report, &upstream);
    report_use_words(report, NULL);
}
