/* The journal of a CA: which certificates it has signed and revoked, and the numbers that it gives.
 *
 * The files have the form of `openssl ca`: index.txt has a line for each certificate, serial and crlnumber
 * have the next number in hexadecimal. ca.index.txt has what the root of the profile modern has revoked. Owns
 * its rows. A store that is locked is a condition of all functions that write. */
#ifndef HUSK_PKI_JOURNAL_H
#define HUSK_PKI_JOURNAL_H

#include "base/fault.h"
#include "pki/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct asn1_string_st;
struct x509_st;

enum { JOURNAL_TIME_BYTES = 16, JOURNAL_SERIAL_BYTES = 64 };

enum journal_status { JOURNAL_VALID = 'V', JOURNAL_REVOKED = 'R', JOURNAL_EXPIRED = 'E' };

struct journal_row {
    enum journal_status status;
    char *line;          /* owned; the texts below are parts of it or constants */
    const char *expires; /* YYMMDDHHMMSSZ, or YYYYMMDDHHMMSSZ from 2050 on */
    const char *revoked; /* the same, and after a comma the reason; empty: not revoked */
    const char *serial;  /* hexadecimal, upper case, an even number of digits */
    const char *file;    /* "unknown" */
    const char *subject; /* "/O=example/CN=name" */
};

struct journal {
    enum profile_file file; /* PROFILE_INDEX or PROFILE_ROOT_INDEX */
    struct journal_row *rows;
    size_t count;
};

/* Reads a journal; a file that is missing is an empty journal. The fault names file and line. Adds to
 * PROFILE_INDEX rows for certificates that an interrupted run has signed but not entered, and sets rows to
 * expired whose time has come. Free with journal_deinit, also after a failure. */
MUST_CHECK bool journal_init(struct journal *journal, const struct store *store, enum profile_file file,
                             struct fault *fault);
void journal_deinit(struct journal *journal);

MUST_CHECK bool journal_save(const struct journal *journal, const struct store *store, struct fault *fault);

/* Adds a row for the certificate. False when out of memory. */
MUST_CHECK bool journal_add(struct journal *journal, struct x509_st *certificate);

/* `reason` NULL: none is given. False when out of memory. */
MUST_CHECK bool journal_revoke(struct journal_row *row, const char *reason, int64_t now);

/* The row with this serial number; the last row of a certificate with this subject that is neither revoked
 * nor expired. NULL: there is none. */
struct journal_row *journal_find_serial(const struct journal *journal, const char *serial);
struct journal_row *journal_find_subject(const struct journal *journal, const char *subject);

/* False and a fault: the journal `file` says that the certificate is revoked, and its key gets no new
 * certificate. */
MUST_CHECK bool journal_check_unrevoked(const struct store *store, enum profile_file file,
                                        const struct x509_st *certificate, struct fault *fault);

/* Whether `openssl ca` accepts only one valid certificate for each subject in this directory. */
bool journal_demands_unique_subjects(const struct store *store);
/* Tells `openssl ca` that subjects need not be unique. */
MUST_CHECK bool journal_allow_equal_subjects(const struct store *store, struct fault *fault);

/* Takes the next number of the file, as an INTEGER that the caller frees, and writes the number after it to
 * the file. A file that is missing begins with `first` (hexadecimal). NULL and a fault on failure. */
MUST_CHECK struct asn1_string_st *journal_take_number(const struct store *store, enum profile_file file,
                                                      const char *first, struct fault *fault);

/* Writes the serial number of a certificate as the journal has it. False when out of memory. */
MUST_CHECK bool journal_serial_of(const struct x509_st *certificate, char serial[JOURNAL_SERIAL_BYTES]);
/* The subject as the journal has it. The caller frees it with OPENSSL_free; NULL when out of memory. */
char *journal_subject_of(const struct x509_st *certificate);

#endif
