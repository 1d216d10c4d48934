#include "forward/handshake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <msgpack.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

enum { BYTES_MAX = HANDSHAKE_MESSAGE_BYTES_MAX + 64, HEX_BYTES = 2 * HANDSHAKE_DIGEST_BYTES };

struct bytes {
    size_t length;
    uint8_t at[BYTES_MAX];
};

static void sha512(const struct handshake_piece *pieces, size_t count, uint8_t digest[HANDSHAKE_DIGEST_BYTES])
{
    SHA512_CTX state;

    SHA512_Init(&state);
    for (size_t i = 0; i < count; i++)
        SHA512_Update(&state, pieces[i].bytes, pieces[i].length);
    SHA512_Final(digest, &state);
}

static const struct handshake_user users[] = { { "other", "other" },
                                               { "agent", "s3cret" },
                                               { "agent", "old" } };

static const struct handshake_options aggregator = { .shared_key = "key",
                                                     .hostname = "aggregator.test",
                                                     .sha512 = sha512 };
static const struct handshake_options aggregator_with_users = {
    .shared_key = "key", .hostname = "aggregator.test", .users = users, .user_count = 3, .sha512 = sha512
};
static const struct handshake_options agent = { .shared_key = "key",
                                                .hostname = "agent1.test",
                                                .username = "agent",
                                                .password = "s3cret",
                                                .sha512 = sha512 };
static const struct handshake_options agent_without_user = { .shared_key = "key",
                                                             .hostname = "agent1.test",
                                                             .sha512 = sha512 };

static const uint8_t random_bytes[HANDSHAKE_RANDOM_BYTES] = { 0, 255, 3,           128,         5,
                                                              6, 7,   [16] = 0xfe, [32] = 0xab, 0x01 };

/* Feeds the bytes, and also every shorter prefix of their first message: a prefix must have no effect. */
static enum handshake_status feed(struct handshake *handshake, const void *bytes, size_t length,
                                  struct handshake_answer *answer)
{
    struct handshake before = *handshake;
    enum handshake_status status;
    size_t taken;

    status = handshake_feed(handshake, bytes, length, &taken, answer);
    assert_int_equal(status == HANDSHAKE_REFUSED, handshake->refusal != HANDSHAKE_NOT_REFUSED);
    if (handshake->options->sha512 == sha512) {
        for (size_t cut = 0; cut < taken; cut++) {
            struct handshake again = before;
            struct handshake_answer out;
            size_t none;

            assert_int_equal(handshake_feed(&again, bytes, cut, &none, &out), HANDSHAKE_MORE);
            assert_int_equal(none, 0);
            assert_int_equal(out.length, 0);
        }
    }
    assert_true(taken == 0 || taken == length);
    return status;
}

static void begin(struct handshake *handshake, enum handshake_role role,
                  const struct handshake_options *options, struct handshake_answer *out)
{
    assert_int_equal(handshake_begin(handshake, role, options, random_bytes, out), HANDSHAKE_MORE);
}

struct ends {
    struct handshake accepting, dialling;
    enum handshake_status accepted, dialled;
    struct handshake_answer pong;
};

/* Runs both ends against each other, until one of them refuses. */
static void meet(struct ends *ends, const struct handshake_options *server,
                 const struct handshake_options *client)
{
    struct handshake_answer helo, ping, nothing;

    begin(&ends->accepting, HANDSHAKE_ACCEPTING, server, &helo);
    begin(&ends->dialling, HANDSHAKE_DIALLING, client, &nothing);
    assert_int_equal(nothing.length, 0);
    assert_int_equal(feed(&ends->dialling, helo.bytes, helo.length, &ping), HANDSHAKE_MORE);
    assert_true(ends->dialling.keepalive);
    ends->accepted = feed(&ends->accepting, ping.bytes, ping.length, &ends->pong);
    ends->dialled = feed(&ends->dialling, ends->pong.bytes, ends->pong.length, &nothing);
    assert_int_equal(nothing.length, 0);
}

static void both_ends_agree(void **state)
{
    static const struct handshake_options *const pairs[][2] = {
        { &aggregator, &agent },
        { &aggregator, &agent_without_user },
        { &aggregator_with_users, &agent },
    };
    struct ends ends;

    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        meet(&ends, pairs[i][0], pairs[i][1]);
        assert_int_equal(ends.accepted, HANDSHAKE_DONE);
        assert_int_equal(ends.dialled, HANDSHAKE_DONE);
        assert_string_equal(ends.accepting.text, "agent1.test");
        assert_string_equal(ends.dialling.text, "aggregator.test");
    }
}

static void a_wrong_key_is_refused_by_both(void **state)
{
    struct handshake_options stranger = agent;
    struct ends ends;

    (void)state;
    stranger.shared_key = "kez";
    meet(&ends, &aggregator, &stranger);
    assert_int_equal(ends.accepting.refusal, HANDSHAKE_WRONG_KEY);
    assert_int_equal(ends.dialling.refusal, HANDSHAKE_REJECTED);
    assert_string_equal(ends.dialling.text, "shared_key mismatch");
}

static void a_wrong_user_is_refused(void **state)
{
    static const struct {
        const char *username, *password;
    } wrong[] = {
        { "agent", "wrong" }, { "other", "s3cret" }, { "nobody", "s3cret" }, { NULL, NULL }, { "agent", "" }
    };
    struct ends ends;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct handshake_options stranger = agent;

        stranger.username = wrong[i].username;
        stranger.password = wrong[i].password;
        meet(&ends, &aggregator_with_users, &stranger);
        assert_int_equal(ends.accepting.refusal, HANDSHAKE_WRONG_USER);
        assert_string_equal(ends.accepting.text, wrong[i].username ? wrong[i].username : "");
        assert_int_equal(ends.dialling.refusal, HANDSHAKE_REJECTED);
        assert_string_equal(ends.dialling.text, "username/password mismatch");
    }
}

static void a_second_password_of_the_same_user_is_accepted(void **state)
{
    struct handshake_options other = agent;
    struct ends ends;

    (void)state;
    other.password = "old";
    meet(&ends, &aggregator_with_users, &other);
    assert_int_equal(ends.accepted, HANDSHAKE_DONE);
}

/* Otherwise an aggregator that does not know the key could return our own digest. */
/* Fluent Bit's empty_shared_key. */
static void an_empty_key_leaves_the_user_to_be_checked(void **state)
{
    struct handshake_options server = aggregator_with_users, client = agent;
    struct handshake_piece pieces[3];
    uint8_t digest[HANDSHAKE_DIGEST_BYTES];
    char hex[2 * HANDSHAKE_DIGEST_BYTES + 1];
    struct ends ends;

    (void)state;
    server.shared_key = client.shared_key = "";
    meet(&ends, &server, &client);
    assert_int_equal(ends.accepted, HANDSHAKE_DONE);
    assert_int_equal(ends.dialled, HANDSHAKE_DONE);
    /* The digest is that of salt, host name and nonce, with nothing behind them. */
    pieces[0] = (struct handshake_piece) { ends.dialling.salt, sizeof ends.dialling.salt };
    pieces[1] = (struct handshake_piece) { server.hostname, strlen(server.hostname) };
    pieces[2] = (struct handshake_piece) { ends.accepting.nonce, ends.accepting.nonce_length };
    sha512(pieces, 3, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    assert_memory_equal(ends.pong.bytes + ends.pong.length - 2 * sizeof digest, hex, 2 * sizeof digest);

    client.password = "wrong";
    meet(&ends, &server, &client);
    assert_int_equal(ends.accepting.refusal, HANDSHAKE_WRONG_USER);
    client = agent; /* it has a key */
    meet(&ends, &server, &client);
    assert_int_equal(ends.accepting.refusal, HANDSHAKE_WRONG_KEY);
    client.shared_key = "";
    meet(&ends, &aggregator_with_users, &client);
    assert_int_equal(ends.accepting.refusal, HANDSHAKE_WRONG_KEY);
}

static void an_aggregator_of_our_own_name_is_refused(void **state)
{
    struct handshake_options namesake = agent;
    struct ends ends;

    (void)state;
    namesake.hostname = aggregator.hostname;
    meet(&ends, &aggregator, &namesake);
    assert_int_equal(ends.accepted, HANDSHAKE_DONE);
    assert_int_equal(ends.dialling.refusal, HANDSHAKE_SAME_NAME);
}

/* ---- recorded handshakes: whatever their key was, our bytes are the recorded ones ---- */

/* A hash function that returns the recorded digest, and checks its input. */
static void recorded_sha512(const struct handshake_piece *pieces, size_t count,
                            uint8_t digest[HANDSHAKE_DIGEST_BYTES])
{
    struct bytes all = { 0 };
    const uint8_t *all_bytes = all.at;
    const char *hex;

    for (size_t i = 0; i < count; i++) {
        memcpy(all.at + all.length, pieces[i].bytes, pieces[i].length);
        all.length += pieces[i].length;
    }
    check_expected(all.length);
    check_expected_ptr(all_bytes);
    hex = mock_ptr_type(const char *);
    for (size_t i = 0; i < HANDSHAKE_DIGEST_BYTES; i++) {
        unsigned value;

        assert_int_equal(sscanf(hex + 2 * i, "%2x", &value), 1);
        digest[i] = (uint8_t)value;
    }
}

static void append(struct bytes *bytes, const msgpack_object *object)
{
    assert_true(object->type == MSGPACK_OBJECT_STR || object->type == MSGPACK_OBJECT_BIN);
    memcpy(bytes->at + bytes->length, object->via.str.ptr, object->via.str.size);
    bytes->length += object->via.str.size;
}

struct recording {
    struct bytes c2s, s2c;
    size_t helo_length, pong_length, ping_length;
    msgpack_unpacked helo, ping, pong;
    const msgpack_object *nonce, *auth; /* of the HELO */
    struct bytes asked[3];              /* the inputs of the three digests */
};

static const char user_key[] = "key", user_password[] = "password";

static void capture_read(struct bytes *bytes, const char *name, const char *direction)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof path, "tests/support/captures/%s-sharedkey-userauth-ack.%s", name, direction);
    file = fopen(path, "rb");
    assert_non_null(file);
    bytes->length = fread(bytes->at, 1, sizeof bytes->at, file);
    fclose(file);
}

static size_t unpack(msgpack_unpacked *unpacked, const struct bytes *bytes, size_t at)
{
    size_t end = at;

    msgpack_unpacked_init(unpacked);
    assert_int_equal(msgpack_unpack_next(unpacked, (const char *)bytes->at, bytes->length, &end),
                     MSGPACK_UNPACK_SUCCESS);
    return end - at;
}

static void recording_read(struct recording *recording, const char *name)
{
    const msgpack_object *ping, *pong;
    static const char *const secrets[] = { user_key, user_password, user_key };

    memset(recording->asked, 0, sizeof recording->asked);
    capture_read(&recording->c2s, name, "c2s");
    capture_read(&recording->s2c, name, "s2c");
    recording->helo_length = unpack(&recording->helo, &recording->s2c, 0);
    recording->pong_length = unpack(&recording->pong, &recording->s2c, recording->helo_length);
    recording->ping_length = unpack(&recording->ping, &recording->c2s, 0);
    recording->nonce = &recording->helo.data.via.array.ptr[1].via.map.ptr[0].val;
    recording->auth = &recording->helo.data.via.array.ptr[1].via.map.ptr[1].val;
    ping = recording->ping.data.via.array.ptr;
    pong = recording->pong.data.via.array.ptr;
    append(&recording->asked[0], &ping[2]);
    append(&recording->asked[0], &ping[1]);
    append(&recording->asked[0], recording->nonce);
    append(&recording->asked[1], recording->auth);
    append(&recording->asked[1], &ping[4]);
    append(&recording->asked[2], &ping[2]);
    append(&recording->asked[2], &pong[3]);
    append(&recording->asked[2], recording->nonce);
    for (unsigned i = 0; i < 3; i++) {
        memcpy(recording->asked[i].at + recording->asked[i].length, secrets[i], strlen(secrets[i]));
        recording->asked[i].length += strlen(secrets[i]);
    }
}

static void recording_free(struct recording *recording)
{
    msgpack_unpacked_destroy(&recording->helo);
    msgpack_unpacked_destroy(&recording->ping);
    msgpack_unpacked_destroy(&recording->pong);
}

/* Digest 0 belongs to the PING, 1 to the password, 2 to the PONG. */
static void expect_digest(const struct recording *recording, unsigned which)
{
    const msgpack_object *ping = recording->ping.data.via.array.ptr;
    const msgpack_object *pong = recording->pong.data.via.array.ptr;
    const msgpack_object *const digests[] = { &ping[3], &ping[5], &pong[4] };

    assert_int_equal(digests[which]->via.str.size, HEX_BYTES);
    expect_value(recorded_sha512, all.length, recording->asked[which].length);
    expect_memory(recorded_sha512, all_bytes, recording->asked[which].at, recording->asked[which].length);
    will_return(recorded_sha512, digests[which]->via.str.ptr);
}

static void the_accepting_end_does_what_fluentd_did(void **state)
{
    static const char *const names[] = { "fluentd", "fluentbit", "js", "jsold" };
    static const struct handshake_user recorded_users[] = { { "agent", user_password } };
    static const struct handshake_options options = { .shared_key = user_key,
                                                      .hostname = "aggregator.test",
                                                      .users = recorded_users,
                                                      .user_count = 1,
                                                      .sha512 = recorded_sha512 };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct recording recording;
        struct handshake handshake;
        uint8_t random[HANDSHAKE_RANDOM_BYTES] = { 0 };
        struct handshake_answer out;
        size_t taken;

        recording_read(&recording, names[i]);
        memcpy(random, recording.nonce->via.bin.ptr, HANDSHAKE_NONCE_BYTES);
        memcpy(random + HANDSHAKE_NONCE_BYTES, recording.auth->via.bin.ptr, HANDSHAKE_NONCE_BYTES);
        handshake_begin(&handshake, HANDSHAKE_ACCEPTING, &options, random, &out);
        assert_int_equal(out.length, recording.helo_length);
        assert_memory_equal(out.bytes, recording.s2c.at, out.length);

        for (size_t cut = 0; cut < recording.ping_length; cut++)
            assert_int_equal(handshake_feed(&handshake, recording.c2s.at, cut, &taken, &out), HANDSHAKE_MORE);
        expect_digest(&recording, 0);
        expect_digest(&recording, 1);
        expect_digest(&recording, 2);
        assert_int_equal(handshake_feed(&handshake, recording.c2s.at, recording.c2s.length, &taken, &out),
                         HANDSHAKE_DONE);
        assert_int_equal(taken, recording.ping_length);
        assert_int_equal(out.length, recording.pong_length);
        assert_memory_equal(out.bytes, recording.s2c.at + recording.helo_length, out.length);
        recording_free(&recording);
    }
}

static void the_dialling_end_does_what_fluentd_did(void **state)
{
    static const char *const names[] = { "fluentd", "js", "jsold" }; /* those whose salt is hex */
    static const struct handshake_options options = { .shared_key = user_key,
                                                      .hostname = "agent1.test",
                                                      .username = "agent",
                                                      .password = user_password,
                                                      .sha512 = recorded_sha512 };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct recording recording;
        struct handshake handshake;
        uint8_t random[HANDSHAKE_RANDOM_BYTES] = { 0 };
        struct handshake_answer out;
        size_t taken;

        recording_read(&recording, names[i]);
        for (size_t j = 0; j < HANDSHAKE_NONCE_BYTES; j++) {
            unsigned value;

            sscanf(recording.ping.data.via.array.ptr[2].via.str.ptr + 2 * j, "%2x", &value);
            random[(size_t)2 * HANDSHAKE_NONCE_BYTES + j] = (uint8_t)value;
        }
        handshake_begin(&handshake, HANDSHAKE_DIALLING, &options, random, &out);
        expect_digest(&recording, 0);
        expect_digest(&recording, 1);
        assert_int_equal(handshake_feed(&handshake, recording.s2c.at, recording.s2c.length, &taken, &out),
                         HANDSHAKE_MORE);
        assert_int_equal(taken, recording.helo_length);
        assert_int_equal(out.length, recording.ping_length);
        assert_memory_equal(out.bytes, recording.c2s.at, out.length);

        expect_digest(&recording, 2);
        assert_int_equal(
            handshake_feed(&handshake, recording.s2c.at + taken, recording.s2c.length - taken, &taken, &out),
            HANDSHAKE_DONE);
        assert_int_equal(taken, recording.pong_length);
        assert_int_equal(out.length, 0);
        recording_free(&recording);
    }
}

/* ---- what other peers may write ---- */

static void pack_text(msgpack_packer *packer, char kind, const void *bytes, size_t length)
{
    if (kind == 'b') {
        msgpack_pack_bin(packer, length);
        msgpack_pack_bin_body(packer, bytes, length);
    } else if (kind == 's') {
        msgpack_pack_str(packer, length);
        msgpack_pack_str_body(packer, bytes, length);
    } else {
        msgpack_pack_nil(packer);
    }
}

static void hex_digest(char hex[HEX_BYTES + 1], const struct handshake_piece *pieces, size_t count)
{
    uint8_t digest[HANDSHAKE_DIGEST_BYTES];

    sha512(pieces, count, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

/* A PING to an aggregator without users. The digest is cut or padded to `digest_length`. */
static void make_ping(msgpack_sbuffer *buffer, char kind, const char *hostname, size_t digest_length)
{
    static const char salt[] = "\0\xff salt";
    const size_t salt_length = sizeof salt - 1;
    char hex[2 * HEX_BYTES] = { 0 };
    const struct handshake_piece pieces[] = { { salt, salt_length },
                                              { hostname, strlen(hostname) },
                                              { random_bytes, HANDSHAKE_NONCE_BYTES },
                                              { "key", 3 } };
    msgpack_packer packer;

    hex_digest(hex, pieces, 4);
    msgpack_sbuffer_init(buffer);
    msgpack_packer_init(&packer, buffer, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, 6);
    pack_text(&packer, 's', "PING", 4);
    pack_text(&packer, kind, hostname, strlen(hostname));
    pack_text(&packer, kind, salt, salt_length);
    pack_text(&packer, kind, hex, digest_length);
    pack_text(&packer, 0, "", 0);
    pack_text(&packer, kind, "", 0);
}

static void check_ping(char kind, const char *hostname, size_t digest_length, enum handshake_refusal refusal,
                       const char *text)
{
    struct handshake handshake;
    msgpack_sbuffer ping;
    struct handshake_answer out;

    begin(&handshake, HANDSHAKE_ACCEPTING, &aggregator, &out);
    make_ping(&ping, kind, hostname, digest_length);
    assert_int_equal(feed(&handshake, ping.data, ping.size, &out),
                     refusal == HANDSHAKE_NOT_REFUSED ? HANDSHAKE_DONE : HANDSHAKE_REFUSED);
    assert_int_equal(handshake.refusal, refusal);
    assert_string_equal(handshake.text, text);
    assert_true(out.length > 7);
    assert_memory_equal(out.bytes, refusal == HANDSHAKE_NOT_REFUSED ? "\x95\xa4PONG\xc3" : "\x95\xa4PONG\xc2",
                        7);
    msgpack_sbuffer_destroy(&ping);
}

static void a_ping_may_be_written_in_other_ways(void **state)
{
    char longest[201], cut[HANDSHAKE_TEXT_BYTES];

    (void)state;
    check_ping('s', "agent", HEX_BYTES, HANDSHAKE_NOT_REFUSED, "agent");
    check_ping('b', "agent", HEX_BYTES, HANDSHAKE_NOT_REFUSED, "agent");
    check_ping('s', "", HEX_BYTES, HANDSHAKE_NOT_REFUSED, "");
    check_ping('s', "a\n\x1b[31m\xc3\xa9\x7f", HEX_BYTES, HANDSHAKE_NOT_REFUSED, "a??[31m???");
    memset(longest, 'h', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    memcpy(cut, longest, sizeof cut - 1);
    cut[sizeof cut - 1] = '\0';
    check_ping('s', longest, HEX_BYTES, HANDSHAKE_NOT_REFUSED, cut);
}

static void a_digest_of_the_wrong_length_has_its_own_reason(void **state)
{
    (void)state;
    check_ping('s', "agent", 0, HANDSHAKE_WRONG_DIGEST, "agent");
    check_ping('s', "agent", HEX_BYTES - 1, HANDSHAKE_WRONG_DIGEST, "agent");
    check_ping('b', "agent", HEX_BYTES + 1, HANDSHAKE_WRONG_DIGEST, "agent");
}

static void other_messages_than_a_ping_are_refused_at_once(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
    } cases[] = {
        { "\x93\xa6"
          "app.fb",
          8 },                                      /* an agent without a key sends its messages */
        { "{\"", 2 },                               /* JSON */
        { "\x16\x03\x01", 3 },                      /* TLS */
        { "\x95\xa4PING", 6 },                      /* five elements */
        { "\x96\xa4PONG", 6 },                      /* another word */
        { "\x96\xa5PINGS", 7 },                     /* a longer one */
        { "\x96\xa4PING\x01", 7 },                  /* a hostname that is a number */
        { "\x96\xa4PING\xa1h\xa1s\xc0", 11 },       /* a digest that is nil */
        { "\x96\xa4PING\xdb\xff\xff\xff\xff", 11 }, /* longer than a handshake may be */
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct handshake handshake;
        struct handshake_answer out;

        begin(&handshake, HANDSHAKE_ACCEPTING, &aggregator, &out);
        assert_int_equal(feed(&handshake, cases[i].bytes, cases[i].length, &out), HANDSHAKE_REFUSED);
        assert_int_equal(handshake.refusal, HANDSHAKE_MALFORMED);
        assert_string_equal(handshake.text, "expected a PING");
        assert_int_equal(out.length, 30);
        assert_memory_equal(out.bytes, "\x95\xa4PONG\xc2\xb4invalid ping message\xa0\xa0", 30);
    }
}

/* Forms of a HELO, and the result of each. */
static void a_helo_may_lack_keys_and_have_others(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
        enum handshake_refusal refusal;
        bool keepalive, user;
    } cases[] = {
        { "\x92\xa4HELO\x81\xa5nonce\xa4\x80\xff\x00z", 18, HANDSHAKE_NOT_REFUSED, true, false },
        { "\x92\xa4HELO\x82\xa5nonce\xc4\x01n\xa4"
          "auth\xa0",
          22, HANDSHAKE_NOT_REFUSED, true, false },
        { "\x92\xa4HELO\x82\xa5nonce\xc4\x01n\xa4"
          "auth\xa1z",
          23, HANDSHAKE_NOT_REFUSED, true, true },
        { "\x92\xa4HELO\x82\xa5nonce\xc4\x01n\xa4"
          "auth\xc4\x01z",
          24, HANDSHAKE_NOT_REFUSED, true, true },
        { "\x92\xa4HELO\x82\xa5nonce\xc4\x01n\xa9keepalive\xc2", 27, HANDSHAKE_NOT_REFUSED, false, false },
        { "\x92\xa4HELO\x82\xa5nonce\xc4\x01n\xa9keepalive\x00", 27, HANDSHAKE_NOT_REFUSED, true, false },
        { "\x92\xa4HELO\x83\x01\x92\xc0\xa5nonce\x91\x81\x02\x03\xa1x\xa5nonce\xc4\x01n", 31,
          HANDSHAKE_NOT_REFUSED, true, false },
        { "\x92\xa4HELO\x80", 7, HANDSHAKE_MALFORMED, true, false },
        { "\x92\xa4HELO\x81\xa5nonce\xa0", 14, HANDSHAKE_MALFORMED, true, false },
        { "\x92\xa4HELO\x81\xa5nonce\xc0", 14, HANDSHAKE_MALFORMED, true, false },
        { "\x92\xa4HELO\xc0", 7, HANDSHAKE_MALFORMED, true, false },
        { "\x91\xa4HELO", 6, HANDSHAKE_MALFORMED, true, false },
        { "\x93\xa4HELO\x80\xc0", 8, HANDSHAKE_MALFORMED, true, false },
        { "\x92\xa4HOLA\x80", 7, HANDSHAKE_MALFORMED, true, false },
        { "\x92\xa4HELO\xdf\xff\xff\xff\xff\xc1", 12, HANDSHAKE_MALFORMED, true, false },
        { "\x81\xa3"
          "ack\xa1x",
          7, HANDSHAKE_MALFORMED, true, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct handshake handshake;
        enum handshake_status status;
        struct handshake_answer out;

        begin(&handshake, HANDSHAKE_DIALLING, &agent, &out);
        status = feed(&handshake, cases[i].bytes, cases[i].length, &out);
        assert_int_equal(handshake.refusal, cases[i].refusal);
        if (status == HANDSHAKE_REFUSED) {
            assert_int_equal(out.length, 0);
            continue;
        }
        assert_int_equal(handshake.keepalive, cases[i].keepalive);
        assert_memory_equal(out.bytes,
                            "\x96\xa4PING\xab"
                            "agent1.test\xd9\x20",
                            20);
        if (cases[i].user)
            assert_memory_equal(out.bytes + 182,
                                "\xa5"
                                "agent\xd9\x80",
                                8);
        else
            assert_memory_equal(out.bytes + 182, "\xa0\xa0", 2);
        assert_int_equal(out.length, cases[i].user ? 182 + 8 + HEX_BYTES : 184);
    }
}

static void a_nonce_has_a_maximum_length(void **state)
{
    uint8_t helo[512] = "\x92\xa4HELO\x81\xa5nonce\xc5\x01\x00";

    (void)state;
    for (unsigned more = 0; more <= 1; more++) {
        struct handshake handshake;
        struct handshake_answer out;

        helo[15] = (uint8_t)more;
        begin(&handshake, HANDSHAKE_DIALLING, &agent, &out);
        assert_int_equal(feed(&handshake, helo, 16 + HANDSHAKE_PEER_NONCE_BYTES_MAX + more, &out),
                         more ? HANDSHAKE_REFUSED : HANDSHAKE_MORE);
        assert_int_equal(out.length > 0, !more);
    }
}

static void check_pong(const char *pong, size_t length, enum handshake_refusal refusal, const char *text)
{
    static const char helo[] = "\x92\xa4HELO\x81\xa5nonce\xa4\x80\xff\x00z";
    struct handshake handshake;
    struct handshake_answer out;

    begin(&handshake, HANDSHAKE_DIALLING, &agent, &out);
    assert_int_equal(feed(&handshake, helo, sizeof helo - 1, &out), HANDSHAKE_MORE);
    assert_int_equal(feed(&handshake, pong, length, &out), HANDSHAKE_REFUSED);
    assert_int_equal(handshake.refusal, refusal);
    assert_string_equal(handshake.text, text);
    assert_int_equal(out.length, 0);
}

static void a_wrong_pong_is_refused(void **state)
{
    char pong[256] = "\x95\xa4PONG\xc3\xa0\xa1"
                     "a\xd9\x80";

    (void)state;
    memset(pong + 12, '0', HEX_BYTES);
    check_pong(pong, 12 + HEX_BYTES, HANDSHAKE_WRONG_KEY, "a");
    check_pong("\x95\xa4PONG\xc3\xa0\xa1"
               "a\xa2"
               "ff",
               13, HANDSHAKE_WRONG_DIGEST, "a");
    check_pong("\x95\xa4PONG\xc3\xa0\xab"
               "agent1.test\xa0",
               21, HANDSHAKE_SAME_NAME, "agent1.test");
    check_pong("\x95\xa4PONG\xc2\xa6no\nway\xa0\xa0", 16, HANDSHAKE_REJECTED, "no?way");
    check_pong("\x95\xa4PONG\xc2\xc0\xc0\xc0", 10, HANDSHAKE_REJECTED, "");
    check_pong("\x95\xa4PONG\x01", 7, HANDSHAKE_MALFORMED, "expected a PONG");
    check_pong("\x94\xa4PONG\xc3\xa0\xa1"
               "a",
               10, HANDSHAKE_MALFORMED, "expected a PONG");
    check_pong("\x92\xa4HELO\x80", 7, HANDSHAKE_MALFORMED, "expected a PONG");
}

/* A valid but endless message is refused exactly where it exceeds the limit. */
static void a_message_has_a_maximum_length(void **state)
{
    struct handshake handshake;
    struct bytes bytes;
    struct handshake_answer out;
    size_t taken;

    (void)state;
    memset(bytes.at, 0x01, sizeof bytes.at);
    memcpy(bytes.at, "\x92\xa4HELO\xde\xff\xff", 9);
    begin(&handshake, HANDSHAKE_DIALLING, &agent, &out);
    bytes.at[7] = 0x10; /* 4096 pairs of numbers: 8192 bytes and nine more */
    bytes.at[8] = 0x00;
    assert_int_equal(handshake_feed(&handshake, bytes.at, HANDSHAKE_MESSAGE_BYTES_MAX - 1, &taken, &out),
                     HANDSHAKE_MORE);
    assert_int_equal(handshake_feed(&handshake, bytes.at, HANDSHAKE_MESSAGE_BYTES_MAX, &taken, &out),
                     HANDSHAKE_REFUSED);
    assert_int_equal(handshake.refusal, HANDSHAKE_MALFORMED);
}

static void the_longest_names_fit(void **state)
{
    char name[2][HANDSHAKE_NAME_BYTES_MAX + 1];
    struct handshake_options server = aggregator_with_users, client = agent;
    const struct handshake_user user = { name[0], "s3cret" };
    struct ends ends;

    (void)state;
    memset(name[0], 'n', HANDSHAKE_NAME_BYTES_MAX);
    memset(name[1], 'm', HANDSHAKE_NAME_BYTES_MAX);
    name[0][HANDSHAKE_NAME_BYTES_MAX] = name[1][HANDSHAKE_NAME_BYTES_MAX] = '\0';
    server.hostname = name[0];
    server.users = &user;
    server.user_count = 1;
    client.hostname = name[1];
    client.username = name[0];
    meet(&ends, &server, &client);
    assert_int_equal(ends.accepted, HANDSHAKE_DONE);
    assert_int_equal(ends.dialled, HANDSHAKE_DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_agree),
        cmocka_unit_test(a_wrong_key_is_refused_by_both),
        cmocka_unit_test(a_wrong_user_is_refused),
        cmocka_unit_test(a_second_password_of_the_same_user_is_accepted),
        cmocka_unit_test(an_empty_key_leaves_the_user_to_be_checked),
        cmocka_unit_test(an_aggregator_of_our_own_name_is_refused),
        cmocka_unit_test(the_accepting_end_does_what_fluentd_did),
        cmocka_unit_test(the_dialling_end_does_what_fluentd_did),
        cmocka_unit_test(a_ping_may_be_written_in_other_ways),
        cmocka_unit_test(a_digest_of_the_wrong_length_has_its_own_reason),
        cmocka_unit_test(other_messages_than_a_ping_are_refused_at_once),
        cmocka_unit_test(a_helo_may_lack_keys_and_have_others),
        cmocka_unit_test(a_nonce_has_a_maximum_length),
        cmocka_unit_test(a_wrong_pong_is_refused),
        cmocka_unit_test(a_message_has_a_maximum_length),
        cmocka_unit_test(the_longest_names_fit),
    };

    return cmocka_run_group_tests_name("handshake", tests, NULL, NULL);
}
