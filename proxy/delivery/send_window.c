#include "delivery/send_window.h"

static size_t size_of(const struct send_window *window)
{
    return SEND_WINDOW_OPEN - window->missing;
}

bool send_window_is_open(const struct send_window *window)
{
    return !window->missing;
}

bool send_window_admits(const struct send_window *window, size_t unsettled)
{
    return send_window_is_open(window) || unsettled < size_of(window);
}

void send_window_on_settled(struct send_window *window)
{
    window->missing -= window->missing > 0;
}

void send_window_on_failed(struct send_window *window, size_t acked)
{
    size_t size = acked > 1 ? acked / 2 : 1;

    if (size < size_of(window))
        window->missing = SEND_WINDOW_OPEN - (unsigned)size;
}
