#include "trust/token_uri.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

bool token_uri_is(const char *setting)
{
    return setting && strncasecmp(setting, "pkcs11:", 7) == 0; /* RFC 3986, 3.1: without regard to case */
}

#ifdef HUSK_PKCS11

#include <p11-kit/uri.h>

static P11KitUri *uri_parse(const char *text, int *result)
{
    P11KitUri *uri = p11_kit_uri_new();

    *result = uri ? p11_kit_uri_parse(text, P11_KIT_URI_FOR_ANY, uri) : P11_KIT_URI_NO_MEMORY;
    if (*result == P11_KIT_URI_OK)
        return uri;
    p11_kit_uri_free(uri);
    return NULL;
}

/* RFC 7512, 2.4: a file, as a URI or an absolute path. The other form, a command, is not run. */
static const char *pin_path_of(const char *source)
{
    static const char scheme[] = "file:";

    if (strncasecmp(source, scheme, sizeof scheme - 1) == 0)
        source += sizeof scheme - 1;
    if (strncmp(source, "///", 3) == 0)
        source += 2;
    return source[0] == '/' && source[1] != '/' && strlen(source) < TOKEN_PIN_PATH_BYTES ? source : NULL;
}

/* What is wrong with the URI; NULL: nothing. */
static const char *uri_flaw(P11KitUri *uri)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    const CK_ATTRIBUTE *given = p11_kit_uri_get_attribute(uri, CKA_CLASS);
    const char *module = p11_kit_uri_get_module_path(uri), *pin = p11_kit_uri_get_pin_source(uri);

    if (p11_kit_uri_get_pin_value(uri))
        return "a PIN does not stand in the URI (pin-value): name the file of the PIN with pin-source";
    if (p11_kit_uri_any_unrecognized(uri))
        return "the pkcs11: URI has an attribute that husk does not know";
    if (!module || module[0] != '/' || strlen(module) >= TOKEN_PIN_PATH_BYTES)
        return "the pkcs11: URI does not name the module: add ?module-path= and the absolute path of the "
               "library of the token";
    if (given && (given->ulValueLen != sizeof class || memcmp(given->pValue, &class, sizeof class) != 0))
        return "the pkcs11: URI does not name a private key: write type=private";
    if (pin && !pin_path_of(pin))
        return "the pin-source of the pkcs11: URI is not a file: write pin-source=file: and an absolute path";
    return NULL;
}

bool token_uri_check(const char *text, struct fault *fault)
{
    int result;
    P11KitUri *uri = uri_parse(text, &result);

    if (!uri) {
        fault_set(fault, "the pkcs11: URI is malformed: %s",
                  result == P11_KIT_URI_BAD_ENCODING ? "a % escape or a character is wrong"
                                                     : "expected pkcs11:ATTRIBUTE=VALUE;…?module-path=PATH");
        return false;
    }
    const char *flaw = uri_flaw(uri);
    if (flaw)
        fault_set(fault, "%s", flaw);
    p11_kit_uri_free(uri);
    return !flaw;
}

static bool path_copy(const char *from, char path[TOKEN_PIN_PATH_BYTES])
{
    return from && snprintf(path, TOKEN_PIN_PATH_BYTES, "%s", from) < TOKEN_PIN_PATH_BYTES;
}

bool token_uri_pin_file(const char *text, char path[TOKEN_PIN_PATH_BYTES])
{
    int result;
    P11KitUri *uri = uri_parse(text, &result);
    const char *source = uri ? p11_kit_uri_get_pin_source(uri) : NULL;
    bool is_given = source && path_copy(pin_path_of(source), path);

    p11_kit_uri_free(uri);
    return is_given;
}

bool token_uri_module(const char *text, char path[TOKEN_PIN_PATH_BYTES])
{
    int result;
    P11KitUri *uri = uri_parse(text, &result);
    bool is_given = uri && path_copy(p11_kit_uri_get_module_path(uri), path);

    p11_kit_uri_free(uri);
    return is_given;
}

#else

bool token_uri_check(const char *text, struct fault *fault)
{
    (void)text;
    fault_set(fault, "this husk was built without PKCS#11: a key in a token cannot be used");
    return false;
}

bool token_uri_pin_file(const char *text, char path[TOKEN_PIN_PATH_BYTES])
{
    (void)text, (void)path;
    return false;
}

bool token_uri_module(const char *text, char path[TOKEN_PIN_PATH_BYTES])
{
    (void)text, (void)path;
    return false;
}

#endif
