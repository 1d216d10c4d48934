/* The contents of the files of a set of credentials, until the set is made: the certificates of husk with
 * their chains and keys, the CAs of peers and their revocation lists. Instead of files, an answer of a SPIFFE
 * Workload API may have them.
 *
 * Loads and checks everything as one unit. Knows nothing of connections. */
#ifndef HUSK_TRUST_MATERIAL_H
#define HUSK_TRUST_MATERIAL_H

#include "base/fault.h"
#include "base/log.h"
#include "trust/certificate_choice.h"
#include "trust/credentials_files.h"

#include <stdbool.h>

struct revocation;
struct stack_st_X509;

struct material {
    struct certificate_choice choice; /* at least one certificate */
    struct stack_st_X509 *cas;        /* owned */
    struct svid_bundles *bundles;     /* owned: the same CAs by trust domain; NULL: they are from a file */
    struct revocation *revocation;    /* owned */
};

/* `options` come from credentials_files_find. `message`: of the Workload API, if options->svid has a socket;
 * else NULL, and the files are read. The fault names the file, or the socket. Wipes the passphrases. Free
 * with material_deinit, also after a failure; who takes a part sets its place to zeros. */
MUST_CHECK bool material_load(struct material *material, const struct credentials_options *options,
                              const struct svid_message *message, struct fault *fault);
/* Safe on all zeros. */
void material_deinit(struct material *material);

/* Logs what the user should know about a set: warnings, and the layout of a directory. Call it only for a set
 * that is used: a failed reload is repeated, and its lines would be repeated, too. */
void material_describe(const struct material *material, const struct credentials_files *files,
                       struct log *log);

#endif
