#include "options_tls.h"

#include "config/nearest.h"
#include "config/schema_parts.h"
#include "trust/server_name.h"
#include "trust/token_uri.h"

#include <string.h>

#define TLS_FIELD(side, field)                                                                               \
    (CONFIG_FIELD(tls) + (side) * sizeof(struct config_tls) + offsetof(struct config_tls, field))

static const char *const kinds[] = {
    [TLS_CIPHERS] = "a cipher of TLS 1.2",
    [TLS_GROUPS] = "a group of TLS",
    [TLS_SIGNATURES] = "a signature algorithm of TLS",
};

static void unknown_fault(struct fault *fault, enum tls_name_kind kind, const char *word, size_t length)
{
    struct nearest nearest = nearest_begin(word, length);
    size_t count;
    const struct tls_name *names = tls_names(kind, &count);

    for (size_t i = 0; i < count; i++) {
        if (names[i].refusal)
            continue;
        nearest_add(&nearest, names[i].name);
        for (size_t k = 0; k < 2; k++) {
            if (names[i].aliases[k])
                nearest_add(&nearest, names[i].aliases[k]);
        }
    }
    if (nearest.best) {
        fault_set(fault, "\"%.*s\" is not %s; did you mean %s?", (int)length, word, kinds[kind],
                  nearest.best);
        return;
    }
    const struct tls_choice all = tls_choice_in_force(&(struct tls_choices) { 0 }, kind);
    char known[400];
    tls_choice_format(kind, &all, ", ", known, sizeof known);
    fault_set(fault, "\"%.*s\" is not %s; known here: %s", (int)(length < 64 ? length : 64), word,
              kinds[kind], known);
}

/* False: the fault says why the word cannot be taken. */
static bool word_take(struct tls_choice *choice, enum tls_name_kind kind, const char *word, size_t length,
                      struct fault *fault)
{
    const struct tls_name *name = tls_name_find(kind, word, length);
    unsigned at = 0;

    if (!name) {
        unknown_fault(fault, kind, word, length);
        return false;
    }
    if (name->refusal) {
        fault_set(fault, "%.*s %s", (int)length, word, name->refusal);
        return false;
    }
    while (at < choice->count && choice->ids[at] != name->id)
        at++;
    if (at < choice->count) {
        fault_set(fault, "%s is given twice", name->name);
        return false;
    }
    choice->ids[choice->count++] = name->id;
    return true;
}

/* The default may stand beside TLS 1.3 alone: an effective configuration has it. */
static void ciphers_check(const struct tls_choice *choice, enum side side, const struct config_check *check)
{
    const struct tls_choices none = { 0 }, given = { .of[TLS_CIPHERS] = *choice },
                             all = { .of[TLS_CIPHERS] = tls_choice_in_force(&none, TLS_CIPHERS) };

    if (check->config->tls[side].min_version == TLS_VERSION_1_3 && !tls_choices_equal(&given, &all) &&
        !config_is_wrong(check->config, TLS_FIELD(side, min_version)))
        config_wrong(check, TLS_FIELD(side, names[TLS_CIPHERS]),
                     "is for TLS 1.2, which %s 1.3 excludes: leave it out",
                     config_name(check->config, TLS_FIELD(side, min_version), 0).text);
}

/* Names are separated by commas, as in every list of husk, or by colons, as OpenSSL writes them. */
static void choice_set(struct tls_choice *choice, enum tls_name_kind kind, enum side side,
                       const struct config_check *check)
{
    static const char separators[] = ", :";
    const char *text = check->config->tls[side].names[kind];
    size_t field = TLS_FIELD(side, names) + kind * sizeof text, length;
    struct fault fault;

    if (!text || !config_is_given(check->config, field))
        return;
    text += strspn(text, separators);
    if (!*text)
        config_wrong(check, field, "the list is empty: leave it out for the default");
    for (; (length = strcspn(text, separators)); text += length + strspn(text + length, separators)) {
        if (!word_take(choice, kind, text, length, &fault))
            config_wrong_value(check, field, fault.text);
    }
    if (kind == TLS_CIPHERS)
        ciphers_check(choice, side, check);
}

static void sni_set(struct credentials_options *options, const struct config_check *check)
{
    const size_t field = TLS_FIELD(SIDE_UPSTREAM, sni);
    const char *sni = check->config->tls[SIDE_UPSTREAM].sni;
    char dns[SERVER_NAME_DNS_BYTES];
    struct fault fault;

    options->omits_sni = sni && strcmp(sni, "off") == 0;
    options->sni = options->omits_sni ? NULL : sni;
    if (!options->sni || server_name_to_dns(sni, dns))
        return;
    fault_set(&fault, "\"%.160s\" is not a DNS name, and SNI has no other names; off: no SNI", sni);
    config_wrong_value(check, field, fault.text);
}

/* ---- certificates ---- */

bool options_tls_lists_all(const struct config *config, enum side side)
{
    const struct config_tls *tls = &config->tls[side];

    return tls->certificates.count && !tls->directory && !tls->keystore &&
           !config_is_given(config, TLS_FIELD(side, cert_file)) &&
           !config_is_given(config, TLS_FIELD(side, key_file));
}

bool options_tls_shows_nothing(const struct config *config, enum side side)
{
    const char *cert = config->tls[side].cert_file;

    return cert && strcmp(cert, "none") == 0;
}

/* What makes no sense without a certificate. */
static void nothing_check(enum side side, const struct config_check *check)
{
    const size_t others[] = { TLS_FIELD(side, key_file), TLS_FIELD(side, passphrase_env),
                              TLS_FIELD(side, passphrase_file), TLS_FIELD(side, certificates) };
    const size_t cert = TLS_FIELD(side, cert_file);

    if (side == SIDE_DOWNSTREAM)
        config_wrong(check, cert, "none is for clients: a server needs a certificate");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (config_is_given(check->config, others[i]))
            config_wrong(check, others[i], "cannot be combined with %s none",
                         config_name(check->config, cert, 0).text);
    }
}

static struct certificate_files files_of(const struct setting_item *item)
{
    const struct config_certificate *certificate = item->parts;

    return (struct certificate_files) { .cert_file = certificate->cert_file,
                                        .key_file = certificate->key_file,
                                        .passphrase_env = certificate->passphrase_env,
                                        .passphrase_file = certificate->passphrase_file };
}

/* Whether the key, which may be in a token, is named well. False: the fault says what is wrong. */
static bool token_check(const struct certificate_files *files, struct fault *fault)
{
    char pin_path[TOKEN_PIN_PATH_BYTES];

    if (!token_uri_is(files->key_file))
        return true;
    if (!token_uri_check(files->key_file, fault))
        return false;
    if ((files->passphrase_env || files->passphrase_file) && token_uri_pin_file(files->key_file, pin_path)) {
        fault_set(fault, "the PIN is given twice: by pin-source, and as a passphrase");
        return false;
    }
    return true;
}

static void first_set(struct credentials_options *options, const struct certificate_files *files)
{
    options->cert_file = files->cert_file;
    options->key_file = files->key_file;
    options->passphrase_env = files->passphrase_env;
    options->passphrase_file = files->passphrase_file;
    options->item = 1;
}

static void certificates_set(struct credentials_options *options, enum side side,
                             const struct config_check *check)
{
    const struct setting_list *list = &check->config->tls[side].certificates;
    const size_t field = TLS_FIELD(side, certificates);
    bool lists_all = options_tls_lists_all(check->config, side);
    size_t max = CERTIFICATES_MAX - (lists_all ? 0 : 1);
    struct fault fault;

    if (list->count > max) {
        config_wrong(check, field, "given more than %zu times", max);
        return;
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct certificate_files files = files_of(&list->items[i]);
        if (check->config->mode != CONFIG_FILE &&
            !(files.cert_file && files.key_file)) /* a file was checked */
            config_wrong_item(check, field, &list->items[i], CONFIG_NONE, "needs cert=FILE and key=FILE");
        if (files.passphrase_env && files.passphrase_file)
            config_wrong_item(check, field, &list->items[i],
                              offsetof(struct config_certificate, passphrase_env),
                              "cannot be combined with a passphrase file");
        if (!token_check(&files, &fault))
            config_wrong_item(check, field, &list->items[i], offsetof(struct config_certificate, key_file),
                              "%s", fault.text);
        if (lists_all && i == 0)
            first_set(options, &files);
        else
            options->more[options->more_count++] = files;
    }
}

/* ---- all ---- */

/* Settings that say how to verify a server. The defaults contradict nothing: an effective configuration has
 * them. */
static void insecure_check(enum side side, const struct config_check *check)
{
    const struct config_tls *tls = &check->config->tls[side];
    const struct {
        bool is_set;
        size_t field;
    } others[] = {
        { config_is_given(check->config, TLS_FIELD(side, ca_file)), TLS_FIELD(side, ca_file) },
        { tls->crl.count, TLS_FIELD(side, crl) },
        { tls->revocation_policy != REVOCATION_WARN, TLS_FIELD(side, revocation_policy) },
        { tls->allow_weak_certificates, TLS_FIELD(side, allow_weak_certificates) },
        { check->config->allow_cn_as_name, CONFIG_FIELD(allow_cn_as_name) },
        { check->config->ignore_server_name, CONFIG_FIELD(ignore_server_name) },
    };

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (others[i].is_set)
            config_wrong(check, others[i].field, "cannot be combined with %s, which verifies no certificate",
                         config_name(check->config, TLS_FIELD(side, insecure), 0).text);
    }
}

void options_tls_set(struct credentials_options *options, enum side side, const struct config_check *check)
{
    struct fault fault;

    for (enum tls_name_kind kind = 0; kind < TLS_NAME_KINDS; kind++)
        choice_set(&options->choices.of[kind], kind, side, check);
    if (!token_check(&(struct certificate_files) { .key_file = options->key_file,
                                                   .passphrase_env = options->passphrase_env,
                                                   .passphrase_file = options->passphrase_file },
                     &fault))
        config_wrong(check, TLS_FIELD(side, key_file), "%s", fault.text);
    certificates_set(options, side, check);
    if (side == SIDE_UPSTREAM)
        sni_set(options, check);
    options->verifies_nothing = check->config->tls[side].insecure;
    if (options->verifies_nothing)
        insecure_check(side, check);
    options->shows_nothing = side == SIDE_UPSTREAM && options_tls_shows_nothing(check->config, side);
    if (options_tls_shows_nothing(check->config, side))
        nothing_check(side, check);
    options->ticket_keys_file = check->config->tls[side].ticket_keys_file;
}
