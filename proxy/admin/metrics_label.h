/* The values of the labels of metrics: of a counter in an array, by its index. Pure. */
#ifndef HUSK_ADMIN_METRICS_LABEL_H
#define HUSK_ADMIN_METRICS_LABEL_H

/* `index`: a value of the enum that indexes the array; of handshakes, 0 is a full one and 1 a resumed one. */
const char *metrics_label_reason(unsigned index);
const char *metrics_label_direction(unsigned index);
const char *metrics_label_tls_version(unsigned index);
const char *metrics_label_cipher(unsigned index);
const char *metrics_label_group(unsigned index);
const char *metrics_label_body_change(unsigned index);
const char *metrics_label_event_fault(unsigned index);
const char *metrics_label_handshake(unsigned index);

#endif
