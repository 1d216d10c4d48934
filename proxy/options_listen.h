/* Interprets the addresses to listen on. */
#ifndef HUSK_OPTIONS_LISTEN_H
#define HUSK_OPTIONS_LISTEN_H

#include "base/fault.h"
#include "config/config_check.h"
#include "worker/listening.h"

/* The mode of a Unix socket without `mode=`: every user of this machine may connect, as to 127.0.0.1. The
 * permissions of its directory can restrict access further. */
enum { OPTIONS_LISTEN_MODE = 0666 };

/* Parses one address to listen on, without mode= and group=. The fault does not name the setting. */
MUST_CHECK bool options_listen_parse(struct socket_address *to, const char *text, struct fault *fault);

/* Whether the kernel refuses the second of two listeners: they have the same address, or the same port and
 * one listens on every address. */
bool options_listen_clash(const struct socket_address *a, const struct socket_address *b);

/* Whether one of the addresses clashes with `address`. */
bool options_listen_has(const struct listening_options *options, const struct socket_address *address);

/* Sets `options` from the setting `listen`. Free with options_listen_deinit, also after a mistake. */
void options_listen_set(struct listening_options *options, const struct config_check *check);
void options_listen_deinit(struct listening_options *options);

#endif
