/* When the certificates of a set of credentials expire. Pure. */
#ifndef HUSK_TRUST_VALIDITY_H
#define HUSK_TRUST_VALIDITY_H

#include <stdint.h>

struct stack_st_X509;

/* In seconds since the epoch; 0: there is no such certificate. If the set has a later version of a
 * certificate (same name, same key), the expiry of the later version counts. */
struct validity {
    int64_t leaf;
    int64_t intermediates; /* of our chain: the first expiry */
    int64_t first_ca;      /* the first expiry of the CAs that have not expired at `now` */
    int64_t last_ca;       /* when the last CA expires */
    int64_t leaf_begin;    /* notBefore of the leaf */
};

/* `chain`: of husk; NULL: husk has no certificate. */
struct validity validity_of(const struct stack_st_X509 *chain, const struct stack_st_X509 *cas, int64_t now);

/* What expires first of two certificates of husk with the same CAs. */
struct validity validity_join(struct validity a, struct validity b);

/* The first end of our own chain that is later than `now`; 0: there is none. */
int64_t validity_next_end(const struct validity *validity, int64_t now);

#endif
