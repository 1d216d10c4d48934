/* The TLS sessions that a worker's connections can resume upstream.
 *
 * Owns the sessions. The newest is offered first. A TLS 1.3 ticket is offered once (RFC 8446, C.4), and only
 * to the server name that it came from (RFC 8446, 4.6.1). Knows no connection. Belongs to one thread. */
#ifndef HUSK_WIRE_TLS_SESSIONS_H
#define HUSK_WIRE_TLS_SESSIONS_H

#include <stdbool.h>

struct credentials;
struct ssl_session_st;
struct ssl_st;

/* One per worker and route, for all its upstreams. Initialise it with zeros. */
enum { TLS_SESSIONS_MAX = 64, TLS_SESSIONS_PER_NAME = 8 };
struct tls_sessions {
    const struct credentials *credentials; /* the credentials of the sessions; only compared, never read */
    unsigned count;
    bool rejected; /* the server answered an offered session with an alert */
    bool disabled; /* the server cannot resume: no session is kept or offered any more */
    struct tls_session_slot {
        struct ssl_session_st *session;
        char *server_name;
    } *slots; /* owned: TLS_SESSIONS_MAX of them, oldest first; NULL: no session has come yet */
};

/* Forgets all sessions and that the server cannot resume. A new set of credentials has the same effect. */
void tls_sessions_clear(struct tls_sessions *sessions);

/* Takes a session of `server_name`. False, and nothing has changed, if the session cannot be offered later:
 * its credentials have been replaced, the server cannot resume, or memory ran out. */
bool tls_sessions_take(struct tls_sessions *sessions, const struct credentials *credentials,
                       const char *server_name, struct ssl_session_st *session);

/* Makes `ssl` offer the newest session of `server_name`, if there is one. */
enum tls_offer { TLS_OFFER_NONE, TLS_OFFER_MADE, TLS_OFFER_FAILED /* out of memory */ };
enum tls_offer tls_sessions_offer(struct tls_sessions *sessions, const struct credentials *credentials,
                                  const char *server_name, struct ssl_st *ssl);

/* The server answered an offered session with an alert: forgets all sessions. */
void tls_sessions_note_rejected(struct tls_sessions *sessions, const struct credentials *credentials);
/* A full handshake with these credentials has succeeded. True if the server had rejected a session before:
 * from now on no session is kept or offered. */
bool tls_sessions_note_full(struct tls_sessions *sessions, const struct credentials *credentials);

#endif
