#include "trust/tokens.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum {
    REFUSALS_MAX = 64, /* far more wrong PINs than a token takes before it locks itself */
    LEAVE_MS = 1000
};

struct token_module {
    LIST_ENTRY(token_module) sibling;
    struct tokens *tokens; /* borrowed: its owner */
    char *path;            /* owned */
    bool is_opening;       /* under the lock of `tokens` */
    pthread_mutex_t login;
    uint64_t refusals[REFUSALS_MAX]; /* under `login`: a ring */
    size_t refusal_count;            /* under `login`: of all times */
};

struct tokens {
    uint64_t timeout_ms;
    pthread_mutex_t lock;
    pthread_cond_t released;
    unsigned references;               /* under lock */
    LIST_HEAD(, token_module) modules; /* under lock */
};

/* ---- life ---- */

struct tokens *tokens_new(uint64_t timeout_ms)
{
    struct tokens *tokens = calloc(1, sizeof *tokens);

    if (!tokens)
        return NULL;
    tokens->timeout_ms = timeout_ms;
    tokens->references = 1;
    pthread_mutex_init(&tokens->lock, NULL);
    pthread_cond_init(&tokens->released, NULL);
    LIST_INIT(&tokens->modules);
    return tokens;
}

struct tokens *tokens_share(struct tokens *tokens)
{
    pthread_mutex_lock(&tokens->lock);
    tokens->references++;
    pthread_mutex_unlock(&tokens->lock);
    return tokens;
}

static void tokens_free(struct tokens *tokens)
{
    struct token_module *module;

    while ((module = LIST_FIRST(&tokens->modules))) {
        LIST_REMOVE(module, sibling);
        pthread_mutex_destroy(&module->login);
        free(module->path);
        free(module);
    }
    pthread_cond_destroy(&tokens->released);
    pthread_mutex_destroy(&tokens->lock);
    free(tokens);
}

void tokens_release(struct tokens *tokens)
{
    pthread_mutex_lock(&tokens->lock);
    bool is_last = --tokens->references == 0;
    pthread_cond_broadcast(&tokens->released);
    pthread_mutex_unlock(&tokens->lock);
    if (is_last)
        tokens_free(tokens);
}

bool tokens_close(struct tokens *tokens)
{
    const struct timespec until = clock_monotonic_in(LEAVE_MS);
    int result = 0;

    if (!tokens)
        return true;
    pthread_mutex_lock(&tokens->lock);
    while (tokens->references > 1 && result == 0)
        result = pthread_cond_clockwait(&tokens->released, &tokens->lock, CLOCK_MONOTONIC, &until);
    bool is_quiet = tokens->references == 1;
    pthread_mutex_unlock(&tokens->lock);
    tokens_release(tokens);
    return is_quiet;
}

uint64_t tokens_timeout_ms(const struct tokens *tokens)
{
    return tokens->timeout_ms;
}

/* ---- modules ---- */

static struct token_module *module_new(struct tokens *tokens, const char *path)
{
    struct token_module *module = calloc(1, sizeof *module);

    if (!module || !(module->path = strdup(path))) {
        free(module);
        return NULL;
    }
    module->tokens = tokens;
    pthread_mutex_init(&module->login, NULL);
    LIST_INSERT_HEAD(&tokens->modules, module, sibling);
    return module;
}

struct token_module *tokens_module(struct tokens *tokens, const char *path)
{
    struct token_module *module;

    pthread_mutex_lock(&tokens->lock);
    LIST_FOREACH (module, &tokens->modules, sibling) {
        if (strcmp(module->path, path) == 0)
            break;
    }
    if (!module)
        module = module_new(tokens, path);
    pthread_mutex_unlock(&tokens->lock);
    return module;
}

const char *tokens_path(const struct token_module *module)
{
    return module->path;
}

bool tokens_enter(struct token_module *module)
{
    pthread_mutex_lock(&module->tokens->lock);
    bool may_enter = !module->is_opening;
    module->is_opening = true;
    pthread_mutex_unlock(&module->tokens->lock);
    return may_enter;
}

void tokens_leave(struct token_module *module)
{
    pthread_mutex_lock(&module->tokens->lock);
    module->is_opening = false;
    pthread_mutex_unlock(&module->tokens->lock);
}

/* ---- PINs ---- */

void tokens_lock(struct token_module *module)
{
    pthread_mutex_lock(&module->login);
}

void tokens_unlock(struct token_module *module)
{
    pthread_mutex_unlock(&module->login);
}

bool tokens_have_refused(const struct token_module *module, uint64_t pin)
{
    for (size_t i = 0; i < module->refusal_count && i < REFUSALS_MAX; i++) {
        if (module->refusals[i] == pin)
            return true;
    }
    return false;
}

void tokens_note_refusal(struct token_module *module, uint64_t pin)
{
    module->refusals[module->refusal_count++ % REFUSALS_MAX] = pin;
}
