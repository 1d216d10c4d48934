/* proxy/trust/credentials.c: handshakes of two sets in memory, resumption, and faults in files. */
#include "support/key_forms.h"
#include "support/pki.h"
#include "trust/certificate.h"
#include "trust/credentials.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A CA with two certificates, a log file, and paths for more files. */
struct fixture {
    char directory[PKI_PATH_BYTES], pki[PKI_PATH_BYTES];
    char cert[2][PKI_PATH_BYTES], key[2][PKI_PATH_BYTES], ca[PKI_PATH_BYTES]; /* by enum tls_role */
    struct pki_pair pki_ca;
    char log_path[PKI_PATH_BYTES];
    struct log log;
};

static void authority_read(struct fixture *fixture)
{
    char path[PKI_PATH_BYTES];

    BIO *file = BIO_new_file(fixture->ca, "r");
    fixture->pki_ca.certificate = PEM_read_bio_X509(file, NULL, NULL, NULL);
    BIO_free(file);
    snprintf(path, sizeof path, "%.100s/ca.key.pem", fixture->pki);
    file = BIO_new_file(path, "r");
    fixture->pki_ca.key = PEM_read_bio_PrivateKey(file, NULL, NULL, NULL);
    BIO_free(file);
    assert_true(fixture->pki_ca.certificate && fixture->pki_ca.key);
}

static int setup(void **state)
{
    static const char *const server_names[] = { "localhost", "127.0.0.1", "::1" };
    static const char *const role_names[] = { [TLS_CLIENT] = "client", [TLS_SERVER] = "server" };
    struct fixture *fixture = calloc(1, sizeof *fixture);

    pki_directory_make(fixture->directory);
    snprintf(fixture->pki, sizeof fixture->pki, "%.100s/pki", fixture->directory);
    assert_int_equal(mkdir(fixture->pki, 0700), 0);
    pki_site_make(fixture->pki, server_names, 3, 1);
    for (int role = 0; role < 2; role++) {
        snprintf(fixture->cert[role], PKI_PATH_BYTES, "%.100s/%s.crt.pem", fixture->pki, role_names[role]);
        snprintf(fixture->key[role], PKI_PATH_BYTES, "%.100s/%s.key.pem", fixture->pki, role_names[role]);
    }
    snprintf(fixture->ca, sizeof fixture->ca, "%.100s/ca.crt.pem", fixture->pki);
    authority_read(fixture);
    pki_write(fixture->directory, "log", "", fixture->log_path);
    log_init(&fixture->log, open(fixture->log_path, O_WRONLY | O_APPEND | O_CLOEXEC), LOG_DEBUG, LOG_TEXT);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    close(fixture->log.fd);
    log_deinit(&fixture->log);
    pki_pair_free(&fixture->pki_ca);
    pki_directory_remove(fixture->pki);
    pki_directory_remove(fixture->directory);
    free(fixture);
    return 0;
}

static struct credentials_options options_for(struct fixture *fixture, enum tls_role role)
{
    return (struct credentials_options) { .role = role,
                                          .cert_file = fixture->cert[role],
                                          .key_file = fixture->key[role],
                                          .ca_file = fixture->ca,
                                          .min_version = TLS_VERSION_1_2,
                                          .max_version = TLS_VERSION_1_3 };
}

static struct credentials *load(struct fixture *fixture, const struct credentials_options *options)
{
    struct fault fault = { .text = "" };
    struct credentials *credentials = credentials_load(options, &fixture->log, &fault);

    if (!credentials)
        fail_msg("%s", fault.text);
    assert_int_equal(ERR_peek_error(), 0);
    return credentials;
}

/* The fault must be `format` with the path in it. */
static void assert_fault(struct fixture *fixture, const struct credentials_options *options,
                         const char *format, const char *path)
{
    struct fault fault = { .text = "" };
    char expected[FAULT_TEXT_BYTES];

    assert_null(credentials_load(options, &fixture->log, &fault));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(expected, sizeof expected, format, path);
#pragma GCC diagnostic pop
    assert_string_equal(fault.text, expected);
    assert_null(strchr(fault.text, '\n'));
    assert_int_equal(ERR_peek_error(), 0);
}

static void assert_log(struct fixture *fixture, const char *words, const char *path)
{
    char text[4096] = "";
    FILE *file = fopen(fixture->log_path, "r");

    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    if (words && (!strstr(text, words) || !strstr(text, path)))
        fail_msg("log has no line with \"%s\" and \"%s\": %s", words, path, text);
    if (!words)
        assert_string_equal(text, "");
    for (size_t i = 0, lines = 0; text[i]; i++) {
        lines += text[i] == '\n';
        assert_true(lines <= 1);
    }
}

/* ---- two ends, in memory ---- */

struct end {
    struct peer_check check; /* first: the callback converts its address to the end */
    SSL *ssl;
    SSL_SESSION *session; /* the newest session received */
    bool failed;
    int error; /* the reason of the library */
};

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct end *end = (struct end *)credentials_check_of(ssl);

    SSL_SESSION_free(end->session);
    end->session = session;
    return 1;
}

enum { FLIGHT_BYTES_MAX = 256 * 1024 }; /* the default of the library is shorter than a long chain */

static void ends_connect(struct end *client, struct end *server)
{
    BIO *client_bio, *server_bio;

    assert_true(BIO_new_bio_pair(&client_bio, FLIGHT_BYTES_MAX, &server_bio, FLIGHT_BYTES_MAX));
    SSL_set_bio(client->ssl, client_bio, client_bio);
    SSL_set_bio(server->ssl, server_bio, server_bio);
}

/* Stores the result of an operation on the end's SSL; true if it can continue later. */
static bool end_took(struct end *end, int result)
{
    bool waits = SSL_get_error(end->ssl, result) == SSL_ERROR_WANT_READ;

    end->failed = result < 1 && !waits;
    if (end->failed)
        end->error = ERR_GET_REASON(ERR_peek_last_error());
    ERR_clear_error();
    return waits;
}

/* Runs until neither side can continue, or one message has gone from server to client: in TLS 1.3 it comes
 * with the tickets; an alert may come instead. True if the message arrived. */
static bool ends_talk(struct end *client, struct end *server)
{
    char byte = 0;
    bool is_sent = false;

    ends_connect(client, server);
    ERR_clear_error();
    for (int i = 0; i < 20 && !client->failed; i++) {
        int result = SSL_read(client->ssl, &byte, 1);
        end_took(client, result);
        if (result == 1)
            return byte == 'x';
        if (server->failed || is_sent)
            continue;
        result = SSL_do_handshake(server->ssl);
        if (!end_took(server, result) && !server->failed)
            is_sent = SSL_write(server->ssl, "x", 1) == 1;
    }
    if (!server->failed)
        end_took(server, SSL_do_handshake(server->ssl)); /* reads the client's alert */
    return false;
}

static void end_start(struct end *end, struct credentials *credentials, const char *server_name)
{
    end->check.server_name = server_name;
    end->ssl = credentials_start_session(credentials, &end->check);
    assert_non_null(end->ssl);
}

static void end_finish(struct end *end)
{
    SSL_free(end->ssl);
    SSL_SESSION_free(end->session);
    peer_check_deinit(&end->check);
    ERR_clear_error();
    *end = (struct end) { 0 };
}

static bool talk(struct credentials *client_credentials, struct credentials *server_credentials,
                 const char *server_name, struct end *client, struct end *server)
{
    end_start(client, client_credentials, server_name);
    end_start(server, server_credentials, NULL);
    return ends_talk(client, server);
}

/* ---- handshakes ---- */

static void check_mutual(struct fixture *fixture, enum tls_version version, const char *server_name)
{
    struct credentials_options options[2] = { options_for(fixture, TLS_CLIENT),
                                              options_for(fixture, TLS_SERVER) };
    struct end client = { 0 }, server = { 0 };

    options[TLS_CLIENT].min_version = version == TLS_VERSION_1_3 ? TLS_VERSION_1_3 : TLS_VERSION_1_2;
    options[TLS_CLIENT].max_version = version;
    struct credentials *credentials[2] = { load(fixture, &options[0]), load(fixture, &options[1]) };
    assert_true(talk(credentials[TLS_CLIENT], credentials[TLS_SERVER], server_name, &client, &server));
    assert_int_equal(SSL_version(client.ssl), version == TLS_VERSION_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    assert_string_equal(client.check.identity->cn, "localhost");
    assert_string_equal(server.check.identity->cn, "client");
    assert_true(SSL_CIPHER_is_aead(SSL_get_current_cipher(client.ssl)));
    end_finish(&client);
    end_finish(&server);
    credentials_release(credentials[0]);
    credentials_release(credentials[1]);
}

static void test_both_ends_are_verified(void **state)
{
    check_mutual(*state, TLS_VERSION_1_3, "localhost");
    check_mutual(*state, TLS_VERSION_1_2, "localhost");
    check_mutual(*state, TLS_VERSION_1_3, "127.0.0.1");
    check_mutual(*state, TLS_VERSION_1_2, "::1");
    check_mutual(*state, TLS_VERSION_1_3, "localhost.");
}

static void check_key_type(struct fixture *fixture, EVP_PKEY *key)
{
    char cert[PKI_PATH_BYTES], key_file[PKI_PATH_BYTES];
    struct pki_pair pair = pki_issue_for(
        key, &(struct pki_profile) { .alternatives = { { GEN_DNS, "server", 0 } } }, &fixture->pki_ca);
    struct end client = { 0 }, server = { 0 };

    pki_write_certificates(fixture->directory, "typed.crt.pem", &pair.certificate, 1, cert);
    pki_write_key(fixture->directory, "typed.key.pem", key, key_file);
    for (int max = TLS_VERSION_1_2; max <= TLS_VERSION_1_3; max++) {
        struct credentials_options options = options_for(fixture, TLS_CLIENT);
        options.max_version = (enum tls_version)max;
        options.cert_file = cert;
        options.key_file = key_file;
        struct credentials *client_set = load(fixture, &options);
        options.role = TLS_SERVER;
        struct credentials *server_set = load(fixture, &options);
        assert_true(talk(client_set, server_set, "server", &client, &server));
        assert_string_equal(server.check.identity->dns.values[0], "server");
        end_finish(&client);
        end_finish(&server);
        credentials_release(client_set);
        credentials_release(server_set);
    }
    pki_pair_free(&pair);
}

static void test_every_kind_of_strong_key_works(void **state)
{
    static const uint8_t seed[32] = { 7 };

    check_key_type(*state, pki_rsa_key_new(2048));
    check_key_type(*state, pki_ec_key_new(NID_secp384r1));
    check_key_type(*state, pki_ec_key_new(NID_secp521r1));
    check_key_type(*state, EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof seed));
}

static void test_sni_is_the_name_without_its_final_dot_and_never_an_address(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options = options_for(fixture, TLS_CLIENT);
    struct credentials *credentials = load(fixture, &options);
    static const char *const names[][2] = {
        { "localhost", "localhost" }, { "localhost.", "localhost" }, { "127.0.0.1", NULL }, { "::1", NULL }
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct end end = { 0 };
        end_start(&end, credentials, names[i][0]);
        const char *sni = SSL_get_servername(end.ssl, TLSEXT_NAMETYPE_host_name);
        assert_int_equal(sni != NULL, names[i][1] != NULL);
        if (sni)
            assert_string_equal(sni, names[i][1]);
        end_finish(&end);
    }
    credentials_release(credentials);
}

static void test_a_wrong_name_is_refused_with_an_alert(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options[2] = { options_for(fixture, TLS_CLIENT),
                                              options_for(fixture, TLS_SERVER) };
    struct credentials *client_set = load(fixture, &options[0]), *server_set = load(fixture, &options[1]);
    struct end client = { 0 }, server = { 0 };

    assert_false(talk(client_set, server_set, "elsewhere", &client, &server));
    assert_int_equal(client.check.reason, END_CERTIFICATE_NAME);
    assert_string_equal(
        client.check.detail,
        "certificate CN=localhost,O=husk is not for elsewhere, but for: localhost, 127.0.0.1, ::1");
    assert_int_equal(server.error, SSL_R_SSLV3_ALERT_BAD_CERTIFICATE);
    end_finish(&client);
    end_finish(&server);
    credentials_release(client_set);
    credentials_release(server_set);
}

static void test_the_policy_refuses_with_access_denied(void **state)
{
    struct fixture *fixture = *state;
    struct peer_policy policy = { 0 };
    struct fault fault;
    struct credentials_options options[2] = { options_for(fixture, TLS_CLIENT),
                                              options_for(fixture, TLS_SERVER) };
    struct end client = { 0 }, server = { 0 };

    assert_true(peer_policy_add(&policy, PEER_RULE_CN, "somebody", &fault));
    options[TLS_SERVER].policy = &policy;
    for (int max = TLS_VERSION_1_2; max <= TLS_VERSION_1_3; max++) {
        options[TLS_CLIENT].max_version = (enum tls_version)max;
        struct credentials *client_set = load(fixture, &options[0]), *server_set = load(fixture, &options[1]);
        assert_false(talk(client_set, server_set, "localhost", &client, &server));
        assert_int_equal(server.check.reason, END_NOT_ALLOWED);
        assert_string_equal(
            server.check.detail,
            "no --allow-* setting admits a name of the certificate: cn:client, o:husk, dns:client");
        assert_int_equal(client.error, SSL_R_TLSV1_ALERT_ACCESS_DENIED);
        end_finish(&client);
        end_finish(&server);
        credentials_release(client_set);
        credentials_release(server_set);
    }
    peer_policy_deinit(&policy);
}

/* A client with options that husk does not use: `pair` may be empty. */
static void strange_client_start(struct end *client, struct pki_pair *pair)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_method());

    if (pair)
        assert_true(SSL_CTX_use_certificate(tls, pair->certificate) &&
                    SSL_CTX_use_PrivateKey(tls, pair->key));
    client->ssl = SSL_new(tls);
    SSL_set_connect_state(client->ssl);
    SSL_CTX_free(tls);
}

static void test_an_expired_client_is_refused_in_the_handshake(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options = options_for(fixture, TLS_SERVER);
    struct credentials *server_set = load(fixture, &options);
    struct pki_pair pair = pki_issue(&(struct pki_profile) { .subject = { { NID_commonName, "old", 0 } },
                                                             .not_before = PKI_YEAR_2000 - 1,
                                                             .not_after = PKI_YEAR_2000 },
                                     &fixture->pki_ca);
    struct end client = { 0 }, server = { 0 };

    strange_client_start(&client, &pair);
    end_start(&server, server_set, NULL);
    assert_false(ends_talk(&client, &server));
    assert_int_equal(server.check.reason, END_CERTIFICATE_EXPIRED);
    assert_string_equal(server.check.detail, "certificate CN=old expired at 2000-01-01T00:00:00Z");
    end_finish(&client);
    end_finish(&server);
    pki_pair_free(&pair);
    credentials_release(server_set);
}

static void test_a_client_without_certificate_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options = options_for(fixture, TLS_SERVER);
    struct credentials *server_set = load(fixture, &options);
    struct end client = { 0 }, server = { 0 };

    strange_client_start(&client, NULL);
    end_start(&server, server_set, NULL);
    assert_false(ends_talk(&client, &server));
    assert_null(server.check.identity);
    assert_int_equal(server.error, SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE);
    end_finish(&client);
    end_finish(&server);
    credentials_release(server_set);
}

static int on_certificate_asked(SSL *ssl, void *names)
{
    const STACK_OF(X509_NAME) *cas = SSL_get_client_CA_list(ssl);

    if (sk_X509_NAME_num(cas) == 1)
        X509_NAME_oneline(sk_X509_NAME_value(cas, 0), names, 64);
    return 1;
}

static void test_a_server_sends_the_names_of_its_cas(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options = options_for(fixture, TLS_SERVER);
    struct credentials *server_set = load(fixture, &options);
    struct end client = { 0 }, server = { 0 };
    char names[64] = "";

    strange_client_start(&client, NULL);
    SSL_set_cert_cb(client.ssl, on_certificate_asked, names);
    end_start(&server, server_set, NULL);
    assert_false(ends_talk(&client, &server));
    assert_string_equal(names, "/O=husk/CN=husk development CA");
    end_finish(&client);
    end_finish(&server);
    credentials_release(server_set);
}

static int on_certificate_asked_count(SSL *ssl, void *count)
{
    *(size_t *)count = sk_X509_NAME_num(SSL_get_client_CA_list(ssl));
    return 1;
}

/* Writes a bundle of `count` CAs with long names, ours among them; returns the length of each name. */
static size_t write_long_named_cas(struct fixture *fixture, size_t count, char path[PKI_PATH_BYTES])
{
    X509 *cas[400] = { fixture->pki_ca.certificate };
    EVP_PKEY *key = pki_key_new();
    char cn[200];

    assert_in_range(count, 2, 400);
    for (size_t i = 1; i < count; i++) {
        snprintf(cn, sizeof cn, "%0*zu", (int)sizeof cn - 1, i);
        EVP_PKEY_up_ref(key);
        struct pki_pair ca = pki_issue_for(
            key, &(struct pki_profile) { .subject = { { NID_commonName, cn, 0 } }, .is_ca = 1 }, NULL);
        cas[i] = ca.certificate;
        EVP_PKEY_free(ca.key);
    }
    pki_write_certificates(fixture->directory, "cas.pem", cas, count, path);
    int name_bytes = i2d_X509_NAME(X509_get_subject_name(cas[1]), NULL);
    while (--count)
        X509_free(cas[count]);
    EVP_PKEY_free(key);
    return (size_t)name_bytes;
}

/* The CA names that a client of either version receives from a server that trusts `count` CAs. */
static void check_ca_names_told(struct fixture *fixture, size_t count, size_t told)
{
    struct credentials_options options[2] = { options_for(fixture, TLS_CLIENT),
                                              options_for(fixture, TLS_SERVER) };
    char path[PKI_PATH_BYTES];

    write_long_named_cas(fixture, count, path);
    options[TLS_SERVER].ca_file = path;
    struct credentials *server_set = load(fixture, &options[TLS_SERVER]);
    for (int max = TLS_VERSION_1_2; max <= TLS_VERSION_1_3; max++) {
        struct end client = { 0 }, server = { 0 };
        size_t names = 0;
        options[TLS_CLIENT].max_version = (enum tls_version)max;
        struct credentials *client_set = load(fixture, &options[TLS_CLIENT]);
        end_start(&client, client_set, "localhost");
        SSL_set_cert_cb(client.ssl, on_certificate_asked_count, &names);
        end_start(&server, server_set, NULL);
        assert_true(ends_talk(&client, &server));
        assert_int_equal(names, told);
        end_finish(&client);
        end_finish(&server);
        credentials_release(client_set);
    }
    credentials_release(server_set);
}

static void test_names_of_too_many_cas_are_not_sent(void **state)
{
    struct fixture *fixture = *state;
    char path[PKI_PATH_BYTES];
    size_t own = (size_t)i2d_X509_NAME(X509_get_subject_name(fixture->pki_ca.certificate), NULL);
    size_t each = write_long_named_cas(fixture, 2, path);
    size_t most = (16384 - own) / each + 1;

    check_ca_names_told(fixture, most, most);
    assert_log(fixture, NULL, NULL);
    check_ca_names_told(fixture, most + 1, 0);
    assert_log(fixture, "clients are not told the names of its", path);
    assert_int_equal(truncate(fixture->log_path, 0), 0);
    check_ca_names_told(fixture, 350, 0);
    assert_log(fixture, "350 CAs", path);
}

/* ---- long chains ---- */

/* A client that sends its certificate and, behind it, another of about `bytes`. */
static struct credentials *long_chain_client_start(struct fixture *fixture, struct end *client, size_t bytes)
{
    struct credentials_options options = options_for(fixture, TLS_CLIENT);
    char *name = malloc(bytes + 1);

    memset(name, 'n', bytes);
    name[bytes] = '\0';
    struct pki_pair extra =
        pki_issue(&(struct pki_profile) { .alternatives = { { GEN_DNS, name, 0 } } }, &fixture->pki_ca);
    struct credentials *client_set = load(fixture, &options);
    end_start(client, client_set, "localhost");
    credentials_on_new_session(client_set, on_new_session);
    assert_true(SSL_add1_chain_cert(client->ssl, extra.certificate));
    pki_pair_free(&extra);
    free(name);
    return client_set;
}

enum long_chain_fate { IS_RESUMABLE, IS_ACCEPTED, IS_REFUSED };

static void check_long_chain(struct fixture *fixture, enum tls_version version, size_t bytes,
                             enum long_chain_fate fate)
{
    struct credentials_options options = options_for(fixture, TLS_SERVER);
    struct end client = { 0 }, server = { 0 };

    options.max_version = version;
    struct credentials *server_set = load(fixture, &options);
    struct credentials *client_set = long_chain_client_start(fixture, &client, bytes);
    end_start(&server, server_set, NULL);
    assert_int_equal(ends_talk(&client, &server), fate != IS_REFUSED);
    assert_int_equal(client.session != NULL, fate == IS_RESUMABLE);
    assert_int_equal(server.error, fate == IS_REFUSED ? SSL_R_EXCESSIVE_MESSAGE_SIZE : 0);
    end_finish(&client);
    end_finish(&server);
    credentials_release(client_set);
    credentials_release(server_set);
}

static void test_a_chain_that_is_too_long_is_refused(void **state)
{
    check_long_chain(*state, TLS_VERSION_1_3, 14 * 1024, IS_RESUMABLE);
    check_long_chain(*state, TLS_VERSION_1_3, 15 * 1024,
                     IS_ACCEPTED); /* the encoding of the name adds more bytes */
    check_long_chain(*state, TLS_VERSION_1_3, 31 * 1024, IS_ACCEPTED);
    check_long_chain(*state, TLS_VERSION_1_3, 32 * 1024, IS_REFUSED);
    check_long_chain(*state, TLS_VERSION_1_2, 31 * 1024, IS_RESUMABLE);
    check_long_chain(*state, TLS_VERSION_1_2, 32 * 1024, IS_REFUSED);
}

#ifdef SSL_GROUP_X25519_MLKEM768
static void test_the_post_quantum_group_is_preferred(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options[2] = { options_for(fixture, TLS_CLIENT),
                                              options_for(fixture, TLS_SERVER) };
    struct credentials *client_set = load(fixture, &options[0]), *server_set = load(fixture, &options[1]);
    struct end client = { 0 }, server = { 0 };

    assert_true(talk(client_set, server_set, "localhost", &client, &server));
    assert_int_equal(SSL_get_group_id(client.ssl), SSL_GROUP_X25519_MLKEM768);
    end_finish(&client);
    end_finish(&server);
    credentials_release(client_set);
    credentials_release(server_set);
}
#endif

/* ---- resumption ---- */

/* Two sets and a session to resume between them. */
struct resumption {
    struct credentials *client_set, *server_set;
    struct end client, server;
    SSL_SESSION *session;
};

static void resumption_start(struct resumption *resumption, struct fixture *fixture,
                             enum tls_version max_version, const struct peer_policy *policy)
{
    struct credentials_options client = options_for(fixture, TLS_CLIENT);
    struct credentials_options server = options_for(fixture, TLS_SERVER);

    *resumption = (struct resumption) { 0 };
    client.max_version = max_version;
    server.policy = policy;
    resumption->client_set = load(fixture, &client);
    resumption->server_set = load(fixture, &server);
    credentials_on_new_session(resumption->client_set, on_new_session);
    assert_true(talk(resumption->client_set, resumption->server_set, "localhost", &resumption->client,
                     &resumption->server));
    assert_false(SSL_session_reused(resumption->client.ssl));
    assert_non_null(resumption->client.session);
    resumption->session = resumption->client.session;
    resumption->client.session = NULL;
    end_finish(&resumption->client);
    end_finish(&resumption->server);
}

static bool resume(struct resumption *resumption, const char *server_name)
{
    end_start(&resumption->client, resumption->client_set, server_name);
    end_start(&resumption->server, resumption->server_set, NULL);
    SSL_set_session(resumption->client.ssl, resumption->session);
    return ends_talk(&resumption->client, &resumption->server);
}

static void resumption_finish(struct resumption *resumption)
{
    end_finish(&resumption->client);
    end_finish(&resumption->server);
    SSL_SESSION_free(resumption->session);
    credentials_release(resumption->client_set);
    credentials_release(resumption->server_set);
}

static void test_a_resumed_session_is_checked_on_both_ends(void **state)
{
    struct resumption resumption;

    for (int max = TLS_VERSION_1_2; max <= TLS_VERSION_1_3; max++) {
        resumption_start(&resumption, *state, (enum tls_version)max, NULL);
        assert_true(resume(&resumption, "localhost"));
        assert_true(SSL_session_reused(resumption.client.ssl));
        assert_non_null(resumption.client.check.identity);
        assert_null(resumption.server.check.identity);
        assert_true(
            credentials_recheck_peer(resumption.server_set, resumption.server.ssl, &resumption.server.check));
        assert_string_equal(resumption.server.check.identity->cn, "client");
        resumption_finish(&resumption);
    }
}

static void test_a_client_does_not_resume_with_another_name(void **state)
{
    struct resumption resumption;

    for (int max = TLS_VERSION_1_2; max <= TLS_VERSION_1_3; max++) {
        resumption_start(&resumption, *state, (enum tls_version)max, NULL);
        assert_false(resume(&resumption, "elsewhere"));
        assert_int_equal(resumption.client.check.reason, END_CERTIFICATE_NAME);
        resumption_finish(&resumption);
    }
}

static void test_a_server_does_not_resume_a_client_that_is_no_longer_allowed(void **state)
{
    struct resumption resumption;
    struct peer_policy policy = { 0 };
    struct fault fault;

    assert_true(peer_policy_add(&policy, PEER_RULE_DNS, "client", &fault));
    resumption_start(&resumption, *state, TLS_VERSION_1_3, &policy);
    policy.rules[0].value[0] = 'C'; /* still the same name */
    assert_true(resume(&resumption, "localhost"));
    assert_true(
        credentials_recheck_peer(resumption.server_set, resumption.server.ssl, &resumption.server.check));
    policy.rules[0].value[0] = 'x';
    assert_false(
        credentials_recheck_peer(resumption.server_set, resumption.server.ssl, &resumption.server.check));
    assert_int_equal(resumption.server.check.reason, END_NOT_ALLOWED);
    resumption_finish(&resumption);
    peer_policy_deinit(&policy);
}

static void test_a_new_set_does_not_resume_an_old_sets_sessions(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options server = options_for(fixture, TLS_SERVER);
    struct resumption resumption;

    resumption_start(&resumption, fixture, TLS_VERSION_1_3, NULL);
    credentials_release(resumption.server_set);
    resumption.server_set = load(fixture, &server);
    assert_true(resume(&resumption, "localhost"));
    assert_false(SSL_session_reused(resumption.client.ssl));
    resumption_finish(&resumption);
}

/* ---- the set ---- */

static void *share_and_release(void *argument)
{
    for (int i = 0; i < 1000; i++)
        credentials_release(credentials_share(argument));
    return NULL;
}

static void test_a_set_is_shared_between_threads(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options = options_for(fixture, TLS_CLIENT);
    struct credentials *credentials = load(fixture, &options);
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, share_and_release, credentials), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_ptr_equal(credentials_share(credentials), credentials);
    credentials_release(credentials);
    credentials_release(credentials);
    credentials_release(NULL);
}

static void test_the_end_of_validity_is_known(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options = options_for(fixture, TLS_CLIENT);
    struct credentials *credentials = load(fixture, &options);
    int64_t ca_end = certificate_not_after(fixture->pki_ca.certificate);

    struct validity validity = credentials_validity(credentials);
    assert_int_equal(ca_end - validity.leaf, 10 * 365 * 86400);
    assert_int_equal(validity.intermediates, 0);
    assert_int_equal(validity.first_ca, ca_end);
    assert_int_equal(validity.last_ca, ca_end);
    credentials_release(credentials);
}

/* ---- what is wrong with the files ---- */

static void test_faults_name_missing_files(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options = options_for(fixture, TLS_CLIENT);

    options.cert_file = "/nonexistent.crt";
    assert_fault(fixture, &options, "certificates: %s: No such file or directory", "/nonexistent.crt");
    options.cert_file = fixture->cert[TLS_CLIENT];
    options.key_file = "/nonexistent.key";
    assert_fault(fixture, &options, "private key: %s: No such file or directory", "/nonexistent.key");
    options.key_file = fixture->key[TLS_CLIENT];
    options.ca_file = "/";
    assert_fault(fixture, &options, "certificates: %s: it is a directory, not a regular file", "/");
}

/* To open or read one would wait for a writer for ever. */
static void test_faults_name_files_that_are_pipes(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options = options_for(fixture, TLS_CLIENT);
    char path[PKI_PATH_BYTES];

    snprintf(path, sizeof path, "%.100s/pipe", fixture->directory);
    assert_int_equal(mkfifo(path, 0600), 0);
    options.cert_file = path;
    assert_fault(fixture, &options, "certificates: %s: it is a device, socket or pipe, not a regular file",
                 path);
    options = options_for(fixture, TLS_CLIENT);
    options.key_file = path;
    assert_fault(fixture, &options, "private key: %s: it is a device, socket or pipe, not a regular file",
                 path);
    assert_int_equal(unlink(path), 0);
}

static void test_faults_name_files_with_missing_contents(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options = options_for(fixture, TLS_CLIENT);
    char empty[PKI_PATH_BYTES];

    pki_write(fixture->directory, "empty.pem", "", empty);
    options.cert_file = empty;
    assert_fault(fixture, &options, "%s: holds no certificate in PEM form", empty);
    options = options_for(fixture, TLS_CLIENT);
    options.ca_file = empty;
    assert_fault(fixture, &options, "%s: holds no certificate in PEM form", empty);
    options = options_for(fixture, TLS_CLIENT);
    options.key_file = empty;
    assert_fault(fixture, &options, "%s: holds no private key in PEM form", empty);
    options.key_file = fixture->cert[TLS_CLIENT];
    assert_fault(fixture, &options,
                 "%s: holds a certificate and no private key: were the files of certificate and key swapped?",
                 fixture->cert[TLS_CLIENT]);
}

static void test_faults_name_damaged_files(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options = options_for(fixture, TLS_CLIENT);
    char path[PKI_PATH_BYTES];
    struct fault fault;

    pki_write(fixture->directory, "damaged.pem",
              "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", path);
    options.cert_file = path;
    assert_null(credentials_load(&options, &fixture->log, &fault));
    assert_memory_equal(fault.text, path, strlen(path));
    assert_non_null(strstr(fault.text, ": line 1: the certificate cannot be read: "));
    options = options_for(fixture, TLS_CLIENT);
    pki_write(fixture->directory, "damaged.pem",
              "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n", path);
    options.key_file = path;
    assert_null(credentials_load(&options, &fixture->log, &fault));
    assert_memory_equal(fault.text, path, strlen(path));
    assert_non_null(strstr(fault.text, ": line 1: the private key cannot be read: "));
}

static char *file_text(const char *path)
{
    char *text = calloc(1, 16 * 1024);
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    assert_true(fread(text, 1, 16 * 1024 - 1, file) > 0);
    fclose(file);
    return text;
}

/* Each line behind `prefix` and before `ending`. */
static char *decorated(const char *text, const char *prefix, const char *ending)
{
    char *result = calloc(1, 32 * 1024), *to = result;

    for (const char *end; (end = strchr(text, '\n')); text = end + 1)
        to += sprintf(to, "%s%.*s%s", prefix, (int)(end - text), text, ending);
    return result;
}

static void test_certificates_and_keys_are_read_in_spite_of_their_surroundings(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options = options_for(fixture, TLS_CLIENT);
    static const char *const forms[][2] = {
        { "  ", "\n" }, { "", "\r\n" }, { "\t", " \r" }, { "\xef\xbb\xbf", "\n" }
    };
    const char *sources[] = { options.cert_file, options.key_file, options.ca_file };
    char paths[3][PKI_PATH_BYTES];

    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        for (int j = 0; j < 3; j++) {
            char *text = file_text(sources[j]), *changed = decorated(text, forms[i][0], forms[i][1]);
            pki_write(fixture->directory, (const char *[]) { "cert", "key", "ca" }[j], changed, paths[j]);
            free(changed);
            free(text);
        }
        options.cert_file = paths[0];
        options.key_file = paths[1];
        options.ca_file = paths[2];
        credentials_release(load(fixture, &options));
    }
}

static void test_one_file_may_contain_certificate_and_key(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options = options_for(fixture, TLS_CLIENT);
    char *cert = file_text(options.cert_file), *key = file_text(options.key_file), path[PKI_PATH_BYTES];
    char *both = malloc(40 * 1024);

    sprintf(both, "%s-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n%s", key,
            cert);
    options.cert_file = options.key_file = pki_write(fixture->directory, "both.pem", both, path);
    credentials_release(load(fixture, &options));
    options.ca_file = path;
    assert_fault(fixture, &options, "%s: line 1: a block \"PRIVATE KEY\" does not belong in this file", path);
    options = options_for(fixture, TLS_CLIENT);
    sprintf(both, "%s%s", key, key);
    options.key_file = pki_write(fixture->directory, "both.pem", both, path);
    assert_fault(fixture, &options, "%s: line 6: a second private key, after that of line 1", path);
    free(both);
    free(cert);
    free(key);
}

static void test_blocks_that_husk_does_not_use_are_refused(void **state)
{
    struct fixture *fixture = *state;
    static const char *const labels[] = { "X509 CRL", "TRUSTED CERTIFICATE", "PKCS7" };
    static const char *const hints[] = { "; a revocation list belongs in a file of --crl, or in the CA file",
                                         "; \"openssl x509\" converts it to a CERTIFICATE", "" };
    char path[PKI_PATH_BYTES], text[20 * 1024], format[FAULT_TEXT_BYTES];

    for (int i = 0; i < 9; i++) {
        struct credentials_options options = options_for(fixture, TLS_CLIENT);
        const char **file = i % 3 == 0   ? &options.cert_file
                            : i % 3 == 1 ? &options.key_file
                                         : &options.ca_file;
        char *before = file_text(*file);
        snprintf(text, sizeof text, "-----BEGIN %s-----\nAAAA\n-----END %s-----\n%s", labels[i / 3],
                 labels[i / 3], before);
        *file = pki_write(fixture->directory, "odd.pem", text, path);
        snprintf(format, sizeof format, "%%s: line 1: a block \"%s\" does not belong in this file%s",
                 labels[i / 3], hints[i / 3]);
        if (i == 2) /* the CA file may contain lists */
            strcpy(format, "%s: line 1: the revocation list cannot be used: it is no revocation list in DER");
        assert_fault(fixture, &options, format, path);
        free(before);
    }
}

static void test_a_key_of_another_certificate_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options = options_for(fixture, TLS_CLIENT);
    char format[FAULT_TEXT_BYTES];

    options.key_file = fixture->key[TLS_SERVER];
    snprintf(format, sizeof format, "%%s: the private key does not match certificate CN=client,O=husk of %s",
             fixture->cert[TLS_CLIENT]);
    assert_fault(fixture, &options, format, fixture->key[TLS_SERVER]);
}

static void check_validity_fault(struct fixture *fixture, int64_t from, int64_t until, const char *format)
{
    struct credentials_options options = options_for(fixture, TLS_CLIENT);
    char path[PKI_PATH_BYTES];
    struct pki_pair pair = pki_issue(
        &(struct pki_profile) {
            .subject = { { NID_commonName, "me", 0 } }, .not_before = from, .not_after = until, .is_ca = 1 },
        NULL);

    pki_write_certificates(fixture->directory, "invalid.pem", &pair.certificate, 1, path);
    options.cert_file = path;
    assert_fault(fixture, &options, format, path);
    options = options_for(fixture, TLS_CLIENT);
    options.ca_file = path;
    char wrapped[FAULT_TEXT_BYTES];
    snprintf(wrapped, sizeof wrapped, "no CA is valid now: %s", format);
    assert_fault(fixture, &options, wrapped, path);
    pki_pair_free(&pair);
}

static void test_expired_and_future_certificates_are_refused(void **state)
{
    check_validity_fault(*state, PKI_YEAR_2000 - 1, PKI_YEAR_2000,
                         "%s: certificate CN=me expired at 2000-01-01T00:00:00Z");
    check_validity_fault(*state, PKI_YEAR_2099, PKI_YEAR_2099 + 1,
                         "%s: certificate CN=me is not valid before 2099-01-01T00:00:00Z");
}

static void test_an_expired_ca_beside_a_valid_one_is_accepted(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options = options_for(fixture, TLS_CLIENT);
    char path[PKI_PATH_BYTES];
    struct pki_pair old = pki_issue(
        &(struct pki_profile) { .not_before = PKI_YEAR_2000 - 1, .not_after = PKI_YEAR_2000, .is_ca = 1 },
        NULL);
    X509 *cas[] = { old.certificate, fixture->pki_ca.certificate, fixture->pki_ca.certificate };

    pki_write_certificates(fixture->directory, "cas.pem", cas, 3, path);
    options.ca_file = path;
    credentials_release(load(fixture, &options));
    pki_pair_free(&old);
}

static void test_a_ca_file_contains_only_cas(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options = options_for(fixture, TLS_SERVER);
    char path[PKI_PATH_BYTES];
    struct pki_pair leaf =
        pki_issue(&(struct pki_profile) { .subject = { { NID_commonName, "leaf", 0 } } }, NULL);
    X509 *cas[] = { fixture->pki_ca.certificate, leaf.certificate };

    options.ca_file = pki_write_certificates(fixture->directory, "cas.pem", cas, 2, path);
    assert_fault(fixture, &options, "%s: certificate CN=leaf is not a CA certificate", path);
    options.role = TLS_CLIENT;
    assert_fault(fixture, &options, "%s: certificate CN=leaf is not a CA certificate", path);
    pki_pair_free(&leaf);
}

/* Version 1 certificates have no extensions that could mark a CA. */
static void test_a_root_of_version_1_is_a_ca(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options = options_for(fixture, TLS_SERVER);
    char path[PKI_PATH_BYTES];
    struct pki_pair root = { .certificate = X509_new(), .key = pki_key_new() };
    X509_NAME *name = X509_get_subject_name(root.certificate);

    assert_true(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)"old", -1, -1, 0) &&
                X509_set_issuer_name(root.certificate, name) && X509_set_pubkey(root.certificate, root.key));
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(root.certificate), -60));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(root.certificate), 3600));
    assert_true(X509_sign(root.certificate, root.key, EVP_sha256()));
    assert_int_equal(X509_get_version(root.certificate), X509_VERSION_1);
    options.ca_file = pki_write_certificates(fixture->directory, "cas.pem", &root.certificate, 1, path);
    credentials_release(load(fixture, &options));
    pki_pair_free(&root);
}

static void test_a_chain_must_be_in_order(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options = options_for(fixture, TLS_CLIENT);
    char path[PKI_PATH_BYTES], key[PKI_PATH_BYTES];
    struct pki_pair root = pki_issue_ca("root");
    struct pki_pair middle = pki_issue(
        &(struct pki_profile) { .subject = { { NID_commonName, "middle", 0 } }, .is_ca = 1 }, &root);
    struct pki_pair leaf =
        pki_issue(&(struct pki_profile) { .subject = { { NID_commonName, "leaf", 0 } } }, &middle);
    X509 *good[] = { leaf.certificate, middle.certificate, root.certificate };
    X509 *gap[] = { leaf.certificate, root.certificate };
    X509 *reversed[] = { root.certificate, middle.certificate, leaf.certificate };

    options.cert_file = pki_write_certificates(fixture->directory, "chain.pem", good, 3, path);
    options.key_file = pki_write_key(fixture->directory, "leaf.key.pem", leaf.key, key);
    credentials_release(load(fixture, &options));
    pki_write_certificates(fixture->directory, "chain.pem", gap, 2, path);
    assert_fault(fixture, &options,
                 "%s: the chain is out of order: certificate 1 (CN=leaf) is issued by CN=middle, but not by "
                 "certificate 2 (CN=root)",
                 path);
    pki_write_certificates(fixture->directory, "chain.pem", reversed, 3, path);
    assert_fault(fixture, &options,
                 "%s: the chain is out of order: certificate 1 (CN=root) is issued by CN=root, but not by "
                 "certificate 2 (CN=middle)",
                 path);
    pki_pair_free(&leaf);
    pki_pair_free(&middle);
    pki_pair_free(&root);
}

/* An intermediate that two CAs signed, and its expired predecessor. */
static void test_a_chain_may_contain_versions_of_an_intermediate(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options = options_for(fixture, TLS_CLIENT);
    char path[PKI_PATH_BYTES], key[PKI_PATH_BYTES];
    struct pki_profile profile = { .subject = { { NID_commonName, "middle", 0 } }, .is_ca = 1 };
    struct pki_pair root = pki_issue_ca("root"), other = pki_issue_ca("other");
    struct pki_pair middle = pki_issue(&profile, &root), crossed = pki_issue_again(&middle, &profile, &other);
    struct pki_pair leaf =
        pki_issue(&(struct pki_profile) { .subject = { { NID_commonName, "leaf", 0 } } }, &middle);
    profile.not_before = PKI_YEAR_2000 - 1;
    profile.not_after = PKI_YEAR_2000;
    struct pki_pair old = pki_issue_again(&middle, &profile, &root);
    X509 *chain[] = { leaf.certificate,  middle.certificate, crossed.certificate,
                      other.certificate, root.certificate,   old.certificate };

    options.cert_file = pki_write_certificates(fixture->directory, "chain.pem", chain, 6, path);
    options.key_file = pki_write_key(fixture->directory, "leaf.key.pem", leaf.key, key);
    credentials_release(load(fixture, &options));
    chain[1] = old.certificate;
    pki_write_certificates(fixture->directory, "chain.pem", chain, 2, path);
    assert_fault(fixture, &options, "%s: certificate CN=middle expired at 2000-01-01T00:00:00Z", path);
    pki_pair_free(&old);
    pki_pair_free(&leaf);
    pki_pair_free(&crossed);
    pki_pair_free(&middle);
    pki_pair_free(&other);
    pki_pair_free(&root);
}

/* ---- keys and passphrases ---- */

/* Options of a client with the key `pem`, a certificate for it, and the passphrase in a file. */
static struct credentials_options options_for_key(struct fixture *fixture, const char *pem,
                                                  const char *passphrase, char paths[3][PKI_PATH_BYTES])
{
    struct credentials_options options = options_for(fixture, TLS_CLIENT);
    BIO *reader = BIO_new_mem_buf(KEY_FORM_PLAIN_KEY, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(reader, NULL, NULL, NULL);
    struct pki_pair pair = pki_issue_for(key, &(struct pki_profile) { 0 }, &fixture->pki_ca);

    options.cert_file =
        pki_write_certificates(fixture->directory, "form.crt.pem", &pair.certificate, 1, paths[0]);
    options.key_file = pki_write(fixture->directory, "form.key.pem", pem, paths[1]);
    if (passphrase)
        options.passphrase_file = pki_write(fixture->directory, "passphrase", passphrase, paths[2]);
    pki_pair_free(&pair);
    BIO_free(reader);
    return options;
}

static void test_reads_every_form_of_key(void **state)
{
    static const char *const forms[] = { KEY_FORM_PBES2_AES_SHA256, KEY_FORM_PBES2_3DES_SHA1,
                                         KEY_FORM_DEK_INFO_AES256, KEY_FORM_PLAIN_KEY };
    static const char *const passphrases[] = { KEY_FORMS_PASSPHRASE, KEY_FORMS_PASSPHRASE "\n",
                                               KEY_FORMS_PASSPHRASE "\r\nsecond line\n" };
    char paths[3][PKI_PATH_BYTES];

    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        for (size_t j = 0; j < 3; j++) {
            struct credentials_options options = options_for_key(*state, forms[i], passphrases[j], paths);
            credentials_release(load(*state, &options));
        }
    }
}

static void test_a_wrong_passphrase_has_its_own_fault(void **state)
{
    static const char *const forms[] = { KEY_FORM_PBES2_AES_SHA256, KEY_FORM_PBES2_3DES_SHA1,
                                         KEY_FORM_DEK_INFO_AES256 };
    char paths[3][PKI_PATH_BYTES], passphrase[16];

    /* Repeated until padding is right by chance and a later step fails. */
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        for (int j = 0; j < 300; j++) {
            snprintf(passphrase, sizeof passphrase, "wrong %d", j);
            struct credentials_options options = options_for_key(*state, forms[i], passphrase, paths);
            assert_fault(*state, &options, "%s: the passphrase does not decrypt the private key", paths[1]);
            if (i < 2 && j == 10)
                break; /* PBKDF2 is slow by design */
        }
    }
}

static void test_a_missing_passphrase_names_the_options(void **state)
{
    static const char *const forms[] = { KEY_FORM_PBES2_AES_SHA256, KEY_FORM_DEK_INFO_AES256 };
    char paths[3][PKI_PATH_BYTES];

    for (size_t i = 0; i < 2; i++) {
        struct credentials_options options = options_for_key(*state, forms[i], NULL, paths);
        assert_fault(*state, &options,
                     "%s: the private key is encrypted: give its passphrase with --key-passphrase-env or "
                     "--key-passphrase-file",
                     paths[1]);
    }
}

static void test_unsupported_encryption_has_its_own_fault(void **state)
{
    static const char *const forms[] = { KEY_FORM_PBES2_SHA512, KEY_FORM_PBES2_SCRYPT, KEY_FORM_PBES2_OFB,
                                         KEY_FORM_DEK_INFO_CAMELLIA };
    char paths[3][PKI_PATH_BYTES], expected[FAULT_TEXT_BYTES];

    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct credentials_options options = options_for_key(*state, forms[i], KEY_FORMS_PASSPHRASE, paths);
        snprintf(expected, sizeof expected,
                 "%s: the key's encryption is not supported; convert it with: openssl pkcs8 -topk8 -v2 "
                 "aes-256-cbc -v2prf hmacWithSHA256 -in %s -out NEW.key.pem",
                 paths[1], paths[1]);
        assert_fault(*state, &options, "%s", expected);
    }
}

static void test_passphrase_from_the_environment(void **state)
{
    char paths[3][PKI_PATH_BYTES];
    struct credentials_options options = options_for_key(*state, KEY_FORM_DEK_INFO_AES256, NULL, paths);

    options.passphrase_env = "HUSK_TEST_PASSPHRASE";
    unsetenv("HUSK_TEST_PASSPHRASE");
    assert_fault(*state, &options, "the key's passphrase: environment variable %s is not set",
                 "HUSK_TEST_PASSPHRASE");
    options.passphrase_env = "hunter2";
    assert_fault(*state, &options,
                 "the key's passphrase: no environment variable has this name: write the %s",
                 "name of a variable, not its value");
    setenv("hunter2", "", 1);
    assert_fault(*state, &options, "the key's passphrase: environment variable %s is empty", "hunter2");
    unsetenv("hunter2");
    options.passphrase_env = "HUSK_TEST_PASSPHRASE";
    setenv("HUSK_TEST_PASSPHRASE", "", 1);
    assert_fault(*state, &options, "the key's passphrase: environment variable %s is empty",
                 "HUSK_TEST_PASSPHRASE");
    setenv("HUSK_TEST_PASSPHRASE", KEY_FORMS_PASSPHRASE, 1);
    credentials_release(load(*state, &options));
    options.passphrase_file = paths[1];
    assert_fault(*state, &options,
                 "the key's passphrase: a variable and a file are given; give only one of the two%s", "");
    unsetenv("HUSK_TEST_PASSPHRASE");
}

static void test_faults_name_bad_passphrase_files(void **state)
{
    char paths[3][PKI_PATH_BYTES], large[1030];
    struct credentials_options options = options_for_key(*state, KEY_FORM_DEK_INFO_AES256, "\nlate\n", paths);

    assert_fault(*state, &options, "the key's passphrase: %s: the first line is empty", paths[2]);
    options = options_for_key(*state, KEY_FORM_DEK_INFO_AES256, "", paths);
    assert_fault(*state, &options, "the key's passphrase: %s: the first line is empty", paths[2]);
    memset(large, 'x', sizeof large);
    large[sizeof large - 1] = '\0';
    options = options_for_key(*state, KEY_FORM_DEK_INFO_AES256, large, paths);
    assert_fault(*state, &options, "the key's passphrase: %s: the first line is longer than 1024 bytes",
                 paths[2]);
    options.passphrase_file = "/nonexistent";
    assert_fault(*state, &options, "the key's passphrase: %s: No such file or directory", "/nonexistent");
}

/* ---- warnings ---- */

static void test_a_key_that_others_can_read_logs_a_warning(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options = options_for(fixture, TLS_CLIENT);
    static const mode_t modes[] = { 0440, 0604, 0644 };

    credentials_release(load(fixture, &options));
    assert_log(fixture, NULL, NULL);
    for (size_t i = 0; i < 3; i++) {
        char words[96];
        assert_int_equal(chmod(options.key_file, modes[i]), 0);
        credentials_release(load(fixture, &options));
        snprintf(words, sizeof words, "mode=%04o", (unsigned)modes[i]);
        assert_log(fixture, words, options.key_file);
        assert_int_equal(truncate(fixture->log_path, 0), 0);
    }
}

/* As in a mounted Secret with fsGroup: owned by root, mode 0440, readable through the group. Only root can
 * create such a file. */
static void test_a_key_of_another_owner_may_be_read_by_its_group(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options = options_for(fixture, TLS_CLIENT);

    if (geteuid() != 0)
        skip();
    assert_int_equal(chown(options.key_file, 65532, (gid_t)-1), 0);
    assert_int_equal(chmod(options.key_file, 0440), 0);
    credentials_release(load(fixture, &options));
    assert_log(fixture, NULL, NULL);
    assert_int_equal(chmod(options.key_file, 0444), 0);
    credentials_release(load(fixture, &options));
    assert_log(fixture, "mode=0444", options.key_file);
}

static void test_a_certificate_for_the_other_role_logs_a_warning(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options = options_for(fixture, TLS_SERVER);

    options.role = TLS_CLIENT;
    credentials_release(load(fixture, &options));
    assert_log(fixture, "the certificate is not meant for a TLS client", options.cert_file);
}

static void test_a_weak_certificate_of_ours_logs_a_warning(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options = options_for(fixture, TLS_CLIENT);
    char cert[PKI_PATH_BYTES], key[PKI_PATH_BYTES];
    struct pki_pair pair =
        pki_issue(&(struct pki_profile) { .subject = { { NID_commonName, "me", 0 } }, .digest = EVP_sha1() },
                  &fixture->pki_ca);

    options.cert_file = pki_write_certificates(fixture->directory, "weak.pem", &pair.certificate, 1, cert);
    options.key_file = pki_write_key(fixture->directory, "weak.key.pem", pair.key, key);
    credentials_release(load(fixture, &options));
    assert_log(fixture, "certificate CN=me is signed with ecdsa-with-SHA1, which is weak", options.cert_file);
    pki_pair_free(&pair);
}

static void test_a_weak_ca_logs_a_warning_but_not_for_its_signature(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options = options_for(fixture, TLS_CLIENT);
    struct pki_profile profile = { .subject = { { NID_commonName, "CA", 0 } },
                                   .is_ca = 1,
                                   .digest = EVP_sha1() };
    char path[PKI_PATH_BYTES];
    struct pki_pair strong = pki_issue(&profile, &fixture->pki_ca);
    struct pki_pair weak = pki_issue_for(pki_rsa_key_new(1024), &profile, NULL);

    options.ca_file = pki_write_certificates(fixture->directory, "ca.pem", &strong.certificate, 1, path);
    credentials_release(load(fixture, &options));
    assert_log(fixture, NULL, NULL);
    pki_write_certificates(fixture->directory, "ca.pem", &weak.certificate, 1, path);
    credentials_release(load(fixture, &options));
    assert_log(fixture, "certificate CN=CA has an RSA key of 1024 bits, which is weak", path);
    pki_pair_free(&strong);
    pki_pair_free(&weak);
}

static void test_accepting_weak_peers_logs_a_warning(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options = options_for(fixture, TLS_CLIENT);

    options.allow_weak = true;
    credentials_release(load(fixture, &options));
    assert_log(fixture, "--allow-weak-certificates", "can be forged");
}

#define EACH_WITH_ITS_OWN_FILES(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_WITH_ITS_OWN_FILES(test_both_ends_are_verified),
        EACH_WITH_ITS_OWN_FILES(test_every_kind_of_strong_key_works),
        EACH_WITH_ITS_OWN_FILES(test_sni_is_the_name_without_its_final_dot_and_never_an_address),
        EACH_WITH_ITS_OWN_FILES(test_a_wrong_name_is_refused_with_an_alert),
        EACH_WITH_ITS_OWN_FILES(test_the_policy_refuses_with_access_denied),
        EACH_WITH_ITS_OWN_FILES(test_an_expired_client_is_refused_in_the_handshake),
        EACH_WITH_ITS_OWN_FILES(test_a_client_without_certificate_is_refused),
        EACH_WITH_ITS_OWN_FILES(test_a_server_sends_the_names_of_its_cas),
        EACH_WITH_ITS_OWN_FILES(test_names_of_too_many_cas_are_not_sent),
        EACH_WITH_ITS_OWN_FILES(test_a_chain_that_is_too_long_is_refused),
#ifdef SSL_GROUP_X25519_MLKEM768
        EACH_WITH_ITS_OWN_FILES(test_the_post_quantum_group_is_preferred),
#endif
        EACH_WITH_ITS_OWN_FILES(test_a_resumed_session_is_checked_on_both_ends),
        EACH_WITH_ITS_OWN_FILES(test_a_client_does_not_resume_with_another_name),
        EACH_WITH_ITS_OWN_FILES(test_a_server_does_not_resume_a_client_that_is_no_longer_allowed),
        EACH_WITH_ITS_OWN_FILES(test_a_new_set_does_not_resume_an_old_sets_sessions),
        EACH_WITH_ITS_OWN_FILES(test_a_set_is_shared_between_threads),
        EACH_WITH_ITS_OWN_FILES(test_the_end_of_validity_is_known),
        EACH_WITH_ITS_OWN_FILES(test_faults_name_missing_files),
        EACH_WITH_ITS_OWN_FILES(test_faults_name_files_that_are_pipes),
        EACH_WITH_ITS_OWN_FILES(test_faults_name_files_with_missing_contents),
        EACH_WITH_ITS_OWN_FILES(test_faults_name_damaged_files),
        EACH_WITH_ITS_OWN_FILES(test_certificates_and_keys_are_read_in_spite_of_their_surroundings),
        EACH_WITH_ITS_OWN_FILES(test_one_file_may_contain_certificate_and_key),
        EACH_WITH_ITS_OWN_FILES(test_blocks_that_husk_does_not_use_are_refused),
        EACH_WITH_ITS_OWN_FILES(test_a_key_of_another_certificate_is_refused),
        EACH_WITH_ITS_OWN_FILES(test_expired_and_future_certificates_are_refused),
        EACH_WITH_ITS_OWN_FILES(test_an_expired_ca_beside_a_valid_one_is_accepted),
        EACH_WITH_ITS_OWN_FILES(test_a_ca_file_contains_only_cas),
        EACH_WITH_ITS_OWN_FILES(test_a_root_of_version_1_is_a_ca),
        EACH_WITH_ITS_OWN_FILES(test_a_chain_must_be_in_order),
        EACH_WITH_ITS_OWN_FILES(test_a_chain_may_contain_versions_of_an_intermediate),
        EACH_WITH_ITS_OWN_FILES(test_reads_every_form_of_key),
        EACH_WITH_ITS_OWN_FILES(test_a_wrong_passphrase_has_its_own_fault),
        EACH_WITH_ITS_OWN_FILES(test_a_missing_passphrase_names_the_options),
        EACH_WITH_ITS_OWN_FILES(test_unsupported_encryption_has_its_own_fault),
        EACH_WITH_ITS_OWN_FILES(test_passphrase_from_the_environment),
        EACH_WITH_ITS_OWN_FILES(test_faults_name_bad_passphrase_files),
        EACH_WITH_ITS_OWN_FILES(test_a_key_that_others_can_read_logs_a_warning),
        EACH_WITH_ITS_OWN_FILES(test_a_key_of_another_owner_may_be_read_by_its_group),
        EACH_WITH_ITS_OWN_FILES(test_a_certificate_for_the_other_role_logs_a_warning),
        EACH_WITH_ITS_OWN_FILES(test_a_weak_certificate_of_ours_logs_a_warning),
        EACH_WITH_ITS_OWN_FILES(test_a_weak_ca_logs_a_warning_but_not_for_its_signature),
        EACH_WITH_ITS_OWN_FILES(test_accepting_weak_peers_logs_a_warning),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
