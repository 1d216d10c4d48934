/* Reads BoringSSL's error queue. Every caller clears the queue before an operation and reads it once after
 * it. */
#ifndef HUSK_TRUST_LIBRARY_ERROR_H
#define HUSK_TRUST_LIBRARY_ERROR_H

/* The reason of the oldest error, as text that lives as long as the process. Empties the queue. */
const char *library_error_take(void);

#endif
