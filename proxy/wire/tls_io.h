/* Memory between BoringSSL and the sockets of one worker: ciphertext in, sealed records out.
 *
 * All channels of a worker share it, each during one call. Belongs to one thread. */
#ifndef HUSK_WIRE_TLS_IO_H
#define HUSK_WIRE_TLS_IO_H

#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bio_method_st;
struct token_results;
struct ssl_st;

enum {
    TLS_RECORD_BYTES = 16384,                   /* largest plaintext of a record (RFC 8446, 5.1) */
    TLS_RECORD_SEALED_BYTES = 16384 + 512,      /* largest size of a record on the wire */
    TLS_IO_BYTES = 17 * TLS_RECORD_SEALED_BYTES /* space for many records per system call */
};

/* What the channels of one worker share: the area for sealed records, and the BIO method that reads and
 * writes it. */
struct tls_io {
    struct bio_method_st *method;
    const uint8_t *input; /* during one call: ciphertext that is not consumed yet */
    size_t input_length;
    size_t output_length;          /* records in `output`; the caller sends them before the next call */
    uint8_t *output;               /* TLS_IO_BYTES */
    struct token_results *results; /* borrowed: how channels learn that a token has signed; NULL: a channel
                                      waits for the token, and its thread with it */
    uint8_t gathered[TLS_RECORD_BYTES];
};

/* False when out of memory. */
MUST_CHECK bool tls_io_init(struct tls_io *io);
void tls_io_deinit(struct tls_io *io);

/* Makes `ssl` read its input from `io` and write its records to `io`, which must outlive it. False when out
 * of memory. */
MUST_CHECK bool tls_io_attach(struct tls_io *io, struct ssl_st *ssl);

#endif
