#include "support/runtime.h"

#include "support/addresses.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <unistd.h>

void runtime_open(struct runtime *runtime)
{
    static struct credentials *const plaintext[SIDE_COUNT];
    struct fault fault;

    *runtime = (struct runtime) {
        .route = { .protocol = ROUTE_FORWARD,
                   .delivery = ROUTE_AT_LEAST_ONCE,
                   .scanner = { .tag_bytes = 1024, .message_bytes = 1 << 20, .depth = 32 },
                   .name = "test",
                   .retain_bytes = 1 << 20,
                   .cut_through_bytes = 1 << 16,
                   .buffer_bytes = 1 << 16,
                   .ack_timeout_ms = 60000,
                   .delivery_timeout_ms = 60000,
                   .max_attempts = 3,
                   .max_ack_timeouts = 2,
                   .max_upstream_connections = 1,
                   .max_exclusive_connections = 1,
                   .dial_delay_ms = 200,
                   .connect_timeout_ms = 10000,
                   .handshake_timeout_ms = 10000,
                   .eject_time_ms = 500,
                   .eject_time_max_ms = 1000,
                   .max_connections = 100,
                   .max_handshakes = 10,
                   .handshake_memory_bytes = 1 << 20,
                   .crowded_handshake_timeout_ms = 1000 },
    };
    assert_true(reactor_open(&runtime->reactor, &fault));
    assert_int_equal(pipe2(runtime->log_pipe, O_NONBLOCK | O_CLOEXEC), 0);
    log_init(&runtime->log, runtime->log_pipe[1], LOG_DEBUG, LOG_TEXT);
    transport_init(&runtime->transport, &runtime->reactor, &runtime->route, &runtime->log, plaintext);
    runtime->transport.dialer.endpoints.random = 0; /* nothing is left to chance */
}

void runtime_close(struct runtime *runtime)
{
    connection_log_close(&runtime->transport.connection_log);
    transport_deinit(&runtime->transport);
    reactor_stop(&runtime->reactor);
    reactor_close(&runtime->reactor);
    log_deinit(&runtime->log);
    close(runtime->log_pipe[0]);
    close(runtime->log_pipe[1]);
}

void runtime_pass(struct runtime *runtime, uint64_t duration_ms)
{
    runtime->reactor.now_ms += duration_ms;
    runtime->reactor.now_us += duration_ms * 1000;
}

void runtime_set_endpoints(struct runtime *runtime, const uint16_t *ports, const unsigned *tiers,
                           size_t count)
{
    struct endpoint endpoints[ENDPOINTS_MAX];

    for (size_t i = 0; i < count; i++)
        endpoints[i] = (struct endpoint) { .address = addresses_at_port(ports[i]),
                                           .weight = ENDPOINT_WEIGHT_UNIT,
                                           .tier = tiers ? tiers[i] : 0 };
    struct endpoint_list *list = endpoint_list_new(endpoints, count);
    assert_non_null(list);
    dialer_set_endpoints(&runtime->transport.dialer, list);
}

void runtime_read_log(struct runtime *runtime, char text[RUNTIME_LOG_BYTES])
{
    ssize_t length = read(runtime->log_pipe[0], text, RUNTIME_LOG_BYTES - 1);

    text[length > 0 ? length : 0] = '\0';
}
