/* What BoringSSL's error queue says. The rule around every operation: clear it before, read it once after. */
#ifndef HUSK_TRUST_LIBRARY_ERROR_H
#define HUSK_TRUST_LIBRARY_ERROR_H

/* The reason of the oldest error, in words that live as long as the process, and an empty queue. */
const char *library_error_take(void);

#endif
