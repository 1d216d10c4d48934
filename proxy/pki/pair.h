/* The key, the request and the certificate of a name, which replace those before them in one moment.
 *
 * Two files cannot be renamed at once. So the files that a renewal makes lie in a folder, pairs/NAME@a or
 * pairs/NAME@b, pairs/NAME is a symbolic link to the one in use, and the files of the name are links through
 * it: one rename of pairs/NAME changes all of them. Files that are no such links yet, as `issue` makes them,
 * are first copied and replaced by links, one after the other, while their contents stay. So the files of a
 * name fit together after an interruption at any point, also for other programs. Knows no contents. */
#ifndef HUSK_PKI_PAIR_H
#define HUSK_PKI_PAIR_H

#include "pki/store.h"

struct bio_st;

enum { PAIR_KEY, PAIR_REQUEST, PAIR_CERT, PAIR_FILES };

/* Replaces the files of a name. A content is a memory BIO, which is borrowed; NULL: the file stays. The store
 * is locked. A failure leaves the old files or the new ones. */
MUST_CHECK bool pair_replace(const struct store *store, const char *name,
                             struct bio_st *const contents[PAIR_FILES], struct fault *fault);

/* Replaces the certificate alone: the new one has the same key. */
MUST_CHECK bool pair_replace_certificate(const struct store *store, const char *name, struct bio_st *content,
                                         struct fault *fault);

#endif
