/* A read budget without agents. */
#ifndef HUSK_TESTS_SUPPORT_BUDGET_H
#define HUSK_TESTS_SUPPORT_BUDGET_H

#include "delivery/read_budget.h"

/* Callbacks that do nothing: no agent is in the middle of a message. */
extern const struct read_budget_events budget_without_agents;

#endif
