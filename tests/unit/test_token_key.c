/* proxy/trust/token_key.c, with a token that hangs and fails as the tests want */
#include "trust/token_key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "support/pki.h"
#include "trust/token_handshake.h"
#include "trust/tokens.h"

#include <cmocka.h>
#include <openssl/bn.h>
#include <openssl/ec_key.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <unistd.h>

#ifdef HUSK_PKCS11

#define URI(module) "pkcs11:object=key?module-path=/" module ".so"

enum { SHORT_MS = 50, LONG_MS = 60000, EVENTUALLY_MS = 30000, KEYS = 20, HALF_BYTES = 32 };

/* ---- the token ---- */

enum call { NO_CALL, CALL_LOAD, CALL_OPEN, CALL_SIGN, CALL_CLOSE, CALL_COUNT };

struct token {
    struct token_module *module;
    bool is_loaded;
};

static EVP_PKEY *key_in_token;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static enum call hanging, failing; /* under lock, as is the rest */
static unsigned failures_left, calls[CALL_COUNT], sessions;

/* The module a.so alone hangs. */
static bool call(const struct token *token, enum call this, struct fault *fault)
{
    bool may_hang = strcmp(tokens_path(token->module), "/a.so") == 0;

    pthread_mutex_lock(&lock);
    calls[this]++;
    while (may_hang && hanging == this)
        pthread_cond_wait(&changed, &lock);
    bool fails = failing == this && failures_left;
    failures_left -= fails;
    pthread_mutex_unlock(&lock);
    if (fails)
        fault_set(fault, "call %d fails", this);
    return !fails;
}

static void hang(enum call at)
{
    pthread_mutex_lock(&lock);
    hanging = at;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void let_fail(enum call at, unsigned times)
{
    pthread_mutex_lock(&lock);
    failing = at;
    failures_left = times;
    pthread_mutex_unlock(&lock);
}

static unsigned count_of(const unsigned *counter)
{
    pthread_mutex_lock(&lock);
    unsigned count = *counter;
    pthread_mutex_unlock(&lock);
    return count;
}

static void wait_for(const unsigned *counter, unsigned count)
{
    uint64_t until = clock_monotonic_ms() + EVENTUALLY_MS;

    while (count_of(counter) != count && clock_monotonic_ms() < until)
        usleep(1000);
    assert_int_equal(count_of(counter), count);
}

struct token *token_new(const struct token_source *source, struct token_module *module, struct fault *fault)
{
    struct token *token = calloc(1, sizeof *token);

    (void)source, (void)fault;
    token->module = module;
    return token;
}

bool token_load(struct token *token, struct fault *fault)
{
    token->is_loaded = true;
    return call(token, CALL_LOAD, fault);
}

void token_close(struct token *token)
{
    struct fault ignored;

    if (token->is_loaded)
        (void)call(token, CALL_CLOSE, &ignored);
    free(token);
}

static void sessions_add(int change)
{
    pthread_mutex_lock(&lock);
    sessions += (unsigned)change;
    pthread_mutex_unlock(&lock);
}

bool token_session_open(struct token *token, struct token_session *session, struct fault *fault)
{
    *session = (struct token_session) { .is_ec = true };
    session->is_open = call(token, CALL_OPEN, fault);
    sessions_add(session->is_open);
    return session->is_open;
}

void token_session_close(struct token *token, struct token_session *session)
{
    (void)token;
    sessions_add(-(int)session->is_open);
    session->is_open = false;
}

/* As PKCS#11 gives it: r and s in equal halves. */
bool token_session_sign(struct token *token, const struct token_session *session,
                        const struct token_input *input, struct token_output *output, struct fault *fault)
{
    const BIGNUM *r, *s;

    assert_true(session->is_open);
    if (!call(token, CALL_SIGN, fault))
        return false;
    ECDSA_SIG *made = ECDSA_do_sign(input->bytes, input->length, EVP_PKEY_get0_EC_KEY(key_in_token));
    ECDSA_SIG_get0(made, &r, &s);
    assert_true(BN_bn2bin_padded(output->bytes, HALF_BYTES, r) &&
                BN_bn2bin_padded(output->bytes + HALF_BYTES, HALF_BYTES, s));
    output->length = (size_t)HALF_BYTES * 2;
    ECDSA_SIG_free(made);
    return true;
}

/* ---- keys ---- */

static struct tokens *tokens;

static void begin(uint64_t timeout_ms)
{
    hang(NO_CALL);
    let_fail(NO_CALL, 0);
    memset(calls, 0, sizeof calls);
    tokens = tokens_new(timeout_ms);
    assert_non_null(tokens);
}

static void end(void)
{
    hang(NO_CALL);
    wait_for(&calls[CALL_CLOSE], count_of(&calls[CALL_LOAD]));
    assert_true(tokens_close(tokens));
    assert_int_equal(count_of(&sessions), 0);
}

static struct token_key *load(const char *uri, unsigned count, struct fault *fault)
{
    const struct token_key_options options = { .tokens = tokens,
                                               .source = { .uri = uri },
                                               .sessions = count };

    return token_key_load(&options, key_in_token, fault);
}

/* A slow machine may not keep a short timeout. */
static struct token_key *load_patiently(const char *uri)
{
    uint64_t until = clock_monotonic_ms() + EVENTUALLY_MS;
    struct token_key *key;
    struct fault fault;

    while (!(key = load(uri, 1, &fault)) && clock_monotonic_ms() < until)
        usleep(1000);
    assert_non_null(key);
    return key;
}

static struct token_signature *ask(struct token_key *key, struct token_results *results)
{
    struct token_signature *signature = token_signature_new(key);

    assert_non_null(signature);
    assert_true(
        token_request_set(&signature->request, SSL_SIGN_ECDSA_SECP256R1_SHA256, (const uint8_t *)"text", 4));
    if (results) {
        token_signature_await(signature, token_results_share(results), NULL, NULL);
        signature->is_awaited = true;
    }
    return signature;
}

static void on_result(void *owner)
{
    (void)owner;
}

/* ---- tests ---- */

static void a_key_signs(void **state)
{
    struct fault fault;

    (void)state;
    begin(LONG_MS);
    struct token_key *key = load(URI("a"), 3, &fault);
    assert_non_null(key);
    struct token_signature *signature = ask(key, NULL);
    assert_true(token_key_sign(key, signature));
    assert_true(signature->is_made && signature->output.length > HALF_BYTES);
    token_signature_free(signature);
    token_key_free(key);
    end();
}

static void a_failure_is_tried_once_more_in_a_new_session(void **state)
{
    struct fault fault;

    (void)state;
    begin(LONG_MS);
    struct token_key *key = load(URI("a"), 1, &fault);
    for (unsigned failures = 1; failures <= 2; failures++) {
        struct token_signature *signature = ask(key, NULL);
        unsigned opened = count_of(&calls[CALL_OPEN]);
        let_fail(CALL_SIGN, failures);
        assert_true(token_key_sign(key, signature));
        assert_int_equal(signature->is_made, failures == 1);
        assert_int_equal(count_of(&calls[CALL_OPEN]), opened + 1);
        token_signature_free(signature);
    }
    token_key_free(key);
    end();
}

static void a_key_that_does_not_open_says_why(void **state)
{
    struct fault fault;

    (void)state;
    begin(LONG_MS);
    for (enum call each = CALL_LOAD; each <= CALL_SIGN; each++) {
        char words[] = "call 0 fails";
        words[5] = (char)('0' + each);
        let_fail(each, 1);
        assert_null(load(URI("a"), 1, &fault));
        assert_string_equal(fault.text, words);
    }
    EVP_PKEY *right = key_in_token;
    key_in_token = pki_key_new();
    const struct token_key_options options = { .tokens = tokens,
                                               .source = { .uri = URI("a") },
                                               .sessions = 1 };
    assert_null(token_key_load(&options, right, &fault));
    assert_string_equal(fault.text, "the private key in the token does not match the certificate");
    end();
    EVP_PKEY_free(key_in_token);
    key_in_token = right;
}

/* Wherever it hangs. Until it answers, no other key of its module is opened, which would hang, too. */
static void a_token_that_hangs_costs_one_thread(void **state)
{
    struct fault fault, again;

    (void)state;
    for (enum call at = CALL_LOAD; at <= CALL_SIGN; at++) {
        begin(SHORT_MS);
        hang(at);
        assert_null(load(URI("a"), 1, &fault));
        assert_non_null(strstr(fault.text, "does not answer"));
        for (int i = 0; i < 3; i++) {
            assert_null(load(URI("a"), 1, &again));
            assert_string_equal(again.text, fault.text);
        }
        wait_for(&calls[at], 1);
        hang(NO_CALL);
        wait_for(&calls[CALL_CLOSE], 1); /* by the thread that was late */
        end();
    }
}

static void a_token_that_hangs_stops_no_other_module(void **state)
{
    struct fault fault;

    (void)state;
    begin(SHORT_MS);
    hang(CALL_LOAD);
    assert_null(load(URI("a"), 1, &fault));
    token_key_free(load_patiently(URI("b")));
    end();
}

/* Who frees a key waits for no token: the key goes when its token answers. */
static void keys_are_freed_without_waiting(void **state)
{
    struct token_results *results = token_results_new(on_result, NULL);
    struct token_key *keys[KEYS];
    struct token_signature *signatures[KEYS];
    struct fault fault;

    (void)state;
    begin(LONG_MS);
    for (int i = 0; i < KEYS; i++)
        assert_non_null(keys[i] = load(URI("a"), 1, &fault));
    hang(CALL_SIGN);
    for (int i = 0; i < KEYS; i++) {
        signatures[i] = ask(keys[i], results);
        assert_false(token_key_sign(keys[i], signatures[i]));
    }
    wait_for(&calls[CALL_SIGN], 2 * KEYS);
    uint64_t begun_ms = clock_monotonic_ms();
    for (int i = 0; i < KEYS; i++) {
        token_signature_free(signatures[i]);
        token_key_free(keys[i]);
    }
    assert_in_range(clock_monotonic_ms() - begun_ms, 0, KEYS * 500);
    assert_int_equal(count_of(&calls[CALL_CLOSE]), 0);
    hang(NO_CALL);
    wait_for(&calls[CALL_CLOSE], KEYS);
    token_results_release(results); /* frees the signatures, which nobody has taken */
    end();
}

static void a_signature_that_waits_can_be_withdrawn(void **state)
{
    struct token_results *results = token_results_new(on_result, NULL);
    struct fault fault;

    (void)state;
    begin(LONG_MS);
    struct token_key *key = load(URI("a"), 1, &fault);
    hang(CALL_SIGN);
    struct token_signature *first = ask(key, results), *second = ask(key, results);
    assert_false(token_key_sign(key, first));
    wait_for(&calls[CALL_SIGN], 2);
    assert_false(token_key_sign(key, second));
    token_signature_free(second);
    token_signature_free(first);
    hang(NO_CALL);
    token_key_free(key);
    wait_for(&calls[CALL_CLOSE], 1);
    assert_int_equal(count_of(&calls[CALL_SIGN]), 2);
    token_results_deliver(results);
    token_results_release(results);
    end();
}

/* The thread of the token frees it. */
static void a_caller_waits_for_a_signature_no_longer_than_the_timeout(void **state)
{
    (void)state;
    begin(SHORT_MS);
    struct token_key *key = load_patiently(URI("a"));
    hang(CALL_SIGN);
    struct token_signature *signature = ask(key, NULL);
    signature->is_awaited = !token_key_sign(key, signature);
    assert_true(signature->is_awaited);
    token_signature_free(signature);
    token_key_free(key);
    end();
}

static void the_end_of_the_process_waits_no_longer_than_a_second(void **state)
{
    struct fault fault;

    (void)state;
    begin(SHORT_MS);
    hang(CALL_OPEN);
    assert_null(load(URI("a"), 1, &fault));
    assert_false(tokens_close(tokens));
    hang(NO_CALL);
    wait_for(&calls[CALL_CLOSE], 1);
}

static int key_make(void **state)
{
    (void)state;
    key_in_token = pki_key_new();
    return 0;
}

static int key_drop(void **state)
{
    (void)state;
    EVP_PKEY_free(key_in_token);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_signs),
        cmocka_unit_test(a_failure_is_tried_once_more_in_a_new_session),
        cmocka_unit_test(a_key_that_does_not_open_says_why),
        cmocka_unit_test(a_token_that_hangs_costs_one_thread),
        cmocka_unit_test(a_token_that_hangs_stops_no_other_module),
        cmocka_unit_test(keys_are_freed_without_waiting),
        cmocka_unit_test(a_signature_that_waits_can_be_withdrawn),
        cmocka_unit_test(a_caller_waits_for_a_signature_no_longer_than_the_timeout),
        cmocka_unit_test(the_end_of_the_process_waits_no_longer_than_a_second),
    };

    return cmocka_run_group_tests(tests, key_make, key_drop);
}

#else

int main(void)
{
    return 0;
}

#endif
