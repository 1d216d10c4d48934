#include "forward/handshake.h"

#include "forward/msgpack_bytes.h"

#include <assert.h>
#include <string.h>

enum { HEX_BYTES = 2 * HANDSHAKE_DIGEST_BYTES };

struct ping {
    struct msgpack_item hostname, salt, digest, username, password_digest;
};

struct pong {
    struct msgpack_item ok, reason, hostname, digest;
};

static void hex_write(char *hex, const uint8_t *bytes, size_t length)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < length; i++) {
        *hex++ = digits[bytes[i] >> 4];
        *hex++ = digits[bytes[i] & 15];
    }
}

static struct handshake_piece piece_of(const char *string)
{
    return (struct handshake_piece) { string ? string : "", string ? strlen(string) : 0 };
}

static struct handshake_piece piece_of_item(const struct msgpack_item *item)
{
    return (struct handshake_piece) { item->body, (size_t)item->count };
}

static bool piece_equal(const struct handshake_piece *a, const struct handshake_piece *b)
{
    return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

static void digest_hex(const struct handshake *handshake, const struct handshake_piece *pieces, size_t count,
                       char hex[HEX_BYTES])
{
    uint8_t digest[HANDSHAKE_DIGEST_BYTES];

    handshake->options->sha512(pieces, count, digest);
    hex_write(hex, digest, sizeof digest);
}

/* sha512hex(salt + hostname + nonce + key). It proves that its sender knows the key. */
static void key_digest(const struct handshake *handshake, struct handshake_piece salt,
                       struct handshake_piece hostname, char hex[HEX_BYTES])
{
    const struct handshake_piece pieces[] = {
        salt,
        hostname,
        { handshake->nonce, handshake->nonce_length },
        piece_of(handshake->options->shared_key),
    };

    digest_hex(handshake, pieces, sizeof pieces / sizeof *pieces, hex);
}

/* sha512hex(auth + username + password). */
static void password_digest(const struct handshake *handshake, struct handshake_piece auth,
                            struct handshake_piece username, const char *password, char hex[HEX_BYTES])
{
    const struct handshake_piece pieces[] = { auth, username, piece_of(password) };

    digest_hex(handshake, pieces, sizeof pieces / sizeof *pieces, hex);
}

/* Compares in constant time. */
static bool digest_is(const struct msgpack_item *item, const char hex[HEX_BYTES])
{
    uint8_t difference = 0;

    if (item->count != HEX_BYTES)
        return false;
    for (size_t i = 0; i < HEX_BYTES; i++)
        difference |= (uint8_t)(item->body[i] ^ (uint8_t)hex[i]);
    return difference == 0;
}

/* Our own names are bounded by HANDSHAKE_NAME_BYTES_MAX, so every message that we write fits. */
static void put(struct handshake_answer *out, const void *bytes, size_t length)
{
    assert(length <= HANDSHAKE_MESSAGE_BYTES_MAX - out->length);
    memcpy(out->bytes + out->length, bytes, length);
    out->length += length;
}

static void put_header(struct handshake_answer *out, enum msgpack_kind kind, uint32_t count)
{
    uint8_t header[MSGPACK_HEADER_BYTES_MAX];
    size_t length = msgpack_bytes_put_header(header, kind, count, kind == MSGPACK_BIN ? 2 : 1);

    put(out, header, length);
}

static void put_text(struct handshake_answer *out, enum msgpack_kind kind, const void *bytes, size_t length)
{
    put_header(out, kind, (uint32_t)length);
    if (length)
        put(out, bytes, length);
}

static void put_str(struct handshake_answer *out, const char *string)
{
    put_text(out, MSGPACK_STR, string, strlen(string));
}

static void put_bool(struct handshake_answer *out, bool value)
{
    put(out, value ? "\xc3" : "\xc2", 1);
}

/* ["HELO", {nonce, auth, keepalive}]. An empty auth asks for no user. Agents take a non-empty auth as a
 * demand for a user. */
static void put_helo(const struct handshake *handshake, struct handshake_answer *out)
{
    put_header(out, MSGPACK_ARRAY, 2);
    put_str(out, "HELO");
    put_header(out, MSGPACK_MAP, 3);
    put_str(out, "nonce");
    put_text(out, MSGPACK_BIN, handshake->nonce, handshake->nonce_length);
    put_str(out, "auth");
    put_text(out, MSGPACK_BIN, handshake->auth, handshake->options->user_count ? sizeof handshake->auth : 0);
    put_str(out, "keepalive");
    put_bool(out, true);
}

/* ["PING", hostname, salt, digest, username, password digest]. All are str: Fluent Bit takes no bin. */
static void put_ping(const struct handshake *handshake, struct handshake_piece auth,
                     struct handshake_answer *out)
{
    const struct handshake_options *options = handshake->options;
    struct handshake_piece username = piece_of(options->username);
    char hex[HEX_BYTES];

    put_header(out, MSGPACK_ARRAY, 6);
    put_str(out, "PING");
    put_str(out, options->hostname);
    put_text(out, MSGPACK_STR, handshake->salt, sizeof handshake->salt);
    key_digest(handshake, (struct handshake_piece) { handshake->salt, sizeof handshake->salt },
               piece_of(options->hostname), hex);
    put_text(out, MSGPACK_STR, hex, sizeof hex);
    /* Fluentd asks for a user even when it has no users to check. An empty name is accepted then. */
    put_text(out, MSGPACK_STR, username.bytes, auth.length ? username.length : 0);
    if (auth.length)
        password_digest(handshake, auth, username, options->password, hex);
    put_text(out, MSGPACK_STR, hex, auth.length ? sizeof hex : 0);
}

/* ["PONG", true, "", hostname, digest]. */
static void put_pong(const struct handshake *handshake, const struct msgpack_item *salt,
                     struct handshake_answer *out)
{
    const char *hostname = handshake->options->hostname;
    char hex[HEX_BYTES];

    put_header(out, MSGPACK_ARRAY, 5);
    put_str(out, "PONG");
    put_bool(out, true);
    put_str(out, "");
    put_str(out, hostname);
    key_digest(handshake, piece_of_item(salt), piece_of(hostname), hex);
    put_text(out, MSGPACK_STR, hex, sizeof hex);
}

/* ["PONG", false, reason, "", ""]. */
static void put_pong_refusal(const char *reason, struct handshake_answer *out)
{
    put_header(out, MSGPACK_ARRAY, 5);
    put_str(out, "PONG");
    put_bool(out, false);
    put_str(out, reason);
    put_str(out, "");
    put_str(out, "");
}

/* The text goes to the log, and a peer may send any bytes. */
static void text_set(struct handshake *handshake, const void *bytes, size_t length)
{
    const char *from = bytes;
    size_t count = length < HANDSHAKE_TEXT_BYTES - 1 ? length : HANDSHAKE_TEXT_BYTES - 1;

    for (size_t i = 0; i < count; i++) {
        bool is_printable = from[i] >= 0x20 && from[i] <= 0x7e;

        handshake->text[i] = '?';
        if (is_printable)
            handshake->text[i] = from[i];
    }
    handshake->text[count] = '\0';
}

static void text_set_item(struct handshake *handshake, const struct msgpack_item *item)
{
    text_set(handshake, item->body, (size_t)item->count);
}

static enum handshake_status refuse(struct handshake *handshake, enum handshake_refusal refusal)
{
    handshake->refusal = refusal;
    return HANDSHAKE_REFUSED;
}

static enum handshake_status refuse_malformed(struct handshake *handshake, const char *expected)
{
    text_set(handshake, expected, strlen(expected));
    return refuse(handshake, HANDSHAKE_MALFORMED);
}

/* A str, a bin, or nil for an empty text (the Node logger sends nil for a missing user name). */
static bool read_text_or_nil(struct msgpack_bytes *reader, struct msgpack_item *item)
{
    static const uint8_t nothing[1];

    if (!msgpack_bytes_next(reader, item))
        return false;
    if (item->kind == MSGPACK_NIL) {
        item->body = nothing;
        item->count = 0;
        return true;
    }
    return item->kind == MSGPACK_STR || item->kind == MSGPACK_BIN || msgpack_bytes_refuse(reader);
}

/* An array of `elements` elements, the first of which is `word`. */
static bool read_front(struct msgpack_bytes *reader, uint64_t elements, const char *word)
{
    struct msgpack_item item;

    if (!msgpack_bytes_expect(reader, MSGPACK_ARRAY, &item))
        return false;
    if (item.count != elements)
        return msgpack_bytes_refuse(reader);
    if (!msgpack_bytes_expect_text(reader, &item))
        return false;
    return msgpack_item_is(&item, word) || msgpack_bytes_refuse(reader);
}

/* ["HELO", {nonce, auth, keepalive, …}]. A value of the wrong type counts as absent, as in Fluent Bit. */
static bool read_helo(struct msgpack_bytes *reader, struct msgpack_item *nonce, struct msgpack_item *auth,
                      bool *keepalive)
{
    struct msgpack_item map, key, value;

    *keepalive = true; /* the default of the specification */
    if (!read_front(reader, 2, "HELO") || !msgpack_bytes_expect(reader, MSGPACK_MAP, &map))
        return false;
    for (uint64_t i = 0; i < map.count; i++) {
        if (!msgpack_bytes_next_whole(reader, &key) || !msgpack_bytes_next_whole(reader, &value))
            return false;
        if (msgpack_item_is(&key, "keepalive") && value.kind == MSGPACK_BOOL)
            *keepalive = value.count;
        if (value.kind == MSGPACK_STR || value.kind == MSGPACK_BIN) {
            if (msgpack_item_is(&key, "nonce"))
                *nonce = value;
            else if (msgpack_item_is(&key, "auth"))
                *auth = value;
        }
    }
    return true;
}

static bool read_ping(struct msgpack_bytes *reader, struct ping *ping)
{
    return read_front(reader, 6, "PING") && msgpack_bytes_expect_text(reader, &ping->hostname) &&
           msgpack_bytes_expect_text(reader, &ping->salt) &&
           msgpack_bytes_expect_text(reader, &ping->digest) && read_text_or_nil(reader, &ping->username) &&
           read_text_or_nil(reader, &ping->password_digest);
}

static bool read_pong(struct msgpack_bytes *reader, struct pong *pong)
{
    return read_front(reader, 5, "PONG") && msgpack_bytes_expect(reader, MSGPACK_BOOL, &pong->ok) &&
           read_text_or_nil(reader, &pong->reason) && read_text_or_nil(reader, &pong->hostname) &&
           read_text_or_nil(reader, &pong->digest);
}

/* Checks all users always, so that the time does not reveal which names exist. */
static bool user_is_known(const struct handshake *handshake, const struct ping *ping)
{
    const struct handshake_options *options = handshake->options;
    const struct handshake_piece auth = { handshake->auth, sizeof handshake->auth };
    const struct handshake_piece username = piece_of_item(&ping->username);
    bool known = options->user_count == 0;

    for (size_t i = 0; i < options->user_count; i++) {
        const struct handshake_piece name = piece_of(options->users[i].name);
        char hex[HEX_BYTES];
        bool right;

        password_digest(handshake, auth, username, options->users[i].password, hex);
        right = digest_is(&ping->password_digest, hex);
        known |= piece_equal(&name, &username) && right;
    }
    return known;
}

/* The reasons are worded as Fluentd words them: agents write them to their logs. */
static enum handshake_status take_ping(struct handshake *handshake, struct msgpack_bytes *reader,
                                       struct handshake_answer *out)
{
    struct ping ping;
    char hex[HEX_BYTES];

    if (!read_ping(reader, &ping)) {
        if (reader->state == MSGPACK_BYTES_SHORT)
            return HANDSHAKE_MORE;
        put_pong_refusal("invalid ping message", out);
        return refuse_malformed(handshake, "expected a PING");
    }
    text_set_item(handshake, &ping.hostname);
    key_digest(handshake, piece_of_item(&ping.salt), piece_of_item(&ping.hostname), hex);
    if (!digest_is(&ping.digest, hex)) {
        put_pong_refusal("shared_key mismatch", out);
        return refuse(handshake,
                      ping.digest.count == HEX_BYTES ? HANDSHAKE_WRONG_KEY : HANDSHAKE_WRONG_DIGEST);
    }
    if (!user_is_known(handshake, &ping)) {
        put_pong_refusal("username/password mismatch", out);
        text_set_item(handshake, &ping.username);
        return refuse(handshake, HANDSHAKE_WRONG_USER);
    }
    put_pong(handshake, &ping.salt, out);
    return HANDSHAKE_DONE;
}

static enum handshake_status take_helo(struct handshake *handshake, struct msgpack_bytes *reader,
                                       struct handshake_answer *out)
{
    struct msgpack_item nonce = { 0 }, auth = { 0 };

    if (!read_helo(reader, &nonce, &auth, &handshake->keepalive)) {
        if (reader->state == MSGPACK_BYTES_SHORT)
            return HANDSHAKE_MORE;
        return refuse_malformed(handshake, "expected a HELO");
    }
    if (nonce.count == 0)
        return refuse_malformed(handshake, "the HELO has no nonce");
    if (nonce.count > sizeof handshake->nonce)
        return refuse_malformed(handshake, "the HELO's nonce is too long");
    memcpy(handshake->nonce, nonce.body, nonce.count);
    handshake->nonce_length = (size_t)nonce.count;
    handshake->helo_taken = true;
    put_ping(handshake, piece_of_item(&auth), out);
    return HANDSHAKE_MORE;
}

static enum handshake_status take_pong(struct handshake *handshake, struct msgpack_bytes *reader)
{
    const struct handshake_piece our_name = piece_of(handshake->options->hostname);
    struct handshake_piece hostname;
    struct pong pong;
    char hex[HEX_BYTES];

    if (!read_pong(reader, &pong)) {
        if (reader->state == MSGPACK_BYTES_SHORT)
            return HANDSHAKE_MORE;
        return refuse_malformed(handshake, "expected a PONG");
    }
    if (!pong.ok.count) {
        text_set_item(handshake, &pong.reason);
        return refuse(handshake, HANDSHAKE_REJECTED);
    }
    text_set_item(handshake, &pong.hostname);
    hostname = piece_of_item(&pong.hostname);
    if (piece_equal(&hostname, &our_name))
        return refuse(handshake, HANDSHAKE_SAME_NAME);
    key_digest(handshake, (struct handshake_piece) { handshake->salt, sizeof handshake->salt }, hostname,
               hex);
    if (!digest_is(&pong.digest, hex))
        return refuse(handshake,
                      pong.digest.count == HEX_BYTES ? HANDSHAKE_WRONG_KEY : HANDSHAKE_WRONG_DIGEST);
    return HANDSHAKE_DONE;
}

enum handshake_status handshake_begin(struct handshake *handshake, enum handshake_role role,
                                      const struct handshake_options *options,
                                      const uint8_t random[HANDSHAKE_RANDOM_BYTES],
                                      struct handshake_answer *answer)
{
    assert(strlen(options->hostname) <= HANDSHAKE_NAME_BYTES_MAX);
    assert(!options->username || strlen(options->username) <= HANDSHAKE_NAME_BYTES_MAX);
    answer->length = 0;
    *handshake = (struct handshake) { .options = options, .role = role, .keepalive = true };
    if (role == HANDSHAKE_ACCEPTING) {
        handshake->nonce_length = HANDSHAKE_NONCE_BYTES;
        memcpy(handshake->nonce, random, HANDSHAKE_NONCE_BYTES);
        memcpy(handshake->auth, random + HANDSHAKE_NONCE_BYTES, HANDSHAKE_NONCE_BYTES);
        put_helo(handshake, answer);
    } else {
        const uint8_t *salt = random + 2 * (size_t)HANDSHAKE_NONCE_BYTES;

        hex_write(handshake->salt, salt, HANDSHAKE_NONCE_BYTES);
    }
    return HANDSHAKE_MORE;
}

enum handshake_status handshake_feed(struct handshake *handshake, const uint8_t *bytes, size_t length,
                                     size_t *taken, struct handshake_answer *answer)
{
    struct msgpack_bytes reader;
    enum handshake_status status;

    assert(handshake->refusal == HANDSHAKE_NOT_REFUSED);
    answer->length = 0;
    msgpack_bytes_init(&reader, bytes, length, HANDSHAKE_MESSAGE_BYTES_MAX);
    if (handshake->role == HANDSHAKE_ACCEPTING)
        status = take_ping(handshake, &reader, answer);
    else if (!handshake->helo_taken)
        status = take_helo(handshake, &reader, answer);
    else
        status = take_pong(handshake, &reader);
    *taken = reader.state == MSGPACK_BYTES_GOOD ? reader.at : 0;
    return status;
}
