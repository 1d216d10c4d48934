#include "control/grpc_call.h"

#include <stdlib.h>
#include <string.h>

#ifdef HUSK_SPIFFE

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <sys/types.h>

enum {
    PREFIX_BYTES = 5, /* of a message: a flag, and the length in 4 bytes */
    CODES_COUNT = 17,
    TEXT_BYTES_MAX = 200, /* of the server's own words */
    HTTP_OK = 200,
};

static const char not_http[] = "the server does not speak HTTP/2 as the standard says";

struct grpc_call {
    struct grpc_call_options options;
    nghttp2_session *http;
    int32_t stream;
    bool has_ended;
    struct grpc_end end;
    /* What the headers say. */
    int http_status; /* 0: not known yet */
    int code;        /* -1: not known yet */
    char words[TEXT_BYTES_MAX + 1];
    /* The message that arrives. */
    uint8_t prefix[PREFIX_BYTES];
    size_t prefix_count;
    uint8_t *message; /* `size` bytes; NULL: the prefix is not complete */
    size_t size, count;
};

/* ---- the end ---- */

static const char *code_name(int code)
{
    static const char *const names[CODES_COUNT] = {
        "OK",        "CANCELLED",       "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
        "NOT_FOUND", "ALREADY_EXISTS",  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
        "ABORTED",   "OUT_OF_RANGE",    "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
        "DATA_LOSS", "UNAUTHENTICATED",
    };

    return code >= 0 && code < CODES_COUNT ? names[code] : "an unknown gRPC status";
}

/* The first end counts. */
static void call_end(struct grpc_call *call, int code, const char *text)
{
    if (call->has_ended)
        return;
    call->has_ended = true;
    call->end.code = code;
    fault_set(&call->end.text, "%s", text);
}

static void call_end_by_status(struct grpc_call *call, int code)
{
    char text[TEXT_BYTES_MAX + 64];

    snprintf(text, sizeof text, "%s%s%s", code_name(code), call->words[0] ? ": " : "", call->words);
    call_end(call, code, text);
}

/* The server closes the stream, with or without trailers. */
static void call_close(struct grpc_call *call, uint32_t error)
{
    char text[TEXT_BYTES_MAX];

    if (call->code >= 0) {
        call_end_by_status(call, call->code);
        return;
    }
    if (error != NGHTTP2_NO_ERROR)
        snprintf(text, sizeof text, "the stream is reset: %s", nghttp2_http2_strerror(error));
    else if (call->http_status && call->http_status != HTTP_OK)
        snprintf(text, sizeof text, "HTTP status %d: this is no gRPC server", call->http_status);
    else
        snprintf(text, sizeof text, "the stream ended without a gRPC status");
    call_end(call, -1, text);
}

/* ---- headers ---- */

/* A number of at most three digits; -1: none. */
static int number_of(const uint8_t *value, size_t length)
{
    int number = 0;

    for (size_t i = 0; i < length; i++) {
        if (length > 3 || value[i] < '0' || value[i] > '9')
            return -1;
        number = number * 10 + value[i] - '0';
    }
    return length ? number : -1;
}

static int hex_of(uint8_t digit)
{
    const char *digits = "0123456789abcdef", *at = digit ? strchr(digits, digit | 0x20) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* The byte that the front of `value` encodes as %XX; -1: none. */
static int encoded_byte(const uint8_t *value, size_t length)
{
    if (length < 3 || value[0] != '%')
        return -1;
    int high = hex_of(value[1]), low = hex_of(value[2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* grpc-message is percent-encoded. */
static void words_set(struct grpc_call *call, const uint8_t *value, size_t length)
{
    size_t used = 0;

    for (size_t i = 0; i < length && used < TEXT_BYTES_MAX; i++) {
        int encoded = encoded_byte(value + i, length - i);
        int byte = encoded >= 0 ? encoded : value[i];
        i += encoded >= 0 ? 2 : 0;
        call->words[used++] = (char)(byte < 0x20 || byte == 0x7f ? ' ' : byte);
    }
    call->words[used] = '\0';
}

static bool is_named(const uint8_t *name, size_t length, const char *wanted)
{
    return strlen(wanted) == length && memcmp(name, wanted, length) == 0;
}

static int on_header(nghttp2_session *http, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_length, const uint8_t *value, size_t value_length, uint8_t flags,
                     void *owner)
{
    struct grpc_call *call = owner;

    (void)http, (void)flags;
    if (frame->hd.stream_id != call->stream)
        return 0;
    if (is_named(name, name_length, ":status"))
        call->http_status = number_of(value, value_length);
    else if (is_named(name, name_length, "grpc-status"))
        call->code = number_of(value, value_length);
    else if (is_named(name, name_length, "grpc-message"))
        words_set(call, value, value_length);
    return 0;
}

/* ---- messages ---- */

static void message_free(struct grpc_call *call)
{
    if (call->message) {
        explicit_bzero(call->message, call->size);
        free(call->message);
    }
    call->message = NULL;
    call->prefix_count = call->size = call->count = 0;
}

/* The prefix is complete. */
static void message_begin(struct grpc_call *call)
{
    const uint8_t *prefix = call->prefix;
    size_t size = (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 8 | prefix[4];
    char text[TEXT_BYTES_MAX];

    if (prefix[0] > 1) {
        call_end(call, -1, "the answer is not a message of gRPC");
    } else if (prefix[0] == 1) {
        call_end(call, -1, "a message is compressed, although husk offers no compression");
    } else if (size > call->options.message_bytes_max) {
        snprintf(text, sizeof text, "a message has %zu bytes, more than the %zu that husk takes", size,
                 call->options.message_bytes_max);
        call_end(call, -1, text);
    } else if (!(call->message = malloc(size ? size : 1))) {
        call_end(call, -1, "out of memory");
    } else {
        call->size = size;
    }
}

static void message_end(struct grpc_call *call)
{
    uint8_t *message = call->message;

    call->message = NULL;
    call->options.on_message(call->options.owner, message, call->size);
    message_free(call);
}

/* Takes a part of the prefix or of the message. Returns the number of bytes. */
static size_t message_take(struct grpc_call *call, const uint8_t *bytes, size_t length)
{
    bool is_prefix = call->prefix_count < PREFIX_BYTES;
    size_t space = is_prefix ? PREFIX_BYTES - call->prefix_count : call->size - call->count;
    size_t taken = length < space ? length : space;

    if (is_prefix) {
        memcpy(call->prefix + call->prefix_count, bytes, taken);
        call->prefix_count += taken;
        if (call->prefix_count == PREFIX_BYTES)
            message_begin(call);
    } else {
        memcpy(call->message + call->count, bytes, taken);
        call->count += taken;
    }
    if (!call->has_ended && call->prefix_count == PREFIX_BYTES && call->count == call->size)
        message_end(call);
    return taken;
}

static int on_data(nghttp2_session *http, uint8_t flags, int32_t stream, const uint8_t *bytes, size_t length,
                   void *owner)
{
    struct grpc_call *call = owner;

    (void)http, (void)flags;
    /* The body of another status says why a proxy or another server refuses. */
    while (stream == call->stream && call->http_status == HTTP_OK && length && !call->has_ended) {
        size_t taken = message_take(call, bytes, length);
        bytes += taken;
        length -= taken;
    }
    return 0;
}

/* ---- the stream ---- */

static int on_stream_close(nghttp2_session *http, int32_t stream, uint32_t error, void *owner)
{
    struct grpc_call *call = owner;

    (void)http;
    if (stream == call->stream)
        call_close(call, error);
    return 0;
}

/* A server that goes away would let this stream go on, and never end it. */
static int on_frame(nghttp2_session *http, const nghttp2_frame *frame, void *owner)
{
    (void)http;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        call_end(owner, -1, "the server goes away (GOAWAY)");
    return 0;
}

static bool session_open(struct grpc_call *call)
{
    nghttp2_session_callbacks *callbacks;
    int result;

    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return false;
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    result = nghttp2_session_client_new(&call->http, callbacks, call);
    nghttp2_session_callbacks_del(callbacks);
    return result == 0;
}

/* ---- the request ---- */

static ssize_t on_request_read(nghttp2_session *http, int32_t stream, uint8_t *to, size_t size,
                               uint32_t *flags, nghttp2_data_source *source, void *owner)
{
    static const uint8_t empty_message[PREFIX_BYTES];

    (void)http, (void)stream, (void)source, (void)owner;
    if (size < sizeof empty_message)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    memcpy(to, empty_message, sizeof empty_message);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    return sizeof empty_message;
}

static nghttp2_nv header_of(const char *name, const char *value)
{
    return (nghttp2_nv) {
        .name = (uint8_t *)name, .value = (uint8_t *)value, .namelen = strlen(name), .valuelen = strlen(value)
    };
}

static bool request_submit(struct grpc_call *call)
{
    const nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 } };
    const nghttp2_nv headers[] = {
        header_of(":method", "POST"),
        header_of(":scheme", "http"),
        header_of(":path", call->options.path),
        header_of(":authority", "localhost"),
        header_of("te", "trailers"),
        header_of("content-type", "application/grpc"),
        header_of("user-agent", "husk"),
        header_of(call->options.metadata_key, call->options.metadata_value),
    };
    const nghttp2_data_provider body = { .read_callback = on_request_read };

    if (nghttp2_submit_settings(call->http, NGHTTP2_FLAG_NONE, settings, 1) != 0)
        return false;
    call->stream =
        nghttp2_submit_request(call->http, NULL, headers, sizeof headers / sizeof headers[0], &body, NULL);
    return call->stream > 0;
}

/* ---- life ---- */

struct grpc_call *grpc_call_new(const struct grpc_call_options *options)
{
    struct grpc_call *call = calloc(1, sizeof *call);

    if (!call)
        return NULL;
    call->options = *options;
    call->code = -1;
    if (session_open(call) && request_submit(call))
        return call;
    grpc_call_free(call);
    return NULL;
}

void grpc_call_free(struct grpc_call *call)
{
    if (!call)
        return;
    message_free(call);
    nghttp2_session_del(call->http);
    free(call);
}

bool grpc_call_receive(struct grpc_call *call, const uint8_t *bytes, size_t length)
{
    if (!call->has_ended) {
        ssize_t taken = nghttp2_session_mem_recv(call->http, bytes, length);
        if (taken < 0)
            call_end(call, -1, taken == NGHTTP2_ERR_NOMEM ? "out of memory" : not_http);
    }
    return !call->has_ended;
}

size_t grpc_call_send(struct grpc_call *call, const uint8_t **bytes)
{
    ssize_t length = nghttp2_session_mem_send(call->http, bytes);

    if (length < 0)
        call_end(call, -1, nghttp2_strerror((int)length));
    else if (length == 0 && !nghttp2_session_want_read(call->http))
        call_end(call, -1, not_http);
    return length > 0 ? (size_t)length : 0;
}

const struct grpc_end *grpc_call_end(const struct grpc_call *call)
{
    return call->has_ended ? &call->end : NULL;
}

#else

struct grpc_call *grpc_call_new(const struct grpc_call_options *options)
{
    (void)options;
    return NULL;
}

void grpc_call_free(struct grpc_call *call)
{
    (void)call;
}

bool grpc_call_receive(struct grpc_call *call, const uint8_t *bytes, size_t length)
{
    (void)call, (void)bytes, (void)length;
    return false;
}

size_t grpc_call_send(struct grpc_call *call, const uint8_t **bytes)
{
    (void)call, (void)bytes;
    return 0;
}

const struct grpc_end *grpc_call_end(const struct grpc_call *call)
{
    (void)call;
    return NULL;
}

#endif
