#include "wire/flight.h"

enum { RECORD_DATA = 23 };

/* An encrypted Finished (RFC 8446, 4.4.4 and 5.2): message header, hash, content type, tag. */
enum { FINISHED_SHA256_BYTES = 4 + 32 + 1 + 16, FINISHED_SHA384_BYTES = 4 + 48 + 1 + 16 };

static void header_read(struct flight *flight)
{
    flight->header_length = 0;
    flight->body_left = (uint16_t)(flight->header[3] << 8 | flight->header[4]);
    if (flight->header[0] != RECORD_DATA)
        return;
    bool is_finished = !flight->has_finished && (flight->body_left == FINISHED_SHA256_BYTES ||
                                                 flight->body_left == FINISHED_SHA384_BYTES);
    flight->has_finished |= is_finished;
    flight->has_data = !is_finished;
}

void flight_read(struct flight *flight, const uint8_t *bytes, size_t length)
{
    while (length && !flight->has_data) {
        size_t skipped = length < flight->body_left ? length : flight->body_left;
        flight->body_left = (uint16_t)(flight->body_left - skipped);
        bytes += skipped;
        length -= skipped;
        if (!length)
            return;
        flight->header[flight->header_length++] = *bytes++;
        length--;
        if (flight->header_length == FLIGHT_HEADER_BYTES)
            header_read(flight);
    }
}
