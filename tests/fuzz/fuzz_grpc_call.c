/* Any bytes from the server of a call. The first byte is the length of the pieces in which they arrive; 0:
 * one piece. */
#include "control/grpc_call.h"

#include <stdlib.h>

enum { MESSAGE_BYTES_MAX = 1000 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void expect(bool right)
{
    if (!right)
        abort();
}

static void on_message(void *owner, uint8_t *bytes, size_t length)
{
    (void)owner;
    expect(bytes && length <= MESSAGE_BYTES_MAX);
    free(bytes);
}

static void drain(struct grpc_call *call)
{
    const uint8_t *bytes;

    while (grpc_call_send(call, &bytes) > 0)
        continue;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    const struct grpc_call_options options = { .path = "/a/b",
                                               .metadata_key = "key",
                                               .metadata_value = "value",
                                               .message_bytes_max = MESSAGE_BYTES_MAX,
                                               .on_message = on_message };
    struct grpc_call *call = length ? grpc_call_new(&options) : NULL;
    bool goes_on = call;

    if (!call)
        return 0;
    drain(call);
    size_t piece = bytes[0] ? bytes[0] : length;
    for (size_t at = 1; goes_on && at < length; at += piece) {
        goes_on = grpc_call_receive(call, bytes + at, length - at < piece ? length - at : piece);
        drain(call);
    }
    expect(goes_on || grpc_call_end(call));
    grpc_call_free(call);
    return 0;
}
