#include "wire/tls_io.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

static int on_bio_read(BIO *bio, char *to, int size)
{
    struct tls_io *io = BIO_get_data(bio);
    size_t part = io->input_length < (size_t)size ? io->input_length : (size_t)size;

    BIO_clear_retry_flags(bio);
    if (part == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(to, io->input, part);
    io->input += part;
    io->input_length -= part;
    return (int)part;
}

static int on_bio_write(BIO *bio, const char *from, int size)
{
    struct tls_io *io = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if ((size_t)size > TLS_IO_BYTES - io->output_length)
        return -1; /* larger than any reasonable certificate chain: the channel fails */
    memcpy(io->output + io->output_length, from, (size_t)size);
    io->output_length += (size_t)size;
    return size;
}

static long on_bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

bool tls_io_init(struct tls_io *io)
{
    *io = (struct tls_io) { .method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "husk"),
                            .output = malloc(TLS_IO_BYTES) };
    if (!io->method || !io->output || !BIO_meth_set_read(io->method, on_bio_read) ||
        !BIO_meth_set_write(io->method, on_bio_write) || !BIO_meth_set_ctrl(io->method, on_bio_control)) {
        tls_io_deinit(io);
        return false;
    }
    return true;
}

void tls_io_deinit(struct tls_io *io)
{
    BIO_meth_free(io->method);
    free(io->output);
    *io = (struct tls_io) { 0 };
}

bool tls_io_attach(struct tls_io *io, SSL *ssl)
{
    BIO *bio = BIO_new(io->method);

    if (!bio)
        return false;
    BIO_set_data(bio, io);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    return true;
}
