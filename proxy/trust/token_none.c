/* What a build without PKCS#11 has instead of token.c and token_sign.c. token_uri_check refuses each URI, so
 * that a token is asked for only if nobody has checked the settings. */
#include "trust/token.h"
#include "trust/token_sign.h"

#ifndef HUSK_PKCS11

#include "trust/token_uri.h"

#include <assert.h>

struct token *token_new(const struct token_source *source, struct token_module *module, struct fault *fault)
{
    (void)module;
    (void)!token_uri_check(source->uri, fault);
    return NULL;
}

bool token_load(struct token *token, struct fault *fault)
{
    (void)token, (void)fault;
    assert(!"no token can be opened");
    return false;
}

void token_close(struct token *token)
{
    (void)token;
}

bool token_session_open(struct token *token, struct token_session *session, struct fault *fault)
{
    (void)token, (void)session, (void)fault;
    assert(!"no token can be opened");
    return false;
}

void token_session_close(struct token *token, struct token_session *session)
{
    (void)token, (void)session;
}

bool token_sign(struct token *token, const struct token_session *session, const struct token_request *request,
                struct token_output *output, struct fault *fault)
{
    (void)token, (void)session, (void)request, (void)output, (void)fault;
    return false;
}

#endif
