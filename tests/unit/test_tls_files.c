/* proxy/check/: what is said about the certificate, key and CA files of one side. */
#include "check/tls_files.h"
#include "support/key_forms.h"
#include "support/pki.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <openssl/bio.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { DAY = 86400 };

/* A CA, a certificate for each role, their files, and what a check says about them. */
struct fixture {
    char directory[PKI_PATH_BYTES], cert[PKI_PATH_BYTES], key[PKI_PATH_BYTES], ca[PKI_PATH_BYTES];
    struct pki_pair authority;
    struct credentials_options options;
    struct report report;
    int64_t now, least_life;
};

static const struct pki_profile client_profile = {
    .subject = { { NID_commonName, "client", 0 } },
    .alternatives = { { GEN_DNS, "client", 0 } },
    .key_usage = "digitalSignature",
    .extended_key_usage = "clientAuth",
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    fixture->now = time(NULL);
    pki_directory_make(fixture->directory);
    fixture->authority = pki_issue_ca("our CA");
    pki_write_certificates(fixture->directory, "ca.pem", &fixture->authority.certificate, 1, fixture->ca);
    fixture->options = (struct credentials_options) {
        .role = TLS_CLIENT, .cert_file = fixture->cert, .key_file = fixture->key, .ca_file = fixture->ca
    };
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    report_deinit(&fixture->report);
    pki_pair_free(&fixture->authority);
    pki_directory_remove(fixture->directory);
    free(fixture);
    return 0;
}

/* ---- helpers ---- */

/* Writes the certificates and the key of the first one. Frees the pairs. */
static void write_chain(struct fixture *fixture, struct pki_pair *pairs, size_t count)
{
    X509 *certificates[4];

    for (size_t i = 0; i < count; i++)
        certificates[i] = pairs[i].certificate;
    pki_write_certificates(fixture->directory, "cert.pem", certificates, count, fixture->cert);
    pki_write_key(fixture->directory, "key.pem", pairs[0].key, fixture->key);
    for (size_t i = 0; i < count; i++)
        pki_pair_free(&pairs[i]);
}

static void write_leaf(struct fixture *fixture, const struct pki_profile *profile)
{
    struct pki_pair leaf = pki_issue(profile, &fixture->authority);

    write_chain(fixture, &leaf, 1);
}

static void check(struct fixture *fixture)
{
    struct certificate_facts leaf = { .name = "" };

    report_deinit(&fixture->report);
    bool is_good =
        tls_files_check(&fixture->report, &fixture->options, fixture->now, fixture->least_life, &leaf);
    assert_int_equal(is_good, report_count(&fixture->report, FINDING_PROBLEM) == 0);
    assert_int_equal(is_good, leaf.name[0] != '\0');
}

static const struct finding *find(const struct fixture *fixture, enum finding_level level, const char *text)
{
    for (size_t i = 0; i < fixture->report.count; i++) {
        const struct finding *finding = &fixture->report.findings[i];
        if (finding->level == level && strstr(finding->text, text))
            return finding;
    }
    report_print(&fixture->report, stderr);
    fail_msg("no %s says \"%s\"", report_level_name(level), text);
    return NULL;
}

static void expect(const struct fixture *fixture, enum finding_level level, const char *text,
                   const char *advice)
{
    const struct finding *finding = find(fixture, level, text);

    if (advice && (!finding->advice || !strstr(finding->advice, advice)))
        fail_msg("the advice is \"%s\", not \"%s\"", finding->advice ? finding->advice : "none", advice);
}

static void expect_counts(const struct fixture *fixture, size_t problems, size_t warnings)
{
    if (report_count(&fixture->report, FINDING_PROBLEM) != problems ||
        report_count(&fixture->report, FINDING_WARNING) != warnings) {
        report_print(&fixture->report, stderr);
        fail_msg("expected %zu problems and %zu warnings", problems, warnings);
    }
}

/* ---- what is good ---- */

static void good_files_have_no_problem(void **state)
{
    struct fixture *fixture = *state;

    write_leaf(fixture, &client_profile);
    fixture->now = time(NULL) - DAY / 2; /* the certificates live two days from yesterday on */
    check(fixture);
    expect_counts(fixture, 0, 0);
    expect(fixture, FINDING_OK, "certificate CN=client is valid until", NULL);
    expect(fixture, FINDING_OK, "certificate CN=client may be used for a TLS client", NULL);
    expect(fixture, FINDING_OK, "husk server knows this client as: cn:client, dns:client", NULL);
    expect(fixture, FINDING_OK, "the chain leads to a CA of --ca", NULL);
    expect(fixture, FINDING_OK, "the key belongs to the certificate", NULL);
    expect(fixture, FINDING_OK, "certificate CN=our CA is valid until", NULL);
}

/* ---- files ---- */

static void each_file_that_is_missing_is_reported(void **state)
{
    struct fixture *fixture = *state;

    snprintf(fixture->cert, sizeof fixture->cert, "%.100s/no-cert", fixture->directory);
    snprintf(fixture->key, sizeof fixture->key, "%.100s/no-key", fixture->directory);
    unlink(fixture->ca);
    check(fixture);
    expect_counts(fixture, 3, 0);
    for (int i = 0; i < 3; i++)
        assert_string_equal(fixture->report.findings[i].text, "No such file or directory");
}

static void files_that_were_exchanged_are_reported(void **state)
{
    struct fixture *fixture = *state;

    write_leaf(fixture, &client_profile);
    fixture->options.cert_file = fixture->key;
    fixture->options.key_file = fixture->cert;
    chmod(fixture->cert, 0644); /* no secret is in it */
    fixture->options.ca_file = fixture->key;
    check(fixture);
    expect_counts(fixture, 3, 0);
    expect(fixture, FINDING_PROBLEM,
           "a private key and no certificate: were the files of certificate and key swapped?", NULL);
    expect(fixture, FINDING_PROBLEM,
           "a certificate and no private key: were the files of certificate and key swapped?", NULL);
    expect(fixture, FINDING_PROBLEM, "a block \"PRIVATE KEY\" does not belong in this file", NULL);
}

/* ---- the certificate ---- */

static void all_that_is_wrong_is_said_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct pki_profile profile = client_profile;

    profile.extended_key_usage = "serverAuth";
    profile.not_before = PKI_YEAR_2000;
    profile.not_after = PKI_YEAR_2000 + DAY;
    struct pki_pair leaf = pki_issue_for(pki_rsa_key_new(1024), &profile, &fixture->authority);
    write_chain(fixture, &leaf, 1);
    struct pki_pair stranger = pki_issue_ca("stranger");
    pki_write_key(fixture->directory, "key.pem", stranger.key, fixture->key);
    chmod(fixture->key, 0644);
    pki_pair_free(&stranger);
    fixture->now = time(NULL) - DAY / 2;
    check(fixture);
    expect_counts(fixture, 3, 2);
    expect(fixture, FINDING_PROBLEM, "certificate CN=client expired at 2000-01-02T00:00:00Z",
           "renew the certificate");
    expect(fixture, FINDING_PROBLEM,
           "is not meant for a TLS client, its usages are: digitalSignature; serverAuth",
           "extendedKeyUsage=clientAuth");
    expect(fixture, FINDING_WARNING, "certificate CN=client has an RSA key of 1024 bits", "P-256");
    expect(fixture, FINDING_PROBLEM, "the private key does not match certificate CN=client", "request");
    expect(fixture, FINDING_WARNING, "users other than the owner can read the file (mode 0644)", "chmod 600");
}

static void a_certificate_of_the_future_is_a_problem(void **state)
{
    struct fixture *fixture = *state;
    struct pki_profile profile = client_profile;

    profile.not_before = PKI_YEAR_2099;
    profile.not_after = PKI_YEAR_2099 + DAY;
    write_leaf(fixture, &profile);
    check(fixture);
    expect(fixture, FINDING_PROBLEM, "certificate CN=client is not valid before 2099-01-01T00:00:00Z",
           "clock");
}

static void the_days_before_the_end_are_counted(void **state)
{
    struct fixture *fixture = *state;
    struct pki_profile profile = client_profile;

    profile.not_before = PKI_YEAR_2000;
    profile.not_after = PKI_YEAR_2099;
    write_leaf(fixture, &profile);
    fixture->now = PKI_YEAR_2099 - 29 * DAY;
    check(fixture);
    expect(fixture, FINDING_WARNING, "certificate CN=client expires in 29 days, at 2099-01-01T00:00:00Z",
           "renew");
    fixture->now = PKI_YEAR_2099 - 31 * DAY;
    check(fixture);
    expect(fixture, FINDING_OK, "certificate CN=client is valid until 2099-01-01T00:00:00Z, for 31 days more",
           NULL);
}

static void a_third_of_a_short_life_is_the_limit_of_the_warning(void **state)
{
    struct fixture *fixture = *state;
    struct pki_profile profile = client_profile;

    profile.not_before = PKI_YEAR_2099 - 3 * DAY;
    profile.not_after = PKI_YEAR_2099;
    write_leaf(fixture, &profile);
    fixture->now = PKI_YEAR_2099 - DAY - 1;
    check(fixture);
    expect(fixture, FINDING_OK, "certificate CN=client is valid until", NULL);
    fixture->now = PKI_YEAR_2099 - DAY + 1;
    check(fixture);
    expect(fixture, FINDING_WARNING, "certificate CN=client expires in 23 hours", NULL);
}

static void a_key_usage_without_signatures_is_a_problem(void **state)
{
    struct fixture *fixture = *state;
    struct pki_profile profile = client_profile;

    profile.key_usage = "keyEncipherment";
    profile.extended_key_usage = "serverAuth";
    fixture->options.role = TLS_SERVER;
    write_leaf(fixture, &profile);
    check(fixture);
    expect(fixture, FINDING_PROBLEM, "its keyUsage has no digitalSignature", "keyUsage=digitalSignature");
}

static void a_server_whose_name_is_in_the_cn_only_is_a_warning(void **state)
{
    struct fixture *fixture = *state;
    struct pki_profile profile = { .subject = { { NID_commonName, "logs.example", 0 } },
                                   .extended_key_usage = "serverAuth" };

    fixture->options.role = TLS_SERVER;
    write_leaf(fixture, &profile);
    check(fixture);
    expect(fixture, FINDING_WARNING, "its name is in the CN only", "subjectAltName=DNS:logs.example");
    profile.alternatives[0] = (struct pki_name) { GEN_EMAIL, "a@example", 0 };
    write_leaf(fixture, &profile);
    check(fixture);
    expect(fixture, FINDING_WARNING,
           "no DNS name and no IP address in a subjectAltName:", "issue the certificate again");
}

static void the_names_of_a_server_are_listed(void **state)
{
    struct fixture *fixture = *state;
    struct pki_profile profile = { .subject = { { NID_commonName, "x", 0 } },
                                   .alternatives = { { GEN_DNS, "logs.example", 0 },
                                                     { GEN_IPADD, "\x7f\0\0\1", 4 } },
                                   .extended_key_usage = "serverAuth" };

    fixture->options.role = TLS_SERVER;
    write_leaf(fixture, &profile);
    check(fixture);
    expect(fixture, FINDING_OK, "clients can call this server: logs.example, 127.0.0.1", NULL);
}

static void control_characters_of_a_name_do_not_reach_the_terminal(void **state)
{
    struct fixture *fixture = *state;
    struct pki_profile profile = { .subject = { { NID_commonName, "x", 0 } },
                                   .alternatives = { { GEN_DNS, "\x1b[2J\r\xff", 0 } },
                                   .extended_key_usage = "serverAuth" };

    fixture->options.role = TLS_SERVER;
    write_leaf(fixture, &profile);
    check(fixture);
    expect(fixture, FINDING_OK, "clients can call this server: ?[2J??", NULL);
}

/* ---- the chain ---- */

static const struct pki_profile middle_profile = { .subject = { { NID_commonName, "middle", 0 } },
                                                   .is_ca = 1 };

static void a_missing_intermediate_is_a_warning(void **state)
{
    struct fixture *fixture = *state;
    struct pki_pair middle = pki_issue(&middle_profile, &fixture->authority);
    struct pki_pair leaf = pki_issue(&client_profile, &middle);

    write_chain(fixture, &leaf, 1);
    pki_pair_free(&middle);
    check(fixture);
    expect(fixture, FINDING_WARNING,
           "certificate CN=client is issued by CN=middle, which is not in our CA file",
           "if CN=middle is an intermediate, it is missing: put its certificate into this file, after the "
           "certificate that it has issued");
}

static void a_complete_chain_is_good_and_a_root_in_it_is_noted(void **state)
{
    struct fixture *fixture = *state;
    struct pki_pair pairs[3] = { [1] = pki_issue(&middle_profile, &fixture->authority) };

    pairs[0] = pki_issue(&client_profile, &pairs[1]);
    X509_up_ref(fixture->authority.certificate);
    pairs[2] = (struct pki_pair) { .certificate = fixture->authority.certificate };
    write_chain(fixture, pairs, 3);
    fixture->now = time(NULL) - DAY / 2;
    check(fixture);
    expect_counts(fixture, 0, 0);
    expect(fixture, FINDING_OK, "the chain leads to a CA of --ca", NULL);
    expect(fixture, FINDING_NOTE, "certificate 3 of the file, CN=our CA, is a root CA", NULL);
}

static void a_chain_to_the_root_of_another_ca_is_noted(void **state)
{
    struct fixture *fixture = *state;
    struct pki_pair pairs[2] = { [1] = pki_issue_ca("other CA") };

    pairs[0] = pki_issue(&client_profile, &pairs[1]);
    write_chain(fixture, pairs, 2);
    fixture->now = time(NULL) - DAY / 2;
    check(fixture);
    expect_counts(fixture, 0, 0);
    expect(fixture, FINDING_NOTE, "the chain ends at CN=other CA, which is not in our CA file", "another CA");
}

static void a_certificate_that_does_not_belong_to_the_chain_is_a_problem(void **state)
{
    struct fixture *fixture = *state;
    struct pki_pair pairs[2] = { pki_issue(&client_profile, &fixture->authority), pki_issue_ca("stranger") };

    write_chain(fixture, pairs, 2);
    check(fixture);
    expect(fixture, FINDING_PROBLEM, "certificate 2 of the file, CN=stranger, has issued no certificate",
           "first");
}

static void a_chain_in_reverse_order_names_the_owner_of_the_key(void **state)
{
    struct fixture *fixture = *state;
    struct pki_pair pairs[2] = { pki_issue(&middle_profile, &fixture->authority) };

    pairs[1] = pki_issue(&client_profile, &pairs[0]);
    EVP_PKEY *key = pairs[1].key;
    EVP_PKEY_up_ref(key);
    write_chain(fixture, pairs, 2);
    pki_write_key(fixture->directory, "key.pem", key, fixture->key);
    EVP_PKEY_free(key);
    check(fixture);
    expect(fixture, FINDING_WARNING, "the first certificate, CN=middle, is the certificate of a CA", "--ca");
    expect(fixture, FINDING_PROBLEM, "certificate 2 of the file, CN=client, has issued no certificate", NULL);
    expect(fixture, FINDING_PROBLEM, "does not match certificate CN=middle", "belongs to certificate 2");
}

static void an_intermediate_that_is_no_ca_is_a_problem(void **state)
{
    struct fixture *fixture = *state;
    struct pki_profile profile = { .subject = { { NID_commonName, "middle", 0 } } };
    struct pki_pair pairs[2] = { [1] = pki_issue(&profile, &fixture->authority) };

    pairs[0] = pki_issue(&client_profile, &pairs[1]);
    write_chain(fixture, pairs, 2);
    check(fixture);
    expect(fixture, FINDING_PROBLEM, "certificate 2 of the file, CN=middle, is not a CA certificate",
           "CA:true");
}

/* ---- the key and its passphrase ---- */

/* Writes a certificate for the key of support/key_forms.h, which is encrypted. */
static void write_encrypted(struct fixture *fixture)
{
    BIO *reader = BIO_new_mem_buf(KEY_FORM_PLAIN_KEY, -1);
    struct pki_pair leaf = pki_issue_for(PEM_read_bio_PrivateKey(reader, NULL, NULL, NULL), &client_profile,
                                         &fixture->authority);

    BIO_free(reader);
    write_chain(fixture, &leaf, 1);
    pki_write(fixture->directory, "key.pem", KEY_FORM_PBES2_AES_SHA256, fixture->key);
    chmod(fixture->key, 0600);
}

static void the_passphrase_beside_the_key_is_found(void **state)
{
    struct fixture *fixture = *state;
    char wrong[PKI_PATH_BYTES], right[PKI_PATH_BYTES];

    write_encrypted(fixture);
    check(fixture);
    expect(fixture, FINDING_PROBLEM, "the private key is encrypted: give its passphrase", NULL);
    pki_write(fixture->directory, "client.password", "wrong\n", wrong);
    check(fixture);
    expect(fixture, FINDING_PROBLEM, "the private key is encrypted", "does not open it either");
    pki_write(fixture->directory, "server.key.passphrase", KEY_FORMS_PASSPHRASE "\n", right);
    check(fixture);
    expect(fixture, FINDING_PROBLEM, "the private key is encrypted", right);
    expect_counts(fixture, 1, report_count(&fixture->report, FINDING_WARNING));
    fixture->options.passphrase_file = wrong;
    check(fixture);
    expect(fixture, FINDING_PROBLEM, "the passphrase does not decrypt the private key", right);
    fixture->options.passphrase_file = "/nonexistent/passphrase";
    check(fixture);
    expect(fixture, FINDING_PROBLEM, "No such file or directory", right);
    chmod(right, 0600);
    fixture->options.passphrase_file = right;
    check(fixture);
    expect_counts(fixture, 0, report_count(&fixture->report, FINDING_WARNING));
    expect(fixture, FINDING_OK, "the key belongs to the certificate", NULL);
}

static void a_passphrase_variable_that_is_not_set_is_a_problem(void **state)
{
    struct fixture *fixture = *state;

    write_encrypted(fixture);
    fixture->options.passphrase_env = "HUSK_TEST_VARIABLE_THAT_IS_NOT_SET";
    check(fixture);
    expect(fixture, FINDING_PROBLEM, "HUSK_TEST_VARIABLE_THAT_IS_NOT_SET", "take the passphrase");
    write_leaf(fixture, &client_profile);
    check(fixture);
    expect(fixture, FINDING_PROBLEM, "HUSK_TEST_VARIABLE_THAT_IS_NOT_SET", "the key needs no passphrase");
}

static void a_passphrase_that_is_not_needed_is_noted(void **state)
{
    struct fixture *fixture = *state;
    char path[PKI_PATH_BYTES];

    write_leaf(fixture, &client_profile);
    fixture->options.passphrase_file = pki_write(fixture->directory, "pass", "word", path);
    check(fixture);
    expect(fixture, FINDING_NOTE, "the key is not encrypted", NULL);
}

/* ---- the CAs ---- */

static void write_cas(struct fixture *fixture, struct pki_pair *pairs, size_t count)
{
    X509 *certificates[4];

    for (size_t i = 0; i < count; i++)
        certificates[i] = pairs[i].certificate;
    pki_write_certificates(fixture->directory, "ca.pem", certificates, count, fixture->ca);
}

static void a_leaf_in_the_ca_file_is_a_problem(void **state)
{
    struct fixture *fixture = *state;
    struct pki_pair leaf = pki_issue(&client_profile, &fixture->authority);

    write_cas(fixture, &leaf, 1);
    write_chain(fixture, &leaf, 1);
    check(fixture);
    expect(fixture, FINDING_PROBLEM, "certificate CN=client is not a CA certificate", "CN=our CA");
}

static void an_expired_ca_is_a_problem_only_without_a_valid_one(void **state)
{
    struct fixture *fixture = *state;
    struct pki_profile profile = { .subject = { { NID_commonName, "old CA", 0 } },
                                   .is_ca = 1,
                                   .not_before = PKI_YEAR_2000,
                                   .not_after = PKI_YEAR_2000 + DAY };
    struct pki_pair cas[2] = { pki_issue(&profile, NULL), fixture->authority };

    write_leaf(fixture, &client_profile);
    write_cas(fixture, cas, 1);
    check(fixture);
    expect(fixture, FINDING_PROBLEM, "certificate CN=old CA expired at", NULL);
    write_cas(fixture, cas, 2);
    check(fixture);
    expect(fixture, FINDING_NOTE, "certificate CN=old CA expired at", NULL);
    pki_pair_free(&cas[0]);
}

/* Appends a list to the CA file: `signer` revokes `certificate`. */
static void list_append(struct fixture *fixture, const struct pki_pair *signer, X509 *certificate)
{
    X509_CRL *list = X509_CRL_new();
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_TIME *update = ASN1_TIME_set(NULL, time(NULL) - DAY);
    BIO *file = BIO_new_file(fixture->ca, "a");

    assert_true(X509_CRL_set_version(list, X509_CRL_VERSION_2) &&
                X509_CRL_set_issuer_name(list, X509_get_subject_name(signer->certificate)) &&
                X509_CRL_set1_lastUpdate(list, update) &&
                X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(certificate)) &&
                X509_REVOKED_set_revocationDate(entry, update) && X509_CRL_add0_revoked(list, entry) &&
                X509_CRL_sign(list, signer->key, EVP_sha256()) && PEM_write_bio_X509_CRL(file, list));
    BIO_free(file);
    ASN1_TIME_free(update);
    X509_CRL_free(list);
}

static void a_list_of_a_ca_or_of_an_intermediate_revokes_our_certificates(void **state)
{
    struct fixture *fixture = *state;
    struct pki_pair middle = pki_issue(&middle_profile, &fixture->authority);
    struct pki_pair pairs[2] = { pki_issue(&client_profile, &middle), middle };

    list_append(fixture, &middle, pairs[0].certificate);
    write_chain(fixture, pairs, 2);
    check(fixture);
    expect(fixture, FINDING_PROBLEM, "certificate CN=client is revoked by its issuer", "new key");
    expect(fixture, FINDING_NOTE, "no CA of --ca has signed the revocation list of CN=middle", NULL);
    expect_counts(fixture, 1, report_count(&fixture->report, FINDING_WARNING));
    struct pki_pair leaf = pki_issue(&client_profile, &fixture->authority);
    pki_write_certificates(fixture->directory, "ca.pem", &fixture->authority.certificate, 1, fixture->ca);
    list_append(fixture, &fixture->authority, leaf.certificate);
    write_chain(fixture, &leaf, 1);
    check(fixture);
    expect(fixture, FINDING_PROBLEM, "certificate CN=client is revoked by its issuer", NULL);
    expect(fixture, FINDING_OK, "husk applies the revocation list of CN=our CA", NULL);
}

static void an_expired_version_of_an_intermediate_beside_a_valid_one_is_good(void **state)
{
    struct fixture *fixture = *state;
    struct pki_profile profile = middle_profile;
    struct pki_pair middle = pki_issue(&middle_profile, &fixture->authority);

    profile.not_before = PKI_YEAR_2000;
    profile.not_after = PKI_YEAR_2000 + DAY;
    struct pki_pair pairs[3] = { pki_issue(&client_profile, &middle), middle,
                                 pki_issue_again(&middle, &profile, &fixture->authority) };
    write_chain(fixture, pairs, 3);
    check(fixture);
    expect_counts(fixture, 0, report_count(&fixture->report, FINDING_WARNING));
    pairs[1] = pki_issue(&profile, &fixture->authority);
    pairs[0] = pki_issue(&client_profile, &pairs[1]);
    write_chain(fixture, pairs, 2);
    check(fixture);
    expect(fixture, FINDING_PROBLEM, "certificate CN=middle expired at", "renew");
}

static void a_chain_that_ends_too_early_is_a_problem(void **state)
{
    struct fixture *fixture = *state;
    struct pki_profile middle = { .subject = { { NID_commonName, "middle", 0 } }, .is_ca = 1 };
    struct pki_profile profile = client_profile;
    struct pki_pair pairs[2];

    profile.not_before = middle.not_before = fixture->now - DAY;
    profile.not_after = fixture->now + 10 * DAY;
    middle.not_after = fixture->now + 9 * DAY;
    pairs[1] = pki_issue(&middle, &fixture->authority);
    pairs[0] = pki_issue(&profile, &pairs[1]);
    write_chain(fixture, pairs, 2);
    fixture->least_life = 9 * DAY;
    check(fixture);
    assert_int_equal(report_count(&fixture->report, FINDING_PROBLEM), 0);
    fixture->least_life = 9 * DAY + 1;
    check(fixture);
    expect(fixture, FINDING_PROBLEM, "certificate CN=middle ends at", "renew");
    assert_int_equal(report_count(&fixture->report, FINDING_PROBLEM), 1);
    fixture->least_life = 10 * DAY + 1;
    check(fixture);
    expect(fixture, FINDING_PROBLEM, "certificate CN=client ends at", "renew");
    fixture->now += 11 * DAY; /* has a finding already */
    check(fixture);
    expect(fixture, FINDING_PROBLEM, "certificate CN=client expired at", "renew");
    size_t problems = report_count(&fixture->report, FINDING_PROBLEM);
    fixture->least_life = 0;
    check(fixture);
    assert_int_equal(report_count(&fixture->report, FINDING_PROBLEM), problems);
}

static void a_weak_ca_is_a_warning(void **state)
{
    struct fixture *fixture = *state;
    struct pki_profile profile = { .subject = { { NID_commonName, "weak CA", 0 } }, .is_ca = 1 };
    struct pki_pair ca = pki_issue_for(pki_rsa_key_new(1024), &profile, NULL);

    write_leaf(fixture, &client_profile);
    write_cas(fixture, &ca, 1);
    check(fixture);
    expect(fixture, FINDING_WARNING, "CA CN=weak CA has an RSA key of 1024 bits", NULL);
    pki_pair_free(&ca);
}

static void weak_peers_are_a_warning(void **state)
{
    struct fixture *fixture = *state;

    write_leaf(fixture, &client_profile);
    fixture->options.allow_weak = true;
    check(fixture);
    expect(fixture, FINDING_WARNING, "peers whose certificates can be forged are accepted", NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(good_files_have_no_problem),
        TEST(each_file_that_is_missing_is_reported),
        TEST(files_that_were_exchanged_are_reported),
        TEST(all_that_is_wrong_is_said_at_once),
        TEST(a_certificate_of_the_future_is_a_problem),
        TEST(the_days_before_the_end_are_counted),
        TEST(a_third_of_a_short_life_is_the_limit_of_the_warning),
        TEST(a_key_usage_without_signatures_is_a_problem),
        TEST(a_server_whose_name_is_in_the_cn_only_is_a_warning),
        TEST(the_names_of_a_server_are_listed),
        TEST(control_characters_of_a_name_do_not_reach_the_terminal),
        TEST(a_missing_intermediate_is_a_warning),
        TEST(a_complete_chain_is_good_and_a_root_in_it_is_noted),
        TEST(a_chain_to_the_root_of_another_ca_is_noted),
        TEST(a_certificate_that_does_not_belong_to_the_chain_is_a_problem),
        TEST(a_chain_in_reverse_order_names_the_owner_of_the_key),
        TEST(an_intermediate_that_is_no_ca_is_a_problem),
        TEST(the_passphrase_beside_the_key_is_found),
        TEST(a_passphrase_variable_that_is_not_set_is_a_problem),
        TEST(a_passphrase_that_is_not_needed_is_noted),
        TEST(a_leaf_in_the_ca_file_is_a_problem),
        TEST(an_expired_ca_is_a_problem_only_without_a_valid_one),
        TEST(a_list_of_a_ca_or_of_an_intermediate_revokes_our_certificates),
        TEST(an_expired_version_of_an_intermediate_beside_a_valid_one_is_good),
        TEST(a_chain_that_ends_too_early_is_a_problem),
        TEST(a_weak_ca_is_a_warning),
        TEST(weak_peers_are_a_warning),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
