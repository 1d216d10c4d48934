#include "base/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void fault_set(struct fault *fault, const char *format, ...)
{
    va_list arguments;

    fault->is_final = false;
    va_start(arguments, format);
    vsnprintf(fault->text, sizeof fault->text, format, arguments);
    va_end(arguments);
}

void fault_wrap(struct fault *fault, const char *format, ...)
{
    char inner[FAULT_TEXT_BYTES];
    va_list arguments;

    memcpy(inner, fault->text, sizeof inner);
    va_start(arguments, format);
    vsnprintf(fault->text, sizeof fault->text, format, arguments);
    va_end(arguments);
    size_t used = strlen(fault->text);
    snprintf(fault->text + used, sizeof fault->text - used, ": %s", inner);
}
