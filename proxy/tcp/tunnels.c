#include "tcp/tunnels.h"

static struct task *next_of(struct task *task)
{
    struct tunnel *next = LIST_NEXT((struct tunnel *)task, sibling);

    return next ? &next->task : NULL;
}

void tunnels_init(struct tunnels *tunnels, struct transport *transport)
{
    *tunnels = (struct tunnels) { .transport = transport };
    LIST_INIT(&tunnels->list);
    sweep_init(&tunnels->sweep, transport->reactor, next_of);
}

unsigned tunnels_close(struct tunnels *tunnels)
{
    unsigned left_behind = 0;

    while (!LIST_EMPTY(&tunnels->list))
        left_behind += !tunnel_stop(LIST_FIRST(&tunnels->list));
    return left_behind;
}

void tunnels_accept(struct tunnels *tunnels, int fd, const struct socket_address *peer)
{
    tunnel_open(tunnels, fd, peer);
}

void tunnels_endpoints_changed(struct tunnels *tunnels)
{
    struct tunnel *tunnel;

    LIST_FOREACH (tunnel, &tunnels->list, sibling) {
        if (tunnel->state == TUNNEL_DIALLING && tunnel->outlet.state == OUTLET_RESOLVING)
            reactor_queue(tunnels->transport->reactor, &tunnel->task);
    }
}

static void all_wake(struct tunnels *tunnels)
{
    sweep_begin(&tunnels->sweep, LIST_EMPTY(&tunnels->list) ? NULL : &LIST_FIRST(&tunnels->list)->task);
}

void tunnels_credentials_changed(struct tunnels *tunnels)
{
    all_wake(tunnels);
}

void tunnels_options_changed(struct tunnels *tunnels)
{
    all_wake(tunnels);
}
