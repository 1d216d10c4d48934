#include "admin/metrics_label.h"

#include "base/metrics.h"

const char *metrics_label_reason(unsigned index)
{
    return end_reason_name((enum end_reason)index);
}

const char *metrics_label_direction(unsigned index)
{
    return metrics_direction_name((enum metrics_direction)index);
}

const char *metrics_label_tls_version(unsigned index)
{
    return metrics_tls_version_name((enum metrics_tls_version)index);
}

const char *metrics_label_cipher(unsigned index)
{
    return metrics_cipher_name((enum metrics_cipher)index);
}

const char *metrics_label_group(unsigned index)
{
    return metrics_group_name((enum metrics_group)index);
}

const char *metrics_label_body_change(unsigned index)
{
    return metrics_body_change_name((enum metrics_body_change)index);
}

const char *metrics_label_event_fault(unsigned index)
{
    return event_fault_name((enum event_fault)index);
}

const char *metrics_label_handshake(unsigned index)
{
    return index == 0 ? "full" : "resumed";
}
