/* What a set of credentials is loaded from. Pure: opens no file. */
#ifndef HUSK_TRUST_CREDENTIALS_OPTIONS_H
#define HUSK_TRUST_CREDENTIALS_OPTIONS_H

#include "trust/client_certificate.h"
#include "trust/peer_check.h"
#include "trust/peer_policy.h"
#include "trust/revocation.h"
#include "trust/svid.h"
#include "trust/tls_names.h"

#include <stdbool.h>

struct tokens;

enum tls_version { TLS_VERSION_1_2, TLS_VERSION_1_3 };

enum { CERTIFICATES_MAX = 8 };

/* A further certificate of husk. Each text as in struct credentials_options. */
struct certificate_files {
    const char *cert_file, *key_file, *passphrase_env, *passphrase_file;
};

/* The word for the CAs of the system, in the place of a CA file. */
#define CREDENTIALS_SYSTEM_CAS "system"

/* Own certificate and key come from the directory, the PKCS#12 file or the two PEM files: one of the three is
 * given. ca_file and the passphrase replace the files of the directory.
 * A new field belongs also in credentials_options_equal and its test. */
struct credentials_options {
    enum tls_role role;
    const char *directory; /* whose files have known names (trust/credentials_dir.h), or NULL */
    const char *keystore;  /* PKCS#12: key, certificate and intermediates, or NULL */
    const char *cert_file; /* PEM: leaf first, then intermediates */
    const char *key_file;  /* PEM: PKCS#8 (plain or PBES2) or the older DEK-Info form; or a pkcs11: URI */
    unsigned key_sessions; /* how many signatures a token makes at the same time; 0: one */
    struct tokens *tokens; /* borrowed: of the process, for keys in tokens. Two sets are equal without it */
    const char *
        ca_file; /* PEM: the CAs that peers are verified with; or the word "system"; NULL: verifies_nothing */
    struct revocation_options revocation; /* the lists beside those of the CA file */
    const char *passphrase_env;           /* environment variable with the key's passphrase or PIN, or NULL */
    const char *passphrase_file;          /* file with the passphrase in its first line, or NULL; not both */
    struct certificate_files
        more[CERTIFICATES_MAX - 1]; /* after the one above (trust/certificate_choice.h) */
    size_t more_count;
    size_t item; /* of --more-cert, from 1, that has the certificate above; 0: --cert has it */
    enum tls_version min_version, max_version;
    struct tls_choices choices; /* ciphers, groups and signatures */
    const char *sni; /* client: the DNS name that is sent as SNI; NULL: the name of the server, if it is
                        a DNS name */
    const char *ticket_keys_file; /* server: see ticket_keys.h; NULL: keys of its own */
    bool omits_sni;               /* client: no SNI is sent */
    bool allow_cn_as_name; /* client: if the certificate has no SAN, compare the server name with the CN:
                              whole, without regard to ASCII case, without wildcards */
    bool verifies_nothing; /* client: accept every server */
    bool ignores_name;     /* client: the server name is sent, but not compared; `policy` is given then */
    bool shows_nothing;    /* client: without certificate and key; cert_file is only a word */
    bool allow_weak;       /* accept peers whose certificates are weak (trust/strength.h) */
    struct svid_source
        svid; /* socket NULL: the files above; else they are NULL, and so are the passphrases */
    enum client_certificate client_certificate; /* server; a client that shows none needs a rule, too */
    bool speaks_link; /* offer and accept ALPN "husk-link/1" (docs/link.md) besides "husk" */
    const struct peer_policy
        *policy; /* which peers are accepted; its rules are shared; NULL: any verified peer */
};

/* Whether there are credentials: the side speaks TLS. */
bool credentials_options_are_set(const struct credentials_options *options);

/* Where the certificate is from, for faults and the log: the file, or the socket of the Workload API. */
const char *credentials_options_origin(const struct credentials_options *options);

/* The same options with the certificate `at` alone: 0 is the first one, `more_count` the last one. */
struct credentials_options credentials_options_at(const struct credentials_options *options, size_t at);

/* Whether peers are verified with the CAs of the system. */
bool credentials_options_use_system_cas(const struct credentials_options *options);

/* Whether the same files give equal sets. */
bool credentials_options_equal(const struct credentials_options *a, const struct credentials_options *b);

#endif
