/* Asks an address for the metrics of a husk: shows whether the program that listens there is a husk. */
#ifndef HUSK_CHECK_ADMIN_ANSWER_H
#define HUSK_CHECK_ADMIN_ANSWER_H

#include "check/listen_address.h"
#include "check/report.h"

/* For an address of --admin that accepts connections. */
void admin_answer_check(struct report *report, const struct listen_address *listen);

#endif
