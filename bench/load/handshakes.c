/* TLS clients of `husk server`: each connects, makes a handshake with a client certificate, has one message
 * acknowledged, and closes.
 *
 * usage: handshakes PORT COUNT full|resumed CERT KEY CA. With `resumed` each connection offers the ticket of
 * the previous one; "resumed" in the result counts the resumed handshakes. */
#include "load/load.h"
#include "load/messages.h"

#include <inttypes.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WARM_UP = 5 };

struct client {
    SSL_CTX *context;
    SSL_SESSION *session; /* of the newest ticket */
    int resumes;
    uint16_t port;
    struct message message;
    uint64_t resumed;
};

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct client *client = SSL_get_app_data(ssl);

    SSL_SESSION_free(client->session);
    client->session = session;
    return 1;
}

static SSL_CTX *context_make(char **files)
{
    SSL_CTX *context = SSL_CTX_new(TLS_method());

    if (!context || !SSL_CTX_use_certificate_chain_file(context, files[0]) ||
        !SSL_CTX_use_PrivateKey_file(context, files[1], SSL_FILETYPE_PEM) ||
        !SSL_CTX_load_verify_locations(context, files[2], NULL))
        load_fail("cannot use %s, %s and %s", files[0], files[1], files[2]);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, on_new_session);
    return context;
}

static void connect_once(struct client *client)
{
    SSL *ssl = SSL_new(client->context);
    uint8_t ack[MESSAGE_ACK_BYTES];
    int fd = load_connect(client->port);

    SSL_set_fd(ssl, fd);
    SSL_set_app_data(ssl, client);
    if (client->resumes && client->session)
        SSL_set_session(ssl, client->session);
    if (SSL_connect(ssl) != 1)
        load_fail("a handshake failed");
    client->resumed += (uint64_t)SSL_session_reused(ssl);
    if (SSL_write(ssl, client->message.bytes, (int)client->message.length) <= 0)
        load_fail("a message was not taken");
    for (int got = 0, count; got < MESSAGE_ACK_BYTES; got += count)
        if ((count = SSL_read(ssl, ack + got, MESSAGE_ACK_BYTES - got)) <= 0)
            load_fail("a message was not acknowledged");
    SSL_shutdown(ssl);
    SSL_free(ssl);
    close(fd);
}

int main(int count, char **arguments)
{
    if (count != 7)
        load_fail("usage: handshakes PORT COUNT full|resumed CERT KEY CA");
    struct client client = {
        .context = context_make(arguments + 4),
        .resumes = !strcmp(arguments[3], "resumed"),
        .port = (uint16_t)load_number(arguments[1], 1),
        .message = message_make(MESSAGE_SINGLE, 512, MESSAGE_WITH_ID),
    };
    uint64_t handshakes = load_number(arguments[2], 1), start;

    for (int i = 0; i < WARM_UP; i++)
        connect_once(&client);
    client.resumed = 0;
    load_wait_for_start(handshakes);
    start = load_now_ns();
    for (uint64_t i = 0; i < handshakes; i++)
        connect_once(&client);
    printf("{\"seconds\": %.6f, \"resumed\": %" PRIu64 "}\n", (double)(load_now_ns() - start) / 1e9,
           client.resumed);
    load_hold();
    SSL_SESSION_free(client.session);
    SSL_CTX_free(client.context);
    free(client.message.bytes);
    return 0;
}
