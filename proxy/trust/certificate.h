/* Describes a certificate for logs: its name, and when it is valid; and compares two. Owns nothing; borrows
 * its arguments. */
#ifndef HUSK_TRUST_CERTIFICATE_H
#define HUSK_TRUST_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct asn1_string_st;
struct stack_st_X509;
struct X509_name_st;
struct x509_st;

enum { CERTIFICATE_NAME_BYTES = 112, CERTIFICATE_TIME_BYTES = 24, CERTIFICATE_DIGEST_BYTES = 32 };

/* The subject, most specific part first ("CN=client,O=example"), or the first SAN if the subject is empty.
 * Terminated, cut to the size. */
void certificate_describe(struct x509_st *certificate, char text[CERTIFICATE_NAME_BYTES]);

/* The issuer, written like the subject. */
void certificate_describe_issuer(struct x509_st *certificate, char text[CERTIFICATE_NAME_BYTES]);

/* Any other name of X.509, such as the issuer of a revocation list, written like the subject. */
void certificate_describe_other(struct X509_name_st *name, char text[CERTIFICATE_NAME_BYTES]);

/* "2020-01-02T03:04:05Z" */
void certificate_describe_time(int64_t seconds, char text[CERTIFICATE_TIME_BYTES]);

/* Start and end of the validity, in seconds since the epoch. If a time cannot be read, the certificate counts
 * as never valid. */
int64_t certificate_not_before(const struct x509_st *certificate);
int64_t certificate_not_after(const struct x509_st *certificate);

/* A time of X.509 in seconds since the epoch; `unreadable` if it cannot be read. */
int64_t certificate_seconds_of(const struct asn1_string_st *time, int64_t unreadable);

/* Whether both have the same subject and key: a certificate and its renewal, or the same CA signed by two
 * CAs. */
bool certificate_is_version_of(const struct x509_st *a, const struct x509_st *b);

/* Writes a digest of a chain (SHA-256). Two chains have the same digest only if they have the same
 * certificates in the same order. False when out of memory. */
bool certificate_digest_chain(const struct stack_st_X509 *chain, uint8_t digest[CERTIFICATE_DIGEST_BYTES]);

#endif
