#include "commands/pki_settings.h"

#include "config/setting_value.h"
#include "config/settings.h"

#define AT(field) offsetof(struct pki_settings, field)

enum {
    ALL_BUT_INIT_AND_FILES = PKI_ISSUE | PKI_REQUEST | PKI_RENEW | PKI_NEEDS_RENEWAL | PKI_REVOKE | PKI_CRL |
                             PKI_SECRET | PKI_EXPORT_P12,
    SIGNING = PKI_INIT | PKI_ISSUE | PKI_RENEW | PKI_CRL,
    KEY_MAKING = PKI_INIT | PKI_ISSUE | PKI_REQUEST | PKI_RENEW,
    KEY_USING = KEY_MAKING | PKI_SECRET | PKI_EXPORT_P12,
};

enum group { GROUP_PKI, GROUP_CERTIFICATE, GROUP_REVOCATION, GROUP_PASSPHRASE, GROUP_OUTPUT };
static const char *const groups[] = { "The PKI",     "Certificates",          "Renewal and revocation",
                                      "Passphrases", "Inspection and export", NULL };

/* The order of the reasons is that of revoking_reasons. */
static const char *const reason_choices[] = { "unspecified",
                                              "keyCompromise",
                                              "CACompromise",
                                              "affiliationChanged",
                                              "superseded",
                                              "cessationOfOperation",
                                              NULL };
static const char *const profile_choices[] = { "auto", "modern", "seed", NULL }; /* auto, and profile_names */
static const char *const ca_choices[] = { "issuing", "root", NULL };
static const char *const layout_choices[] = { "seed", "tls", NULL };

static const struct setting rows[] = {
    { "dir", SETTING_TEXT, AT(directory), .users = ALL_BUT_INIT_AND_FILES, .fallback = ".",
      .value_name = "DIR", .group = GROUP_PKI, .help = "directory of the PKI" },
    { "profile", SETTING_CHOICE, AT(profile), .users = PKI_INIT | PKI_REQUEST | ALL_BUT_INIT_AND_FILES,
      .fallback = "auto", .choices = profile_choices, .value_name = "PROFILE", .group = GROUP_PKI,
      .help = "modern: ECDSA, subjectAltNames, an intermediate CA; seed: what the openssl commands of Banzai "
              "Cloud's article of 2018 make; auto: what the directory has, and modern for a new one" },
    { "subject", SETTING_TEXT, AT(subject), .users = PKI_INIT | PKI_REQUEST, .value_name = "/O=NAME",
      .group = GROUP_PKI,
      .help = "subject of the CA, or of a request; its C, ST and O stand in each certificate of the CA" },
    { "ca-only", SETTING_FLAG, AT(ca_only), .users = PKI_INIT, .group = GROUP_PKI,
      .help = "make no server and no client certificate" },
    { "server-name", SETTING_LIST, AT(server_names), .users = PKI_INIT, .value_name = "NAME",
      .group = GROUP_CERTIFICATE,
      .help = "DNS name or IP address of the server (default localhost, 127.0.0.1 and ::1)" },
    { "client-name", SETTING_TEXT, AT(client_name), .users = PKI_INIT, .fallback = "client",
      .value_name = "NAME", .group = GROUP_CERTIFICATE, .help = "CN and DNS name of the client certificate" },
    { "spiffe-id", SETTING_TEXT, AT(spiffe_id), .users = PKI_ISSUE | PKI_REQUEST, .value_name = "URI",
      .group = GROUP_CERTIFICATE, .help = "SPIFFE ID as one more name: spiffe://trust-domain/path" },
    { "as", SETTING_TEXT, AT(as), .users = PKI_ISSUE | PKI_REQUEST, .value_name = "NAME",
      .group = GROUP_CERTIFICATE, .help = "name of the files; without it the first NAME" },
    { "csr", SETTING_TEXT, AT(request_file), .users = PKI_ISSUE, .value_name = "FILE",
      .group = GROUP_CERTIFICATE,
      .help = "sign this request and make no key; without NAME the names are those of the request" },
    { "days", SETTING_COUNT, AT(days), .users = PKI_INIT | PKI_ISSUE | PKI_RENEW, .zero_word = "auto",
      .zero_is_word_only = true, .fallback = "auto", .min = 1, .max = 3650, .value_name = "N",
      .group = GROUP_CERTIFICATE,
      .help = "validity of the certificates in days; auto: servers and clients 90, or 365 with the profile "
              "seed" },
    { "left", SETTING_COUNT, AT(left_days), .users = PKI_NEEDS_RENEWAL, .zero_word = "auto",
      .zero_is_word_only = true, .fallback = "auto", .min = 1, .max = 3650, .value_name = "DAYS",
      .group = GROUP_REVOCATION,
      .help = "a certificate needs renewal when fewer days are left; auto: a third of its life" },
    { "keep-key", SETTING_FLAG, AT(keeps_key), .users = PKI_RENEW, .group = GROUP_REVOCATION,
      .help = "keep the key of the certificate" },
    { "reason", SETTING_CHOICE, AT(reason), .users = PKI_REVOKE, .fallback = "unspecified",
      .choices = reason_choices, .value_name = "REASON", .group = GROUP_REVOCATION,
      .help = "why the certificate is revoked" },
    { "crl-days", SETTING_COUNT, AT(crl_days), .users = PKI_CRL, .fallback = "30", .min = 1, .max = 3650,
      .value_name = "N", .group = GROUP_REVOCATION, .help = "days until the next revocation list is due" },
    { "ca", SETTING_CHOICE, AT(is_of_root), .users = PKI_CRL, .fallback = "issuing", .choices = ca_choices,
      .value_name = "CA", .group = GROUP_REVOCATION,
      .help =
          "issuing: the list of the CA that signs servers and clients; root: the list of the root CA, which "
          "speaks for the intermediate" },
    { "ca-passphrase-env", SETTING_TEXT, AT(ca_env), .users = SIGNING, .value_name = "VAR",
      .group = GROUP_PASSPHRASE, .help = "environment variable with the passphrase of the keys of the CA" },
    { "ca-passphrase-file", SETTING_TEXT, AT(ca_file), .users = SIGNING, .value_name = "FILE",
      .group = GROUP_PASSPHRASE, .help = "file with this passphrase in its first line" },
    { "key-passphrase-env", SETTING_TEXT, AT(key_env), .users = KEY_USING, .value_name = "VAR",
      .group = GROUP_PASSPHRASE,
      .help = "environment variable with the passphrase of the keys of servers and clients" },
    { "key-passphrase-file", SETTING_TEXT, AT(key_file), .users = KEY_USING, .value_name = "FILE",
      .group = GROUP_PASSPHRASE, .help = "file with this passphrase in its first line" },
    { "no-passphrase", SETTING_FLAG, AT(is_plain), .users = KEY_MAKING, .group = GROUP_PASSPHRASE,
      .help = "do not encrypt new keys for which no passphrase is given, also with the profile seed" },
    { "json", SETTING_FLAG, AT(is_json), .users = PKI_INSPECT, .group = GROUP_OUTPUT, .help = "print JSON" },
    { "timeout", SETTING_DURATION, AT(timeout_ms), .users = PKI_INSPECT, .fallback = "5s", .min = 1,
      .max = 3600000, .value_name = "DURATION", .group = GROUP_OUTPUT,
      .help = "longest wait for a server that is inspected" },
    { "layout", SETTING_CHOICE, AT(layout), .users = PKI_SECRET, .fallback = "seed",
      .choices = layout_choices, .value_name = "LAYOUT", .group = GROUP_OUTPUT,
      .help = "seed: the seed's names, such as client.crt.pem; tls: the type kubernetes.io/tls" },
    { "secret-name", SETTING_TEXT, AT(secret_name), .users = PKI_SECRET, .value_name = "NAME",
      .group = GROUP_OUTPUT,
      .help = "name of the Secret; without it fluentd-tls for a server and fluentbit-tls for a client" },
    { "namespace", SETTING_TEXT, AT(namespace), .users = PKI_SECRET, .value_name = "NAME",
      .group = GROUP_OUTPUT, .help = "namespace of the Secret" },
    { "shared-key-env", SETTING_TEXT, AT(shared_env), .users = PKI_SECRET, .value_name = "VAR",
      .group = GROUP_OUTPUT, .help = "environment variable with the shared key to put into the Secret" },
    { "shared-key-file", SETTING_TEXT, AT(shared_file), .users = PKI_SECRET, .value_name = "FILE",
      .group = GROUP_OUTPUT, .help = "file with this shared key in its first line" },
    { "out", SETTING_TEXT, AT(out), .users = PKI_EXPORT_P12, .value_name = "FILE", .group = GROUP_OUTPUT,
      .help = "PKCS#12 file to write; without it NAME.p12 in the directory" },
    { "p12-passphrase-env", SETTING_TEXT, AT(p12_env), .users = PKI_EXPORT_P12, .value_name = "VAR",
      .group = GROUP_OUTPUT, .help = "environment variable with the passphrase of the PKCS#12 file" },
    { "p12-passphrase-file", SETTING_TEXT, AT(p12_file), .users = PKI_EXPORT_P12, .value_name = "FILE",
      .group = GROUP_OUTPUT, .help = "file with this passphrase in its first line" },
};
#undef AT

const struct settings_table pki_settings_table = { .rows = rows,
                                                   .count = sizeof rows / sizeof rows[0],
                                                   .groups = groups };

bool pki_settings_parse(enum pki_user user, struct pki_settings *settings, int *count, char **words,
                        struct fault *fault)
{
    struct settings_table table = pki_settings_table;
    const struct settings_words given = { .count = *count, .items = words, .positionals = count };

    table.user = user;
    *settings = (struct pki_settings) { .directory = NULL };
    return settings_parse(&table, settings, &given, fault);
}

void pki_settings_free(struct pki_settings *settings)
{
    settings_free(&pki_settings_table, settings);
}

const struct profile *pki_settings_profile(const struct pki_settings *settings)
{
    return settings->profile ? profile_at(settings->profile - 1) : NULL;
}

struct key_protection pki_settings_ca_protection(const struct pki_settings *settings)
{
    return (struct key_protection) { .source = { "ca-passphrase", settings->ca_env, settings->ca_file },
                                     .is_plain = settings->is_plain };
}

struct key_protection pki_settings_key_protection(const struct pki_settings *settings)
{
    return (struct key_protection) { .source = { "key-passphrase", settings->key_env, settings->key_file },
                                     .is_plain = settings->is_plain };
}
