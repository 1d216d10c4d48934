/* The default behaviour of Fluentd: one connection per chunk, closed at once, and heartbeat connections that
 * send nothing.
 *
 * usage: short PORT CHUNKS CHUNK_BYTES HEARTBEATS RATE. Sends RATE chunks per second, and HEARTBEATS after
 * each. */
#include "load/load.h"
#include "load/messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int count, char **arguments)
{
    if (count != 6)
        load_fail("usage: short PORT CHUNKS CHUNK_BYTES HEARTBEATS RATE");
    uint16_t port = (uint16_t)load_number(arguments[1], 1);
    uint64_t chunks = load_number(arguments[2], 1), beats = load_number(arguments[4], 0);
    uint64_t rate = load_number(arguments[5], 1), slots = chunks * (1 + beats), start;
    struct message chunk =
        message_make(MESSAGE_PACKED, load_number(arguments[3], MESSAGE_BYTES_MIN), MESSAGE_WITHOUT_ID);

    load_wait_for_start(chunks);
    start = load_now_ns();
    for (uint64_t i = 0; i < slots; i++) {
        load_sleep_until(start + (uint64_t)((double)i * 1e9 / (double)(rate * (1 + beats))));
        int fd = load_connect(port);
        if (i % (1 + beats) == 0)
            load_write_all(fd, chunk.bytes, chunk.length);
        close(fd);
    }
    printf("{\"seconds\": %.6f}\n", (double)(load_now_ns() - start) / 1e9);
    load_hold();
    free(chunk.bytes);
    return 0;
}
