#include "support/mistakes_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

char *mistakes_text(const struct mistakes *mistakes)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    assert_non_null(out);
    mistakes_print(mistakes, out);
    assert_int_equal(fclose(out), 0);
    return text;
}
