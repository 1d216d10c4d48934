/* One connection to one address of an upstream, made as husk makes it, with a verdict in words: connect, TLS
 * handshake, what a TLS 1.3 server says after it, shared-key handshake, and the ack of a message without
 * events.
 *
 * Owns its connection, and frees itself when the connection has ended. Each wait has a limit. */
#ifndef HUSK_CHECK_PROBE_H
#define HUSK_CHECK_PROBE_H

#include "check/report.h"
#include "link/dialer.h"

#include <stdint.h>

/* The default port of Fluentd's prometheus input. Examples of a Forward input with this port are known. */
enum { PROBE_PROMETHEUS_PORT = 24231 };

/* Everything is borrowed until on_ended. */
struct probe_options {
    struct reactor *reactor;
    struct dialer *dialer;  /* its credentials do not speak the link: the peer then takes plain Forward */
    struct report *report;  /* of this probe alone: other probes run at the same time */
    const char *tag;        /* of the message without events: at most EMPTY_MESSAGE_TAG_BYTES_MAX bytes */
    const char *no_message; /* why no message is sent, in words; NULL: it is sent */
    uint64_t answer_ms;     /* longest wait for the ack */
    void (*on_ended)(void *owner); /* called once, and not before the loop runs */
    void *owner;
};

/* Connects to the endpoint at index `at` of the dialer's list. Copies the options. False when out of memory:
 * there is no probe. */
MUST_CHECK bool probe_start(const struct probe_options *options, size_t at);

#endif
