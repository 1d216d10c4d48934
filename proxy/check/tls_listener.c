#include "check/tls_listener.h"

#include "base/metrics.h"
#include "check/subject.h"
#include "check/tls_call.h"
#include "runtime/end_hint.h"
#include "trust/credentials_files.h"
#include "trust/server_name.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What all handshakes share. */
struct test {
    const struct tls_listener *listener;
    struct credentials_files files; /* of the listener */
    struct report *report;
    struct subject server;              /* --cert of the listener */
    struct subject client;              /* --client-cert, if there is one */
    char name[SERVER_NAME_DNS_BYTES];   /* that the client asks for */
    struct credentials_options options; /* of the client */
    struct log log;                     /* what the units below log is in the report, in other words */
};

static bool has_client(const struct test *test)
{
    return test->listener->client->cert_file != NULL;
}

static const char *client_ca(const struct test *test)
{
    return test->listener->client->ca_file ? "--client-ca" : "--ca";
}

/* ---- the options of the client are those of the command, not of a file ---- */

static void on_locate(const void *owner, const struct setting_reference *reference, struct subject *subject)
{
    (void)owner;
    snprintf(subject->setting, sizeof subject->setting, "--client-%s", reference->option);
}

/* `--key` becomes `--client-key`. */
static char *on_translate(const void *owner, const char *text)
{
    char *translated = NULL;
    size_t size;
    FILE *out = open_memstream(&translated, &size);

    (void)owner;
    if (!out)
        return NULL;
    for (const char *option; (option = strstr(text, " --")); text = option + 3)
        fprintf(out, "%.*s --client-", (int)(option - text), text);
    fputs(text, out);
    return fclose(out) == 0 ? translated : NULL;
}

static const struct setting_words client_words = { NULL, on_locate, on_translate };

/* ---- the client ---- */

/* Without a certificate of a client the client shows that of the listener: which one does not matter, because
 * the client verifies the server first. It accepts a weak certificate and a name in the CN: the check of the
 * files has warned of them. */
static void client_set(struct test *test)
{
    const struct credentials_options *server = &test->files.options, *given = test->listener->client;
    const struct credentials_options *owner = has_client(test) ? given : server;

    test->options = (struct credentials_options) {
        .role = TLS_CLIENT,
        .keystore = owner->keystore,
        .cert_file = owner->cert_file,
        .key_file = owner->key_file,
        .tokens = server->tokens,
        .passphrase_env = owner->passphrase_env,
        .passphrase_file = owner->passphrase_file,
        .ca_file = given->ca_file ? given->ca_file : server->ca_file,
        .min_version = server->min_version,
        .max_version = server->max_version,
        .allow_cn_as_name = true,
        .allow_weak = true,
    };
}

/* False: the certificate has no name that a client can ask for. */
static bool name_set(struct test *test)
{
    const struct certificate_facts *leaf = test->listener->leaf;
    const char *names = leaf->names[0] || leaf->has_alternatives ? leaf->names : leaf->cn;
    size_t length = leaf->names[0] ? strcspn(names, ",") : strlen(names);

    if (!length || length >= sizeof test->name - sizeof "husk")
        return false;
    if (names[0] == '*') /* any name fits */
        snprintf(test->name, sizeof test->name, "husk%.*s", (int)length - 1, names + 1);
    else
        snprintf(test->name, sizeof test->name, "%.*s", (int)length, names);
    return true;
}

/* NULL: the files cannot be used. */
static struct credentials *client_load(struct test *test)
{
    struct report *report = test->report;
    const struct setting_words *words = report->words;
    struct fault fault;
    struct credentials *client = credentials_load(&test->options, &test->log, &fault);

    if (client)
        return client;
    report_use_words(report, &client_words);
    report_add(report, FINDING_PROBLEM, &test->client, "%s", subject_fault(&fault, test->options.cert_file));
    report_use_words(report, words);
    return NULL;
}

/* ---- verdicts ---- */

/* The client does not trust the server, or the handshake has failed before. */
static void distrust_report(const struct test *test, const char *version,
                            const struct tls_call_outcome *outcome)
{
    const struct tls_call_end *end = &outcome->client;
    const struct subject *subject = &test->server;
    struct report *report = test->report;

    if (end->reason == END_CERTIFICATE_UNKNOWN_CA && !test->listener->client->ca_file) {
        report_add(report, FINDING_NOTE, subject,
                   "%s: no handshake could be tested: a client that has the CAs of --ca does not know the CA "
                   "of this certificate",
                   version);
        report_advise(report, "name the CA file of the clients with --client-ca");
        return;
    }
    report_add(report, FINDING_PROBLEM, subject,
               "%s: the handshake of a client that asks for %s fails: %s%s%s", version, test->name,
               end_reason_phrase(end->reason), end->detail[0] ? ": " : "", end->detail);
    if (end->reason == END_CERTIFICATE_UNKNOWN_CA)
        report_advise(report, "%s",
                      end->lacks_issuer ? "--client-ca must have the CA that issued the certificate; if this "
                                          "CA is an intermediate, it is missing: put it into the file of "
                                          "--cert, after the certificate that it has issued"
                                        : "--client-ca must have the CA that issued the certificate");
}

static void trust_report(const struct test *test, const char *version)
{
    report_add(test->report, FINDING_OK, &test->server,
               "%s: a client that has the CAs of %s accepts the certificate for the name %s", version,
               client_ca(test), test->name);
}

/* What the listener says of the client, in memory. True: it admits the client. */
static bool admission_report(const struct test *test, const char *version,
                             const struct tls_call_outcome *outcome)
{
    const struct tls_call_end *end = &outcome->server;
    const struct end_facts facts = { .side = SIDE_DOWNSTREAM,
                                     .reason = end->reason,
                                     .transport = END_TLS,
                                     .spoken = SPOKEN_TLS,
                                     .lacks_issuer = end->lacks_issuer };
    const char *hint = end_hint_of(&facts).text;

    if (end->reason == END_NONE) {
        report_add(test->report, FINDING_OK, &test->client, "%s: husk admits this client", version);
        return true;
    }
    report_add(test->report, FINDING_PROBLEM, &test->client, "%s: husk refuses this client: %s%s%s", version,
               end_reason_phrase(end->reason), end->detail[0] ? ": " : "", end->detail);
    if (hint)
        report_advise(test->report, "%s", hint);
    return false;
}

/* ---- in memory ---- */

static const char *version_name(enum tls_version version)
{
    return metrics_tls_version_name(version == TLS_VERSION_1_2 ? METRICS_TLS_1_2 : METRICS_TLS_1_3);
}

/* False: the next version would fail in the same way. */
static bool version_test(struct test *test, struct credentials *server, enum tls_version version)
{
    struct tls_call_outcome outcome;

    test->options.min_version = test->options.max_version = version;
    struct credentials *client = client_load(test);
    const struct tls_call call = { client, test->name };
    if (!client)
        return false;
    bool is_done = tls_call_in_memory(&call, server, &outcome);
    credentials_release(client);
    if (!is_done) {
        test->report->is_incomplete = true;
        return false;
    }
    if (!outcome.is_trusted) {
        distrust_report(test, version_name(version), &outcome);
        return false;
    }
    trust_report(test, version_name(version));
    return !has_client(test) || admission_report(test, version_name(version), &outcome);
}

/* True: a client can connect with each version. */
static bool versions_test(struct test *test)
{
    const struct credentials_options *options = test->listener->server;
    struct fault fault;
    struct credentials *server = credentials_load(options, &test->log, &fault);
    bool is_good = server;

    if (!server)
        report_add(test->report, FINDING_PROBLEM, &test->server, "%s", fault.text);
    for (enum tls_version version = options->min_version; is_good && version <= options->max_version;
         version++)
        is_good = version_test(test, server, version);
    credentials_release(server);
    return is_good;
}

/* ---- a husk that runs ---- */

/* The program that listens there has shown its certificate. */
static void listener_report(const struct test *test, const struct subject *subject,
                            const struct tls_call_outcome *outcome)
{
    const struct certificate_facts *own = test->listener->leaf, *shown = &outcome->leaf;
    struct report *report = test->report;
    char until[CERTIFICATE_TIME_BYTES];

    if (!outcome->is_husk) {
        report_add(report, FINDING_PROBLEM, subject,
                   "the program that listens there speaks TLS, but is no husk");
        return;
    }
    if (strcmp(own->name, shown->name) == 0 && own->not_before == shown->not_before &&
        own->not_after == shown->not_after) {
        report_add(report, FINDING_OK, subject,
                   "the husk that listens there shows the certificate of --cert");
        return;
    }
    certificate_describe_time(shown->not_after, until);
    report_add(report, FINDING_WARNING, subject,
               "the husk that listens there shows another certificate: %s, valid until %s", shown->name,
               until);
    report_advise(report, "it has not loaded the file of --cert again: see its log, or send it SIGHUP");
}

/* With TLS 1.3 a refusal comes after the handshake of the client. */
static void call_report(const struct test *test, const struct subject *subject,
                        const struct tls_call_outcome *outcome)
{
    const struct tls_call_end *end = &outcome->client;
    struct report *report = test->report;

    if (!outcome->is_trusted) {
        report_add(report, FINDING_PROBLEM, subject,
                   "the TLS handshake of a client with the program that listens there fails: %s%s%s",
                   end_reason_phrase(end->reason), end->detail[0] ? ": " : "", end->detail);
        report_advise(report, "the program is no husk, or a husk with other settings or older files");
        return;
    }
    if (outcome->is_established)
        listener_report(test, subject, outcome);
    else
        report_add(report, FINDING_OK, subject,
                   "a client accepts the certificate of the program that listens there");
    if (!has_client(test))
        return;
    if (end->reason != END_NONE)
        report_add(report, FINDING_PROBLEM, subject,
                   "the program that listens there refuses the client of --client-cert: %s%s%s",
                   end_reason_phrase(end->reason), end->detail[0] ? ": " : "", end->detail);
    else if (outcome->is_confirmed)
        report_add(report, FINDING_OK, subject,
                   "the program that listens there admits the client of --client-cert");
    else
        report_add(report, FINDING_NOTE, subject,
                   "the program that listens there has sent nothing that proves that it admits the client of "
                   "--client-cert");
}

static void addresses_call(struct test *test)
{
    const struct tls_listener *listener = test->listener;
    struct tls_call_outcome outcome;
    struct subject subject;

    test->options.min_version = listener->server->min_version;
    test->options.max_version = listener->server->max_version;
    struct credentials *client = client_load(test);
    const struct tls_call call = { client, test->name };
    for (size_t i = 0; client && i < listener->address_count; i++) {
        listen_address_subject(&subject, test->report, &listener->addresses[i]);
        if (!tls_call_address(&call, listener->addresses[i].address, listener->timeout_ms, &outcome))
            test->report->is_incomplete = true;
        else if (outcome.is_connected)
            call_report(test, &subject, &outcome);
        else
            report_add(test->report, FINDING_NOTE, &subject, "no TLS handshake could be tested: %s",
                       end_reason_phrase(outcome.client.reason));
    }
    credentials_release(client);
}

/* ---- all ---- */

void tls_listener_check(struct report *report, const struct tls_listener *listener)
{
    struct test test = { .listener = listener, .report = report };
    struct fault ignored;

    if (!credentials_files_find(&test.files, listener->server, &ignored))
        return; /* the files have gone since they were checked */
    subject_of_own(&test.server, report->words, &test.files.options, test.files.cert_option,
                   test.files.options.cert_file);
    if (!name_set(&test)) {
        report_add(report, FINDING_NOTE, &test.server,
                   "no handshake was tested: the certificate has no name that a client can ask for");
        return;
    }
    if (has_client(&test))
        subject_of_setting(&test.client, &client_words, "cert", listener->client->cert_file);
    else
        subject_of_text(&test.client, "--client-ca");
    client_set(&test);
    log_init(&test.log, STDERR_FILENO, LOG_ERROR, LOG_TEXT);
    if (versions_test(&test) && listener->address_count)
        addresses_call(&test);
    log_deinit(&test.log);
    if (!has_client(&test)) {
        report_add(report, FINDING_NOTE, &test.server,
                   "whether husk admits a client was not tested: that needs a certificate of the client");
        report_advise(report, "give its files with --client-cert and --client-key");
    }
}
