/* proxy/trust/pem_block.c: which blocks are found, what is accepted around them, and what is a fault. */
#include "trust/pem_block.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEGIN(label) "-----BEGIN " label "-----\n"
#define END(label)   "-----END " label "-----\n"
#define BLOCK(label) BEGIN(label) "AAAA\n" END(label)

static struct pem_file file_of(const char *text)
{
    struct pem_file file = { .path = "x.pem", .length = strlen(text), .bytes = strdup(text) };

    assert_non_null(file.bytes);
    return file;
}

struct expected {
    enum pem_kind kind;
    size_t line;
    const char *text;
};

/* The file must have these blocks and end after them, or with this fault. */
static void check(const char *text, const struct expected *expected, size_t count, const char *fault_text)
{
    struct pem_file file = file_of(text);
    struct pem_scan scan;
    struct pem_block block;
    struct fault fault = { .text = "" };

    pem_scan_start(&scan, &file);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pem_scan_next(&scan, &block, &fault), PEM_FOUND_BLOCK);
        assert_int_equal(block.kind, expected[i].kind);
        assert_int_equal(block.line, expected[i].line);
        assert_int_equal(block.length, strlen(expected[i].text));
        assert_memory_equal(block.text, expected[i].text, block.length);
    }
    assert_int_equal(pem_scan_next(&scan, &block, &fault), fault_text ? PEM_FOUND_FAULT : PEM_FOUND_END);
    assert_string_equal(fault.text, fault_text ? fault_text : "");
    pem_file_wipe(&file);
}

#define TIDY "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"

static void test_what_surrounds_a_block_does_not_matter(void **state)
{
    static const char *const forms[] = {
        BLOCK("CERTIFICATE"),
        TIDY,
        "\xef\xbb\xbf" BLOCK("CERTIFICATE"),
        " \t\xef\xbb\xbf " TIDY " \t",
        "    -----BEGIN CERTIFICATE-----\n\tAAAA \n  -----END CERTIFICATE-----\t\n",
        "-----BEGIN CERTIFICATE-----\r\nAAAA\r\n-----END CERTIFICATE-----\r\n",
        "-----BEGIN CERTIFICATE-----\rAAAA\r-----END CERTIFICATE-----\r",
    };

    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        check(forms[i], &(struct expected) { PEM_CERTIFICATE, 1, TIDY }, 1, NULL);
}

static void test_text_between_blocks_is_a_comment_and_lines_are_counted(void **state)
{
    static const struct expected expected[] = { { PEM_CERTIFICATE, 3, TIDY }, { PEM_CERTIFICATE, 9, TIDY } };

    (void)state;
    check("Certificate:\r\n    Data: 1-2-3\n" BLOCK(
              "CERTIFICATE") "# -----BEGIN CERTIFICATE-----\n# BBBB\n\n" BLOCK("CERTIFICATE") "end",
          expected, 2, NULL);
    check("", NULL, 0, NULL);
    check("\n\n\xef\xbb\xbf", NULL, 0, NULL);
    check("no block\n", NULL, 0, NULL);
}

static void test_a_mark_in_the_middle_of_a_file_is_removed(void **state)
{
    static const struct expected expected[] = { { PEM_CERTIFICATE, 1, TIDY }, { PEM_CERTIFICATE, 4, TIDY } };

    (void)state;
    check(BLOCK("CERTIFICATE") "\xef\xbb\xbf" BLOCK("CERTIFICATE"), expected, 2, NULL);
}

static void check_kind(const char *label, enum pem_kind kind)
{
    char text[160], tidy[128];

    snprintf(tidy, sizeof tidy, "-----BEGIN %s-----\n-----END %s-----", label, label);
    snprintf(text, sizeof text, "%s\n", tidy);
    check(text, &(struct expected) { kind, 1, tidy }, 1, NULL);
}

static void test_the_label_says_the_kind(void **state)
{
    (void)state;
    check_kind("CERTIFICATE", PEM_CERTIFICATE);
    check_kind("X509 CERTIFICATE", PEM_CERTIFICATE);
    check_kind("TRUSTED CERTIFICATE", PEM_TRUSTED_CERTIFICATE);
    check_kind("X509 CRL", PEM_CRL);
    check_kind("PRIVATE KEY", PEM_PRIVATE_KEY);
    check_kind("ENCRYPTED PRIVATE KEY", PEM_PRIVATE_KEY);
    check_kind("EC PRIVATE KEY", PEM_PRIVATE_KEY);
    check_kind("EC PARAMETERS", PEM_PARAMETERS);
    check_kind("DH PARAMETERS", PEM_PARAMETERS);
    check_kind("PUBLIC KEY", PEM_OTHER);
    check_kind("CERTIFICATE REQUEST", PEM_OTHER);
    check_kind("PKCS7", PEM_OTHER);
}

static void test_a_damaged_block_is_a_fault_that_names_the_line(void **state)
{
    (void)state;
    check("\n" BEGIN("CERTIFICATE") "AAAA\n", NULL, 0,
          "x.pem: line 2: the block that begins here has no END");
    check(BEGIN("CERTIFICATE") "AAAA\n" BLOCK("CERTIFICATE"), NULL, 0,
          "x.pem: line 3: expected the END of the block that begins in line 1");
    check(BEGIN("CERTIFICATE") END("PRIVATE KEY"), NULL, 0,
          "x.pem: line 2: expected the END of the block that begins in line 1");
    check(BEGIN("CERTIFICATE") "-----END CERTIFICATE----\n", NULL, 0,
          "x.pem: line 2: expected the END of the block that begins in line 1");
    check("AAAA\n" END("CERTIFICATE"), NULL, 0, "x.pem: line 2: END without BEGIN");
}

static void test_a_damaged_delimiter_is_no_comment(void **state)
{
    static const char *const damaged[] = {
        "----BEGIN CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE----\n",
        "x-----BEGIN CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----AAAA\n",
        "-----BEGIN -----\n",
        "-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\n",
        "-----BEGIN \n",
        "-----END CERTIFICATE\n",
        "\xe2\x80\x94"
        "BEGIN CERTIFICATE\xe2\x80\x94\n",
        "-----begin certificate-----\n",
        "===== BEGIN CERTIFICATE =====\n",
        "= End RSA Private Key =\n",
        "** BEGIN X509 CRL **\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++)
        check(damaged[i], NULL, 0, "x.pem: line 1: a damaged BEGIN or END");
}

#define BASE64_60 "ABCDEFGHIJKLMNOPQRSTUVWXYZ/abcdefghijklmnopqrstuvwxyz+012345"

static void test_base64_outside_of_a_block_is_no_comment(void **state)
{
    static const char fault[] = "x.pem: line 4: a damaged block: base64 outside of BEGIN and END";
    static const struct expected good = { PEM_CERTIFICATE, 1, TIDY };

    (void)state;
    check(BLOCK("CERTIFICATE") BASE64_60 "\n" BASE64_60 "6789\nAAAA==\n", &good, 1, fault);
    check(BLOCK("CERTIFICATE") BASE64_60 "\r\n  " BASE64_60, &good, 1, fault);
}

static void test_explanations_are_comments(void **state)
{
    static const char *const comments[] = {
        BASE64_60 "\n",
        BASE64_60 "\n\n" BASE64_60 "\n",
        BASE64_60 "\nCertificate:\n" BASE64_60 "\n",
        "# " BASE64_60 "\n# " BASE64_60 "\n",
        "============================================================\n"
        "============================================================\n",
        "00:c4:6e:5c:29:ac:3b:e6:89:5a:0f:a1:5f:4e:b7:d5:7c:02:9e:63:1a\n"
        "12:c4:6e:5c:29:ac:3b:e6:89:5a:0f:a1:5f:4e:b7:d5:7c:02:9e:63:1a\n",
        "subject=CN = West End Key CA\n",
        "End entity certificate\n",
        "// The end of the certificate.\n",
        "// End of the certificate\n",
        "--- Backend certificate ---\n",
        "# ===== BEGIN CERTIFICATE =====\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof comments / sizeof comments[0]; i++)
        check(comments[i], NULL, 0, NULL);
}

static void test_utf16_is_named(void **state)
{
    static const char *const marks[] = { "\xff\xfe-", "\xfe\xff-" };

    (void)state;
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        check(marks[i], NULL, 0,
              "x.pem: is UTF-16, not ASCII; convert it with: iconv -f UTF-16 -t UTF-8 x.pem > NEW.pem");
}

static void test_a_refusal_names_line_and_label(void **state)
{
    struct pem_file file = file_of("\n" BLOCK("X509 CRL"));
    struct pem_scan scan;
    struct pem_block block;
    struct fault fault;

    (void)state;
    pem_scan_start(&scan, &file);
    assert_int_equal(pem_scan_next_of(&scan, PEM_CERTIFICATE, PEM_ONLY(PEM_PRIVATE_KEY), &block, &fault),
                     PEM_FOUND_FAULT);
    assert_string_equal(fault.text,
                        "x.pem: line 2: a block \"X509 CRL\" does not belong in this file; a revocation "
                        "list belongs in a file of --crl, or in the CA file");
    pem_file_wipe(&file);
}

static void test_blocks_beside_the_wanted_ones_are_skipped(void **state)
{
    struct pem_file file =
        file_of(BLOCK("EC PARAMETERS") BLOCK("CERTIFICATE") BLOCK("EC PRIVATE KEY") BLOCK("CERTIFICATE"));
    const unsigned beside = PEM_ONLY(PEM_PRIVATE_KEY) | PEM_ONLY(PEM_PARAMETERS);
    struct pem_scan scan;
    struct pem_block block;
    struct fault fault;

    (void)state;
    pem_scan_start(&scan, &file);
    for (size_t line = 4; line <= 10; line += 6) {
        assert_int_equal(pem_scan_next_of(&scan, PEM_CERTIFICATE, beside, &block, &fault), PEM_FOUND_BLOCK);
        assert_int_equal(block.line, line);
    }
    assert_int_equal(pem_scan_next_of(&scan, PEM_CERTIFICATE, beside, &block, &fault), PEM_FOUND_END);
    pem_file_wipe(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_surrounds_a_block_does_not_matter),
        cmocka_unit_test(test_text_between_blocks_is_a_comment_and_lines_are_counted),
        cmocka_unit_test(test_a_mark_in_the_middle_of_a_file_is_removed),
        cmocka_unit_test(test_the_label_says_the_kind),
        cmocka_unit_test(test_a_damaged_block_is_a_fault_that_names_the_line),
        cmocka_unit_test(test_a_damaged_delimiter_is_no_comment),
        cmocka_unit_test(test_base64_outside_of_a_block_is_no_comment),
        cmocka_unit_test(test_explanations_are_comments),
        cmocka_unit_test(test_utf16_is_named),
        cmocka_unit_test(test_a_refusal_names_line_and_label),
        cmocka_unit_test(test_blocks_beside_the_wanted_ones_are_skipped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
