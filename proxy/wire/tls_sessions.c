#include "wire/tls_sessions.h"

#include <assert.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

static void session_forget(struct tls_sessions *sessions, unsigned at)
{
    SSL_SESSION_free(sessions->slots[at].session);
    free(sessions->slots[at].server_name);
    sessions->count--;
    for (; at < sessions->count; at++)
        sessions->slots[at] = sessions->slots[at + 1];
}

/* Makes space for one more session of `server_name`: removes the oldest of that name, or the oldest of
 * all. */
static void sessions_evict(struct tls_sessions *sessions, const char *server_name)
{
    unsigned oldest = 0, name_count = 0;

    for (unsigned at = sessions->count; at--;) {
        if (strcmp(sessions->slots[at].server_name, server_name) == 0) {
            oldest = at;
            name_count++;
        }
    }
    if (name_count >= TLS_SESSIONS_PER_NAME)
        session_forget(sessions, oldest);
    else if (sessions->count == TLS_SESSIONS_MAX)
        session_forget(sessions, 0);
}

void tls_sessions_clear(struct tls_sessions *sessions)
{
    while (sessions->count)
        session_forget(sessions, sessions->count - 1);
    free(sessions->slots);
    *sessions = (struct tls_sessions) { 0 };
}

bool tls_sessions_take(struct tls_sessions *sessions, const struct credentials *credentials,
                       const char *server_name, struct ssl_session_st *session)
{
    /* A ticket that comes late may belong to credentials that have been replaced, and to their identity. */
    if (sessions->disabled || sessions->credentials != credentials)
        return false;
    assert(sessions->slots || sessions->count == 0);
    if (!sessions->slots && !(sessions->slots = calloc(TLS_SESSIONS_MAX, sizeof *sessions->slots)))
        return false;
    char *name = strdup(server_name);
    if (!name)
        return false;
    sessions_evict(sessions, name);
    sessions->slots[sessions->count++] = (struct tls_session_slot) { session, name };
    return true;
}

enum tls_offer tls_sessions_offer(struct tls_sessions *sessions, const struct credentials *credentials,
                                  const char *server_name, struct ssl_st *ssl)
{
    if (sessions->credentials != credentials) {
        tls_sessions_clear(sessions);
        sessions->credentials = credentials;
    }
    unsigned left = sessions->count;
    while (left && strcmp(sessions->slots[left - 1].server_name, server_name) != 0)
        left--;
    if (!left)
        return TLS_OFFER_NONE;
    SSL_SESSION *session = sessions->slots[left - 1].session;
    bool is_offered = SSL_set_session(ssl, session);
    if (SSL_SESSION_should_be_single_use(session))
        session_forget(sessions, left - 1);
    return is_offered ? TLS_OFFER_MADE : TLS_OFFER_FAILED;
}

void tls_sessions_note_rejected(struct tls_sessions *sessions, const struct credentials *credentials)
{
    tls_sessions_clear(sessions);
    sessions->credentials = credentials;
    sessions->rejected = true;
}

bool tls_sessions_note_full(struct tls_sessions *sessions, const struct credentials *credentials)
{
    if (!sessions->rejected || sessions->credentials != credentials)
        return false;
    tls_sessions_clear(sessions);
    sessions->credentials = credentials;
    sessions->disabled = true;
    return true;
}
