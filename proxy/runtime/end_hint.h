/* Which setting to change when a connection ended because of a common mistake in the configuration. Pure.
 *
 * One table: a failure, and what the peer spoke, lead to one line of advice. A failure that a mistake in the
 * settings does not explain has no advice. docs/troubleshooting.md lists the mistakes. */
#ifndef HUSK_RUNTIME_END_HINT_H
#define HUSK_RUNTIME_END_HINT_H

#include "base/end_reason.h"
#include "wire/spoken.h"

/* Whether the settings of husk ask for TLS on this side. */
enum end_transport { END_PLAINTEXT, END_TLS };

struct end_facts {
    enum side side;
    enum end_reason reason;
    enum end_transport transport;
    enum spoken spoken; /* by the peer of this side */
};

/* For the log. */
struct end_hint {
    const char *text;   /* what to change; NULL: nothing is known */
    const char *speaks; /* the protocol of the peer; NULL: the text does not depend on it, or it is unclear */
};

struct end_hint end_hint_of(const struct end_facts *facts);

#endif
