/* Which setting to change when a connection ended because of a common mistake in the settings. Pure.
 *
 * One table: a failure and the protocol of the peer lead to one hint. A failure that no mistake in the
 * settings explains has no hint. docs/troubleshooting.md lists the mistakes. */
#ifndef HUSK_RUNTIME_END_HINT_H
#define HUSK_RUNTIME_END_HINT_H

#include "base/end_reason.h"
#include "wire/spoken.h"

#include <stdbool.h>

/* Whether the settings of husk ask for TLS on this side. */
enum end_transport { END_PLAINTEXT, END_TLS };

struct end_facts {
    enum side side;
    enum end_reason reason;
    enum end_transport transport;
    enum spoken spoken; /* the protocol of the peer of this side */
    bool is_denied;     /* the peer has sent the alert access_denied */
    bool lacks_issuer;  /* an intermediate may be missing in the chain of the peer */
};

/* For the log. */
struct end_hint {
    const char *text;   /* what to change; NULL: there is no hint */
    const char *speaks; /* the protocol of the peer; NULL: the text does not depend on it, or it is unclear */
};

struct end_hint end_hint_of(const struct end_facts *facts);

#endif
