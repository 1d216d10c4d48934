#include "trust/token.h"

#ifdef HUSK_PKCS11

#include "base/hash.h"
#include "trust/file_stamp.h"
#include "trust/passphrase.h"
#include "trust/token_uri.h"
#include "trust/tokens.h"

#include <dlfcn.h>
#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LABEL_BYTES = 33, ATTRIBUTES_MAX = 8, TOKEN_LIST_BYTES = 256 };

struct token {
    P11KitUri *uri;
    struct token_module *of;  /* borrowed */
    CK_FUNCTION_LIST *module; /* owned while is_initialized, or at least loaded */
    bool is_initialized;
    char *pin_env, *pin_file; /* owned */
};

/* Control-flow integrity of clang refuses calls of functions that another library defines. */
#ifdef __clang__
#pragma clang attribute push(__attribute__((no_sanitize("cfi-icall"))), apply_to = function)
#endif

static bool failed(struct fault *fault, CK_RV result, const char *what)
{
    fault_set(fault, "%s: %s", what, p11_kit_strerror(result));
    return false;
}

/* ---- the module ---- */

/* A module may be linked with OpenSSL, which has functions of the same names as BoringSSL: the module has to
 * find its own ones first. p11-kit, which loads the module next, gets the copy that is loaded here. The
 * module stays in the process, because a library that is unloaded leaves exit handlers behind. The run-time
 * library of the sanitizers ends a process that asks for RTLD_DEEPBIND. */
#ifdef HUSK_SANITIZED
enum { OWN_FUNCTIONS_FIRST = 0 };
#else
enum { OWN_FUNCTIONS_FIRST = RTLD_DEEPBIND };
#endif

bool token_load(struct token *token, struct fault *fault)
{
    const char *path = tokens_path(token->of);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE | OWN_FUNCTIONS_FIRST);

    if (!library) {
        fault_set(fault, "the module cannot be loaded: %s", dlerror());
        return false;
    }
    token->module = p11_kit_module_load(path, 0);
    dlclose(library);
    if (!token->module) {
        fault_set(fault, "%s is not a PKCS#11 module", path);
        return false;
    }
    CK_RV result = p11_kit_module_initialize(token->module);
    token->is_initialized = result == CKR_OK;
    return token->is_initialized || failed(fault, result, "the module cannot be initialized");
}

/* A NULL source gives NULL. */
static bool text_copy(char **to, const char *from)
{
    *to = from ? strdup(from) : NULL;
    return *to || !from;
}

static bool source_copy(struct token *token, const struct token_source *source)
{
    char pin_path[TOKEN_PIN_PATH_BYTES];
    const char *file = source->pin_file;

    if (!file && !source->pin_env && token_uri_pin_file(source->uri, pin_path))
        file = pin_path;
    token->uri = p11_kit_uri_new();
    return token->uri &&
           p11_kit_uri_parse(source->uri, P11_KIT_URI_FOR_OBJECT_ON_TOKEN_AND_MODULE | P11_KIT_URI_FOR_SLOT,
                             token->uri) == P11_KIT_URI_OK &&
           text_copy(&token->pin_env, source->pin_env) && text_copy(&token->pin_file, file);
}

struct token *token_new(const struct token_source *source, struct token_module *module, struct fault *fault)
{
    struct token *token = calloc(1, sizeof *token);

    if (token && source_copy(token, source)) {
        token->of = module;
        return token;
    }
    token_close(token);
    fault_set(fault, "out of memory");
    return NULL;
}

void token_close(struct token *token)
{
    if (!token)
        return;
    if (token->is_initialized)
        p11_kit_module_finalize(token->module);
    if (token->module)
        p11_kit_module_release(token->module);
    p11_kit_uri_free(token->uri);
    free(token->pin_env);
    free(token->pin_file);
    free(token);
}

/* ---- the tokens of the module ---- */

static void label_of(const CK_TOKEN_INFO *info, char label[LABEL_BYTES])
{
    size_t length = p11_kit_space_strlen(info->label, sizeof info->label);

    snprintf(label, LABEL_BYTES, "%.*s", (int)length, (const char *)info->label);
}

/* The slots with a token, whether initialized or not. Returns their number; *slots is owned by the caller. */
static size_t slots_list(const struct token *token, CK_SLOT_ID **slots)
{
    CK_ULONG count = 0;

    *slots = NULL;
    /* The call without memory makes the module look for tokens that have come or gone (PKCS#11,
     * C_GetSlotList). */
    if (token->module->C_GetSlotList(CK_TRUE, NULL, &count) != CKR_OK || !count)
        return 0;
    *slots = calloc(count, sizeof **slots);
    if (*slots && token->module->C_GetSlotList(CK_TRUE, *slots, &count) == CKR_OK)
        return count;
    return 0;
}

/* An uninitialized token has no key. */
static bool token_info(const struct token *token, CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    return token->module->C_GetTokenInfo(slot, info) == CKR_OK && info->flags & CKF_TOKEN_INITIALIZED;
}

static void text_add(char text[TOKEN_LIST_BYTES], const CK_TOKEN_INFO *info)
{
    size_t used = strlen(text), serial = p11_kit_space_strlen(info->serialNumber, sizeof info->serialNumber);
    char label[LABEL_BYTES];

    label_of(info, label);
    snprintf(text + used, TOKEN_LIST_BYTES - used, "%s\"%s\" (serial %.*s)", used ? ", " : "", label,
             (int)serial, (const char *)info->serialNumber);
}

/* The tokens of the module, as text: `"one" (serial 12), "two" (serial 34)`; or "none". */
static void token_list(const struct token *token, char text[TOKEN_LIST_BYTES])
{
    CK_SLOT_ID *slots;
    CK_TOKEN_INFO info;
    size_t count = slots_list(token, &slots);

    text[0] = 0;
    for (size_t i = 0; i < count; i++) {
        if (token_info(token, slots[i], &info))
            text_add(text, &info);
    }
    if (!text[0])
        snprintf(text, TOKEN_LIST_BYTES, "none");
    free(slots);
}

static bool is_named(const struct token *token, CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    CK_SLOT_ID wanted = p11_kit_uri_get_slot_id(token->uri);

    return (wanted == (CK_SLOT_ID)-1 || wanted == slot) && token_info(token, slot, info) &&
           p11_kit_uri_match_token_info(token->uri, info);
}

/* The one slot whose token the URI names. */
static bool slot_find(const struct token *token, CK_SLOT_ID *slot, CK_TOKEN_INFO *info, struct fault *fault)
{
    char found[TOKEN_LIST_BYTES] = "", present[TOKEN_LIST_BYTES];
    CK_SLOT_ID *slots;
    CK_TOKEN_INFO each;
    size_t count = slots_list(token, &slots), fits = 0;

    for (size_t i = 0; i < count; i++) {
        if (!is_named(token, slots[i], &each))
            continue;
        fits++;
        *slot = slots[i];
        *info = each;
        text_add(found, &each);
    }
    free(slots);
    if (fits == 1)
        return true;
    token_list(token, present);
    if (fits)
        fault_set(fault, "the URI names %zu tokens, %s: add token= or serial=", fits, found);
    else
        fault_set(fault, "the token is not there; the module has these tokens: %s", present);
    return false;
}

/* ---- login ---- */

/* The token with the PIN that its source has now. */
static uint64_t pin_number(const struct token *token, const CK_TOKEN_INFO *info)
{
    const char *source = token->pin_env ? token->pin_env : token->pin_file ? token->pin_file : "";
    const uint64_t words[] = {
        hash_bytes(NULL, info->label, sizeof info->label),
        hash_bytes(NULL, info->manufacturerID, sizeof info->manufacturerID),
        hash_bytes(NULL, info->model, sizeof info->model),
        hash_bytes(NULL, info->serialNumber, sizeof info->serialNumber),
        hash_bytes(NULL, source, strlen(source)),
        token->pin_file ? file_stamp(token->pin_file) : 0,
    };

    return hash_bytes(NULL, words, sizeof words);
}

/* Why no PIN may be tried now; NULL: it may. */
static const char *login_obstacle(const struct token *token, CK_FLAGS flags, uint64_t pin)
{
    if (flags & CKF_USER_PIN_LOCKED)
        return "has locked its PIN after wrong ones: unlock it with the tools of the token";
    if (tokens_have_refused(token->of, pin))
        return "has refused this PIN before, and husk does not try it again until it changes: correct it";
    if (flags & CKF_USER_PIN_FINAL_TRY)
        return "is locked by one more wrong PIN, so husk tries none: log in with the tools of the token "
               "first";
    if (flags & CKF_PROTECTED_AUTHENTICATION_PATH)
        return "asks for its PIN on a device of its own, which husk cannot use";
    return NULL;
}

static bool is_wrong_pin(CK_RV result)
{
    return result == CKR_PIN_INCORRECT || result == CKR_PIN_LOCKED || result == CKR_PIN_INVALID ||
           result == CKR_PIN_LEN_RANGE;
}

static bool login_with(struct token *token, CK_SESSION_HANDLE session, struct passphrase *pin,
                       const char *label, struct fault *fault)
{
    if (!pin->given) {
        fault_set(
            fault,
            "token \"%s\" needs its PIN: give it with --key-passphrase-env or --key-passphrase-file, or "
            "name its file with pin-source",
            label);
        return false;
    }
    CK_RV result = token->module->C_Login(session, CKU_USER, (CK_UTF8CHAR *)pin->bytes, pin->length);
    if (result == CKR_OK || result == CKR_USER_ALREADY_LOGGED_IN)
        return true;
    fault_set(fault, "token \"%s\" refuses the PIN: %s", label, p11_kit_strerror(result));
    fault->is_final = is_wrong_pin(result);
    return false;
}

static bool is_logged_in(const struct token *token, CK_SESSION_HANDLE session)
{
    CK_SESSION_INFO info;

    return token->module->C_GetSessionInfo(session, &info) == CKR_OK &&
           (info.state == CKS_RO_USER_FUNCTIONS || info.state == CKS_RW_USER_FUNCTIONS);
}

/* A wrong PIN that its source still has is not tried again. */
static bool login_try(struct token *token, CK_SESSION_HANDLE session, const CK_TOKEN_INFO *info,
                      struct fault *fault)
{
    uint64_t number = pin_number(token, info); /* before the PIN is read: its source may change afterwards */
    const char *obstacle = login_obstacle(token, info->flags, number);
    struct passphrase pin;
    char label[LABEL_BYTES];
    bool is_in = false;

    label_of(info, label);
    if (obstacle) {
        fault_set(fault, "token \"%s\" %s", label, obstacle);
        fault->is_final = true;
        return false;
    }
    if (!passphrase_load(&pin, token->pin_env, token->pin_file, fault)) {
        fault_wrap(fault, "the PIN of the token");
    } else {
        is_in = login_with(token, session, &pin, label, fault);
        if (!is_in && fault->is_final)
            tokens_note_refusal(token->of, number);
    }
    passphrase_wipe(&pin);
    return is_in;
}

/* All sessions of a process with a token are logged in together (PKCS#11, C_Login). */
static bool login(struct token *token, CK_SESSION_HANDLE session, const CK_TOKEN_INFO *info,
                  struct fault *fault)
{
    if (!(info->flags & CKF_LOGIN_REQUIRED))
        return true;
    tokens_lock(token->of);
    bool is_in = is_logged_in(token, session) || login_try(token, session, info, fault);
    tokens_unlock(token->of);
    return is_in;
}

/* ---- the key ---- */

/* What the key must have: what the URI says, and its class. */
static CK_ULONG template_make(P11KitUri *uri, CK_OBJECT_CLASS *class, CK_ATTRIBUTE template[ATTRIBUTES_MAX])
{
    CK_ULONG given, count = 0;
    const CK_ATTRIBUTE *attributes = p11_kit_uri_get_attributes(uri, &given);

    template[count++] = (CK_ATTRIBUTE) { CKA_CLASS, class, sizeof *class };
    for (CK_ULONG i = 0; i < given && count < ATTRIBUTES_MAX; i++) {
        if (attributes[i].type != CKA_CLASS)
            template[count++] = attributes[i];
    }
    return count;
}

static bool key_find(const struct token *token, struct token_session *session, const CK_TOKEN_INFO *info,
                     struct fault *fault)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE template[ATTRIBUTES_MAX];
    CK_OBJECT_HANDLE found[2];
    CK_ULONG count = 0;
    char label[LABEL_BYTES];

    CK_RV result = token->module->C_FindObjectsInit(session->handle, template,
                                                    template_make(token->uri, &class, template));
    if (result == CKR_OK) {
        result = token->module->C_FindObjects(session->handle, found, 2, &count);
        token->module->C_FindObjectsFinal(session->handle);
    }
    if (result != CKR_OK)
        return failed(fault, result, "the token cannot be searched");
    label_of(info, label);
    if (count == 0)
        fault_set(fault, "token \"%s\" has no private key that the URI names", label);
    else if (count > 1)
        fault_set(fault,
                  "token \"%s\" has several private keys that the URI names: add object= or id=", label);
    session->key = found[0];
    return count == 1;
}

static void key_kind_note(const struct token *token, struct token_session *session)
{
    CK_KEY_TYPE kind = CKK_RSA;
    CK_ATTRIBUTE attribute = { CKA_KEY_TYPE, &kind, sizeof kind };

    bool is_known =
        token->module->C_GetAttributeValue(session->handle, session->key, &attribute, 1) == CKR_OK;
    session->is_rsa = is_known && kind == CKK_RSA;
    session->is_ec = is_known && kind == CKK_EC;
}

/* ---- sessions ---- */

static bool can_sign(const struct token *token, CK_SLOT_ID slot, CK_MECHANISM_TYPE mechanism)
{
    CK_MECHANISM_INFO info;

    return token->module->C_GetMechanismInfo(slot, mechanism, &info) == CKR_OK && info.flags & CKF_SIGN;
}

static bool session_set_up(struct token *token, struct token_session *session, struct fault *fault)
{
    CK_TOKEN_INFO info;

    if (!slot_find(token, &session->slot, &info, fault))
        return false;
    CK_RV result =
        token->module->C_OpenSession(session->slot, CKF_SERIAL_SESSION, NULL, NULL, &session->handle);
    if (result != CKR_OK)
        return failed(fault, result, "the token opens no session");
    session->is_open = true;
    session->pads_pkcs1 = can_sign(token, session->slot, CKM_RSA_PKCS);
    session->pads_pss = can_sign(token, session->slot, CKM_RSA_PKCS_PSS);
    if (!login(token, session->handle, &info, fault) || !key_find(token, session, &info, fault))
        return false;
    key_kind_note(token, session);
    return true;
}

bool token_session_open(struct token *token, struct token_session *session, struct fault *fault)
{
    *session = (struct token_session) { .is_open = false };
    if (session_set_up(token, session, fault))
        return true;
    token_session_close(token, session);
    return false;
}

void token_session_close(struct token *token, struct token_session *session)
{
    if (session->is_open)
        token->module->C_CloseSession(session->handle);
    session->is_open = false;
}

/* ---- signing ---- */

bool token_session_sign(struct token *token, const struct token_session *session,
                        const struct token_input *input, struct token_output *output, struct fault *fault)
{
    CK_MECHANISM mechanism = { input->mechanism, input->parameter, input->parameter_length };
    CK_ULONG length = sizeof output->bytes;

    CK_RV result = token->module->C_SignInit(session->handle, &mechanism, session->key);
    if (result == CKR_OK)
        result = token->module->C_Sign(session->handle, input->bytes, input->length, output->bytes, &length);
    output->length = length;
    return result == CKR_OK || failed(fault, result, "the token does not sign");
}

#ifdef __clang__
#pragma clang attribute pop
#endif

#endif
