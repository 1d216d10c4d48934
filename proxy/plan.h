/* What the process is to run: the options of the process and of its routes, from a file or from the options
 * of a command.
 *
 * A plan does not change. The routes that run from it share it, so that it lives as long as one of them. */
#ifndef HUSK_PLAN_H
#define HUSK_PLAN_H

#include "config/config_file.h"
#include "config/mistakes.h"
#include "config/settings.h"
#include "options.h"

#include <stddef.h>

struct plan {
    unsigned references;
    struct config_file file; /* of one route, without a tree, if the plan comes from a command */
    struct process_options process;
    struct options *routes; /* one for each route of `file` */
    size_t count;
};

/* Reads the file at `path`, and interprets it. Adds every mistake to `mistakes`. Returns one reference; NULL:
 * there was a mistake. */
struct plan *plan_from_file(const char *path, struct mistakes *mistakes);

/* Reads the options of client or server. Returns one reference to a plan that must be interpreted; NULL:
 * wrong usage. */
struct plan *plan_from_words(enum config_mode mode, const struct settings_words *words, struct fault *fault);
/* Interprets what plan_from_words has read: call it once. Adds every mistake to `mistakes`, and returns
 * whether there was none. */
MUST_CHECK bool plan_interpret(struct plan *plan, struct mistakes *mistakes);

struct plan *plan_share(struct plan *plan);
/* NULL is fine. */
void plan_release(struct plan *plan);

#endif
