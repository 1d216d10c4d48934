#include "plan.h"

#include "config/config_check.h"
#include "config/setting_value.h"
#include "options_listen.h"

#include <stdlib.h>

/* ---- routes together ---- */

static void listener_check(const struct plan *plan, size_t route, unsigned at, struct mistakes *mistakes)
{
    const struct config *config = &plan->file.routes[route];
    const struct config_check check = { config, mistakes };
    const struct socket_address *address = &plan->routes[route].options.listen.addresses[at].address;

    for (size_t i = 0; i < route; i++) {
        const struct listening_options *other = &plan->routes[i].options.listen;
        for (unsigned k = 0; k < other->count; k++) {
            if (!options_listen_clash(address, &other->addresses[k].address))
                continue;
            config_wrong_item(&check, CONFIG_FIELD(listen), &config->listen.items[at], CONFIG_NONE,
                              "routes[%zu] listens there, too", i);
            return;
        }
    }
}

static void admin_check(const struct plan *plan, struct mistakes *mistakes)
{
    const struct config_check check = { &plan->file.routes[0], mistakes };

    for (size_t i = 0; plan->process.has_admin && i < plan->count; i++) {
        const struct listening_options *listen = &plan->routes[i].options.listen;
        for (unsigned at = 0; at < listen->count; at++) {
            if (!options_listen_clash(&plan->process.admin.listen, &listen->addresses[at].address))
                continue;
            if (check.config->mode == CONFIG_FILE)
                config_wrong(&check, CONFIG_FIELD(admin), "routes[%zu] listens there, too", i);
            else
                config_wrong(&check, CONFIG_FIELD(admin), "is an address of --listen, too");
            return;
        }
    }
}

static void routes_check(const struct plan *plan, struct mistakes *mistakes)
{
    admin_check(plan, mistakes);
    for (size_t i = 1; i < plan->count; i++) {
        for (unsigned at = 0; at < plan->routes[i].options.listen.count; at++)
            listener_check(plan, i, at, mistakes);
    }
}

/* ---- life ---- */

/* `workers` run, or will run. */
static bool routes_interpret(struct plan *plan, unsigned workers, struct mistakes *mistakes)
{
    bool is_good = true;

    for (; plan->count < plan->file.count; plan->count++) {
        struct plan_route *route = &plan->routes[plan->count];
        route->plan = plan;
        is_good = options_from_config(&route->options, &plan->file.routes[plan->count], workers, mistakes) &&
                  is_good;
    }
    return is_good;
}

static bool interpret(struct plan *plan, unsigned workers, struct mistakes *mistakes)
{
    plan->routes = calloc(plan->file.count, sizeof *plan->routes);
    if (!plan->routes) {
        mistakes_add(mistakes, (struct place) { 0 }, "out of memory");
        return false;
    }
    bool is_good = process_options_from_config(&plan->process, &plan->file.routes[0], mistakes);
    is_good = routes_interpret(plan, workers ? workers : plan->process.workers, mistakes) && is_good;
    if (is_good)
        routes_check(plan, mistakes);
    return is_good && mistakes->count == 0;
}

bool plan_interpret(struct plan *plan, struct mistakes *mistakes)
{
    return interpret(plan, 0, mistakes);
}

static struct plan *plan_new(void)
{
    struct plan *plan = calloc(1, sizeof *plan);

    if (plan)
        plan->references = 1;
    return plan;
}

static const char *variable(const char *name)
{
    return getenv(name);
}

struct plan *plan_from_file(const char *path, unsigned workers, struct mistakes *mistakes)
{
    struct plan *plan = plan_new();

    if (!plan) {
        mistakes_add(mistakes, (struct place) { 0 }, "out of memory");
        return NULL;
    }
    plan->path = path;
    bool is_read = config_file_read(&plan->file, path, variable, mistakes);
    /* What the settings mean together is told also for a file with mistakes in single settings. */
    bool is_good = plan->file.count && interpret(plan, workers, mistakes);
    if (is_read && is_good)
        return plan;
    plan_release(plan);
    return NULL;
}

struct plan *plan_from_words(enum config_mode mode, const struct settings_words *words, struct fault *fault)
{
    const struct settings_table table = config_settings(mode);
    struct plan *plan = plan_new();

    fault_set(fault, "out of memory");
    if (plan)
        plan->file.routes = calloc(1, sizeof *plan->file.routes);
    if (plan && plan->file.routes) {
        plan->file.count = 1;
        plan->file.routes[0].mode = mode;
        if (settings_parse(&table, &plan->file.routes[0], words, fault))
            return plan;
    }
    plan_release(plan);
    return NULL;
}

struct plan *plan_from_options(enum config_mode mode, const struct settings_words *words,
                               struct mistakes *mistakes)
{
    struct fault fault;
    struct plan *plan = plan_from_words(mode, words, &fault);

    if (!plan)
        mistakes_add(mistakes, (struct place) { 0 }, "%s", fault.text);
    if (!plan || plan_interpret(plan, mistakes))
        return plan;
    plan_release(plan);
    return NULL;
}

struct plan *plan_share(struct plan *plan)
{
    plan->references++;
    return plan;
}

/* ---- two plans ---- */

struct plan *plan_of(const struct options *options)
{
    return ((const struct plan_route *)options)->plan;
}

static const struct config *config_of(const struct options *options)
{
    const struct plan *plan = plan_of(options);

    return &plan->file.routes[(const struct plan_route *)options - plan->routes];
}

bool plan_routes_equal(const struct options *a, const struct options *b)
{
    const struct settings_table table = config_settings(CONFIG_FILE);

    for (size_t i = 0; i < table.count; i++) {
        if (!table.rows[i].is_for_process && !setting_value_equal(&table.rows[i], config_of(a), config_of(b)))
            return false;
    }
    return true;
}

void plan_compare_process(const struct plan *a, const struct plan *b,
                          void (*differs)(void *owner, const struct setting *setting), void *owner)
{
    const struct settings_table table = config_settings(CONFIG_FILE);

    for (size_t i = 0; i < table.count; i++) {
        const struct setting *setting = &table.rows[i];
        if (setting->is_for_process && !setting_value_equal(setting, &a->file.routes[0], &b->file.routes[0]))
            differs(owner, setting);
    }
}

/* ---- the end of a plan ---- */

void plan_release(struct plan *plan)
{
    if (!plan || --plan->references)
        return;
    for (size_t i = 0; i < plan->count; i++)
        options_deinit(&plan->routes[i].options);
    free(plan->routes);
    config_file_free(&plan->file);
    free(plan);
}
