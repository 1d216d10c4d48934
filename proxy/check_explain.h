/* Explains what the settings of a route mean for an agent with a certificate: whether the CAs of the route
 * have issued it, which setting admits it, which rule applies to it and why, and what its records get. If the
 * route accepts only some servers, explains the same for a server with the certificate.
 *
 * Makes no connection, and needs no key. */
#ifndef HUSK_CHECK_EXPLAIN_H
#define HUSK_CHECK_EXPLAIN_H

#include "check/report.h"
#include "config/config.h"
#include "options.h"

/* The certificate of a peer. Borrowed. */
struct explained_certificate {
    const char *path; /* file with the certificate, and the intermediates that the peer sends */
    const struct identity *identity; /* of the certificate */
};

/* Adds the findings for a route. Returns whether husk admits the agent, and lets it write, or accepts the
 * server. */
bool check_explain(struct report *report, const struct options *options, const struct config *config,
                   const struct explained_certificate *certificate);

#endif
