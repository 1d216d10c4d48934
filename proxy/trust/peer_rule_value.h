/* Whether a value of a rule can match a name at all. Pure. */
#ifndef HUSK_TRUST_PEER_RULE_VALUE_H
#define HUSK_TRUST_PEER_RULE_VALUE_H

#include "trust/peer_rule.h"

/* Whether a name of this kind can match `value`: a name is UTF-8, a SAN is ASCII; a URI begins with a scheme
 * (RFC 3986, 3.1), and a SPIFFE ID has a form of its own (SPIFFE-ID, 2); an e-mail address has a domain (RFC
 * 5280, 4.2.1.6); an issuer is a list of types and values (RFC 2253). The fault quotes the value. An empty
 * value is left to peer_rule_init. */
MUST_CHECK bool peer_rule_value_can_match(enum peer_rule_kind kind, const char *value, struct fault *fault);

#endif
