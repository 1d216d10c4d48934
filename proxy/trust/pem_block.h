/* Finds the blocks of a PEM file (RFC 7468) and says in which line each begins.
 *
 * Byte-order marks, indentation, blanks at line ends and every kind of line end are accepted. Text outside of
 * blocks is a comment, except a line that looks like a damaged BEGIN or END, and lines of base64. Anything
 * that looks like a block is reported. Knows nothing of the contents of a block. */
#ifndef HUSK_TRUST_PEM_BLOCK_H
#define HUSK_TRUST_PEM_BLOCK_H

#include "base/fault.h"
#include "trust/pem_file.h"

#include <stddef.h>

struct bio_st;

enum pem_kind {
    PEM_CERTIFICATE,
    PEM_PRIVATE_KEY, /* in any form */
    PEM_PARAMETERS,  /* of a key or of a key exchange, as other programs write them beside a key */
    PEM_TRUSTED_CERTIFICATE,
    PEM_CRL,
    PEM_OTHER
};

/* Borrows from the file. */
struct pem_block {
    enum pem_kind kind;
    size_t line; /* of BEGIN; the first line of the file is 1 */
    const char *label;
    size_t label_length;
    const char *text; /* from BEGIN to END */
    size_t length;
};

struct pem_scan {
    struct pem_file *file;
    size_t at, line;
};

/* Borrows `file`. Removes byte-order marks, indentation and blanks at line ends from it. Every line then ends
 * with a line feed. */
void pem_scan_start(struct pem_scan *scan, struct pem_file *file);

enum pem_found { PEM_FOUND_BLOCK, PEM_FOUND_END, PEM_FOUND_FAULT };

/* Finds the next block. PEM_FOUND_FAULT: a one-line fault names the file and the line. */
MUST_CHECK enum pem_found pem_scan_next(struct pem_scan *scan, struct pem_block *block, struct fault *fault);

/* A set of kinds. */
#define PEM_ONLY(kind) (1U << (kind))

/* Finds the next block of the kind `wanted`. Skips blocks of the kinds `beside`; any other block is a fault.
 */
MUST_CHECK enum pem_found pem_scan_next_of(struct pem_scan *scan, enum pem_kind wanted, unsigned beside,
                                           struct pem_block *block, struct fault *fault);

/* Whether the file has a block of this kind, before the first damaged one. */
bool pem_file_has(struct pem_file *file, enum pem_kind kind);
/* Whether the file begins as every key, certificate and PKCS#12 file in DER does. */
bool pem_file_looks_like_der(const struct pem_file *file);

/* A reader of the block alone; the caller frees it. NULL when out of memory. */
struct bio_st *pem_block_reader(const struct pem_block *block);

#endif
