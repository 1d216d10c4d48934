/* Makes the running routes what a plan says: routes begin, end, or change in place. A route with the same
 * settings is not touched.
 *
 * All routes or none: first everything that can fail is prepared, and nobody outside sees it. A route may
 * take over an address of another route, or several routes exchange addresses: both listen for a moment.
 * Belongs to the control thread. */
#ifndef HUSK_PLAN_FOLLOW_H
#define HUSK_PLAN_FOLLOW_H

#include "base/fault.h"
#include "plan.h"
#include "routes.h"

struct plan_follow_counts {
    size_t added, changed, removed; /* routes */
};

/* The workers take the changes later. Each route takes a reference to the plan that has its options;
 * on_unused of the routes releases the reference. False and a fault: nothing has changed. */
MUST_CHECK bool plan_follow(struct plan *plan, struct routes *routes, struct plan_follow_counts *counts,
                            struct fault *fault);

#endif
