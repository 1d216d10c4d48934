/* How many messages may be unsettled on the shared upstream connections to one address together.
 *
 * When a connection ends, everything unsettled on it is sent again. An aggregator that refuses a message now
 * and then by closing the connection would get each message many times. Therefore a connection that ends with
 * messages unsettled shrinks the window to half of the messages that it acknowledged, but not below one.
 * Each message that gets through adds one. The window is open at first. Pure. */
#ifndef HUSK_DELIVERY_SEND_WINDOW_H
#define HUSK_DELIVERY_SEND_WINDOW_H

#include <stdbool.h>
#include <stddef.h>

enum { SEND_WINDOW_OPEN = 65536 }; /* messages: a window of this size is no limit */

struct send_window {
    unsigned missing; /* messages below SEND_WINDOW_OPEN, so that all zeros are an open window */
};

/* The window is no limit. */
bool send_window_is_open(const struct send_window *window);
/* Another message may be sent while `unsettled` messages are in flight. */
bool send_window_admits(const struct send_window *window, size_t unsettled);

/* A message got through. */
void send_window_on_settled(struct send_window *window);
/* A connection has ended with messages unsettled. `acked`: messages that were acknowledged on it before. */
void send_window_on_failed(struct send_window *window, size_t acked);

#endif
