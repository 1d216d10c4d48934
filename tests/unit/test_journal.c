/* proxy/pki/journal.c: the files of openssl ca. */
#include "pki/journal.h"
#include "support/pki.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <openssl/asn1.h>
#include <openssl/nid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    char directory[PKI_PATH_BYTES], certs[PKI_PATH_BYTES];
    struct store store;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    pki_directory_make(fixture->directory);
    snprintf(fixture->certs, sizeof fixture->certs, "%.100s/certs", fixture->directory);
    assert_int_equal(mkdir(fixture->certs, 0700), 0);
    fixture->store = (struct store) { .profile = &profile_seed, .directory = fixture->directory, .lock = -1 };
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    pki_directory_remove(fixture->certs);
    pki_directory_remove(fixture->directory);
    free(fixture);
    return 0;
}

static void write_file(const struct fixture *fixture, const char *name, const char *text)
{
    char path[PKI_PATH_BYTES];

    pki_write(fixture->directory, name, text, path);
}

static void assert_file(const struct fixture *fixture, const char *name, const char *expected)
{
    char path[PKI_PATH_BYTES], text[1024] = "";

    snprintf(path, sizeof path, "%.80s/%.40s", fixture->directory, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(text, expected);
}

static const char two_rows[] = "V\t20990101000000Z\t\t1000\tunknown\t/O=a/CN=b\n"
                               "R\t20990101000000Z\t260101000000Z,keyCompromise\t1001\tunknown\t/CN=c\n";

static void test_a_journal_is_read_and_written_back(void **state)
{
    struct fixture *fixture = *state;
    struct journal journal;
    struct fault fault;

    write_file(fixture, "index.txt", two_rows);
    assert_true(journal_init(&journal, &fixture->store, PROFILE_INDEX, &fault));
    assert_int_equal(journal.count, 2);
    assert_string_equal(journal_find_serial(&journal, "1001")->revoked, "260101000000Z,keyCompromise");
    assert_string_equal(journal_find_subject(&journal, "/O=a/CN=b")->serial, "1000");
    assert_null(journal_find_subject(&journal, "/CN=c"));
    assert_true(journal_save(&journal, &fixture->store, &fault));
    journal_deinit(&journal);
    assert_file(fixture, "index.txt", two_rows);
}

static void test_a_row_expires(void **state)
{
    struct fixture *fixture = *state;
    struct journal journal;
    struct fault fault;

    write_file(fixture, "index.txt", "V\t200101000000Z\t\t1000\tunknown\t/CN=old\n");
    assert_true(journal_init(&journal, &fixture->store, PROFILE_INDEX, &fault));
    assert_int_equal(journal.rows[0].status, JOURNAL_EXPIRED);
    assert_null(journal_find_subject(&journal, "/CN=old"));
    journal_deinit(&journal);
}

static void test_a_row_is_revoked(void **state)
{
    struct fixture *fixture = *state;
    struct journal journal;
    struct fault fault;

    write_file(fixture, "index.txt", two_rows);
    assert_true(journal_init(&journal, &fixture->store, PROFILE_INDEX, &fault));
    assert_true(journal_revoke(&journal.rows[0], "superseded", 1767225600));
    assert_true(journal_save(&journal, &fixture->store, &fault));
    journal_deinit(&journal);
    assert_file(fixture, "index.txt",
                "R\t20990101000000Z\t260101000000Z,superseded\t1000\tunknown\t/O=a/CN=b\n"
                "R\t20990101000000Z\t260101000000Z,keyCompromise\t1001\tunknown\t/CN=c\n");
}

/* UTCTime has two digits of the year, and ends in 2049. */
static void test_a_row_is_revoked_after_2049(void **state)
{
    struct fixture *fixture = *state;
    struct journal journal;
    struct fault fault;

    write_file(fixture, "index.txt", two_rows);
    assert_true(journal_init(&journal, &fixture->store, PROFILE_INDEX, &fault));
    assert_true(journal_revoke(&journal.rows[0], NULL, 2524607999));
    assert_string_equal(journal.rows[0].revoked, "491231235959Z");
    assert_true(journal_revoke(&journal.rows[0], "superseded", 2524608000));
    assert_string_equal(journal.rows[0].revoked, "20500101000000Z,superseded");
    journal_deinit(&journal);
}

static void test_the_serial_number_zero_has_two_digits(void **state)
{
    char serial[JOURNAL_SERIAL_BYTES];
    const struct pki_profile profile = { .subject = { { NID_commonName, "zero", 0 } },
                                         .not_before = PKI_YEAR_2000,
                                         .not_after = PKI_YEAR_2099 };

    (void)state;
    struct pki_pair pair = pki_issue(&profile, NULL);
    assert_true(ASN1_INTEGER_set_uint64(X509_get_serialNumber(pair.certificate), 0));
    assert_true(journal_serial_of(pair.certificate, serial));
    assert_string_equal(serial, "00");
    pki_pair_free(&pair);
}

static void test_a_damaged_line_is_named(void **state)
{
    static const char *const wrong[] = { "V\t20990101000000Z\t\t1000\tunknown\n",
                                         "X\t20990101000000Z\t\t1000\tunknown\t/CN=a\n",
                                         "V\tnever\t\t1000\tunknown\t/CN=a\n",
                                         "V\t20990101000000Z\t\t100\tunknown\t/CN=a\n",
                                         "V\t20990101000000Z\t\txy\tunknown\t/CN=a\n",
                                         "R\t20990101000000Z\t\t1000\tunknown\t/CN=a\n",
                                         "nonsense\n" };
    struct fixture *fixture = *state;
    struct journal journal;
    struct fault fault;
    char text[512];

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        snprintf(text, sizeof text, "%s%s", two_rows, wrong[i]);
        write_file(fixture, "index.txt", text);
        assert_false(journal_init(&journal, &fixture->store, PROFILE_INDEX, &fault));
        assert_non_null(strstr(fault.text, "index.txt: line 3: "));
        journal_deinit(&journal);
    }
}

static void test_a_certificate_without_a_row_is_entered(void **state)
{
    struct fixture *fixture = *state;
    struct journal journal;
    struct fault fault;
    char path[PKI_PATH_BYTES], serial[JOURNAL_SERIAL_BYTES], name[JOURNAL_SERIAL_BYTES + 8];
    const struct pki_profile profile = { .subject = { { NID_commonName, "late", 0 } },
                                         .not_before = PKI_YEAR_2000,
                                         .not_after = PKI_YEAR_2099 };

    struct pki_pair pair = pki_issue(&profile, NULL);
    assert_true(journal_serial_of(pair.certificate, serial));
    snprintf(name, sizeof name, "%s.pem", serial);
    pki_write_certificates(fixture->certs, name, &pair.certificate, 1, path);
    pki_write_certificates(fixture->certs, "CA.pem", &pair.certificate, 1,
                           path); /* looks like a serial number */
    assert_true(journal_init(&journal, &fixture->store, PROFILE_INDEX, &fault));
    assert_int_equal(journal.count, 1);
    assert_string_equal(journal.rows[0].serial, serial);
    assert_string_equal(journal.rows[0].subject, "/CN=late");
    assert_string_equal(journal.rows[0].expires, "20990101000000Z");
    journal_deinit(&journal);
    pki_pair_free(&pair);
}

static void assert_taken(struct fixture *fixture, int64_t expected, const char *next)
{
    struct fault fault = { .text = "" };
    uint64_t value;

    ASN1_INTEGER *number = journal_take_number(&fixture->store, PROFILE_SERIAL, "1000", &fault);
    assert_non_null(number);
    assert_true(ASN1_INTEGER_get_uint64(&value, number));
    assert_int_equal(value, expected);
    ASN1_INTEGER_free(number);
    assert_file(fixture, "serial", next);
}

static void test_numbers_are_taken_in_turn(void **state)
{
    struct fixture *fixture = *state;
    struct fault fault;

    assert_taken(fixture, 0x1000, "1001\n");
    assert_taken(fixture, 0x1001, "1002\n");
    write_file(fixture, "serial", "FF\n");
    assert_taken(fixture, 0xff, "0100\n");
    write_file(fixture, "serial", "next\n");
    assert_null(journal_take_number(&fixture->store, PROFILE_SERIAL, "1000", &fault));
    assert_non_null(strstr(fault.text, "serial: expected a hexadecimal number"));
}

static void test_the_attribute_of_subjects_is_read(void **state)
{
    struct fixture *fixture = *state;
    struct fault fault;

    assert_true(journal_demands_unique_subjects(&fixture->store));
    write_file(fixture, "index.txt.attr", "unique_subject = no\n");
    assert_false(journal_demands_unique_subjects(&fixture->store));
    write_file(fixture, "index.txt.attr", "unique_subject = yes\n");
    assert_true(journal_demands_unique_subjects(&fixture->store));
    assert_true(journal_allow_equal_subjects(&fixture->store, &fault));
    assert_false(journal_demands_unique_subjects(&fixture->store));
}

#define WITH_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIRECTORY(test_a_journal_is_read_and_written_back),
        WITH_DIRECTORY(test_a_row_expires),
        WITH_DIRECTORY(test_a_row_is_revoked),
        WITH_DIRECTORY(test_a_row_is_revoked_after_2049),
        cmocka_unit_test(test_the_serial_number_zero_has_two_digits),
        WITH_DIRECTORY(test_a_damaged_line_is_named),
        WITH_DIRECTORY(test_a_certificate_without_a_row_is_entered),
        WITH_DIRECTORY(test_numbers_are_taken_in_turn),
        WITH_DIRECTORY(test_the_attribute_of_subjects_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
