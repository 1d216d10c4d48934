/* What is in a PEM or DER file, or in the chain that a server has shown, as plain data for people.
 *
 * Owns its data. Judges nothing. Needs no passphrase: of an encrypted key it says that it is encrypted. */
#ifndef HUSK_PKI_CONTENTS_H
#define HUSK_PKI_CONTENTS_H

#include "base/fault.h"
#include "pki/key_maker.h"
#include "trust/certificate_facts.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stack_st_X509;

enum { CONTENTS_TEXT_BYTES = 1024, CONTENTS_WORD_BYTES = 72 };

enum contents_kind { CONTENTS_CERTIFICATE, CONTENTS_KEY, CONTENTS_REQUEST, CONTENTS_CRL, CONTENTS_OTHER };

/* Texts are terminated, cut to their size, and fit for a terminal (utf8_clean). A text that does not fit the
 * kind is empty. */
struct contents_item {
    enum contents_kind kind;
    size_t line;                     /* where the block begins; 0: there are no lines */
    struct certificate_facts facts;  /* certificate; name: also request; issuer: also CRL */
    char names[CONTENTS_TEXT_BYTES]; /* subjectAltName of certificate and request */
    char key[KEY_MAKER_TEXT_BYTES];  /* certificate, key, request */
    char spki[CONTENTS_WORD_BYTES];  /* SHA-256 of the public key in hexadecimal: certificate, key, request */
    char serial[CONTENTS_WORD_BYTES];    /* certificate; CRL: its number */
    char sha256[CONTENTS_WORD_BYTES];    /* certificate: fingerprint in hexadecimal */
    char signature[CONTENTS_WORD_BYTES]; /* algorithm: certificate, request, CRL */
    char label[CONTENTS_WORD_BYTES];     /* other: of the PEM block */
    bool is_encrypted;                   /* key */
    int64_t this_update, next_update;    /* CRL: seconds since the epoch; 0: the list does not say */
    size_t revoked;                      /* CRL: number of entries */
};

struct contents {
    size_t count;
    struct contents_item *items;
};

/* Reads a file. A fault names the file and, where there are lines, the line. Free with contents_deinit, also
 * after a failure. */
MUST_CHECK bool contents_read(struct contents *contents, const char *path, struct fault *fault);

/* The certificates of a chain. False when out of memory. */
MUST_CHECK bool contents_of_chain(struct contents *contents, const struct stack_st_X509 *chain);

void contents_deinit(struct contents *contents);

#endif
