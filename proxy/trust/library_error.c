#include "trust/library_error.h"

#include <openssl/err.h>

const char *library_error_take(void)
{
    uint32_t error = ERR_peek_error();
    const char *reason = error ? ERR_reason_error_string(error) : NULL;

    ERR_clear_error();
    return reason ? reason : "unknown reason";
}
