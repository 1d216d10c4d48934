/* Tells the service manager of the system, such as systemd, what the process does: the protocol of
 * sd_notify(3).
 *
 * Owns one datagram socket. Reads the variables NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. A message that
 * the manager does not take within a second is lost, and the log says so. Without a manager, each call does
 * nothing. Belongs to the control thread. */
#ifndef HUSK_CONTROL_SERVICE_MANAGER_H
#define HUSK_CONTROL_SERVICE_MANAGER_H

#include "base/log.h"
#include "wire/address.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    SERVICE_MANAGER_STATUS_BYTES = 512,
    SERVICE_MANAGER_FDS_MAX = 253 /* SCM_MAX_FD of Linux */
};

struct service_manager {
    bool is_open; /* there is a manager */
    int fd;
    struct socket_address address;
    uint64_t watchdog_ms; /* how often the manager wants to hear of the process; 0: never */
    char status[SERVICE_MANAGER_STATUS_BYTES]; /* the last one that was sent */
    struct log *log;                           /* borrowed */
    struct log_limiter limiter;
};

/* Without NOTIFY_SOCKET there is no manager. An address that husk cannot use is logged, and ignored. */
void service_manager_open(struct service_manager *manager, struct log *log);
/* Nothing is told any more. Safe on all zeros. */
void service_manager_close(struct service_manager *manager);

/* The process has started, or has loaded its files again. */
void service_manager_ready(struct service_manager *manager);
/* The process begins to load its files again; service_manager_ready follows. */
void service_manager_reloading(struct service_manager *manager);
/* The process begins to end. */
void service_manager_stopping(struct service_manager *manager);
/* The process is alive. Call it at least once in `watchdog_ms`. */
void service_manager_alive(struct service_manager *manager);
/* What the process does, in words, each line about one thing. Sent if it differs from the last status. */
void service_manager_status(struct service_manager *manager, const char *text);

/* The process `pid` goes on in the place of this one. Nothing more is told. */
void service_manager_hand_over(struct service_manager *manager, long pid);
/* Asks the manager to keep these sockets under a name, for the process that it starts next. At most
 * SERVICE_MANAGER_FDS_MAX. */
void service_manager_store(struct service_manager *manager, const char *name, const int *fds, unsigned count);
/* The manager closes the sockets of this name. */
void service_manager_discard(struct service_manager *manager, const char *name);

/* The interval of the watchdog by the values of WATCHDOG_USEC and WATCHDOG_PID (NULL: not set) for the
 * process `pid`, in milliseconds; 0: no watchdog for this process. */
uint64_t service_manager_watchdog_ms(const char *usec, const char *pid, long process);

#endif
