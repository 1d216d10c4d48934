/* proxy/trust/revocation.c with crl.c and crl_files.c: which lists are loaded, which of them count, and what
 * they say about a certificate. */
#include "trust/revocation.h"

#include "support/crls.h"
#include "trust/crl.h"
#include "trust/crl_files.h"
#include "trust/revocation_state.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { DAY = 86400 };

struct fixture {
    char directory[PKI_PATH_BYTES];
    struct pki_pair ca, middle, leaf, good;
    STACK_OF(X509) * cas; /* borrows */
    struct revocation *lists;
    struct fault fault;
    int64_t now;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    const struct pki_profile leaf = { .subject = { { NID_commonName, "leaf", 0 } } };
    const struct pki_profile middle = { .subject = { { NID_commonName, "middle", 0 } }, .is_ca = 1 };

    pki_directory_make(fixture->directory);
    fixture->ca = pki_issue_ca("our CA");
    fixture->middle = pki_issue(&middle, &fixture->ca);
    fixture->leaf = pki_issue(&leaf, &fixture->ca);
    fixture->good = pki_issue(&leaf, &fixture->ca);
    fixture->cas = sk_X509_new_null();
    assert_true(sk_X509_push(fixture->cas, fixture->ca.certificate));
    fixture->now = time(NULL);
    fixture->lists = revocation_new(STRENGTH_DEMANDED, &fixture->fault);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    revocation_free(fixture->lists);
    sk_X509_free(fixture->cas);
    pki_pair_free(&fixture->ca);
    pki_pair_free(&fixture->middle);
    pki_pair_free(&fixture->leaf);
    pki_pair_free(&fixture->good);
    pki_directory_remove(fixture->directory);
    free(fixture);
    return 0;
}

static const char *list_write(struct fixture *fixture, const char *name, const struct crls_profile *profile,
                              const struct pki_pair *signer)
{
    static char path[PKI_PATH_BYTES];

    return crls_append(fixture->directory, name, profile, signer, path);
}

static void add(struct fixture *fixture, const char *path)
{
    if (!revocation_add(fixture->lists, 0, path, &fixture->fault))
        fail_msg("%s", fixture->fault.text);
}

static void settle(struct fixture *fixture)
{
    if (!revocation_settle(fixture->lists, fixture->cas, &fixture->fault))
        fail_msg("%s", fixture->fault.text);
}

/* Loads one list alone. */
static void load(struct fixture *fixture, const struct crls_profile *profile, const struct pki_pair *signer)
{
    add(fixture, list_write(fixture, "list.pem", profile, signer));
    settle(fixture);
}

static void expect_of(struct fixture *fixture, const struct pki_pair *certificate,
                      const struct pki_pair *issuer, enum revocation_status status)
{
    assert_int_equal(
        revocation_judge(fixture->lists, certificate->certificate, issuer->certificate, fixture->now),
        status);
    /* A second time: the lists remember who signed them. */
    assert_int_equal(
        revocation_judge(fixture->lists, certificate->certificate, issuer->certificate, fixture->now),
        status);
}

static void expect(struct fixture *fixture, const struct pki_pair *certificate, enum revocation_status status)
{
    expect_of(fixture, certificate, &fixture->ca, status);
}

/* ---- files ---- */

static void a_file_may_have_several_lists_in_pem_or_der(void **state)
{
    struct fixture *fixture = *state;
    struct pki_pair other = pki_issue_ca("other CA");
    const struct crls_profile ours = { .revoked = { fixture->leaf.certificate } }, theirs = { .number = 1 };
    uint8_t *first, *second;
    char path[PKI_PATH_BYTES];

    list_write(fixture, "lists.pem", &ours, &fixture->ca);
    add(fixture, list_write(fixture, "lists.pem", &theirs, &other));
    size_t length = crls_der(&ours, &fixture->ca, &first), more = crls_der(&theirs, &other, &second);
    snprintf(path, sizeof path, "%.100s/lists.der", fixture->directory);
    FILE *file = fopen(path, "w");
    assert_true(fwrite(first, length, 1, file) == 1 && fwrite(second, more, 1, file) == 1);
    fclose(file);
    add(fixture, path);
    settle(fixture);
    assert_int_equal(revocation_count(fixture->lists), 4);
    expect(fixture, &fixture->leaf, REVOCATION_REVOKED);
    OPENSSL_free(first);
    OPENSSL_free(second);
    pki_pair_free(&other);
}

static void all_files_of_a_directory_are_read(void **state)
{
    struct fixture *fixture = *state;
    const struct crls_profile ours = { .revoked = { fixture->leaf.certificate } };
    char path[PKI_PATH_BYTES], folder[PKI_PATH_BYTES + 8];

    list_write(fixture, "b.pem", &ours, &fixture->ca);
    list_write(fixture, "a.crl", &(struct crls_profile) { .number = 1 }, &fixture->middle);
    pki_write(fixture->directory, ".hidden", "no list\n", path);
    snprintf(folder, sizeof folder, "%s/folder", fixture->directory);
    assert_int_equal(mkdir(folder, 0700), 0);
    add(fixture, fixture->directory);
    settle(fixture);
    assert_int_equal(revocation_count(fixture->lists), 2);
    expect(fixture, &fixture->leaf, REVOCATION_REVOKED);
    uint64_t stamp = crl_files_stamp(fixture->directory);
    assert_true(stamp == crl_files_stamp(fixture->directory));
    list_write(fixture, "b.pem", &ours, &fixture->ca);
    assert_true(stamp != crl_files_stamp(fixture->directory));
    rmdir(folder);
}

static void expect_fault(struct fixture *fixture, const char *path, const char *format)
{
    char expected[FAULT_TEXT_BYTES];
    struct revocation *lists = revocation_new(STRENGTH_DEMANDED, &fixture->fault);

    assert_false(revocation_add(lists, 0, path, &fixture->fault) &&
                 revocation_settle(lists, fixture->cas, &fixture->fault));
    snprintf(expected, sizeof expected, format, path); // NOLINT(clang-diagnostic-format-nonliteral)
    assert_string_equal(fixture->fault.text, expected);
    revocation_free(lists);
}

static void each_wrong_file_is_named(void **state)
{
    struct fixture *fixture = *state;
    char path[PKI_PATH_BYTES], empty[PKI_PATH_BYTES];

    snprintf(path, sizeof path, "%.100s/missing.pem", fixture->directory);
    expect_fault(fixture, path, "%s: No such file or directory");
    pki_directory_make(empty);
    expect_fault(fixture, empty, "%s: the directory has no file: put the revocation lists of the CAs there");
    pki_directory_remove(empty);
    expect_fault(fixture, pki_write(fixture->directory, "none", "", path),
                 "%s: holds no revocation list in PEM or DER form");
    expect_fault(fixture, pki_write(fixture->directory, "none", "some text\n", path),
                 "%s: holds no revocation list in PEM or DER form");
    expect_fault(fixture,
                 pki_write_certificates(fixture->directory, "c.pem", &fixture->ca.certificate, 1, path),
                 "%s: line 1: a block \"CERTIFICATE\" does not belong in this file");
    expect_fault(
        fixture,
        pki_write(fixture->directory, "x", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", path),
        "%s: line 1: the revocation list cannot be used: it is no revocation list in DER");
    expect_fault(
        fixture,
        pki_write(fixture->directory, "x", "\n\n-----BEGIN X509 CRL-----\n#\n-----END X509 CRL-----\n", path),
        "%s: line 3: the revocation list cannot be used: it is no revocation list in DER");
    uint8_t *der = NULL;
    int length = i2d_X509(fixture->ca.certificate, &der);
    FILE *file = fopen(path, "w");
    assert_true(fwrite(der, (size_t)length, 1, file) == 1);
    fclose(file);
    expect_fault(fixture, path,
                 "%s: the revocation list cannot be used: it is damaged: fetch the list from the CA again");
    OPENSSL_free(der);
}

static void text_behind_a_list_in_der_is_a_fault(void **state)
{
    struct fixture *fixture = *state;
    uint8_t *der;
    char path[PKI_PATH_BYTES];
    size_t length = crls_der(&(struct crls_profile) { .number = 1 }, &fixture->ca, &der);

    snprintf(path, sizeof path, "%.100s/list", fixture->directory);
    FILE *file = fopen(path, "w");
    assert_true(fwrite(der, length, 1, file) == 1 && fputs("x", file) >= 0);
    fclose(file);
    expect_fault(fixture, path, "%s: holds something else behind a revocation list in PEM or DER form");
    OPENSSL_free(der);
}

static void each_list_that_cannot_be_applied_is_named(void **state)
{
    struct fixture *fixture = *state;
    X509 *leaf = fixture->leaf.certificate;
    static const uint8_t indirect[] = { 0x30, 0x03, 0x84, 0x01, 0xff };
    const struct {
        struct crls_profile profile;
        const char *fault;
    } cases[] = {
        { { .number = 7, .is_delta = true },
          "a delta list is not supported: use the complete list of the CA" },
        { { .critical = "1.2.3.4" },
          "the list has an unknown critical extension (1.2.3.4): ask the CA for a list without the "
          "extension" },
        { { .revoked = { leaf }, .entry_critical = "1.2.3.5" },
          "the list has an unknown critical extension (1.2.3.5): ask the CA for a list without the "
          "extension" },
        { { .revoked = { leaf }, .entry_critical = "2.5.29.29" },
          "an indirect list is not supported: use a list that the CA of the certificates has signed" },
        { { .has_sha1 = true },
          "the list is signed with ecdsa-with-SHA1, which is weak: ask the CA for a list that is signed with "
          "SHA-256, or set --allow-weak-certificates" },
        { { .scope_length = 1, .scope = { 0x30 } }, "it is damaged: fetch the list from the CA again" },
        { { .scope_length = sizeof indirect, .scope = { 0x30, 0x03, 0x84, 0x01, 0xff } },
          "an indirect list is not supported: use a list that the CA of the certificates has signed" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[16], format[FAULT_TEXT_BYTES];
        snprintf(name, sizeof name, "%zu.pem", i);
        snprintf(format, sizeof format, "%%s: line 1: the revocation list cannot be used: %s",
                 cases[i].fault);
        expect_fault(fixture, list_write(fixture, name, &cases[i].profile, &fixture->ca), format);
    }
}

static void a_weak_list_is_applied_where_it_may_be(void **state)
{
    struct fixture *fixture = *state;

    revocation_free(fixture->lists);
    fixture->lists = revocation_new(STRENGTH_NOT_DEMANDED, &fixture->fault);
    load(fixture, &(struct crls_profile) { .revoked = { fixture->leaf.certificate }, .has_sha1 = true },
         &fixture->ca);
    expect(fixture, &fixture->leaf, REVOCATION_REVOKED);
}

static void a_ca_that_may_not_sign_lists_is_named(void **state)
{
    struct fixture *fixture = *state;
    struct pki_pair ca = pki_issue(&(struct pki_profile) { .subject = { { NID_commonName, "half CA", 0 } },
                                                           .is_ca = 1,
                                                           .key_usage = "critical,keyCertSign" },
                                   NULL);

    assert_true(sk_X509_push(fixture->cas, ca.certificate));
    expect_fault(
        fixture, list_write(fixture, "list.pem", &(struct crls_profile) { .number = 1 }, &ca),
        "%s: line 1: the revocation list cannot be used: the keyUsage of CA CN=half CA in --ca has no "
        "cRLSign: issue the certificate of the CA again with keyUsage=keyCertSign,cRLSign, or remove "
        "the list");
    pki_pair_free(&ca);
}

/* ---- what a list says ---- */

static void a_list_names_its_certificates_alone(void **state)
{
    struct fixture *fixture = *state;

    load(fixture, &(struct crls_profile) { .revoked = { fixture->leaf.certificate }, .random_entries = 500 },
         &fixture->ca);
    expect(fixture, &fixture->leaf, REVOCATION_REVOKED);
    expect(fixture, &fixture->good, REVOCATION_GOOD);
    expect(fixture, &fixture->middle, REVOCATION_GOOD);
}

static void every_serial_number_of_a_long_list_is_found(void **state)
{
    struct fixture *fixture = *state;
    X509_CRL *model =
        crls_make(&(struct crls_profile) { .random_entries = 3000, .revoked = { fixture->leaf.certificate } },
                  &fixture->ca, NULL);
    uint8_t *der = NULL;
    int length = i2d_X509_CRL(model, &der);
    struct crl list;
    CBS from;
    X509 *probe = X509_dup(fixture->good.certificate);

    CBS_init(&from, der, (size_t)length);
    assert_true(crl_decode(&list, &from, &fixture->fault));
    STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(model);
    assert_int_equal(list.count, sk_X509_REVOKED_num(entries));
    for (size_t i = 0; i < list.count; i++) {
        const ASN1_INTEGER *serial = X509_REVOKED_get0_serialNumber(sk_X509_REVOKED_value(entries, i));
        assert_true(X509_set_serialNumber(probe, serial) && crl_names(&list, probe));
        ASN1_INTEGER *next = ASN1_INTEGER_dup(serial);
        ((uint8_t *)ASN1_STRING_get0_data(next))[ASN1_STRING_length(next) - 1] ^= 1;
        assert_true(X509_set_serialNumber(probe, next) && !crl_names(&list, probe));
        ASN1_INTEGER_free(next);
    }
    X509_free(probe);
    crl_deinit(&list);
    OPENSSL_free(der);
    X509_CRL_free(model);
}

static void a_list_of_an_intermediate_speaks_for_its_certificates(void **state)
{
    struct fixture *fixture = *state;
    const struct pki_profile profile = { .subject = { { NID_commonName, "below", 0 } } };
    struct pki_pair below = pki_issue(&profile, &fixture->middle);

    load(fixture, &(struct crls_profile) { .revoked = { below.certificate } }, &fixture->middle);
    assert_int_equal(revocation_facts_of(fixture->lists, 0)->signer, REVOCATION_SIGNER_UNKNOWN);
    expect_of(fixture, &below, &fixture->middle, REVOCATION_REVOKED);
    expect(fixture, &fixture->leaf, REVOCATION_NO_LIST);
    pki_pair_free(&below);
}

static void an_issuer_without_crl_sign_makes_no_lists(void **state)
{
    struct fixture *fixture = *state;
    struct pki_pair half = pki_issue(&(struct pki_profile) { .subject = { { NID_commonName, "half", 0 } },
                                                             .is_ca = 1,
                                                             .key_usage = "critical,keyCertSign" },
                                     &fixture->ca);
    struct pki_pair below =
        pki_issue(&(struct pki_profile) { .subject = { { NID_commonName, "below", 0 } } }, &half);

    load(fixture, &(struct crls_profile) { .revoked = { below.certificate } }, &half);
    expect_of(fixture, &below, &half, REVOCATION_NO_LIST);
    pki_pair_free(&below);
    pki_pair_free(&half);
}

static void a_list_with_a_wrong_signature_has_no_effect(void **state)
{
    struct fixture *fixture = *state;
    struct pki_pair forger = pki_issue_ca("our CA");

    load(fixture, &(struct crls_profile) { .revoked = { fixture->leaf.certificate } }, &forger);
    assert_int_equal(revocation_facts_of(fixture->lists, 0)->signer, REVOCATION_SIGNER_WRONG);
    expect(fixture, &fixture->leaf, REVOCATION_NO_LIST);
    pki_pair_free(&forger);
}

static void a_forged_list_does_not_replace_the_list_of_the_ca(void **state)
{
    struct fixture *fixture = *state;
    struct pki_pair forger = pki_issue_ca("our CA");

    list_write(fixture, "list.pem", &(struct crls_profile) { .revoked = { fixture->leaf.certificate } },
               &fixture->ca);
    load(fixture,
         &(struct crls_profile) {
             .this_update = fixture->now - 1, .next_update = fixture->now + DAY, .number = 9 },
         &forger);
    expect(fixture, &fixture->leaf, REVOCATION_REVOKED);
    expect(fixture, &fixture->good, REVOCATION_GOOD);
    assert_true(revocation_counts(fixture->lists, 1, fixture->now));
    pki_pair_free(&forger);
}

static void two_cas_of_one_name_have_a_list_each(void **state)
{
    struct fixture *fixture = *state;
    struct pki_pair twin = pki_issue_ca("our CA");
    const struct pki_profile profile = { .subject = { { NID_commonName, "of the twin", 0 } } };
    struct pki_pair below = pki_issue(&profile, &twin);

    assert_true(sk_X509_push(fixture->cas, twin.certificate));
    list_write(fixture, "list.pem", &(struct crls_profile) { .revoked = { fixture->leaf.certificate } },
               &fixture->ca);
    load(fixture,
         &(struct crls_profile) { .this_update = fixture->now - 1,
                                  .next_update = fixture->now + DAY,
                                  .revoked = { below.certificate } },
         &twin);
    expect(fixture, &fixture->leaf, REVOCATION_REVOKED);
    expect_of(fixture, &below, &twin, REVOCATION_REVOKED);
    expect(fixture, &fixture->good, REVOCATION_GOOD);
    assert_true(revocation_counts(fixture->lists, 0, fixture->now));
    assert_true(revocation_counts(fixture->lists, 1, fixture->now));
    pki_pair_free(&below);
    pki_pair_free(&twin);
}

static void the_key_identifier_tells_lists_of_one_name_apart(void **state)
{
    struct fixture *fixture = *state;
    struct pki_pair twin = pki_issue_ca("our CA");

    load(fixture, &(struct crls_profile) { .has_issuer_key = true, .revoked = { fixture->leaf.certificate } },
         &twin);
    assert_int_equal(revocation_facts_of(fixture->lists, 0)->signer, REVOCATION_SIGNER_UNKNOWN);
    expect(fixture, &fixture->leaf, REVOCATION_NO_LIST);
    pki_pair_free(&twin);
}

/* ---- age ---- */

static void the_times_of_a_list_decide_whether_it_is_fresh(void **state)
{
    struct fixture *fixture = *state;
    int64_t now = fixture->now;

    load(fixture,
         &(struct crls_profile) {
             .this_update = now - 10, .next_update = now + 10, .revoked = { fixture->leaf.certificate } },
         &fixture->ca);
    for (int64_t at = now - 11; at <= now + 11; at++) {
        fixture->now = at;
        expect(fixture, &fixture->good,
               at < now - 10   ? REVOCATION_EARLY
               : at > now + 10 ? REVOCATION_STALE
                               : REVOCATION_GOOD);
        expect(fixture, &fixture->leaf, REVOCATION_REVOKED);
    }
}

static void a_list_without_next_update_stays_fresh(void **state)
{
    struct fixture *fixture = *state;

    load(fixture, &(struct crls_profile) { .this_update = PKI_YEAR_2000 }, &fixture->ca);
    expect(fixture, &fixture->good, REVOCATION_GOOD);
    assert_int_equal(revocation_facts_of(fixture->lists, 0)->next_update, 0);
}

static void the_newest_list_counts(void **state)
{
    struct fixture *fixture = *state;
    int64_t now = fixture->now;
    const struct crls_profile old = { .revoked = { fixture->good.certificate },
                                      .this_update = now - 20,
                                      .next_update = now + DAY,
                                      .number = 8 };
    const struct crls_profile lower = { .revoked = { fixture->good.certificate },
                                        .this_update = now - 10,
                                        .next_update = now + DAY,
                                        .number = 255 };
    const struct crls_profile newest = { .revoked = { fixture->leaf.certificate },
                                         .this_update = now - 10,
                                         .next_update = now + DAY,
                                         .number = 256 };

    list_write(fixture, "lists.pem", &lower, &fixture->ca);
    list_write(fixture, "lists.pem", &newest, &fixture->ca);
    add(fixture, list_write(fixture, "lists.pem", &old, &fixture->ca));
    settle(fixture);
    expect(fixture, &fixture->leaf, REVOCATION_REVOKED);
    expect(fixture, &fixture->good, REVOCATION_GOOD);
    fixture->now = now - 15;
    expect(fixture, &fixture->leaf, REVOCATION_GOOD); /* the newest list is not valid yet */
    expect(fixture, &fixture->good, REVOCATION_REVOKED);
    unsigned counting = 0;
    for (size_t i = 0; i < revocation_count(fixture->lists); i++)
        counting += revocation_counts(fixture->lists, i, now);
    assert_int_equal(counting, 1);
}

static void lists_of_the_same_age_all_count(void **state)
{
    struct fixture *fixture = *state;
    const struct crls_profile one = { .revoked = { fixture->leaf.certificate },
                                      .this_update = fixture->now - 5 },
                              two = { .revoked = { fixture->good.certificate },
                                      .this_update = fixture->now - 5 };

    list_write(fixture, "lists.pem", &one, &fixture->ca);
    add(fixture, list_write(fixture, "lists.pem", &two, &fixture->ca));
    settle(fixture);
    expect(fixture, &fixture->leaf, REVOCATION_REVOKED);
    expect(fixture, &fixture->good, REVOCATION_REVOKED);
    expect(fixture, &fixture->middle, REVOCATION_GOOD);
}

/* ---- scope ---- */

static void a_list_speaks_for_the_certificates_of_its_scope(void **state)
{
    struct fixture *fixture = *state;
    /* onlyContainsUserCerts, onlyContainsCACerts */
    const struct crls_profile users = { .scope = { 0x30, 3, 0x81, 1, 0xff }, .scope_length = 5 },
                              cas = { .scope = { 0x30, 3, 0x82, 1, 0xff },
                                      .scope_length = 5,
                                      .revoked = { fixture->middle.certificate } },
                              reasons = { .scope = { 0x30, 4, 0x83, 2, 6, 0x40 }, .scope_length = 6 };

    load(fixture, &users, &fixture->ca);
    expect(fixture, &fixture->good, REVOCATION_GOOD);
    expect(fixture, &fixture->middle, REVOCATION_NO_LIST);
    revocation_free(fixture->lists);
    fixture->lists = revocation_new(STRENGTH_DEMANDED, &fixture->fault);
    add(fixture, list_write(fixture, "list.pem", &cas, &fixture->ca));
    settle(fixture);
    expect(fixture, &fixture->good, REVOCATION_GOOD);
    expect(fixture, &fixture->middle, REVOCATION_REVOKED);
    revocation_free(fixture->lists);
    fixture->lists = revocation_new(STRENGTH_DEMANDED, &fixture->fault);
    add(fixture, list_write(fixture, "reasons.pem", &reasons, &fixture->ca));
    settle(fixture);
    expect(fixture, &fixture->good, REVOCATION_NO_LIST);
}

static void a_list_of_a_distribution_point_speaks_for_certificates_that_name_it(void **state)
{
    struct fixture *fixture = *state;
    /* { [0] { [0] { [6] "http://c/1" } } } */
    struct crls_profile profile = { .scope = { 0x30, 16, 0xa0, 14, 0xa0, 12, 0x86, 10, 'h', 't', 't', 'p',
                                               ':', '/', '/', 'c', '/', '1' },
                                    .scope_length = 18 };
    X509 *certificate = X509_dup(fixture->good.certificate);
    X509_EXTENSION *extension =
        X509V3_EXT_nconf_nid(NULL, NULL, NID_crl_distribution_points, "URI:http://c/2,URI:http://c/1");

    assert_true(extension && X509_add_ext(certificate, extension, -1));
    load(fixture, &profile, &fixture->ca);
    expect(fixture, &fixture->good, REVOCATION_NO_LIST);
    expect(fixture, &(struct pki_pair) { .certificate = certificate }, REVOCATION_GOOD);
    profile.scope[17] = '3';
    revocation_free(fixture->lists);
    fixture->lists = revocation_new(STRENGTH_DEMANDED, &fixture->fault);
    add(fixture, list_write(fixture, "3.pem", &profile, &fixture->ca));
    settle(fixture);
    expect(fixture, &(struct pki_pair) { .certificate = certificate }, REVOCATION_NO_LIST);
    X509_EXTENSION_free(extension);
    X509_free(certificate);
}

/* ---- the lists in words ---- */

static void expect_state(struct fixture *fixture, enum revocation_policy policy, bool admits,
                         const char *format)
{
    char text[REVOCATION_STATE_BYTES], expected[REVOCATION_STATE_BYTES];
    const struct revocation_use use = { fixture->lists, policy };

    assert_int_equal(revocation_state_describe(use, fixture->now, text), admits);
    snprintf(expected, sizeof expected, format,
             fixture->directory); // NOLINT(clang-diagnostic-format-nonliteral)
    assert_string_equal(text, expected);
}

static void a_list_that_is_not_fresh_is_described(void **state)
{
    struct fixture *fixture = *state;

    load(fixture,
         &(struct crls_profile) { .this_update = PKI_YEAR_2000 + 10, .next_update = PKI_YEAR_2000 + 20 },
         &fixture->ca);
    expect_state(
        fixture, REVOCATION_WARN, true,
        "%s/list.pem: the revocation list of CN=our CA is stale since 2000-01-01T00:00:20Z; the list "
        "still applies: fetch the newest list of the CA\n");
    expect_state(
        fixture, REVOCATION_REQUIRE, false,
        "%s/list.pem: the revocation list of CN=our CA is stale since 2000-01-01T00:00:20Z; certificates "
        "of this CA are refused: fetch the newest list of the CA\n");
    expect_state(fixture, REVOCATION_IGNORE, true, "");
    fixture->now = PKI_YEAR_2000 + 9;
    expect_state(
        fixture, REVOCATION_WARN, true,
        "%s/list.pem: the revocation list of CN=our CA is not valid before 2000-01-01T00:00:10Z; the list "
        "still applies: compare the clocks\n");
    fixture->now = PKI_YEAR_2000 + 20;
    expect_state(fixture, REVOCATION_REQUIRE, true, "");
    assert_int_equal(revocation_state_stale(fixture->lists, PKI_YEAR_2000 + 9), 0);
    assert_int_equal(revocation_state_stale(fixture->lists, PKI_YEAR_2000 + 20), 0);
    assert_int_equal(revocation_state_stale(fixture->lists, PKI_YEAR_2000 + 21), 1);
    assert_int_equal(revocation_state_stale(NULL, PKI_YEAR_2000 + 21), 0);
}

static void cas_without_a_list_are_described(void **state)
{
    struct fixture *fixture = *state;
    struct pki_pair second = pki_issue_ca("second CA");
    struct pki_pair again = pki_issue_again(
        &fixture->ca, &(struct pki_profile) { .subject = { { NID_commonName, "our CA", 0 } }, .is_ca = 1 },
        NULL);

    assert_true(sk_X509_push(fixture->cas, again.certificate)); /* a version of a CA is the same CA */
    settle(fixture);
    expect_state(fixture, REVOCATION_WARN, true, "");
    expect_state(
        fixture, REVOCATION_REQUIRE, false,
        "no revocation list is there of CN=our CA of --ca; their certificates are refused: add the list of "
        "each CA with --crl\n");
    assert_true(sk_X509_push(fixture->cas, second.certificate));
    revocation_free(fixture->lists);
    fixture->lists = revocation_new(STRENGTH_DEMANDED, &fixture->fault);
    load(fixture, &(struct crls_profile) { .number = 1 }, &second);
    expect_state(
        fixture, REVOCATION_WARN, true,
        "no revocation list is there of CN=our CA of --ca; their certificates cannot be revoked: add the "
        "list of each CA with --crl\n");
    expect_state(
        fixture, REVOCATION_REQUIRE, true,
        "no revocation list is there of CN=our CA of --ca; their certificates are refused: add the list of "
        "each CA with --crl\n");
    pki_pair_free(&again);
    pki_pair_free(&second);
}

static void the_metric_has_the_first_time_of_each_issuer(void **state)
{
    struct fixture *fixture = *state;
    struct pki_pair second = pki_issue_ca("second CA"), forger = pki_issue_ca("our CA");
    size_t count;

    list_write(fixture, "lists.pem", &(struct crls_profile) { .this_update = 1000, .next_update = 5000 },
               &fixture->ca);
    list_write(fixture, "lists.pem", &(struct crls_profile) { .this_update = 3000, .next_update = 4000 },
               &forger);
    list_write(fixture, "lists.pem", &(struct crls_profile) { .this_update = 2000, .next_update = 7000 },
               &fixture->ca);
    list_write(fixture, "lists.pem",
               &(struct crls_profile) { .scope = { 0x30, 3, 0x81, 1, 0xff },
                                        .scope_length = 5,
                                        .this_update = 2000,
                                        .next_update = 6000 },
               &fixture->ca);
    list_write(fixture, "lists.pem", &(struct crls_profile) { .this_update = 2000 }, &fixture->middle);
    list_write(fixture, "lists.pem", &(struct crls_profile) { .this_update = 1 }, &second);
    list_write(fixture, "more.pem", &(struct crls_profile) { .this_update = 1000, .next_update = 8000 },
               &second);
    add(fixture, fixture->directory);
    settle(fixture);
    const struct metrics_crl *updates = revocation_updates(fixture->lists, &count);
    assert_int_equal(count, 2);
    size_t ours = strcmp(updates[0].issuer, "CN=our CA") == 0 ? 0 : 1;
    assert_string_equal(updates[ours].issuer, "CN=our CA");
    assert_int_equal(updates[ours].next_update, 6000);
    assert_string_equal(updates[!ours].issuer, "CN=second CA");
    assert_int_equal(updates[!ours].next_update, 8000);
    assert_null(revocation_updates(NULL, &count));
    assert_int_equal(count, 0);
    pki_pair_free(&second);
    pki_pair_free(&forger);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_may_have_several_lists_in_pem_or_der),
        TEST(all_files_of_a_directory_are_read),
        TEST(each_wrong_file_is_named),
        TEST(text_behind_a_list_in_der_is_a_fault),
        TEST(each_list_that_cannot_be_applied_is_named),
        TEST(a_weak_list_is_applied_where_it_may_be),
        TEST(a_ca_that_may_not_sign_lists_is_named),
        TEST(a_list_names_its_certificates_alone),
        TEST(every_serial_number_of_a_long_list_is_found),
        TEST(a_list_of_an_intermediate_speaks_for_its_certificates),
        TEST(an_issuer_without_crl_sign_makes_no_lists),
        TEST(a_list_with_a_wrong_signature_has_no_effect),
        TEST(a_forged_list_does_not_replace_the_list_of_the_ca),
        TEST(two_cas_of_one_name_have_a_list_each),
        TEST(the_key_identifier_tells_lists_of_one_name_apart),
        TEST(the_times_of_a_list_decide_whether_it_is_fresh),
        TEST(a_list_without_next_update_stays_fresh),
        TEST(the_newest_list_counts),
        TEST(lists_of_the_same_age_all_count),
        TEST(a_list_speaks_for_the_certificates_of_its_scope),
        TEST(a_list_of_a_distribution_point_speaks_for_certificates_that_name_it),
        TEST(a_list_that_is_not_fresh_is_described),
        TEST(cas_without_a_list_are_described),
        TEST(the_metric_has_the_first_time_of_each_issuer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
