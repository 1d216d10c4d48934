/* proxy/runtime/end_hint.c: which advice fits which failure. */
#include "runtime/end_hint.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

#define DOWN  SIDE_DOWNSTREAM
#define UP    SIDE_UPSTREAM
#define PLAIN END_PLAINTEXT

/* What most hints depend on. */
struct seen {
    enum side side;
    enum end_reason reason;
    enum end_transport transport;
    enum spoken spoken;
};

static struct end_hint hint_of(const struct seen *seen)
{
    return end_hint_of(&(struct end_facts) {
        .side = seen->side, .reason = seen->reason, .transport = seen->transport, .spoken = seen->spoken });
}

struct advice {
    struct seen facts;
    const char *part; /* of the hint; NULL: there is none */
};

static const struct advice cases[] = {
    /* the same bytes, another reason or side or transport */
    { { UP, END_BAD_ACK, PLAIN, SPOKEN_HELO }, "set --shared-key-env, --shared-key-file" },
    { { UP, END_BAD_ACK, END_TLS, SPOKEN_HELO }, "set --shared-key-env, --shared-key-file" },
    { { UP, END_LINK_ERROR, END_TLS, SPOKEN_HELO }, "set --shared-key-env, --shared-key-file" },
    { { UP, END_NOT_TLS, END_TLS, SPOKEN_HELO }, "set --upstream to a port with TLS" },
    { { DOWN, END_NOT_FORWARD, PLAIN, SPOKEN_TLS }, "turn off TLS at the peer" },
    { { DOWN, END_KEY_MALFORMED, PLAIN, SPOKEN_TLS }, "turn off TLS at the peer" },
    { { UP, END_BAD_ACK, PLAIN, SPOKEN_TLS }, "let husk use TLS on this side" },
    { { UP, END_BAD_ACK, PLAIN, SPOKEN_TLS }, "set --upstream to a port without TLS" },
    { { UP, END_KEY_MALFORMED, PLAIN, SPOKEN_TLS }, "set --upstream to a port without TLS" },
    { { DOWN, END_NOT_TLS, END_TLS, SPOKEN_FORWARD }, "turn on TLS with a client certificate" },
    { { DOWN, END_NOT_TLS, END_TLS, SPOKEN_UNCLEAR }, "turn on TLS with a client certificate" },
    { { DOWN, END_NOT_TLS, END_TLS, SPOKEN_HTTP_REQUEST }, "--admin" },
    { { DOWN, END_NOT_FORWARD, PLAIN, SPOKEN_HTTP_REQUEST }, "--admin" },
    { { DOWN, END_NOT_FORWARD, END_TLS, SPOKEN_PROXY }, "PROXY protocol" },
    { { DOWN, END_NOT_FORWARD, PLAIN, SPOKEN_SYSLOG }, "--protocol tcp" },
    { { DOWN, END_NOT_FORWARD, PLAIN, SPOKEN_OTHER }, "--protocol tcp" },
    { { DOWN, END_NOT_FORWARD, END_TLS, SPOKEN_LINK }, "--upstream-link" },
    { { DOWN, END_KEY_MALFORMED, END_TLS, SPOKEN_LINK },
      "set --shared-key-env or --shared-key-file at the peer" },
    { { DOWN, END_KEY_MALFORMED, PLAIN, SPOKEN_FORWARD }, "remove --accept-key-*" },
    { { DOWN, END_KEY_MALFORMED, PLAIN, SPOKEN_SSH }, "--protocol tcp" },
    { { DOWN, END_JSON, PLAIN, SPOKEN_JSON }, "--protocol tcp" },
    { { UP, END_BAD_ACK, PLAIN, SPOKEN_HTTP_RESPONSE }, "admin port" },
    { { UP, END_NOT_TLS, END_TLS, SPOKEN_HTTP_RESPONSE }, "admin port" },
    { { UP, END_BAD_ACK, PLAIN, SPOKEN_SSH }, "no Forward input" },
    { { UP, END_KEY_MALFORMED, END_TLS, SPOKEN_LINK }, "remove --shared-key-*" },

    /* silence */
    { { DOWN, END_HANDSHAKE_TIMEOUT, END_TLS, SPOKEN_NOTHING }, "if it is an agent without TLS" },
    { { UP, END_HANDSHAKE_TIMEOUT, END_TLS, SPOKEN_NOTHING }, "if the port of --upstream takes plaintext" },
    { { UP, END_HANDSHAKE_CLOSED, END_TLS, SPOKEN_NOTHING }, "if the port of --upstream takes plaintext" },
    { { UP, END_RESET, PLAIN, SPOKEN_NOTHING }, "if the port of --upstream speaks TLS" },
    { { UP, END_KEY_TIMEOUT, PLAIN, SPOKEN_NOTHING }, "no HELO" },
    { { UP, END_KEY_TIMEOUT, END_TLS, SPOKEN_NOTHING }, "remove --shared-key-*" },
    { { UP, END_KEY_REJECTED, PLAIN, SPOKEN_NOTHING }, "if the port of --upstream speaks TLS" },
    { { UP, END_KEY_REJECTED, PLAIN, SPOKEN_HELO }, "--username" },
    { { DOWN, END_KEY_TIMEOUT, PLAIN, SPOKEN_NOTHING }, "remove --accept-key-*" },

    /* an alert does not tell more than its number */
    { { UP, END_TLS_REJECTED, END_TLS, SPOKEN_TLS }, "if the alert is about a certificate" },
    { { DOWN, END_TLS_REJECTED, END_TLS, SPOKEN_TLS }, "if the alert is about a certificate" },

    { { DOWN, END_CERTIFICATE_EXPIRED, END_TLS, SPOKEN_TLS }, "renew the certificate of the peer" },
    { { UP, END_CERTIFICATE_EXPIRED, END_TLS, SPOKEN_TLS }, "renew the certificate of the peer" },

    /* each kind of key is named */
    { { DOWN, END_KEY_WRONG, PLAIN, SPOKEN_PING }, "empty as --accept-key-empty says" },
    { { UP, END_KEY_WRONG, PLAIN, SPOKEN_HELO }, "not empty as --shared-key-empty says" },

    { { UP, END_CONNECT_REFUSED, PLAIN, SPOKEN_NOTHING }, "no program listens" },
    { { UP, END_UNRESOLVED, PLAIN, SPOKEN_NOTHING }, "--dns-servers" },

    /* no mistake in the settings explains these */
    { { UP, END_HANDSHAKE_TIMEOUT, END_TLS, SPOKEN_TLS }, NULL },
    { { UP, END_RESET, PLAIN, SPOKEN_ACK }, NULL },
    { { UP, END_RESET, END_TLS, SPOKEN_NOTHING }, NULL },
    { { UP, END_BAD_ACK, PLAIN, SPOKEN_ACK }, NULL },
    { { UP, END_BAD_ACK, PLAIN, SPOKEN_UNCLEAR }, NULL },
    { { UP, END_KEY_MALFORMED, PLAIN, SPOKEN_UNCLEAR }, NULL },
    { { UP, END_KEY_MALFORMED, PLAIN, SPOKEN_HELO }, NULL },
    { { UP, END_UPSTREAM_CLOSED, PLAIN, SPOKEN_ACK }, NULL },
    { { DOWN, END_RESET, PLAIN, SPOKEN_FORWARD }, NULL },
    { { DOWN, END_NOT_FORWARD, PLAIN, SPOKEN_FORWARD }, NULL },
    { { DOWN, END_KEY_MALFORMED, PLAIN, SPOKEN_PING }, NULL },
    { { DOWN, END_TAG_NOT_ALLOWED, PLAIN, SPOKEN_FORWARD }, NULL },
};

static void each_failure_has_its_advice(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct advice *one = &cases[i];
        const char *hint = hint_of(&one->facts).text;
        if (!hint != !one->part || (hint && !strstr(hint, one->part)))
            fail_msg("%s %s, speaks %s: %s", side_name(one->facts.side), end_reason_name(one->facts.reason),
                     spoken_name(one->facts.spoken), hint ? hint : "no hint");
    }
}

/* The issuer may be an intermediate, or a CA that husk does not have. */
static void a_chain_that_lacks_an_issuer_has_its_advice(void **state)
{
    struct end_facts facts = { .reason = END_CERTIFICATE_UNKNOWN_CA, .transport = END_TLS };

    (void)state;
    for (facts.side = 0; facts.side < SIDE_COUNT; facts.side++) {
        facts.lacks_issuer = false;
        assert_null(strstr(end_hint_of(&facts).text, "intermediate"));
        facts.lacks_issuer = true;
        assert_non_null(strstr(end_hint_of(&facts).text, "--ca must have the CA"));
        assert_non_null(strstr(end_hint_of(&facts).text, "if this CA is an intermediate, it is missing"));
    }
}

static void a_server_that_denies_access_has_its_advice(void **state)
{
    struct end_facts facts = { .reason = END_TLS_REJECTED, .transport = END_TLS, .is_denied = true };

    (void)state;
    facts.side = SIDE_UPSTREAM;
    assert_ptr_equal(strstr(end_hint_of(&facts).text, "the server does not admit the certificate"),
                     end_hint_of(&facts).text);
    facts.side = SIDE_DOWNSTREAM;
    assert_non_null(strstr(end_hint_of(&facts).text, "if the alert is about a certificate"));
}

static void the_protocol_is_named_where_the_advice_depends_on_it(void **state)
{
    static const struct {
        struct seen facts;
        const char *speaks;
    } answers[] = {
        { { UP, END_BAD_ACK, PLAIN, SPOKEN_HELO }, "helo" },
        { { UP, END_RESET, PLAIN, SPOKEN_NOTHING }, "nothing" },
        { { UP, END_NOT_TLS, END_TLS, SPOKEN_SSH }, "ssh" },
        { { DOWN, END_NOT_TLS, END_TLS, SPOKEN_UNCLEAR }, NULL },
        { { UP, END_CONNECT_REFUSED, PLAIN, SPOKEN_NOTHING }, NULL },
        { { UP, END_CERTIFICATE_NAME, END_TLS, SPOKEN_TLS }, NULL },
        { { UP, END_BAD_ACK, PLAIN, SPOKEN_ACK }, NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        const char *speaks = hint_of(&answers[i].facts).speaks;
        assert_true(!speaks == !answers[i].speaks);
        if (speaks)
            assert_string_equal(speaks, answers[i].speaks);
    }
}

static void an_end_in_order_has_no_advice(void **state)
{
    (void)state;
    for (enum end_reason reason = 0; reason < END_REASON_COUNT; reason++) {
        for (unsigned at = 0; end_reason_is_benign(reason) && at < 4 * SPOKEN_COUNT; at++)
            assert_null(hint_of(&(struct seen) { at & 1, reason, (at >> 1) & 1, at >> 2 }).text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_failure_has_its_advice),
        cmocka_unit_test(a_chain_that_lacks_an_issuer_has_its_advice),
        cmocka_unit_test(a_server_that_denies_access_has_its_advice),
        cmocka_unit_test(the_protocol_is_named_where_the_advice_depends_on_it),
        cmocka_unit_test(an_end_in_order_has_no_advice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
