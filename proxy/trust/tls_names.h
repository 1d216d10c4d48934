/* The names of TLS ciphers, groups and signature algorithms: those that husk can use, and those that it
 * refuses, with the reason. Pure. */
#ifndef HUSK_TRUST_TLS_NAMES_H
#define HUSK_TRUST_TLS_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tls_name_kind {
    TLS_CIPHERS,    /* of TLS 1.2: TLS 1.3 has ciphers of its own, which BoringSSL chooses */
    TLS_GROUPS,     /* for the key exchange (RFC 8446, 4.2.7) */
    TLS_SIGNATURES, /* signature schemes (RFC 8446, 4.2.3) */
    TLS_NAME_KINDS
};

struct tls_name {
    uint16_t id;            /* of the TLS registry of IANA */
    const char *name;       /* as BoringSSL writes it */
    const char *aliases[2]; /* other spellings: of OpenSSL, of IANA; NULL: none */
    const char *refusal; /* why husk does not use it, for a sentence that begins with the name; NULL: husk can
                            use it */
};

enum { TLS_CHOICE_MAX = 12 };

/* Some names of one kind, best first. Count 0: the default. */
struct tls_choice {
    unsigned count;
    uint16_t ids[TLS_CHOICE_MAX];
};

struct tls_choices {
    struct tls_choice of[TLS_NAME_KINDS];
};

/* The names of a kind, in the order in which husk prefers them. Those that husk can use are at most
 * TLS_CHOICE_MAX. */
const struct tls_name *tls_names(enum tls_name_kind kind, size_t *count);

/* The name that is spelled `text`, without regard to ASCII case; NULL: none. */
const struct tls_name *tls_name_find(enum tls_name_kind kind, const char *text, size_t length);

/* What is in force: the names that were chosen, or the default. */
struct tls_choice tls_choice_in_force(const struct tls_choices *choices, enum tls_name_kind kind);

/* Writes the names of the choice with `separator` between them, cut to `size`. */
void tls_choice_format(enum tls_name_kind kind, const struct tls_choice *choice, const char *separator,
                       char *text, size_t size);

bool tls_choices_equal(const struct tls_choices *a, const struct tls_choices *b);

#endif
