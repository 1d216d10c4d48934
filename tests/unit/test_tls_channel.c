/* proxy/wire/tls_channel.c: both roles in memory, the byte stream cut at every place, and every way to
 * end. */
#include "support/pki.h"
#include "wire/tls_channel.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum end { CLIENT, SERVER, END_COUNT };

struct fixture {
    char directory[PKI_PATH_BYTES];
    struct log log;
    struct buffer_pool pool;
    struct tls_io io[END_COUNT]; /* as if each end had its own worker */
    struct credentials *credentials[END_COUNT];
    struct peer_policy anyone, nobody;
    struct tls_sessions sessions;
};

/* A connection under test: a channel at each end and the bytes in flight. */
struct pair {
    struct fixture *fixture;
    struct tls_channel *channel[END_COUNT];
    struct buffer arriving[END_COUNT];
    struct buffer opened[END_COUNT];
    enum tls_status status[END_COUNT];
    size_t delivered[END_COUNT]; /* bytes delivered to that end so far */
};

static struct credentials *load(struct fixture *fixture, enum end end, enum tls_version min,
                                enum tls_version max, const struct peer_policy *policy)
{
    char cert[PKI_PATH_BYTES + 32], key[PKI_PATH_BYTES + 32], ca[PKI_PATH_BYTES + 32];
    const char *name = end == CLIENT ? "client" : "server";
    struct fault fault;

    snprintf(cert, sizeof cert, "%s/%s.crt.pem", fixture->directory, name);
    snprintf(key, sizeof key, "%s/%s.key.pem", fixture->directory, name);
    snprintf(ca, sizeof ca, "%s/ca.crt.pem", fixture->directory);
    const struct credentials_options options = {
        .role = end == CLIENT ? TLS_CLIENT : TLS_SERVER,
        .cert_file = cert,
        .key_file = key,
        .ca_file = ca,
        .min_version = min,
        .max_version = max,
        .policy = policy,
    };
    struct credentials *credentials = credentials_load(&options, &fixture->log, &fault);
    if (!credentials)
        fail_msg("%s", fault.text);
    return credentials;
}

static void use_versions(struct fixture *fixture, enum end end, enum tls_version min, enum tls_version max)
{
    credentials_release(fixture->credentials[end]);
    fixture->credentials[end] = load(fixture, end, min, max, end == SERVER ? &fixture->anyone : NULL);
}

static int setup(void **state)
{
    static const char *const names[] = { "localhost", "other.example" };
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct fault fault;

    pki_directory_make(fixture->directory);
    pki_site_make(fixture->directory, names, 2, 10);
    log_init(&fixture->log, STDERR_FILENO, LOG_ERROR, LOG_TEXT);
    assert_true(peer_policy_add(&fixture->anyone, PEER_RULE_ANY, NULL, &fault));
    assert_true(peer_policy_add(&fixture->nobody, PEER_RULE_CN, "somebody else", &fault));
    for (enum end end = 0; end < END_COUNT; end++) {
        assert_true(tls_io_init(&fixture->io[end]));
        use_versions(fixture, end, TLS_VERSION_1_2, TLS_VERSION_1_3);
    }
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    tls_sessions_clear(&fixture->sessions);
    for (enum end end = 0; end < END_COUNT; end++) {
        credentials_release(fixture->credentials[end]);
        tls_io_deinit(&fixture->io[end]);
    }
    peer_policy_deinit(&fixture->anyone);
    peer_policy_deinit(&fixture->nobody);
    buffer_pool_deinit(&fixture->pool);
    log_deinit(&fixture->log);
    pki_directory_remove(fixture->directory);
    free(fixture);
    return 0;
}

/* Puts the output of an end's last call in flight to the other end. */
static void carry(struct pair *pair, enum end from)
{
    struct tls_io *io = &pair->fixture->io[from];

    assert_true(buffer_append(&pair->arriving[!from], io->output, io->output_length));
    io->output_length = 0;
}

static void give(struct pair *pair, enum end to, const uint8_t *bytes, size_t length)
{
    pair->status[to] = tls_channel_receive(pair->channel[to], bytes, length, &pair->opened[to]);
    pair->delivered[to] += length;
    carry(pair, to);
}

static void pair_open(struct pair *pair, struct fixture *fixture, const char *server_name)
{
    *pair = (struct pair) { .fixture = fixture };
    for (enum end end = 0; end < END_COUNT; end++) {
        buffer_init(&pair->arriving[end], &fixture->pool);
        buffer_init(&pair->opened[end], &fixture->pool);
        pair->channel[end] =
            tls_channel_new(&fixture->io[end], fixture->credentials[end], end == CLIENT ? server_name : NULL,
                            end == CLIENT ? &fixture->sessions : NULL);
        assert_non_null(pair->channel[end]);
    }
    give(pair, CLIENT, NULL, 0);
}

static void pair_close(struct pair *pair)
{
    for (enum end end = 0; end < END_COUNT; end++) {
        tls_channel_free(pair->channel[end]);
        buffer_clear(&pair->arriving[end]);
        buffer_clear(&pair->opened[end]);
    }
}

/* Delivers all bytes in flight, in pieces of `piece` bytes, and cuts also at byte `cut` of the stream to
 * `cut_end`. */
static void pump(struct pair *pair, size_t piece, enum end cut_end, size_t cut)
{
    while (pair->arriving[CLIENT].length || pair->arriving[SERVER].length) {
        enum end to = pair->arriving[SERVER].length ? SERVER : CLIENT;
        struct iovec front;
        assert_int_equal(buffer_vectors(&pair->arriving[to], &front, 1), 1);
        size_t part = front.iov_len < piece ? front.iov_len : piece;
        size_t done = pair->delivered[to];
        if (to == cut_end && done < cut && done + part > cut)
            part = cut - done;
        uint8_t *copy = malloc(part); /* a copy: sanitizers detect a read past its end */
        memcpy(copy, front.iov_base, part);
        give(pair, to, copy, part);
        free(copy);
        buffer_consume(&pair->arriving[to], part);
    }
}

static void pump_whole(struct pair *pair)
{
    pump(pair, SIZE_MAX, CLIENT, 0);
}

/* Leaves the client's last bytes in flight, so the server does not answer them. */
static void pump_until_client_is_established(struct pair *pair)
{
    while (!tls_channel_is_established(pair->channel[CLIENT])) {
        enum end to = pair->arriving[SERVER].length ? SERVER : CLIENT;
        struct iovec front;
        assert_int_equal(buffer_vectors(&pair->arriving[to], &front, 1), 1);
        give(pair, to, front.iov_base, front.iov_len);
        buffer_consume(&pair->arriving[to], front.iov_len);
    }
}

static void say(struct pair *pair, enum end from, const char *text, size_t length)
{
    struct buffer words;

    buffer_init(&words, &pair->fixture->pool);
    assert_true(buffer_append(&words, text, length));
    while (words.length) {
        assert_int_equal(tls_channel_send(pair->channel[from], &words), TLS_OPEN);
        carry(pair, from);
    }
}

static void expect_heard(struct pair *pair, enum end end, const char *text)
{
    struct iovec front = { 0 };

    assert_int_equal(pair->opened[end].length, strlen(text));
    assert_int_equal(buffer_vectors(&pair->opened[end], &front, 1), 1);
    assert_memory_equal(front.iov_base, text, strlen(text));
    buffer_clear(&pair->opened[end]);
}

static void expect_conversation(struct pair *pair, size_t piece, enum end cut_end, size_t cut)
{
    pump(pair, piece, cut_end, cut);
    for (enum end end = 0; end < END_COUNT; end++) {
        assert_int_equal(pair->status[end], TLS_OPEN);
        assert_true(tls_channel_is_established(pair->channel[end]));
    }
    say(pair, CLIENT, "question", 8);
    say(pair, SERVER, "answer", 6);
    pump(pair, piece, cut_end, cut);
    expect_heard(pair, SERVER, "question");
    expect_heard(pair, CLIENT, "answer");
}

/* ---- the handshake ---- */

static void both_versions_finish_a_handshake_and_report_facts(void **state)
{
    struct fixture *fixture = *state;

    for (enum tls_version version = TLS_VERSION_1_2; version <= TLS_VERSION_1_3; version++) {
        struct pair pair;
        use_versions(fixture, CLIENT, version, version);
        pair_open(&pair, fixture, "localhost");
        expect_conversation(&pair, SIZE_MAX, CLIENT, 0);
        struct tls_facts facts = tls_channel_facts(pair.channel[SERVER]);
        assert_int_equal(facts.version, version == TLS_VERSION_1_3 ? METRICS_TLS_1_3 : METRICS_TLS_1_2);
        assert_in_range(facts.cipher, METRICS_AES_128_GCM, METRICS_CHACHA20_POLY1305);
        assert_in_range(facts.group, METRICS_X25519_MLKEM768, METRICS_X25519);
        assert_false(facts.resumed);
        assert_string_equal(tls_channel_peer(pair.channel[SERVER])->cn, "client");
        assert_string_equal(tls_channel_peer(pair.channel[CLIENT])->dns.values[0], "localhost");
        pair_close(&pair);
        tls_sessions_clear(&fixture->sessions);
    }
}

static void every_cut_of_the_stream_gives_the_same_conversation(void **state)
{
    struct fixture *fixture = *state;
    /* Sanitizers make each handshake slow: test only some places with them. */
    size_t stride = getenv("HUSK_LIGHT") ? 29 : 1;

    for (enum tls_version version = TLS_VERSION_1_2; version <= TLS_VERSION_1_3; version++) {
        use_versions(fixture, CLIENT, version, version);
        for (enum end end = 0; end < END_COUNT; end++) {
            size_t total = SIZE_MAX;
            for (size_t cut = 1; cut < total; cut += stride) {
                struct pair pair;
                tls_sessions_clear(&fixture->sessions); /* every handshake is a full one */
                pair_open(&pair, fixture, "localhost");
                expect_conversation(&pair, SIZE_MAX, end, cut);
                total = pair.delivered[end];
                pair_close(&pair);
            }
            assert_in_range(total, 500, 10000);
        }
    }
}

static void a_byte_at_a_time_gives_the_same_conversation(void **state)
{
    struct fixture *fixture = *state;

    for (enum tls_version version = TLS_VERSION_1_2; version <= TLS_VERSION_1_3; version++) {
        struct pair pair;
        use_versions(fixture, CLIENT, version, version);
        pair_open(&pair, fixture, "localhost");
        expect_conversation(&pair, 1, CLIENT, 0);
        pair_close(&pair);
    }
}

static void data_in_the_last_flight_is_not_lost(void **state)
{
    struct fixture *fixture = *state;
    struct pair pair;

    pair_open(&pair, fixture, "localhost");
    pump_until_client_is_established(&pair);
    assert_false(tls_channel_is_established(pair.channel[SERVER]));
    say(&pair, CLIENT, "early", 5); /* Finished and data arrive in one piece */
    pump_whole(&pair);
    expect_heard(&pair, SERVER, "early");
    pair_close(&pair);
}

/* ---- confirmation and resumption ---- */

static void a_tls_1_3_client_is_confirmed_only_by_the_servers_first_word(void **state)
{
    struct fixture *fixture = *state;
    struct pair pair;

    pair_open(&pair, fixture, "localhost");
    pump_until_client_is_established(&pair);
    assert_false(tls_channel_is_confirmed(pair.channel[CLIENT]));
    pump_whole(&pair); /* the server's tickets */
    assert_true(tls_channel_is_confirmed(pair.channel[CLIENT]));
    pair_close(&pair);
}

static void later_connections_are_resumed_and_tls_1_3_tickets_used_once(void **state)
{
    struct fixture *fixture = *state;

    for (enum tls_version version = TLS_VERSION_1_2; version <= TLS_VERSION_1_3; version++) {
        use_versions(fixture, CLIENT, version, version);
        tls_sessions_clear(&fixture->sessions);
        for (int round = 0; round < 4; round++) {
            struct pair pair;
            unsigned before = fixture->sessions.count;
            pair_open(&pair, fixture, "localhost");
            unsigned used = before && version == TLS_VERSION_1_3; /* a TLS 1.2 session may be offered again */
            assert_int_equal(fixture->sessions.count, before - used);
            expect_conversation(&pair, SIZE_MAX, CLIENT, 0);
            assert_int_equal(tls_channel_facts(pair.channel[SERVER]).resumed, round > 0);
            assert_string_equal(tls_channel_peer(pair.channel[SERVER])->cn, "client");
            assert_true(tls_channel_is_confirmed(pair.channel[CLIENT]));
            pair_close(&pair);
            assert_in_range(fixture->sessions.count, 1, TLS_SESSIONS_MAX);
        }
    }
}

/* ---- refusals ---- */

static bool is_resumed(struct fixture *fixture, const char *server_name)
{
    struct pair pair;

    pair_open(&pair, fixture, server_name);
    expect_conversation(&pair, SIZE_MAX, CLIENT, 0);
    bool resumed = tls_channel_facts(pair.channel[SERVER]).resumed;
    pair_close(&pair);
    return resumed;
}

static void sessions_are_offered_only_to_the_name_they_came_from(void **state)
{
    struct fixture *fixture = *state;

    for (enum tls_version version = TLS_VERSION_1_2; version <= TLS_VERSION_1_3; version++) {
        use_versions(fixture, CLIENT, version, version);
        tls_sessions_clear(&fixture->sessions);
        assert_false(is_resumed(fixture, "localhost"));
        assert_false(is_resumed(fixture, "other.example"));
        /* The sessions of one server never evict those of the other, however many it issues. */
        for (int round = 0; round < TLS_SESSIONS_MAX; round++)
            assert_true(is_resumed(fixture, "localhost"));
        assert_true(fixture->sessions.count <= 2 * TLS_SESSIONS_PER_NAME);
        assert_true(is_resumed(fixture, "other.example"));
    }
}

static void expect_refusal(struct fixture *fixture, const char *server_name, enum end decider,
                           enum end_reason reason, const char *detail)
{
    struct pair pair;

    pair_open(&pair, fixture, server_name);
    pump_whole(&pair);
    assert_int_equal(pair.status[decider], TLS_FAILED);
    assert_string_equal(end_reason_name(tls_channel_failure(pair.channel[decider])), end_reason_name(reason));
    if (!strstr(tls_channel_failure_detail(pair.channel[decider]), detail))
        fail_msg("detail is: %s", tls_channel_failure_detail(pair.channel[decider]));
    assert_false(tls_channel_is_established(pair.channel[decider]));
    assert_null(tls_channel_peer(pair.channel[decider]));
    /* The other end receives an alert. */
    assert_int_equal(pair.status[!decider], TLS_FAILED);
    enum end_reason told = tls_channel_failure(pair.channel[!decider]);
    assert_true(told == END_TLS_REJECTED || told == END_TLS_VERSION);
    pair_close(&pair);
    tls_sessions_clear(&fixture->sessions);
}

static void a_server_of_another_name_is_refused_by_the_client(void **state)
{
    expect_refusal(*state, "elsewhere", CLIENT, END_CERTIFICATE_NAME, "elsewhere");
}

static void an_identity_that_is_not_allowed_is_refused_by_the_server(void **state)
{
    struct fixture *fixture = *state;

    for (enum tls_version version = TLS_VERSION_1_2; version <= TLS_VERSION_1_3; version++) {
        use_versions(fixture, CLIENT, version, version);
        credentials_release(fixture->credentials[SERVER]);
        fixture->credentials[SERVER] =
            load(fixture, SERVER, TLS_VERSION_1_2, TLS_VERSION_1_3, &fixture->nobody);
        expect_refusal(fixture, "localhost", SERVER, END_NOT_ALLOWED, "client");
    }
}

/* The policy changes while the client holds a ticket: the ticket key is the same, the verdict is not. */
static void a_resumed_session_is_checked_against_the_policy_again(void **state)
{
    struct fixture *fixture = *state;
    struct peer_policy changing = { 0 };
    struct fault fault;
    struct pair pair;

    assert_true(peer_policy_add(&changing, PEER_RULE_CN, "client", &fault));
    credentials_release(fixture->credentials[SERVER]);
    fixture->credentials[SERVER] = load(fixture, SERVER, TLS_VERSION_1_2, TLS_VERSION_1_3, &changing);
    pair_open(&pair, fixture, "localhost");
    expect_conversation(&pair, SIZE_MAX, CLIENT, 0);
    pair_close(&pair);
    changing.rules[0].value[0] = 'X';
    pair_open(&pair, fixture, "localhost");
    pump_whole(&pair);
    assert_int_equal(pair.status[SERVER], TLS_FAILED);
    assert_int_equal(tls_channel_failure(pair.channel[SERVER]), END_NOT_ALLOWED);
    assert_false(tls_channel_is_established(pair.channel[SERVER]));
    assert_int_equal(pair.status[CLIENT], TLS_FAILED);
    pair_close(&pair);
    peer_policy_deinit(&changing);
}

static void versions_without_overlap_fail_with_their_own_reason(void **state)
{
    struct fixture *fixture = *state;

    use_versions(fixture, CLIENT, TLS_VERSION_1_2, TLS_VERSION_1_2);
    use_versions(fixture, SERVER, TLS_VERSION_1_3, TLS_VERSION_1_3);
    expect_refusal(fixture, "localhost", SERVER, END_TLS_VERSION, "");
}

static void bytes_that_are_not_tls_are_refused_at_the_first_byte(void **state)
{
    static const char *const garbage[] = { "GET / HTTP/1.1\r\n\r\n", "\x93\xa3tag", "{\"a\":1}",
                                           "\x16\x00\x00\x00\x05hello" };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        struct pair pair;
        pair_open(&pair, fixture, "localhost");
        size_t length = i == 3 ? 10 : strlen(garbage[i]);
        give(&pair, SERVER, (const uint8_t *)garbage[i], length);
        assert_int_equal(pair.status[SERVER], TLS_FAILED);
        assert_string_equal(end_reason_name(tls_channel_failure(pair.channel[SERVER])), "not_tls");
        give(&pair, SERVER, (const uint8_t *)"more", 4); /* and stays refused */
        assert_int_equal(pair.status[SERVER], TLS_FAILED);
        pair_close(&pair);
    }
}

/* ---- ends ---- */

static void close_notify_ends_one_direction_only(void **state)
{
    struct fixture *fixture = *state;

    for (enum tls_version version = TLS_VERSION_1_2; version <= TLS_VERSION_1_3; version++) {
        struct pair pair;
        use_versions(fixture, CLIENT, version, version);
        pair_open(&pair, fixture, "localhost");
        expect_conversation(&pair, SIZE_MAX, CLIENT, 0);
        say(&pair, CLIENT, "last words", 10);
        tls_channel_close(pair.channel[CLIENT]);
        carry(&pair, CLIENT);
        pump_whole(&pair);
        assert_int_equal(pair.status[SERVER], TLS_CLOSED);
        expect_heard(&pair, SERVER, "last words");
        assert_int_equal(tls_channel_end_of_input(pair.channel[SERVER]), END_CLOSED);
        say(&pair, SERVER, "still talking", 13);
        pump_whole(&pair);
        expect_heard(&pair, CLIENT, "still talking");
        assert_int_equal(tls_channel_end_of_input(pair.channel[CLIENT]), END_TRUNCATED);
        tls_channel_close(pair.channel[SERVER]);
        carry(&pair, SERVER);
        pump_whole(&pair);
        assert_int_equal(pair.status[CLIENT], TLS_CLOSED);
        pair_close(&pair);
    }
}

static void an_end_of_input_depends_on_the_bytes_before(void **state)
{
    struct fixture *fixture = *state;
    struct pair pair;

    pair_open(&pair, fixture, "localhost");
    assert_int_equal(tls_channel_end_of_input(pair.channel[SERVER]), END_PROBE);
    assert_int_equal(tls_channel_end_of_input(pair.channel[CLIENT]), END_HANDSHAKE_CLOSED);
    give(&pair, SERVER, (const uint8_t *)"\x16", 1);
    assert_int_equal(tls_channel_end_of_input(pair.channel[SERVER]), END_HANDSHAKE_LEFT);
    pair_close(&pair);
}

static void close_notify_in_the_handshake_is_the_peer_that_leaves(void **state)
{
    static const enum end_reason reasons[] = {
        [CLIENT] = END_HANDSHAKE_CLOSED, [SERVER] = END_HANDSHAKE_LEFT
    };
    static const uint8_t close_notify[] = { 0x15, 3, 3, 0, 2, 1, 0 };

    for (enum end end = 0; end < END_COUNT; end++) {
        struct pair pair;
        pair_open(&pair, *state, "localhost");
        give(&pair, end, close_notify, sizeof close_notify);
        assert_int_equal(pair.status[end], TLS_FAILED);
        assert_int_equal(tls_channel_failure(pair.channel[end]), reasons[end]);
        assert_string_equal(tls_channel_failure_detail(pair.channel[end]), "");
        pair_close(&pair);
    }
}

static void a_damaged_record_fails_the_channel_and_delivers_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct pair pair;
    struct iovec front;

    pair_open(&pair, fixture, "localhost");
    expect_conversation(&pair, SIZE_MAX, CLIENT, 0);
    say(&pair, CLIENT, "secret", 6);
    assert_int_equal(buffer_vectors(&pair.arriving[SERVER], &front, 1), 1);
    ((uint8_t *)front.iov_base)[front.iov_len - 1] ^= 1;
    pump_whole(&pair);
    assert_int_equal(pair.status[SERVER], TLS_FAILED);
    assert_int_equal(tls_channel_failure(pair.channel[SERVER]), END_TLS_PROTOCOL);
    assert_int_equal(pair.opened[SERVER].length, 0);
    pair_close(&pair);
}

static void many_records_arrive_complete_in_any_pieces(void **state)
{
    enum { BULK = 300000 };
    static const size_t pieces[] = { 1000, 16384, 16401, 50000, SIZE_MAX };
    struct fixture *fixture = *state;
    char *bulk = malloc(BULK);

    for (size_t i = 0; i < BULK; i++)
        bulk[i] = (char)(i * 7 + i / 251);
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        struct pair pair;
        pair_open(&pair, fixture, "localhost");
        pump_whole(&pair);
        say(&pair, CLIENT, bulk, BULK);
        pump(&pair, pieces[i], CLIENT, 0);
        assert_int_equal(pair.opened[SERVER].length, BULK);
        for (size_t at = 0; at < BULK;) {
            struct iovec front;
            assert_int_equal(buffer_vectors(&pair.opened[SERVER], &front, 1), 1);
            assert_memory_equal(front.iov_base, bulk + at, front.iov_len);
            at += front.iov_len;
            buffer_consume(&pair.opened[SERVER], front.iov_len);
        }
        pair_close(&pair);
    }
    free(bulk);
}

/* ---- judging a live channel ---- */

static void expect_verdict(struct pair *pair, enum end end, struct credentials *credentials,
                           enum end_reason reason)
{
    struct tls_channel *channel = pair->channel[end];

    assert_int_equal(tls_channel_judge(channel, credentials), reason);
    assert_int_equal(tls_channel_failure(channel), END_NONE);
    assert_int_equal(tls_channel_failure_detail(channel)[0] == '\0', reason == END_NONE);
}

/* Both ends of a full and of a resumed handshake, in both versions. */
static void a_live_channel_is_judged_by_other_credentials_and_stays_as_it_is(void **state)
{
    struct fixture *fixture = *state;
    struct fixture *stranger = NULL;

    setup((void **)&stranger);
    for (enum tls_version version = TLS_VERSION_1_2; version <= TLS_VERSION_1_3; version++) {
        use_versions(fixture, CLIENT, version, version);
        tls_sessions_clear(&fixture->sessions);
        for (int round = 0; round < 2; round++) {
            struct pair pair;
            pair_open(&pair, fixture, "localhost");
            expect_conversation(&pair, SIZE_MAX, CLIENT, 0);
            assert_int_equal(tls_channel_facts(pair.channel[SERVER]).resumed, round > 0);
            for (enum end end = 0; end < END_COUNT; end++) {
                expect_verdict(&pair, end, fixture->credentials[end], END_NONE);
                expect_verdict(&pair, end, stranger->credentials[end], END_CERTIFICATE_UNKNOWN_CA);
            }
            assert_string_equal(tls_channel_peer(pair.channel[SERVER])->cn, "client");
            expect_conversation(&pair, SIZE_MAX, CLIENT, 0);
            pair_close(&pair);
        }
    }
    teardown((void **)&stranger);
}

/* Each set has ticket keys of its own: a client that offers a ticket of the old set is verified by the new
 * set. */
static void a_ticket_of_replaced_credentials_admits_nobody(void **state)
{
    struct fixture *fixture = *state;
    const struct peer_policy *const policies[] = { &fixture->anyone, &fixture->nobody };

    for (enum tls_version version = TLS_VERSION_1_2; version <= TLS_VERSION_1_3; version++) {
        use_versions(fixture, CLIENT, version, version);
        tls_sessions_clear(&fixture->sessions);
        for (size_t i = 0; i < 2; i++) {
            struct pair pair;
            use_versions(fixture, SERVER, TLS_VERSION_1_2, TLS_VERSION_1_3);
            pair_open(&pair, fixture, "localhost");
            expect_conversation(&pair, SIZE_MAX, CLIENT, 0);
            pair_close(&pair);
            assert_in_range(fixture->sessions.count, 1, TLS_SESSIONS_MAX);
            credentials_release(fixture->credentials[SERVER]);
            fixture->credentials[SERVER] =
                load(fixture, SERVER, TLS_VERSION_1_2, TLS_VERSION_1_3, policies[i]);
            pair_open(&pair, fixture, "localhost");
            pump_whole(&pair);
            assert_int_equal(tls_channel_is_established(pair.channel[SERVER]), i == 0);
            assert_int_equal(tls_channel_failure(pair.channel[SERVER]), i == 0 ? END_NONE : END_NOT_ALLOWED);
            if (i == 0)
                assert_false(tls_channel_facts(pair.channel[SERVER]).resumed);
            pair_close(&pair);
        }
    }
}

static void a_channel_shows_the_certificate_of_the_credentials_that_it_began_with(void **state)
{
    struct fixture *fixture = *state;
    struct fixture *stranger = NULL;
    struct credentials *again = load(fixture, CLIENT, TLS_VERSION_1_2, TLS_VERSION_1_3, NULL);
    struct pair pair;

    setup((void **)&stranger);
    pair_open(&pair, fixture, "localhost");
    expect_conversation(&pair, SIZE_MAX, CLIENT, 0);
    assert_true(tls_channel_shows(pair.channel[CLIENT], fixture->credentials[CLIENT]));
    assert_true(tls_channel_shows(pair.channel[CLIENT], again));
    assert_false(tls_channel_shows(pair.channel[CLIENT], stranger->credentials[CLIENT]));
    pair_close(&pair);
    credentials_release(again);
    teardown((void **)&stranger);
}

static void a_live_channel_is_judged_by_another_policy(void **state)
{
    struct fixture *fixture = *state;
    struct credentials *strict = load(fixture, SERVER, TLS_VERSION_1_2, TLS_VERSION_1_3, &fixture->nobody);
    struct pair pair;

    pair_open(&pair, fixture, "localhost");
    expect_conversation(&pair, SIZE_MAX, CLIENT, 0);
    expect_verdict(&pair, SERVER, strict, END_NOT_ALLOWED);
    pair_close(&pair);
    credentials_release(strict);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_versions_finish_a_handshake_and_report_facts, setup, teardown),
        cmocka_unit_test_setup_teardown(every_cut_of_the_stream_gives_the_same_conversation, setup, teardown),
        cmocka_unit_test_setup_teardown(a_byte_at_a_time_gives_the_same_conversation, setup, teardown),
        cmocka_unit_test_setup_teardown(data_in_the_last_flight_is_not_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(a_tls_1_3_client_is_confirmed_only_by_the_servers_first_word, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(sessions_are_offered_only_to_the_name_they_came_from, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(later_connections_are_resumed_and_tls_1_3_tickets_used_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_server_of_another_name_is_refused_by_the_client, setup, teardown),
        cmocka_unit_test_setup_teardown(an_identity_that_is_not_allowed_is_refused_by_the_server, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_resumed_session_is_checked_against_the_policy_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(versions_without_overlap_fail_with_their_own_reason, setup, teardown),
        cmocka_unit_test_setup_teardown(bytes_that_are_not_tls_are_refused_at_the_first_byte, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(close_notify_ends_one_direction_only, setup, teardown),
        cmocka_unit_test_setup_teardown(close_notify_in_the_handshake_is_the_peer_that_leaves, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_end_of_input_depends_on_the_bytes_before, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_record_fails_the_channel_and_delivers_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_live_channel_is_judged_by_other_credentials_and_stays_as_it_is,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_ticket_of_replaced_credentials_admits_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(a_channel_shows_the_certificate_of_the_credentials_that_it_began_with,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_live_channel_is_judged_by_another_policy, setup, teardown),
        cmocka_unit_test_setup_teardown(many_records_arrive_complete_in_any_pieces, setup, teardown),
    };

    return cmocka_run_group_tests_name("tls_channel", tests, NULL, NULL);
}
