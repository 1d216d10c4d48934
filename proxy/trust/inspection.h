/* Reads the files of a set of credentials and tells all that is in them, as plain data. Goes on after a
 * failure, so that everything that is wrong can be said at once; credentials_load stops at the first failure.
 *
 * Owns its data. Judges nothing, except whether our own chain leads to a CA of the CA file. */
#ifndef HUSK_TRUST_INSPECTION_H
#define HUSK_TRUST_INSPECTION_H

#include "base/end_reason.h"
#include "base/fault.h"
#include "trust/certificate_facts.h"
#include "trust/credentials.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inspected_certificate {
    struct certificate_facts facts;
    bool has_place;   /* own chain: the certificate has issued one before it, or is the first */
    bool is_revoked;  /* own chain: a list names it */
    bool has_version; /* a later version of it (same name, same key) is in the same file */
};

struct inspected_certificates {
    struct fault fault; /* empty: the file is readable and has only what belongs in it */
    size_t count;
    struct inspected_certificate *items; /* owned; NULL: the certificates cannot be read */
};

/* The revocation lists that can be applied, and what is wrong with the others. */
struct inspected_lists {
    struct revocation *lists;                      /* owned; NULL: there are no CAs, or `fault` is set */
    struct fault ca_fault;                         /* of a list of the CA file; empty: none */
    struct fault crl_faults[REVOCATION_PATHS_MAX]; /* of each item of --crl */
    struct fault fault;                            /* of all together */
};

struct inspected_key {
    struct fault passphrase_fault; /* empty: the passphrase is there, or none is asked for */
    struct fault fault;            /* empty: the key can be read */
    bool is_in_token;
    bool is_encrypted;
    bool is_read;
    size_t fits; /* which certificate of the chain has this key, from 1; 0: none, or the key cannot be read */
};

struct inspection {
    struct inspected_certificates chain, cas;
    struct inspected_key key;
    struct inspected_lists lists;
    bool has_path;               /* the chain and the CAs were read, and so a path was looked for */
    enum end_reason path_reason; /* END_NONE: the chain leads to a CA of the CA file */
    char path_detail[PEER_CHECK_DETAIL_BYTES];
    bool path_lacks_issuer; /* see peer_check.lacks_issuer */
};

/* Reads the files of `options`, which come from credentials_files_find. Free with inspection_deinit. Wipes
 * the passphrase and the key. */
void inspection_init(struct inspection *inspection, const struct credentials_options *options);
void inspection_deinit(struct inspection *inspection);

#endif
