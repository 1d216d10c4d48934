#include "trust/token_results.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdlib.h>

struct token_results {
    pthread_mutex_t lock;
    unsigned references; /* under lock, as is the rest */
    struct token_signatures arrived;
    void (*on_result)(void *owner); /* NULL: closed */
    void *owner;
};

struct token_results *token_results_new(void (*on_result)(void *owner), void *owner)
{
    struct token_results *results = calloc(1, sizeof *results);

    if (!results)
        return NULL;
    pthread_mutex_init(&results->lock, NULL);
    STAILQ_INIT(&results->arrived);
    results->references = 1;
    results->on_result = on_result;
    results->owner = owner;
    return results;
}

struct token_results *token_results_share(struct token_results *results)
{
    pthread_mutex_lock(&results->lock);
    results->references++;
    pthread_mutex_unlock(&results->lock);
    return results;
}

static void signatures_free(struct token_signatures *signatures)
{
    struct token_signature *signature;

    while ((signature = STAILQ_FIRST(signatures))) {
        STAILQ_REMOVE_HEAD(signatures, next);
        free(signature);
    }
}

void token_results_release(struct token_results *results)
{
    if (!results)
        return;
    pthread_mutex_lock(&results->lock);
    bool is_last = --results->references == 0;
    pthread_mutex_unlock(&results->lock);
    if (!is_last)
        return;
    signatures_free(&results->arrived);
    pthread_mutex_destroy(&results->lock);
    free(results);
}

void token_results_close(struct token_results *results)
{
    pthread_mutex_lock(&results->lock);
    results->on_result = NULL;
    pthread_mutex_unlock(&results->lock);
}

void token_results_put(struct token_signature *signature)
{
    struct token_results *results = signature->results;

    pthread_mutex_lock(&results->lock);
    bool is_first = STAILQ_EMPTY(&results->arrived);
    STAILQ_INSERT_TAIL(&results->arrived, signature, next);
    if (is_first && results->on_result)
        results->on_result(results->owner); /* under lock: token_results_close waits for it */
    pthread_mutex_unlock(&results->lock);
    token_results_release(results);
}

void token_results_deliver(struct token_results *results)
{
    struct token_signatures arrived = STAILQ_HEAD_INITIALIZER(arrived);
    struct token_signature *signature;

    pthread_mutex_lock(&results->lock);
    STAILQ_CONCAT(&arrived, &results->arrived);
    pthread_mutex_unlock(&results->lock);
    while ((signature = STAILQ_FIRST(&arrived))) {
        STAILQ_REMOVE_HEAD(&arrived, next);
        signature->is_awaited = false;
        signature->duration_us = clock_monotonic_us() - signature->begun_us;
        if (signature->is_abandoned)
            free(signature);
        else
            signature->on_finished(signature->owner);
    }
}
