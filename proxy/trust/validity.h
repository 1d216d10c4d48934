/* When the certificates of a set of credentials end. Pure. */
#ifndef HUSK_TRUST_VALIDITY_H
#define HUSK_TRUST_VALIDITY_H

#include <stdint.h>

struct stack_st_X509;

/* In seconds since the epoch; 0: there is no such certificate. A certificate of which a later version is
 * there (same name, same key) ends when that version ends. */
struct validity {
    int64_t leaf;
    int64_t intermediates; /* of our chain: the first that ends */
    int64_t first_ca;      /* the first that ends, of those that have not ended at `now` */
    int64_t last_ca;       /* when no CA is left */
};

struct validity validity_of(const struct stack_st_X509 *chain, const struct stack_st_X509 *cas, int64_t now);

#endif
