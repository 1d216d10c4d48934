#include "config/yaml_reference.h"

#include <stdlib.h>
#include <string.h>

static const char LETTERS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
static const char LETTERS_AND_DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";

enum { SHOWN_BYTES = 40 }; /* of a reference in a fault */

struct output {
    char *text; /* owned */
    size_t length, room;
    yaml_look_up *look_up;
};

static bool append(struct output *output, const char *from, size_t length, struct fault *fault)
{
    if (length > YAML_REFERENCE_BYTES_MAX - output->length) {
        fault_set(fault, "the value is longer than %d bytes after its references are replaced",
                  YAML_REFERENCE_BYTES_MAX);
        return false;
    }
    if (output->length + length >= output->room) {
        size_t room = 2 * (output->length + length) + 1;
        char *text = realloc(output->text, room);
        if (!text) {
            fault_set(fault, "out of memory");
            return false;
        }
        output->text = text;
        output->room = room;
    }
    memcpy(output->text + output->length, from, length);
    output->length += length;
    output->text[output->length] = '\0';
    return true;
}

/* Only printable ASCII, so that the fault is one line of UTF-8 wherever the reference is cut. */
static void show(const char *inner, size_t length, char shown[SHOWN_BYTES + 1])
{
    size_t bytes = length < SHOWN_BYTES ? length : SHOWN_BYTES;

    for (size_t i = 0; i < bytes; i++) {
        shown[i] = inner[i];
        if (inner[i] < ' ' || inner[i] >= 0x7f)
            shown[i] = '?';
    }
    shown[bytes] = '\0';
}

/* `inner` is what stands between the braces. */
static bool append_reference(struct output *output, const char *inner, size_t length, struct fault *fault)
{
    size_t name_length = inner[0] && strchr(LETTERS, inner[0]) ? strspn(inner, LETTERS_AND_DIGITS) : 0;
    bool has_default = name_length + 2 <= length && memcmp(inner + name_length, ":-", 2) == 0;
    char shown[SHOWN_BYTES + 1];

    if (!name_length || (!has_default && name_length != length)) {
        show(inner, length, shown);
        fault_set(
            fault,
            "\"${%s}\" names no variable; write ${NAME} or ${NAME:-default}, or $${ for the text \"${\"",
            shown);
        return false;
    }
    /* It would end at the first "}", and the rest would be text. */
    if (has_default && memmem(inner, length, "${", 2)) {
        fault_set(fault, "the default of a reference cannot have a reference");
        return false;
    }
    char *name = strndup(inner, name_length);
    if (!name) {
        fault_set(fault, "out of memory");
        return false;
    }
    const char *value = output->look_up(name);
    free(name);
    if (has_default && (!value || !*value))
        return append(output, inner + name_length + 2, length - name_length - 2, fault);
    if (value)
        return append(output, value, strlen(value), fault);
    show(inner, name_length, shown);
    fault_set(fault, "the variable %s is not set; ${%s:-default} would give it a default", shown, shown);
    return false;
}

bool yaml_reference_in(const char *text)
{
    return strstr(text, "${");
}

bool yaml_reference_replace(const char *text, yaml_look_up *look_up, char **result, bool *found,
                            struct fault *fault)
{
    struct output output = { .look_up = look_up };

    *result = NULL;
    *found = false;
    if (!append(&output, "", 0, fault))
        return false;
    while (*text) {
        size_t plain = strcspn(text, "$"), dollars = strspn(text + plain, "$");
        const char *brace = text + plain + dollars;
        bool is_reference = *brace == '{' && dollars % 2;

        /* Before a brace, two dollars write one, and a last odd dollar begins the reference. */
        if (!append(&output, text, plain + (*brace == '{' ? dollars / 2 : dollars), fault))
            goto fail;
        text = brace;
        if (!is_reference)
            continue;
        const char *end = strchr(brace, '}');
        if (!end) {
            fault_set(fault, "\"${\" has no \"}\"; write $${ for the text \"${\"");
            goto fail;
        }
        *found = true;
        if (!append_reference(&output, brace + 1, (size_t)(end - brace) - 1, fault))
            goto fail;
        text = end + 1;
    }
    *result = output.text;
    return true;
fail:
    free(output.text);
    return false;
}
