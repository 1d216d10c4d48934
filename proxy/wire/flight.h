/* What a client sends after husk has failed its TLS handshake: the rest of its last flight, or data.
 *
 * Pure: reads the headers of the records (RFC 8446, 5.1), which are in clear text, and nothing else. A
 * TLS 1.2 client sends no data before it has read our Finished. A TLS 1.3 client may send data after its own
 * Finished and believes that husk accepts the data. husk refuses a certificate when it has the record before
 * Finished, so one more encrypted record belongs to the handshake if it has the size of a Finished. */
#ifndef HUSK_WIRE_FLIGHT_H
#define HUSK_WIRE_FLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FLIGHT_HEADER_BYTES = 5 };

/* All zeros: the failure was at the end of a record, and no byte has come since. */
struct flight {
    uint8_t header[FLIGHT_HEADER_BYTES];
    uint8_t header_length;
    uint16_t body_left; /* bytes of the current record that have not come */
    bool has_finished;  /* a record with the size of a Finished has come */
    bool has_data;      /* a record of data has begun: nothing after it is read */
};

/* Reads the next bytes, in pieces of any size. */
void flight_read(struct flight *flight, const uint8_t *bytes, size_t length);

#endif
