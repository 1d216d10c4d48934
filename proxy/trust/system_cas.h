/* Finds the file with the CAs of the system. Does not read the file. */
#ifndef HUSK_TRUST_SYSTEM_CAS_H
#define HUSK_TRUST_SYSTEM_CAS_H

#include "base/fault.h"

/* The path of the file that the environment variable SSL_CERT_FILE names, as with OpenSSL; without this
 * variable the first of the usual places. Borrowed from the environment, or lives as long as the process.
 * NULL and a fault: the file of the variable does not exist, or no place has a file. */
MUST_CHECK const char *system_cas_find(struct fault *fault);

#endif
