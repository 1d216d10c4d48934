/* proxy/trust/ticket_keys.c */
#include "trust/ticket_keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/base64.h>
#include <openssl/cipher.h>
#include <openssl/hmac.h>

enum { TEXT_BYTES = 5000 };

static char path[] = "/tmp/husk-ticket-keys-XXXXXX";

static int open_file(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    return fd < 0 || close(fd) != 0;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void file_write(const void *bytes, size_t length)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

/* A key whose bytes are all `letter`, with bit 7 set. */
static void key_make(uint8_t key[80], char letter)
{
    memset(key, 0x80 | letter, 80);
}

static void key_line(char *to, char letter, size_t length, const char *end)
{
    uint8_t key[80], line[120];

    key_make(key, letter);
    EVP_EncodeBlock(line, key, length);
    strcat(to, (const char *)line);
    strcat(to, end);
}

static struct ticket_keys *load(const void *bytes, size_t length)
{
    struct fault fault = { .text = "" };

    file_write(bytes, length);
    struct ticket_keys *keys = ticket_keys_load(path, &fault);
    if (!keys)
        print_error("%s\n", fault.text);
    return keys;
}

static void expect_fault(const void *bytes, size_t length, const char *expected)
{
    struct fault fault;
    char whole[600];

    file_write(bytes, length);
    assert_null(ticket_keys_load(path, &fault));
    snprintf(whole, sizeof whole, "%s: %s", path, expected);
    assert_string_equal(fault.text, whole);
}

static void bytes_and_lines_are_read(void **state)
{
    static const struct {
        size_t bytes, keys;
    } files[] = { { 48, 1 }, { 80, 1 }, { 160, 2 }, { 240, 3 }, { 16 * 80, 16 } };
    uint8_t bytes[16 * 80];
    char text[TEXT_BYTES] = "\n";

    (void)state;
    for (int i = 0; i < 16; i++)
        key_make(bytes + i * 80, (char)('a' + i));
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct ticket_keys *keys = load(bytes, files[i].bytes);
        assert_non_null(keys);
        assert_int_equal(ticket_keys_count(keys), files[i].keys);
        ticket_keys_free(keys);
    }
    key_line(text, 'a', 48, "\r\n\n  ");
    key_line(text, 'b', 80, "\t\n");
    key_line(text, 'c', 48, "");
    struct ticket_keys *keys = load(text, strlen(text));
    assert_non_null(keys);
    assert_int_equal(ticket_keys_count(keys), 3);
    ticket_keys_free(keys);
}

static void sixteen_keys_are_taken(void **state)
{
    uint8_t bytes[TICKET_KEYS_MAX * 80];
    char text[TEXT_BYTES] = "";

    (void)state;
    for (int i = 0; i < TICKET_KEYS_MAX; i++) {
        key_make(bytes + i * 80, (char)('a' + i));
        key_line(text, (char)('a' + i), 80, "\n");
    }
    for (int form = 0; form < 2; form++) {
        struct ticket_keys *keys = form ? load(text, strlen(text)) : load(bytes, sizeof bytes);
        assert_non_null(keys);
        assert_int_equal(ticket_keys_count(keys), 16);
        ticket_keys_free(keys);
    }
}

#define EXPECTED "expected keys of 80 bytes, one key of 48 bytes, or a key in base64 on each line"

static void another_file_is_refused(void **state)
{
    uint8_t bytes[17 * 80];
    char text[TEXT_BYTES] = "";

    (void)state;
    for (int i = 0; i < 17; i++)
        key_make(bytes + i * 80, (char)('a' + i));
    expect_fault("", 0, "has no ticket key: " EXPECTED);
    expect_fault(" \n", 2, "has no ticket key: " EXPECTED);
    expect_fault(bytes, 47, "has 47 bytes: " EXPECTED ", at most 16 keys");
    expect_fault(bytes, 96, "has 96 bytes: " EXPECTED ", at most 16 keys");
    expect_fault(bytes, sizeof bytes, "has 1360 bytes: " EXPECTED ", at most 16 keys");
    expect_fault("secret\n", 7, "line 1: is not a ticket key: " EXPECTED);
    key_line(text, 'a', 48, "\n");
    key_line(text, 'b', 32, "\n");
    expect_fault(text, strlen(text), "line 2: is not a ticket key: " EXPECTED);
    text[0] = '\0';
    key_line(text, 'a', 48, " ");
    key_line(text, 'b', 48, "\n");
    expect_fault(text, strlen(text), "line 1: is not a ticket key: " EXPECTED);
    text[0] = '\0';
    for (int i = 0; i < 17; i++)
        key_line(text, (char)('a' + i), 48, "\n");
    expect_fault(text, strlen(text), "line 17: more than 16 keys");
    memset(text, '\n', sizeof text);
    expect_fault(text, sizeof text, "has more than 4096 bytes: " EXPECTED);
    key_make(bytes + 80, 'a');
    expect_fault(bytes, 160, "keys 1 and 2 have the same name, which is their first 16 bytes");
    assert_int_equal(unlink(path), 0);
    struct fault fault;
    assert_null(ticket_keys_load(path, &fault));
    assert_non_null(strstr(fault.text, path));
    file_write("", 0);
}

/* A ticket: what BoringSSL does around the callback. */
struct ticket {
    uint8_t name[TICKET_KEY_NAME_BYTES], iv[16], mac[32], sealed[32];
    unsigned mac_length;
};

static const uint8_t content[16] = "what is secret";

static int ticket_seal(const struct ticket_keys *keys, struct ticket *ticket)
{
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    HMAC_CTX *hmac = HMAC_CTX_new();
    int length = 0;
    int result =
        ticket_keys_encrypt(keys, &(struct ticket_cipher) { ticket->name, ticket->iv, cipher, hmac });

    assert_int_equal(EVP_EncryptUpdate(cipher, ticket->sealed, &length, content, sizeof content), 1);
    assert_int_equal(HMAC_Update(hmac, ticket->sealed, sizeof content), 1);
    assert_int_equal(HMAC_Final(hmac, ticket->mac, &ticket->mac_length), 1);
    EVP_CIPHER_CTX_free(cipher);
    HMAC_CTX_free(hmac);
    return result;
}

/* Also checks that the ticket is the one that was sealed. */
static int ticket_open(const struct ticket_keys *keys, struct ticket *ticket)
{
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    HMAC_CTX *hmac = HMAC_CTX_new();
    uint8_t opened[48], mac[32];
    int length = 0;
    unsigned mac_length = 0;
    int result =
        ticket_keys_decrypt(keys, &(struct ticket_cipher) { ticket->name, ticket->iv, cipher, hmac });

    if (result > 0) {
        EVP_CIPHER_CTX_set_padding(cipher, 0);
        assert_int_equal(EVP_DecryptUpdate(cipher, opened, &length, ticket->sealed, sizeof content), 1);
        assert_int_equal(HMAC_Update(hmac, ticket->sealed, sizeof content), 1);
        assert_int_equal(HMAC_Final(hmac, mac, &mac_length), 1);
        assert_memory_equal(opened, content, sizeof content);
        assert_memory_equal(mac, ticket->mac, mac_length);
    }
    EVP_CIPHER_CTX_free(cipher);
    HMAC_CTX_free(hmac);
    return result;
}

static void the_first_key_encrypts_and_all_decrypt(void **state)
{
    char text[TEXT_BYTES] = "";
    struct ticket ticket, other;

    (void)state;
    key_line(text, 'b', 48, "\n");
    struct ticket_keys *old = load(text, strlen(text));
    text[0] = '\0';
    key_line(text, 'a', 80, "\n");
    key_line(text, 'b', 48, "\n");
    struct ticket_keys *both = load(text, strlen(text));
    assert_int_equal(ticket_seal(old, &ticket), 1);
    assert_int_equal(ticket.name[0], 0x80 | 'b');
    assert_int_equal(ticket_open(old, &ticket), 1);
    assert_int_equal(ticket_open(both, &ticket), 2);
    assert_int_equal(ticket_seal(both, &ticket), 1);
    assert_int_equal(ticket.name[0], 0x80 | 'a');
    assert_int_equal(ticket_open(both, &ticket), 1);
    assert_int_equal(ticket_open(old, &ticket), 0);
    assert_int_equal(ticket_seal(both, &other), 1);
    assert_memory_not_equal(ticket.iv, other.iv, sizeof ticket.iv);
    ticket_keys_free(old);
    ticket_keys_free(both);
}

/* The layout of nginx, ngx_ssl_session_ticket_keys. */
static void a_key_has_the_layout_of_nginx(void **state)
{
    static const struct {
        size_t length, hmac, aes, part;
    } layouts[] = { { 48, 32, 16, 16 }, { 80, 16, 48, 32 } };
    uint8_t bytes[80], sealed[32], mac[32];
    struct ticket ticket;
    unsigned mac_length;
    int length;

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(0x80 + i);
    for (size_t i = 0; i < 2; i++) {
        struct ticket_keys *keys = load(bytes, layouts[i].length);
        assert_int_equal(ticket_seal(keys, &ticket), 1);
        assert_memory_equal(ticket.name, bytes, sizeof ticket.name);
        EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
        assert_int_equal(EVP_EncryptInit_ex(cipher,
                                            layouts[i].part == 16 ? EVP_aes_128_cbc() : EVP_aes_256_cbc(),
                                            NULL, bytes + layouts[i].aes, ticket.iv),
                         1);
        assert_int_equal(EVP_EncryptUpdate(cipher, sealed, &length, content, sizeof content), 1);
        EVP_CIPHER_CTX_free(cipher);
        assert_memory_equal(sealed, ticket.sealed, sizeof content);
        assert_non_null(HMAC(EVP_sha256(), bytes + layouts[i].hmac, layouts[i].part, sealed, sizeof content,
                             mac, &mac_length));
        assert_memory_equal(mac, ticket.mac, mac_length);
        ticket_keys_free(keys);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_and_lines_are_read),
        cmocka_unit_test(sixteen_keys_are_taken),
        cmocka_unit_test(another_file_is_refused),
        cmocka_unit_test(the_first_key_encrypts_and_all_decrypt),
        cmocka_unit_test(a_key_has_the_layout_of_nginx),
    };

    return cmocka_run_group_tests(tests, open_file, remove_file);
}
