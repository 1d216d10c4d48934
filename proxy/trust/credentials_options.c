#include "trust/credentials_options.h"

#include <string.h>

static bool is_same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool is_same_policy(const struct peer_policy *a, const struct peer_policy *b)
{
    return a && b ? peer_policy_equal(a, b) : a == b;
}

static bool is_same_revocation(const struct revocation_options *a, const struct revocation_options *b)
{
    bool is_equal = a->policy == b->policy && a->strength == b->strength && a->count == b->count;

    for (size_t i = 0; is_equal && i < a->count; i++)
        is_equal = is_same(a->paths[i], b->paths[i]);
    return is_equal;
}

static bool is_same_more(const struct credentials_options *a, const struct credentials_options *b)
{
    bool is_equal = a->more_count == b->more_count;

    for (size_t i = 0; is_equal && i < a->more_count; i++)
        is_equal = is_same(a->more[i].cert_file, b->more[i].cert_file) &&
                   is_same(a->more[i].key_file, b->more[i].key_file) &&
                   is_same(a->more[i].passphrase_env, b->more[i].passphrase_env) &&
                   is_same(a->more[i].passphrase_file, b->more[i].passphrase_file);
    return is_equal;
}

bool credentials_options_are_set(const struct credentials_options *options)
{
    return options->directory || options->keystore || options->cert_file || options->svid.socket;
}

const char *credentials_options_origin(const struct credentials_options *options)
{
    return options->svid.socket ? options->svid.socket : options->cert_file;
}

struct credentials_options credentials_options_at(const struct credentials_options *options, size_t at)
{
    struct credentials_options one = *options;

    one.more_count = 0;
    if (!at)
        return one;
    one.item += at;
    one.directory = one.keystore = NULL;
    one.cert_file = options->more[at - 1].cert_file;
    one.key_file = options->more[at - 1].key_file;
    one.passphrase_env = options->more[at - 1].passphrase_env;
    one.passphrase_file = options->more[at - 1].passphrase_file;
    return one;
}

bool credentials_options_use_system_cas(const struct credentials_options *options)
{
    return options->ca_file && strcmp(options->ca_file, CREDENTIALS_SYSTEM_CAS) == 0;
}

bool credentials_options_equal(const struct credentials_options *a, const struct credentials_options *b)
{
    return a->role == b->role && is_same(a->directory, b->directory) && is_same(a->keystore, b->keystore) &&
           is_same(a->cert_file, b->cert_file) && is_same(a->key_file, b->key_file) &&
           a->key_sessions == b->key_sessions && is_same(a->ca_file, b->ca_file) &&
           is_same_revocation(&a->revocation, &b->revocation) &&
           is_same(a->passphrase_env, b->passphrase_env) && is_same(a->passphrase_file, b->passphrase_file) &&
           is_same_more(a, b) && a->item == b->item && a->min_version == b->min_version &&
           a->max_version == b->max_version && tls_choices_equal(&a->choices, &b->choices) &&
           is_same(a->sni, b->sni) && is_same(a->ticket_keys_file, b->ticket_keys_file) &&
           a->omits_sni == b->omits_sni && a->allow_cn_as_name == b->allow_cn_as_name &&
           a->ignores_name == b->ignores_name && a->allow_weak == b->allow_weak &&
           a->verifies_nothing == b->verifies_nothing && a->shows_nothing == b->shows_nothing &&
           svid_source_equal(&a->svid, &b->svid) && a->client_certificate == b->client_certificate &&
           a->speaks_link == b->speaks_link && is_same_policy(a->policy, b->policy);
}
