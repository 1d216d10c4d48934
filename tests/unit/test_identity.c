/* proxy/trust/identity.c: which names are read, which are left out, and the description. */
#include "support/pki.h"
#include "trust/identity.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

static struct identity *identity_of(const struct pki_profile *profile)
{
    struct pki_pair pair = pki_issue(profile, NULL);
    struct identity *identity = identity_from_certificate(pair.certificate);

    assert_non_null(identity);
    pki_pair_free(&pair);
    return identity;
}

static void assert_described(const struct pki_profile *profile, const char *expected)
{
    struct identity *identity = identity_of(profile);
    char text[64];

    identity_describe(identity, text, sizeof text);
    assert_string_equal(text, expected);
    identity_free(identity);
}

static void test_reads_every_kind_of_name(void **state)
{
    (void)state;
    struct identity *identity = identity_of(&(struct pki_profile) {
        .subject = { { NID_organizationName, "Example, Inc.", 0 },
                     { NID_organizationalUnitName, "logs", 0 },
                     { NID_commonName, "general", 0 },
                     { NID_organizationalUnitName, "caf\xc3\xa9", 0 },
                     { NID_commonName, "agent-1", 0 } },
        .alternatives = { { GEN_DNS, "agent-1.example", 0 },
                          { GEN_URI, "spiffe://example/agent-1", 0 },
                          { GEN_IPADD, "\x7f\0\0\1", 4 },
                          { GEN_EMAIL, "agent@example", 0 },
                          { GEN_DNS, "*.example", 0 },
                          { GEN_DNS, "agent-1.example.", 0 },
                          { GEN_DNS, ".", 0 } },
    });

    assert_string_equal(identity->cn, "agent-1");
    assert_int_equal(identity->other_cns.count, 1);
    assert_string_equal(identity->other_cns.values[0], "general");
    assert_int_equal(identity->o.count, 1);
    assert_string_equal(identity->o.values[0], "Example, Inc.");
    assert_int_equal(identity->email.count, 1);
    assert_string_equal(identity->email.values[0], "agent@example");
    /* The certificate is its own issuer. */
    assert_string_equal(identity->issuer, "CN=agent-1,OU=caf\xc3\xa9,CN=general,OU=logs,O=Example\\, Inc.");
    assert_int_equal(identity->ou.count, 2);
    assert_string_equal(identity->ou.values[0], "logs");
    assert_string_equal(identity->ou.values[1], "caf\xc3\xa9");
    assert_int_equal(identity->dns.count, 4);
    assert_string_equal(identity->dns.values[0], "agent-1.example");
    assert_string_equal(identity->dns.values[1], "*.example");
    assert_string_equal(identity->dns.values[2], "agent-1.example");
    assert_string_equal(identity->dns.values[3], ".");
    assert_int_equal(identity->uri.count, 1);
    assert_string_equal(identity->uri.values[0], "spiffe://example/agent-1");
    identity_free(identity);
}

static void test_spki_is_the_hash_of_the_public_key(void **state)
{
    (void)state;
    struct pki_pair pair = pki_issue(&(struct pki_profile) { 0 }, NULL);
    struct identity *identity = identity_from_certificate(pair.certificate);
    uint8_t *der = NULL, hash[SHA256_DIGEST_LENGTH];
    char expected[IDENTITY_SPKI_HEX_BYTES];
    int length = i2d_PUBKEY(pair.key, &der);

    SHA256(der, (size_t)length, hash);
    for (size_t i = 0; i < sizeof hash; i++)
        snprintf(expected + 2 * i, 3, "%02x", hash[i]);
    assert_string_equal(identity->spki, expected);
    OPENSSL_free(der);
    identity_free(identity);
    pki_pair_free(&pair);
}

static void test_leaves_out_names_that_are_not_text(void **state)
{
    (void)state;
    struct identity *identity = identity_of(&(struct pki_profile) {
        .subject = { { NID_organizationalUnitName, "lo\0gs", 5 }, { NID_commonName, "client\0.evil", 12 } },
        .alternatives = { { GEN_DNS, "agent\0.evil", 11 },
                          { GEN_URI, "spiffe://a\0b", 12 },
                          { GEN_DNS, "ag\xe9nt", 0 },
                          { GEN_DNS, "good", 0 } },
    });

    assert_null(identity->cn);
    assert_int_equal(identity->ou.count, 0);
    assert_int_equal(identity->uri.count, 0);
    assert_int_equal(identity->dns.count, 1);
    assert_string_equal(identity->dns.values[0], "good");
    assert_true(identity->cn_is_unreadable && identity->ou.is_incomplete && identity->uri.is_incomplete &&
                identity->dns.is_incomplete);
    assert_false(identity->o.is_incomplete || identity->email.is_incomplete);
    identity_free(identity);
}

/* A pattern with `*` or `**` must not match what is not a SPIFFE ID. */
static void test_leaves_out_uris_that_are_nearly_spiffe_ids(void **state)
{
    static const char *const bad[] = {
        "spiffe://TD/a",   "SPIFFE://td/a",      "spiffe://td//a",     "spiffe://td/a/",    "spiffe://td/",
        "spiffe://td/./a", "spiffe://td/a/../b", "spiffe://td/a/..",   "spiffe://td/a%2fb", "spiffe://td/a?b",
        "spiffe://td/a#b", "spiffe://td:443/a",  "spiffe://user@td/a", "spiffe:///a",       "spiffe:td/a",
        "spiffe://td/a b", "spiffe://t%64/a",    "spiffe://",          "spiffe:",
    };
    static const char *const good[] = { "spiffe://td/ns/a/sa/b", "spiffe://td-1.example_x/A..b/...",
                                        "spiffe://td", "https://td//a/../b?c", "spiffes://td//a" };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct identity *identity = identity_of(&(struct pki_profile) {
            .alternatives = { { GEN_URI, bad[i], 0 }, { GEN_URI, "spiffe://td/ok", 0 } } });
        assert_int_equal(identity->uri.count, 1);
        assert_string_equal(identity->uri.values[0], "spiffe://td/ok");
        assert_true(identity->uri.is_incomplete);
        identity_free(identity);
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct identity *identity =
            identity_of(&(struct pki_profile) { .alternatives = { { GEN_URI, good[i], 0 } } });
        assert_string_equal(identity->uri.values[0], good[i]);
        assert_false(identity->uri.is_incomplete);
        identity_free(identity);
    }
}

/* Not every BoringSSL can encode such a string, but a peer can send it: the test changes bytes of a valid
 * certificate. */
static void test_leaves_out_a_cn_that_is_not_utf8(void **state)
{
    (void)state;
    struct pki_pair pair =
        pki_issue(&(struct pki_profile) { .subject = { { NID_commonName, "marker", 0 } } }, NULL);
    uint8_t *der = NULL;
    int length = i2d_X509(pair.certificate, &der);

    for (uint8_t *at = der; (at = memmem(at, (size_t)(der + length - at), "marker", 6)); at += 6)
        memset(at, 0xff, 6);
    const uint8_t *from = der;
    X509 *changed = d2i_X509(NULL, &from, length);
    if (changed) { /* else the parser refuses it earlier */
        struct identity *identity = identity_from_certificate(changed);
        assert_non_null(identity);
        assert_null(identity->cn);
        identity_free(identity);
    }
    X509_free(changed);
    OPENSSL_free(der);
    pki_pair_free(&pair);
}

static void add_to_subject(X509 *certificate, int nid, const char *text)
{
    assert_true(X509_NAME_add_entry_by_NID(X509_get_subject_name(certificate), nid, MBSTRING_UTF8,
                                           (const unsigned char *)text, -1, -1, 0));
}

/* A rule about the last name must hold as well as one about the first. */
static void test_reads_every_name_however_many_there_are(void **state)
{
    enum { NAMES = 1000 };
    struct pki_pair pair = pki_issue(&(struct pki_profile) { 0 }, NULL);
    GENERAL_NAMES *alternatives = sk_GENERAL_NAME_new_null();
    char text[16];

    (void)state;
    for (int i = 0; i < NAMES; i++) {
        snprintf(text, sizeof text, "name-%d", i);
        add_to_subject(pair.certificate, NID_organizationalUnitName, text);
        add_to_subject(pair.certificate, NID_commonName, text);
        for (int type = GEN_DNS; type <= GEN_URI; type += GEN_URI - GEN_DNS) {
            ASN1_STRING *value = ASN1_STRING_type_new(V_ASN1_IA5STRING);
            GENERAL_NAME *name = GENERAL_NAME_new();
            assert_true(ASN1_STRING_set(value, text, -1));
            GENERAL_NAME_set0_value(name, type, value);
            assert_true(sk_GENERAL_NAME_push(alternatives, name));
        }
    }
    assert_true(X509_add1_ext_i2d(pair.certificate, NID_subject_alt_name, alternatives, 0, 0) == 1);
    struct identity *identity = identity_from_certificate(pair.certificate);
    const struct identity_names *lists[] = { &identity->ou, &identity->dns, &identity->uri };
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lists[i]->count, NAMES);
        assert_string_equal(lists[i]->values[0], "name-0");
        assert_string_equal(lists[i]->values[64], "name-64");
        assert_string_equal(lists[i]->values[NAMES - 1], text);
    }
    assert_string_equal(identity->cn, text);
    identity_free(identity);
    sk_GENERAL_NAME_pop_free(alternatives, GENERAL_NAME_free);
    pki_pair_free(&pair);
}

static void test_no_other_cn_takes_the_place_of_an_unreadable_one(void **state)
{
    (void)state;
    struct identity *identity = identity_of(&(struct pki_profile) {
        .subject = { { NID_commonName, "admin", 0 }, { NID_commonName, "client\0.evil", 12 } } });

    assert_null(identity->cn);
    identity_free(identity);
}

static void test_description_prefers_uri_then_dns_then_cn(void **state)
{
    (void)state;
    assert_described(
        &(struct pki_profile) { .subject = { { NID_commonName, "client", 0 } },
                                .alternatives = { { GEN_DNS, "agent", 0 }, { GEN_URI, "spiffe://a", 0 } } },
        "uri:spiffe://a");
    assert_described(&(struct pki_profile) { .subject = { { NID_commonName, "client", 0 } },
                                             .alternatives = { { GEN_DNS, "agent", 0 } } },
                     "dns:agent");
    assert_described(&(struct pki_profile) { .subject = { { NID_commonName, "client", 0 } } }, "cn:client");
}

static void test_description_uses_the_key_without_names_and_is_cut(void **state)
{
    (void)state;
    struct identity *identity = identity_of(&(struct pki_profile) { 0 });
    char text[12];

    identity_describe(identity, text, sizeof text);
    assert_int_equal(strlen(text), sizeof text - 1);
    assert_memory_equal(text, "spki:", 5);
    assert_memory_equal(text + 5, identity->spki, 6);
    identity_free(identity);
}

static void test_all_names_are_listed(void **state)
{
    (void)state;
    struct identity *identity = identity_of(&(struct pki_profile) {
        .subject = { { NID_organizationName, "Example", 0 },
                     { NID_organizationalUnitName, "logs", 0 },
                     { NID_commonName, "agent-1", 0 } },
        .alternatives = { { GEN_DNS, "agent", 0 },
                          { GEN_EMAIL, "a@b", 0 },
                          { GEN_DNS, "agent.example", 0 },
                          { GEN_URI, "spiffe://a", 0 } },
    });
    static const char all[] =
        "cn:agent-1, o:Example, ou:logs, dns:agent, dns:agent.example, uri:spiffe://a, email:a@b";
    char text[sizeof all];

    for (size_t size = 1; size <= sizeof text; size++) {
        identity_list_names(identity, text, size);
        assert_int_equal(strlen(text), size - 1);
        assert_memory_equal(text, all, size - 1);
    }
    identity_free(identity);
}

static void test_a_certificate_without_names_is_listed_by_its_key(void **state)
{
    (void)state;
    struct identity *identity = identity_of(&(struct pki_profile) { 0 });
    char text[100];

    identity_list_names(identity, text, sizeof text);
    assert_memory_equal(text, "spki:", 5);
    assert_string_equal(text + 5, identity->spki);
    identity_free(identity);
}

static void test_a_name_of_each_kind_is_the_first_one(void **state)
{
    (void)state;
    struct identity *full = identity_of(&(struct pki_profile) {
        .subject = { { NID_commonName, "agent-1", 0 } },
        .alternatives = { { GEN_DNS, "a", 0 },
                          { GEN_DNS, "b", 0 },
                          { GEN_URI, "x:c", 0 },
                          { GEN_URI, "x:d", 0 } },
    });
    struct identity *bare = identity_of(&(struct pki_profile) { 0 });

    assert_string_equal(identity_name(full, IDENTITY_CN), "agent-1");
    assert_string_equal(identity_name(full, IDENTITY_DNS), "a");
    assert_string_equal(identity_name(full, IDENTITY_URI), "x:c");
    assert_string_equal(identity_name(full, IDENTITY_SPKI), full->spki);
    assert_string_equal(identity_name(bare, IDENTITY_SPKI), bare->spki);
    for (enum identity_name name = IDENTITY_CN; name < IDENTITY_SPKI; name++)
        assert_null(identity_name(bare, name));
    identity_free(full);
    identity_free(bare);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_every_kind_of_name),
        cmocka_unit_test(test_spki_is_the_hash_of_the_public_key),
        cmocka_unit_test(test_leaves_out_names_that_are_not_text),
        cmocka_unit_test(test_leaves_out_uris_that_are_nearly_spiffe_ids),
        cmocka_unit_test(test_leaves_out_a_cn_that_is_not_utf8),
        cmocka_unit_test(test_reads_every_name_however_many_there_are),
        cmocka_unit_test(test_no_other_cn_takes_the_place_of_an_unreadable_one),
        cmocka_unit_test(test_description_prefers_uri_then_dns_then_cn),
        cmocka_unit_test(test_description_uses_the_key_without_names_and_is_cut),
        cmocka_unit_test(test_all_names_are_listed),
        cmocka_unit_test(test_a_name_of_each_kind_is_the_first_one),
        cmocka_unit_test(test_a_certificate_without_names_is_listed_by_its_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
