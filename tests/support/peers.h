/* Agents and aggregators with blocking sockets, for tests with running workers. A peer that waits too long
 * fails the test. */
#ifndef HUSK_TESTS_SUPPORT_PEERS_H
#define HUSK_TESTS_SUPPORT_PEERS_H

#include "wire/address.h"

#include <stddef.h>

/* A listening socket at a port of 127.0.0.1 that the kernel chooses, and its address. */
int peers_listen(struct socket_address *address);
/* -1: refused. */
int peers_connect(const struct socket_address *address);
int peers_accept(int listening_fd);

/* Waits until `fd` is readable. */
void peers_await(int fd);
void peers_send(int fd, const void *bytes, size_t length);
/* Fails the test unless the next bytes are `text`. */
void peers_expect(int fd, const char *text);
/* Fails the test unless the peer closes in order. Closes `fd`. */
void peers_expect_end(int fd);

/* Fails the test unless the peer resets the connection, perhaps after an ack. Closes `fd`. */
void peers_expect_reset(int fd);

/* An agent and its upstream connection. */
struct peers_pair {
    int agent, upstream;
};

/* Connects through a route of `protocol: tcp`. */
struct peers_pair peers_pair_open(const struct socket_address *address, int listening_fd);
/* Sends and expects bytes in both directions. */
void peers_pair_exchange(const struct peers_pair *pair);
void peers_pair_close(const struct peers_pair *pair);

/* ---- for `protocol: forward` ---- */

enum { PEERS_MESSAGE_BYTES = 18 };
/* A message that asks for the ack "1". */
extern const char peers_message[PEERS_MESSAGE_BYTES + 1];

/* Sends the message, and accepts the upstream connection that its worker opens. */
struct peers_pair peers_message_send(const struct socket_address *address, int listening_fd);
/* The aggregator acknowledges the message. */
void peers_message_ack(const struct peers_pair *pair);
/* The agent gets the ack. */
void peers_expect_ack(int agent);

#endif
