#include "trust/token_key.h"

#include "base/clock.h"
#include "trust/token_uri.h"
#include "trust/tokens.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

enum { TRIES = 2 }; /* of a signature */

struct signer {
    struct token_key *key;        /* the one that owns it */
    struct token_session session; /* of the thread */
};

struct token_key {
    struct tokens *tokens;       /* shared: released at last, by the thread that frees the key */
    struct token_module *module; /* borrowed from `tokens` */
    struct token *token;
    EVP_PKEY *public_key; /* of the certificate */
    pthread_mutex_t lock;
    pthread_cond_t changed;                           /* what follows, or the state of a signature */
    enum { KEY_OPENING, KEY_OPEN, KEY_FAILED } state; /* under lock */
    struct fault fault;                               /* under lock: KEY_FAILED: why */
    struct token_signatures queue;                    /* under lock */
    bool is_closing;                                  /* under lock */
    unsigned users; /* under lock: the owner, and signers that run; the last one frees the key */
    unsigned count; /* of signers */
    struct signer signers[];
};

/* The same text each time, so that a reload that tries again does not log it again. */
static void lateness_set(struct fault *fault)
{
    fault_set(fault, "the token does not answer: see whether it works; --token-timeout says how long a token "
                     "may take");
}

/* ---- the threads ---- */

/* One user less. Under lock, which is released. */
static void key_leave(struct token_key *key)
{
    struct tokens *tokens = key->tokens;
    bool is_last = --key->users == 0;

    pthread_mutex_unlock(&key->lock);
    if (!is_last)
        return;
    token_close(key->token);
    EVP_PKEY_free(key->public_key);
    pthread_cond_destroy(&key->changed);
    pthread_mutex_destroy(&key->lock);
    free(key);
    tokens_release(tokens);
}

/* A failure may only mean that the session is gone. */
static void signature_make(struct signer *signer, struct token_signature *signature)
{
    struct token *token = signer->key->token;
    struct token_session *session = &signer->session;

    for (int tries = 0; tries < TRIES && !signature->is_made; tries++) {
        signature->is_made =
            (session->is_open || token_session_open(token, session, &signature->fault)) &&
            token_sign(token, session, &signature->request, &signature->output, &signature->fault);
        if (!signature->is_made)
            token_session_close(token, session);
    }
}

/* Makes signatures until the key is closed. */
static void signer_serve(struct signer *signer)
{
    struct token_key *key = signer->key;
    struct token_signature *signature;

    pthread_mutex_lock(&key->lock);
    while (!key->is_closing) {
        signature = STAILQ_FIRST(&key->queue);
        if (!signature) {
            pthread_cond_wait(&key->changed, &key->lock);
            continue;
        }
        STAILQ_REMOVE_HEAD(&key->queue, next);
        signature->state = SIGNATURE_TAKEN;
        bool is_awaited_by_thread = !signature->results;
        pthread_mutex_unlock(&key->lock);
        signature_make(signer, signature);
        if (!is_awaited_by_thread)
            token_results_put(signature);
        pthread_mutex_lock(&key->lock);
        if (is_awaited_by_thread && signature->is_abandoned) {
            free(signature);
        } else if (is_awaited_by_thread) {
            signature->state = SIGNATURE_FINISHED;
            pthread_cond_broadcast(&key->changed);
        }
    }
    pthread_mutex_unlock(&key->lock);
}

static void *signer_main(void *argument)
{
    struct signer *signer = argument;
    struct token_key *key = signer->key;

    signer_serve(signer);
    token_session_close(key->token, &signer->session);
    pthread_mutex_lock(&key->lock);
    key_leave(key);
    return NULL;
}

/* The control thread handles the signals of the process. */
static bool thread_start(struct token_key *key, void *(*thread_main)(void *signer), struct fault *fault)
{
    struct signer *signer = &key->signers[key->count];
    sigset_t all, before;
    pthread_t thread;

    signer->key = key;
    pthread_mutex_lock(&key->lock);
    key->users++;
    pthread_mutex_unlock(&key->lock);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool is_started = pthread_create(&thread, NULL, thread_main, signer) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (is_started) {
        pthread_detach(thread);
        key->count++;
        return true;
    }
    fault_set(fault, "cannot start a thread for the token");
    pthread_mutex_lock(&key->lock);
    key->users--; /* the owner stays */
    pthread_mutex_unlock(&key->lock);
    return false;
}

/* ---- does the key belong to the certificate? ---- */

/* A SignatureScheme for the key; 0: husk lets no token sign with such a key. */
static uint16_t algorithm_for(const EVP_PKEY *public_key)
{
    if (EVP_PKEY_id(public_key) == EVP_PKEY_RSA)
        return SSL_SIGN_RSA_PSS_RSAE_SHA256;
    if (EVP_PKEY_id(public_key) != EVP_PKEY_EC)
        return 0;
    switch (EVP_PKEY_bits(public_key)) {
    case 256:
        return SSL_SIGN_ECDSA_SECP256R1_SHA256;
    case 384:
        return SSL_SIGN_ECDSA_SECP384R1_SHA384;
    default:
        return SSL_SIGN_ECDSA_SECP521R1_SHA512;
    }
}

static bool signature_is_good(EVP_PKEY *public_key, const struct token_request *request,
                              const struct token_output *output)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(public_key, NULL);
    bool is_pss = SSL_is_signature_algorithm_rsa_pss(request->algorithm);

    bool is_good =
        context && EVP_PKEY_verify_init(context) &&
        EVP_PKEY_CTX_set_signature_md(context, SSL_get_signature_algorithm_digest(request->algorithm)) &&
        (!is_pss || (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) &&
                     EVP_PKEY_CTX_set_rsa_pss_saltlen(context, -1))) &&
        EVP_PKEY_verify(context, output->bytes, output->length, request->digest, request->digest_length);
    EVP_PKEY_CTX_free(context);
    ERR_clear_error();
    return is_good;
}

static bool key_matches(const struct token_key *key, const struct token_session *session, struct fault *fault)
{
    static const uint8_t text[] = "husk looks whether a private key belongs to a certificate";
    struct token_request request = { .public_key = key->public_key };
    uint16_t algorithm = algorithm_for(key->public_key);
    bool is_same_kind = EVP_PKEY_id(key->public_key) == EVP_PKEY_EC ? session->is_ec : session->is_rsa;
    struct token_output output;

    if (!algorithm) {
        fault_set(fault, "the key of the certificate is neither RSA nor ECDSA: it cannot be in a token");
        return false;
    }
    if (!token_request_set(&request, algorithm, text, sizeof text)) {
        fault_set(fault, "out of memory");
        return false;
    }
    if (is_same_kind && !token_sign(key->token, session, &request, &output, fault))
        return false;
    if (is_same_kind && signature_is_good(key->public_key, &request, &output))
        return true;
    fault_set(fault, "the private key in the token does not match the certificate");
    return false;
}

/* ---- life ---- */

/* The first thread opens the key, and becomes its first signer. If the owner has given the key up meanwhile,
 * the thread ends, and frees the key. */
static void *opener_main(void *argument)
{
    struct signer *signer = argument;
    struct token_key *key = signer->key;
    struct fault fault = { .is_final = false };

    bool is_open = token_load(key->token, &fault) &&
                   token_session_open(key->token, &signer->session, &fault) &&
                   key_matches(key, &signer->session, &fault);
    tokens_leave(key->module);
    pthread_mutex_lock(&key->lock);
    key->state = is_open ? KEY_OPEN : KEY_FAILED;
    key->fault = fault;
    pthread_cond_broadcast(&key->changed);
    pthread_mutex_unlock(&key->lock);
    return signer_main(signer);
}

/* False: the key has failed, or the token has not answered in time. */
static bool key_await(struct token_key *key, struct fault *fault)
{
    const struct timespec until = clock_monotonic_in(tokens_timeout_ms(key->tokens));
    int result = 0;

    pthread_mutex_lock(&key->lock);
    while (key->state == KEY_OPENING && result == 0)
        result = pthread_cond_clockwait(&key->changed, &key->lock, CLOCK_MONOTONIC, &until);
    bool is_open = key->state == KEY_OPEN;
    if (key->state == KEY_FAILED)
        *fault = key->fault;
    else if (!is_open)
        lateness_set(fault);
    pthread_mutex_unlock(&key->lock);
    return is_open;
}

static bool key_open(struct token_key *key, unsigned sessions, struct fault *fault)
{
    if (!tokens_enter(key->module)) {
        lateness_set(fault);
        return false;
    }
    if (!thread_start(key, opener_main, fault)) {
        tokens_leave(key->module);
        return false;
    }
    if (!key_await(key, fault))
        return false;
    while (key->count < sessions) {
        if (!thread_start(key, signer_main, fault))
            return false;
    }
    return true;
}

static struct token_key *key_new(const struct token_key_options *options, struct evp_pkey_st *public_key,
                                 struct fault *fault)
{
    char path[TOKEN_PIN_PATH_BYTES];
    struct token_module *module = options->tokens && token_uri_module(options->source.uri, path)
                                      ? tokens_module(options->tokens, path)
                                      : NULL;
    struct token_key *key =
        module ? calloc(1, sizeof *key + options->sessions * sizeof key->signers[0]) : NULL;

    if (!key) {
        fault_set(fault, "out of memory");
        return NULL;
    }
    key->token = token_new(&options->source, module, fault);
    if (!key->token) {
        free(key);
        return NULL;
    }
    key->module = module;
    key->tokens = tokens_share(options->tokens);
    pthread_mutex_init(&key->lock, NULL);
    pthread_cond_init(&key->changed, NULL);
    STAILQ_INIT(&key->queue);
    key->users = 1;
    EVP_PKEY_up_ref(public_key);
    key->public_key = public_key;
    return key;
}

struct token_key *token_key_load(const struct token_key_options *options, struct evp_pkey_st *public_key,
                                 struct fault *fault)
{
    struct token_key *key = key_new(options, public_key, fault);

    if (key && !key_open(key, options->sessions, fault)) {
        token_key_free(key);
        return NULL;
    }
    return key;
}

void token_key_free(struct token_key *key)
{
    if (!key)
        return;
    pthread_mutex_lock(&key->lock);
    key->is_closing = true;
    pthread_cond_broadcast(&key->changed);
    key_leave(key); /* a thread leaves later, and so the owner never closes a token whose module is loaded */
}

/* ---- signatures ---- */

bool token_key_sign(struct token_key *key, struct token_signature *signature)
{
    const struct timespec until = clock_monotonic_in(tokens_timeout_ms(key->tokens));
    int result = 0;

    signature->request.public_key = key->public_key;
    pthread_mutex_lock(&key->lock);
    signature->state = SIGNATURE_QUEUED;
    STAILQ_INSERT_TAIL(&key->queue, signature, next);
    pthread_cond_broadcast(&key->changed);
    while (!signature->results && signature->state != SIGNATURE_FINISHED && result == 0)
        result = pthread_cond_clockwait(&key->changed, &key->lock, CLOCK_MONOTONIC, &until);
    bool is_finished = signature->state == SIGNATURE_FINISHED;
    pthread_mutex_unlock(&key->lock);
    return is_finished;
}

bool token_key_withdraw(struct token_key *key, struct token_signature *signature)
{
    pthread_mutex_lock(&key->lock);
    if (signature->state == SIGNATURE_QUEUED)
        STAILQ_REMOVE(&key->queue, signature, token_signature, next);
    signature->is_abandoned = signature->state == SIGNATURE_TAKEN;
    bool is_abandoned = signature->is_abandoned;
    pthread_mutex_unlock(&key->lock);
    return !is_abandoned;
}
