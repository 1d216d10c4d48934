#include "delivery/request_queue.h"

#include "delivery/reservation.h"

void request_queue_init(struct request_queue *queue, metrics_counter *gauge)
{
    queue->gauge = gauge;
    TAILQ_INIT(&queue->list);
}

void request_queue_append(struct request_queue *queue, struct exclusive_request *request, uint64_t now_ms)
{
    request->waiting_since_ms = now_ms;
    TAILQ_INSERT_TAIL(&queue->list, request, link);
    metrics_add(queue->gauge, 1);
}

void request_queue_remove(struct request_queue *queue, struct exclusive_request *request)
{
    TAILQ_REMOVE(&queue->list, request, link);
    metrics_take(queue->gauge, 1);
    reservation_cancel(request->message);
}
