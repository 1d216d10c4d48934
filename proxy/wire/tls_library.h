/* Which TLS library husk is linked with, and what its errors mean. */
#ifndef HUSK_WIRE_TLS_LIBRARY_H
#define HUSK_WIRE_TLS_LIBRARY_H

#include "base/end_reason.h"

#include <stdbool.h>

/* For example "BoringSSL API 17". */
const char *tls_library_name(void);

/* Whether the library has the post-quantum group X25519MLKEM768. */
bool tls_library_is_post_quantum(void);

/* Why a connection ends after an error of the library: `reason` is ERR_GET_REASON of ERR_LIB_SSL. */
enum end_reason tls_library_end_reason(int reason);

#endif
