#define CARES_NO_DEPRECATED /* newer c-ares has other calls; these are in all versions */
#include "wire/resolver.h"

#include "base/clock.h"
#include "trust/server_name.h"
#include "wire/resolver_memory.h"
#include "wire/srv_reply.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A dead name server is given up after 1 + 2 + 4 seconds (c-ares doubles the timeout); with the defaults of
 * c-ares it would take 75. */
enum { QUERY_TIMEOUT_MS = 1000, QUERY_TRIES = 3 };

enum phase {
    PHASE_WAITING,   /* until the step timer starts the next look-up */
    PHASE_LOOKING,   /* until c-ares has finished */
    PHASE_ANSWERING, /* until the step timer delivers the answer: not from inside a callback of c-ares */
    PHASE_SETTLED,   /* an IP address was delivered: nothing is left to do */
};

/* Watches a socket of c-ares. Kept for the next socket when c-ares closes this one. */
struct watch {
    struct ev_io io; /* io.fd is valid while used */
    bool used;
    struct resolver *resolver;
    struct watch *next;
};

/* Resolves one host: the name itself, or one SRV target. */
struct lookup {
    struct resolver *resolver;
    struct srv_target target;
    struct ares_addrinfo *result; /* owned; NULL: not finished, or failed */
};

struct resolver {
    struct ev_loop *loop;
    struct address address;
    struct resolver_options options;
    char *servers; /* owned copy, or NULL */
    resolver_on_answer *on_answer;
    void *owner;

    enum phase phase;
    struct ev_timer step;
    uint64_t looked_up_ms; /* when the last look-up started; 0: never */
    unsigned retry_ms;     /* the last delay after a failure; 0: the last look-up succeeded */
    uint64_t random;       /* state of xorshift64: never 0 */

    bool has_library;     /* c-ares uses resolver_memory */
    ares_channel channel; /* NULL between two look-ups */
    struct ev_timer ares_clock;
    struct watch *watches;

    struct lookup *lookups; /* owned; ordered by priority */
    size_t lookup_count;
    size_t lookups_pending;

    const char *why; /* of the answer to deliver: NULL or static text */
    uint64_t ttl_ms;
    size_t count;
    struct resolver_address addresses[]; /* hosts point into lookups; an IP address has one place here */
};

/* ---- c-ares and the loop ---- */

static void timer_restart(struct ev_loop *loop, struct ev_timer *timer, uint64_t delay_ms)
{
    ev_timer_stop(loop, timer);
    ev_timer_set(timer, (double)delay_ms / 1000, 0);
    ev_timer_start(loop, timer);
}

/* Call it after every call into c-ares. */
static void ares_clock_update(struct resolver *resolver)
{
    struct timeval left;

    if (!resolver->channel || !ares_timeout(resolver->channel, NULL, &left)) {
        ev_timer_stop(resolver->loop, &resolver->ares_clock);
        return;
    }
    /* Rounded up: a timer that fires before c-ares is due would fire again and again. */
    timer_restart(resolver->loop, &resolver->ares_clock,
                  (uint64_t)left.tv_sec * 1000 + (uint64_t)left.tv_usec / 1000 + 1);
}

static void on_ares_clock(struct ev_loop *loop, struct ev_timer *timer, int events)
{
    struct resolver *resolver = timer->data;

    (void)loop;
    (void)events;
    ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    ares_clock_update(resolver);
}

static void on_socket(struct ev_loop *loop, struct ev_io *io, int events)
{
    struct watch *watch = io->data;
    struct resolver *resolver = watch->resolver;

    (void)loop;
    ares_process_fd(resolver->channel, (events & EV_READ) ? io->fd : ARES_SOCKET_BAD,
                    (events & EV_WRITE) ? io->fd : ARES_SOCKET_BAD);
    ares_clock_update(resolver);
}

static struct watch *watch_of(struct resolver *resolver, int fd)
{
    struct watch *free_watch = NULL;

    for (struct watch *watch = resolver->watches; watch; watch = watch->next) {
        if (watch->used && watch->io.fd == fd)
            return watch;
        if (!watch->used)
            free_watch = watch;
    }
    if (!free_watch) {
        free_watch = calloc(1, sizeof *free_watch);
        if (!free_watch)
            return NULL;
        ev_init(&free_watch->io, on_socket);
        free_watch->io.data = free_watch;
        free_watch->resolver = resolver;
        free_watch->next = resolver->watches;
        resolver->watches = free_watch;
    }
    free_watch->used = true;
    ev_io_set(&free_watch->io, fd, 0);
    return free_watch;
}

static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable)
{
    struct resolver *resolver = data;
    struct watch *watch = watch_of(resolver, fd);

    if (!watch)
        return; /* out of memory: the query times out */
    ev_io_stop(resolver->loop, &watch->io);
    watch->used = readable || writable;
    if (!watch->used)
        return;
    ev_io_set(&watch->io, fd, (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
    ev_io_start(resolver->loop, &watch->io);
}

static bool channel_open(struct resolver *resolver, struct fault *fault)
{
    struct ares_options options = {
        .timeout = QUERY_TIMEOUT_MS,
        .tries = QUERY_TRIES,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = resolver,
    };
    int used = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
#ifdef ARES_OPT_QUERY_CACHE
    used |= ARES_OPT_QUERY_CACHE; /* with qcache_max_ttl 0: no cache, a refresh must see what has changed */
#endif
    int status = ares_init_options(&resolver->channel, &options, used);

    if (status != ARES_SUCCESS) {
        resolver->channel = NULL;
        fault_set(fault, "cannot start looking up names: %s", ares_strerror(status));
        return false;
    }
    if (resolver->servers) {
        status = ares_set_servers_ports_csv(resolver->channel, resolver->servers);
        if (status != ARES_SUCCESS) {
            ares_destroy(resolver->channel);
            resolver->channel = NULL;
            fault_set(fault, "bad name servers \"%s\": %s", resolver->servers, ares_strerror(status));
            return false;
        }
    }
    return true;
}

static void channel_close(struct resolver *resolver)
{
    if (resolver->channel)
        ares_destroy(resolver->channel);
    resolver->channel = NULL;
    ares_clock_update(resolver);
}

/* ---- one look-up ---- */

static void answer_soon(struct resolver *resolver, const char *why)
{
    resolver->why = why;
    resolver->phase = PHASE_ANSWERING;
    timer_restart(resolver->loop, &resolver->step, 0);
}

static const char *host_of(const struct resolver *resolver, const struct address *target)
{
    return resolver->options.hosts == RESOLVER_KEEP_HOSTS ? target->host : NULL;
}

static bool is_same(const struct resolver_address *a, const struct resolver_address *b)
{
    return socket_address_equal(&a->address, &b->address) && server_name_equal(a->host, b->host);
}

static void answer_add(struct resolver *resolver, const struct lookup *lookup, const struct sockaddr *address)
{
    struct resolver_address *to = &resolver->addresses[resolver->count];

    if (resolver->count == RESOLVER_ADDRESSES_MAX)
        return;
    *to = (struct resolver_address) { .host = host_of(resolver, &lookup->target.address),
                                      .priority = lookup->target.priority,
                                      .weight = lookup->target.weight };
    if (!socket_address_from_ip(&to->address, address, lookup->target.address.port))
        return;
    for (size_t i = 0; i < resolver->count; i++)
        if (is_same(&resolver->addresses[i], to))
            return;
    resolver->count++;
}

static void ttl_lower(struct resolver *resolver, uint64_t ttl_ms)
{
    resolver->ttl_ms = ttl_ms < resolver->ttl_ms ? ttl_ms : resolver->ttl_ms;
}

/* RFC 2181, 8: a TTL with the top bit set means 0. */
static uint64_t ttl_of(int seconds)
{
    return seconds > 0 ? (uint64_t)seconds * 1000 : 0;
}

static void answer_add_all(struct resolver *resolver, const struct lookup *lookup)
{
    for (const struct ares_addrinfo_node *node = lookup->result->nodes; node; node = node->ai_next) {
        answer_add(resolver, lookup, node->ai_addr);
        ttl_lower(resolver, ttl_of(node->ai_ttl));
    }
    for (const struct ares_addrinfo_cname *cname = lookup->result->cnames; cname; cname = cname->next)
        ttl_lower(resolver, ttl_of(cname->ttl));
}

static void lookups_free(struct resolver *resolver)
{
    for (size_t i = 0; i < resolver->lookup_count; i++) {
        if (resolver->lookups[i].result)
            ares_freeaddrinfo(resolver->lookups[i].result);
    }
    free(resolver->lookups);
    resolver->lookups = NULL;
    resolver->lookup_count = 0;
}

static void on_lookup(void *owner, int status, int timeouts, struct ares_addrinfo *result)
{
    struct lookup *lookup = owner;
    struct resolver *resolver = lookup->resolver;

    (void)timeouts;
    if (status == ARES_EDESTRUCTION)
        return; /* resolver_close */
    if (status == ARES_SUCCESS)
        lookup->result = result;
    else
        resolver->why = ares_strerror(status);
    if (--resolver->lookups_pending)
        return;
    /* If a target did not resolve, retry earlier than the TTL of the others says. */
    if (resolver->why)
        ttl_lower(resolver, resolver->options.retry_max_ms);
    for (size_t i = 0; i < resolver->lookup_count; i++) {
        if (resolver->lookups[i].result)
            answer_add_all(resolver, &resolver->lookups[i]);
    }
    answer_soon(resolver, resolver->count ? NULL : resolver->why ? resolver->why : "name has no address");
}

/* Resolves all `targets`. SRV records contain complete names (RFC 2782); only a name that a user wrote is
 * looked up in the search domains of the system. */
static void lookups_start(struct resolver *resolver, const struct srv_target *targets, size_t count)
{
    const struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    char name[ADDRESS_HOST_BYTES + 1];

    assert(count);
    resolver->lookups = calloc(count, sizeof *resolver->lookups);
    if (!resolver->lookups) {
        answer_soon(resolver, "out of memory");
        return;
    }
    resolver->lookup_count = resolver->lookups_pending = count;
    for (size_t i = 0; i < count; i++)
        resolver->lookups[i] = (struct lookup) { .resolver = resolver, .target = targets[i] };
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%s%s", targets[i].address.host, resolver->address.is_srv ? "." : "");
        ares_getaddrinfo(resolver->channel, name, NULL, &hints, on_lookup, &resolver->lookups[i]);
    }
}

static void on_srv(void *owner, int status, int timeouts, unsigned char *bytes, int length)
{
    struct resolver *resolver = owner;

    (void)timeouts;
    if (status == ARES_EDESTRUCTION)
        return; /* resolver_close */
    struct srv_reply *reply = calloc(1, sizeof *reply);
    const char *why = status != ARES_SUCCESS ? ares_strerror(status)
                      : reply                ? srv_reply_parse(reply, bytes, (size_t)length)
                                             : "out of memory";
    if (why) {
        answer_soon(resolver, why);
    } else {
        ttl_lower(resolver, (uint64_t)reply->ttl_seconds * 1000);
        lookups_start(resolver, reply->targets, reply->count);
    }
    free(reply);
}

static void lookup_start(struct resolver *resolver)
{
    const struct srv_target only = { .address = resolver->address };
    struct fault ignored; /* resolver_open has succeeded: only memory or descriptors can be missing now */

    bool is_open = resolver->channel || channel_open(resolver, &ignored);
    resolver->looked_up_ms = clock_monotonic_ms();
    resolver->phase = PHASE_LOOKING;
    resolver->count = 0;
    resolver->why = NULL;
    resolver->ttl_ms = UINT64_MAX;
    lookups_free(resolver);
    if (!is_open) {
        answer_soon(resolver, "cannot start looking up names");
        return;
    }
    if (resolver->address.is_srv)
        ares_query(resolver->channel, resolver->address.host, ns_c_in, ns_t_srv, on_srv, resolver);
    else
        lookups_start(resolver, &only, 1);
    ares_clock_update(resolver);
}

/* ---- delays ---- */

static uint64_t next_random(struct resolver *resolver)
{
    resolver->random ^= resolver->random << 13;
    resolver->random ^= resolver->random >> 7;
    resolver->random ^= resolver->random << 17;
    return resolver->random;
}

/* The delay after one more failure: the last one doubled, plus up to a quarter at random, so that many
 * processes do not all query a recovered name server at the same moment. */
static uint64_t failure_delay_ms(struct resolver *resolver)
{
    const struct resolver_options *options = &resolver->options;
    uint64_t doubled = (uint64_t)resolver->retry_ms * 2;

    if (doubled > options->retry_max_ms)
        doubled = options->retry_max_ms;
    if (doubled < options->retry_min_ms)
        doubled = options->retry_min_ms;
    resolver->retry_ms = (unsigned)doubled;
    return doubled + next_random(resolver) % (doubled / 4 + 1);
}

static uint64_t success_delay_ms(struct resolver *resolver)
{
    const struct resolver_options *options = &resolver->options;
    uint64_t delay = resolver->ttl_ms;

    resolver->retry_ms = 0;
    if (delay > options->max_ttl_ms)
        delay = options->max_ttl_ms;
    return delay < options->min_ttl_ms ? options->min_ttl_ms : delay;
}

static void answer_deliver(struct resolver *resolver)
{
    if (resolver->looked_up_ms == 0) {
        resolver->phase = PHASE_SETTLED;
    } else {
        bool failed = resolver->count == 0;
        /* Between two look-ups a channel only needs memory. A new one reads the name servers of the system
         * again. */
        channel_close(resolver);
        ev_now_update(resolver->loop); /* the delay begins now */
        resolver->phase = PHASE_WAITING;
        timer_restart(resolver->loop, &resolver->step,
                      failed ? failure_delay_ms(resolver) : success_delay_ms(resolver));
    }
    /* Last: the owner may close the resolver. */
    resolver->on_answer(resolver->owner, resolver->addresses, resolver->count, resolver->why);
}

static void on_step(struct ev_loop *loop, struct ev_timer *timer, int events)
{
    struct resolver *resolver = timer->data;

    (void)loop;
    (void)events;
    if (resolver->phase == PHASE_ANSWERING)
        answer_deliver(resolver);
    else
        lookup_start(resolver);
}

/* ---- opening and closing ---- */

struct resolver *resolver_open(struct ev_loop *loop, const struct resolver_request *request,
                               struct fault *fault)
{
    const struct address *address = request->address;
    const struct resolver_options *options = request->options;
    struct socket_address known;

    assert(!address->is_unix && options->min_ttl_ms && options->retry_min_ms);
    bool is_known = address_to_socket(address, &known);
    struct resolver *resolver = resolver_memory_get(
        sizeof *resolver + (is_known ? 1 : RESOLVER_ADDRESSES_MAX) * sizeof resolver->addresses[0]);

    if (!resolver) {
        fault_set(fault, "out of memory");
        return NULL;
    }
    *resolver = (struct resolver) { .loop = loop,
                                    .address = *address,
                                    .options = *options,
                                    .on_answer = request->on_answer,
                                    .owner = request->owner,
                                    .count = is_known };
    resolver->random = (clock_monotonic_us() ^ (uint64_t)(uintptr_t)resolver ^ (uint64_t)getpid() << 40) | 1;
    ev_init(&resolver->step, on_step);
    resolver->step.data = resolver;
    ev_init(&resolver->ares_clock, on_ares_clock);
    resolver->ares_clock.data = resolver;

    if (is_known) {
        resolver->addresses[0] =
            (struct resolver_address) { .address = known, .host = host_of(resolver, &resolver->address) };
        answer_soon(resolver, NULL);
        return resolver;
    }
    resolver->has_library =
        ares_library_init_mem(ARES_LIB_INIT_ALL, resolver_memory_get, resolver_memory_free,
                              resolver_memory_resize) == ARES_SUCCESS;
    if (options->servers && !(resolver->servers = strdup(options->servers))) {
        fault_set(fault, "out of memory");
    } else if (channel_open(resolver, fault)) {
        resolver->phase = PHASE_WAITING;
        timer_restart(loop, &resolver->step, 0);
        return resolver;
    }
    resolver_close(resolver);
    return NULL;
}

void resolver_close(struct resolver *resolver)
{
    if (!resolver)
        return;
    channel_close(resolver);
    ev_timer_stop(resolver->loop, &resolver->step);
    while (resolver->watches) {
        struct watch *watch = resolver->watches;

        resolver->watches = watch->next;
        ev_io_stop(resolver->loop, &watch->io);
        free(watch);
    }
    lookups_free(resolver);
    if (resolver->has_library)
        ares_library_cleanup();
    free(resolver->servers);
    resolver_memory_free(resolver);
}

void resolver_refresh(struct resolver *resolver)
{
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t allowed_ms = resolver->looked_up_ms + resolver->options.retry_min_ms;
    uint64_t delay_ms = allowed_ms > now_ms ? allowed_ms - now_ms : 0;

    /* During a back-off the next look-up is scheduled, and an earlier one would defeat the back-off. */
    if (resolver->phase != PHASE_WAITING || resolver->retry_ms)
        return;
    if ((double)delay_ms / 1000 < ev_timer_remaining(resolver->loop, &resolver->step))
        timer_restart(resolver->loop, &resolver->step, delay_ms);
}
