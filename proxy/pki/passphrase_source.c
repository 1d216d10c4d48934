#include "pki/passphrase_source.h"

#include "pki/terminal.h"
#include "trust/private_key.h"

#include <openssl/mem.h>
#include <stdio.h>
#include <string.h>

enum { CHOSEN_BYTES_MIN = 4 };

bool passphrase_source_is_given(const struct passphrase_source *source)
{
    return source->env || source->file;
}

static bool fault_of_source(const struct passphrase_source *source, const char *path, struct fault *fault)
{
    fault_set(fault, "%s: needs a passphrase: give it with --%s-env or --%s-file, or at a terminal", path,
              source->option, source->option);
    return false;
}

static bool load(const struct passphrase_source *source, struct passphrase *passphrase, struct fault *fault)
{
    if (passphrase_load(passphrase, source->env, source->file, fault))
        return true;
    fault_wrap(fault, "--%s", source->option);
    return false;
}

bool passphrase_source_open(const struct passphrase_source *source, const char *path,
                            struct passphrase *passphrase, struct fault *fault)
{
    char question[TERMINAL_QUESTION_BYTES];

    *passphrase = (struct passphrase) { .given = false };
    if (!private_key_is_encrypted(path))
        return true;
    if (passphrase_source_is_given(source))
        return load(source, passphrase, fault);
    snprintf(question, sizeof question, "Passphrase of %s: ", path);
    return terminal_ask(question, passphrase) || fault_of_source(source, path, fault);
}

bool passphrase_source_choose(const struct passphrase_source *source, const char *path,
                              struct passphrase *passphrase, struct fault *fault)
{
    char question[TERMINAL_QUESTION_BYTES];
    struct passphrase again;

    *passphrase = (struct passphrase) { .given = false };
    if (passphrase_source_is_given(source)) {
        if (!load(source, passphrase, fault))
            return false;
    } else {
        snprintf(question, sizeof question, "New passphrase of %s: ", path);
        if (!terminal_ask(question, passphrase))
            return fault_of_source(source, path, fault);
        bool is_same = terminal_ask("The same passphrase again: ", &again) &&
                       again.length == passphrase->length &&
                       CRYPTO_memcmp(again.bytes, passphrase->bytes, again.length) == 0;
        passphrase_wipe(&again);
        if (!is_same) {
            fault_set(fault, "%s: the two passphrases differ: start again", path);
            return false;
        }
    }
    if (passphrase->length >= CHOSEN_BYTES_MIN)
        return true;
    fault_set(fault,
              "%s: the passphrase is shorter than %d bytes: OpenSSL would not accept it; take a longer one",
              path, CHOSEN_BYTES_MIN);
    return false;
}
