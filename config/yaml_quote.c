#include "config/yaml_quote.h"

#include "base/utf8.h"
#include "config/yaml_scalar.h"

#include <assert.h>
#include <string.h>

static const char DIGITS[] = "0123456789";
static const char LETTERS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
static const char OTHERS[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_./:@,+*-";

static bool is_plain(const char *text)
{
    const struct yaml_node node = { .kind = YAML_KIND_SCALAR, .text = (char *)(uintptr_t)text };
    size_t length = strlen(text);

    return length && (strchr(LETTERS, *text) || strchr(DIGITS, *text) || *text == '/') &&
           !text[strspn(text, OTHERS)] && text[strspn(text, DIGITS)] && text[length - 1] != ':' &&
           yaml_scalar_trap(&node) == YAML_TRAP_NONE;
}

/* Characters that YAML does not allow in a file, or takes for the end of a line (YAML 1.2.2, section 5.1). */
static bool is_escaped(uint32_t point)
{
    return point < ' ' || (point >= 0x7f && point < 0xa0) || point == 0x2028 || point == 0x2029 ||
           point == 0xfeff || point == 0xfffe || point == 0xffff;
}

/* Before a brace, two dollars write one (config/yaml_reference.h). Returns how many dollars there are. */
static size_t dollars_write(const char *text, FILE *out)
{
    size_t count = strspn(text, "$");

    for (size_t i = 0; i < (text[count] == '{' ? 2 * count : count); i++)
        fputc('$', out);
    return count;
}

void yaml_quote_text(const char *text, FILE *out)
{
    if (is_plain(text)) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    while (*text) {
        size_t bytes = utf8_character_bytes(text, strlen(text));
        assert(bytes);
        uint32_t point = utf8_code_point(text, bytes);
        if (*text == '$')
            bytes = dollars_write(text, out);
        else if (*text == '"' || *text == '\\')
            fprintf(out, "\\%c", *text);
        else if (is_escaped(point))
            fprintf(out, "\\u%04x", (unsigned)point);
        else
            fwrite(text, 1, bytes, out);
        text += bytes;
    }
    fputc('"', out);
}
