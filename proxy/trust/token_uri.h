/* The URI of a private key in a PKCS#11 token (RFC 7512), as a setting gives it instead of a file.
 *
 * Judges the text alone; loads no module. A build without PKCS#11 knows the form and refuses it. */
#ifndef HUSK_TRUST_TOKEN_URI_H
#define HUSK_TRUST_TOKEN_URI_H

#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>

enum { TOKEN_PIN_PATH_BYTES = 4096 };

/* Whether a setting names a key in a token: it begins with "pkcs11:". */
bool token_uri_is(const char *setting);

/* Whether the URI is well-formed and husk can use it: it has `module-path`, it may name a private key, and it
 * does not contain the PIN. The fault never repeats the URI, which may contain the PIN. */
MUST_CHECK bool token_uri_check(const char *uri, struct fault *fault);

/* The file that `pin-source` of a good URI names; false: the URI has none. */
bool token_uri_pin_file(const char *uri, char path[TOKEN_PIN_PATH_BYTES]);

/* The file of the module of a good URI. False: the path does not fit. */
bool token_uri_module(const char *uri, char path[TOKEN_PIN_PATH_BYTES]);

#endif
