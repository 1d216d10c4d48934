/* The revocation lists (CRLs, RFC 5280, 5) of a set of credentials.
 *
 * Reads the lists from files, and knows what they say about a certificate. Knows nothing of paths, policies
 * and connections. After revocation_settle the lists do not change: several threads may ask at once. */
#ifndef HUSK_TRUST_REVOCATION_H
#define HUSK_TRUST_REVOCATION_H

#include "base/fault.h"
#include "base/log.h"
#include "base/metrics.h"
#include "trust/certificate.h"
#include "trust/pem_file.h"
#include "trust/strength.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stack_st_X509;
struct x509_st;
struct revocation;

enum {
    REVOCATION_FILE_BYTES_MAX = 64 * 1024 * 1024, /* about a million entries in PEM */
    REVOCATION_SOURCE_CA = -1,                    /* the list is from the CA file, or came with the CAs */
    REVOCATION_PATHS_MAX = 16,
};

/* What is done if nothing shows that a certificate is not revoked, because a list is missing, stale or not
 * valid yet. A certificate that is revoked is refused in any case. */
enum revocation_policy {
    REVOCATION_WARN,    /* the certificate is accepted, and the log and /ready tell about the list */
    REVOCATION_REQUIRE, /* the certificate is refused */
    REVOCATION_IGNORE,  /* the certificate is accepted */
};

/* Lists, and what is done with them. */
struct revocation_use {
    const struct revocation *lists; /* borrowed; NULL: there are no certificates to ask for */
    enum revocation_policy policy;
};

/* ---- loading ---- */

/* All texts are borrowed. */
struct revocation_options {
    const char *paths[REVOCATION_PATHS_MAX]; /* --crl: files and directories */
    size_t count;
    enum revocation_policy policy;
    enum strength_policy strength; /* of the signatures of lists */
};

/* Loads the lists of the CA file (NULL: the CAs are not from a PEM file) and of `options`, and settles them;
 * see the functions below. NULL: the fault says why. The caller frees the result. */
MUST_CHECK struct revocation *revocation_load(struct pem_file *ca_file,
                                              const struct revocation_options *options,
                                              const struct stack_st_X509 *cas, struct fault *fault);

/* A number that changes when a file of `options` changes (trust/file_stamp.h). */
uint64_t revocation_stamp(const struct revocation_options *options);

/* No lists. `strength`: whether lists with weak signatures are refused. NULL when out of memory: the fault
 * says so. */
MUST_CHECK struct revocation *revocation_new(enum strength_policy strength, struct fault *fault);
/* NULL is fine. */
void revocation_free(struct revocation *revocation);

/* Adds the lists of a CA file, which may contain none. Refuses a list that cannot be applied, see crl_decode,
 * and a weak list.
 * The one-line fault names the file and the line, and says what to do. */
MUST_CHECK bool revocation_add_ca_file(struct revocation *revocation, struct pem_file *file,
                                       struct fault *fault);
/* Adds the lists of item `source` of --crl: a file, or all files of a directory. A file has one or several
 * lists in PEM or DER, at least one, and nothing else. */
MUST_CHECK bool revocation_add(struct revocation *revocation, int source, const char *path,
                               struct fault *fault);
/* Adds one list in DER that is not from a file; `origin` says in faults where the list is from. */
MUST_CHECK bool revocation_add_der(struct revocation *revocation, const char *origin, const uint8_t *bytes,
                                   size_t length, struct fault *fault);
/* Call it once, after all lists are added, and before anybody asks. Finds out which of the CAs (borrowed)
 * have signed the lists. Refuses a list of a CA that may not sign lists (keyUsage without cRLSign). */
MUST_CHECK bool revocation_settle(struct revocation *revocation, const struct stack_st_X509 *cas,
                                  struct fault *fault);

/* ---- what the lists are ---- */

enum revocation_signer {
    REVOCATION_SIGNER_OURS,    /* a CA of the CA file has signed the list */
    REVOCATION_SIGNER_UNKNOWN, /* no CA of the CA file has the name of the issuer: an intermediate may have it
                                */
    REVOCATION_SIGNER_WRONG,   /* a CA of the CA file has the name of the issuer, but did not sign the list */
};

struct revocation_facts {
    const char *path; /* of the file */
    size_t line;      /* where the list begins; 0: the file is DER */
    int source;       /* the item of --crl, or REVOCATION_SOURCE_CA */
    enum revocation_signer signer;
    size_t ca; /* REVOCATION_SIGNER_OURS: the CA that has signed the list, see revocation_ca_name */
    char issuer[CERTIFICATE_NAME_BYTES];
    int64_t this_update; /* seconds since the epoch, as below */
    int64_t next_update; /* when a newer list is there at the latest; 0: the list does not say */
    size_t entries;
};

size_t revocation_count(const struct revocation *revocation);
/* List `at`. The lists of one issuer are neighbours. Borrowed. */
const struct revocation_facts *revocation_facts_of(const struct revocation *revocation, size_t at);
/* Whether list `at` counts at `now`: no list of the same issuer, key and scope is newer. */
bool revocation_counts(const struct revocation *revocation, size_t at, int64_t now);

/* The CAs of the CA file. Several versions of a CA (same name, same key) are one CA. */
size_t revocation_ca_count(const struct revocation *revocation);
const char *revocation_ca_name(const struct revocation *revocation, size_t at);

/* When the newest list of each issuer is to be replaced; of lists for several scopes, the first time.
 * Borrowed. No lists (NULL) are fine. */
const struct metrics_crl *revocation_updates(const struct revocation *revocation, size_t *count);

/* Logs how many lists there are, and warns of lists that have no effect. */
void revocation_describe(const struct revocation *revocation, struct log *log);

/* ---- asking ---- */

/* From the best to the worst. */
enum revocation_status {
    REVOCATION_GOOD,    /* a list of the issuer speaks for the certificate, is fresh, and does not name it */
    REVOCATION_STALE,   /* the time of the next update of this list is over */
    REVOCATION_EARLY,   /* the list is not valid yet */
    REVOCATION_NO_LIST, /* no list of the issuer speaks for the certificate */
    REVOCATION_REVOKED, /* a list names the certificate. The age of the list does not matter */
};

/* What the lists that `issuer` has signed say about `certificate` at `now`, in seconds since the epoch. Of
 * the lists of one issuer and scope, the newest counts: the latest thisUpdate that is not after `now`. */
enum revocation_status revocation_judge(const struct revocation *revocation, struct x509_st *certificate,
                                        struct x509_st *issuer, int64_t now);

/* The status of a list by its times alone: GOOD, STALE or EARLY. */
enum revocation_status revocation_freshness(const struct revocation_facts *facts, int64_t now);

#endif
