#include "support/budget.h"

static void on_admitted(void *owner)
{
    (void)owner;
}

static bool is_mid_message(const void *owner)
{
    (void)owner;
    return false;
}

const struct read_budget_events budget_without_agents = { on_admitted, is_mid_message };
