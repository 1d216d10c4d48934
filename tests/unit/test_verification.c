/* proxy/trust, as a whole: the verdict about many chains, valid and not.
 *
 * With HUSK_CHAINS=DIRECTORY it also writes the chains and the verdicts to files, from which
 * tests/interop/test_interop_verification.py lets OpenSSL and Go judge the same chains. */
#include "support/chains.h"
#include "trust/certificate_file.h"
#include "trust/peer_check.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct test_case {
    const char *name;
    const char *server_name; /* the peer is a server that must have this name; NULL: it is a client */
    enum end_reason reason;
    const char *recipe;
};

static const struct test_case cases[] = {
#include "verification.inc"
};

enum { CASES = sizeof cases / sizeof cases[0] };

struct site {
    char directory[PKI_PATH_BYTES];
    FILE *list; /* NULL: no files are wanted */
};

static int setup(void **state)
{
    struct site *site = calloc(1, sizeof *site);
    const char *directory = getenv("HUSK_CHAINS");

    if (directory) {
        snprintf(site->directory, sizeof site->directory, "%.100s/cases", directory);
        site->list = fopen(site->directory, "w");
        assert_non_null(site->list);
        snprintf(site->directory, sizeof site->directory, "%.120s", directory);
    } else {
        pki_directory_make(site->directory);
    }
    *state = site;
    return 0;
}

static int teardown(void **state)
{
    struct site *site = *state;

    if (site->list)
        fclose(site->list);
    else
        pki_directory_remove(site->directory);
    free(site);
    return 0;
}

static const char *write_stack(const struct site *site, const char *name, const STACK_OF(X509) * stack,
                               char *path)
{
    X509 *certificates[CHAINS_CERTIFICATES_MAX];

    for (size_t i = 0; i < sk_X509_num(stack); i++)
        certificates[i] = sk_X509_value(stack, i);
    return pki_write_certificates(site->directory, name, certificates, sk_X509_num(stack), path);
}

/* CAs that husk does not load are a refusal, too. */
static enum end_reason judge(const struct test_case *one, const char *ca_file, STACK_OF(X509) * shown,
                             char *detail)
{
    struct fault fault;
    struct pem_file file;
    STACK_OF(X509) *cas =
        certificate_file_read(&file, ca_file, &fault) ? certificate_file_cas(&file, &fault) : NULL;
    pem_file_wipe(&file);
    struct peer_check check = { .server_name = one->server_name };
    struct peer_check_rules rules = { .role = one->server_name ? TLS_CLIENT : TLS_SERVER,
                                      .trusted_cas = cas };
    uint8_t alert;

    detail[0] = '\0';
    if (!cas) {
        snprintf(detail, PEER_CHECK_DETAIL_BYTES, "%.200s", fault.text);
        return END_CERTIFICATE_INVALID;
    }
    peer_check_verify(&check, &rules, shown, &alert);
    snprintf(detail, PEER_CHECK_DETAIL_BYTES, "%s", check.detail);
    peer_check_deinit(&check);
    sk_X509_pop_free(cas, X509_free);
    return check.reason;
}

static void test_each_chain_gets_its_verdict(void **state)
{
    struct site *site = *state;
    struct chains chains;
    char name[64], path[PKI_PATH_BYTES], detail[PEER_CHECK_DETAIL_BYTES];
    int wrong = 0;

    for (int i = 0; i < CASES; i++) {
        const struct test_case *one = &cases[i];
        chains_make(&chains, one->recipe);
        snprintf(name, sizeof name, "%.28s.chain", one->name);
        write_stack(site, name, chains.shown, path);
        snprintf(name, sizeof name, "%.28s.cas", one->name);
        write_stack(site, name, chains.trusted, path);
        enum end_reason reason = judge(one, path, chains.shown, detail);
        if (reason != one->reason) {
            print_error("%s: %s, not %s: %s\n", one->name, end_reason_name(reason),
                        end_reason_name(one->reason), detail);
            wrong++;
        }
        if (site->list)
            fprintf(site->list, "%s %s %s\n", one->name, one->server_name ? one->server_name : "-",
                    end_reason_name(reason));
        chains_free(&chains);
    }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_chain_gets_its_verdict, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
