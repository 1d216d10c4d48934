#include "commands/admin_call.h"

#include "commands/plain_connection.h"

#include <http_parser.h>
#include <stdio.h>
#include <string.h>

enum { REQUEST_BYTES = 128, READ_BYTES = 4096 };

static int on_body(http_parser *parser, const char *text, size_t length)
{
    struct admin_answer *answer = parser->data;
    size_t space = ADMIN_ANSWER_BYTES - answer->length;

    length = length < space ? length : space;
    memcpy(answer->body + answer->length, text, length);
    answer->length += length;
    return 0;
}

static int on_message_complete(http_parser *parser)
{
    struct admin_answer *answer = parser->data;

    answer->status = parser->status_code;
    http_parser_pause(parser, 1);
    return 0;
}

static bool answer_read(struct plain_connection *connection, struct admin_answer *answer, struct fault *fault)
{
    static const http_parser_settings settings = { .on_body = on_body,
                                                   .on_message_complete = on_message_complete };
    http_parser parser = { .data = answer };
    char bytes[READ_BYTES];
    size_t got;

    http_parser_init(&parser, HTTP_RESPONSE);
    while (!answer->status) {
        if (!plain_connection_read(connection, bytes, sizeof bytes, &got, fault))
            return false;
        http_parser_execute(&parser, &settings, bytes, got);
        if (answer->status)
            break;
        if (HTTP_PARSER_ERRNO(&parser) != HPE_OK || got == 0) {
            fault_set(fault, "%s does not answer as the admin port of a husk", connection->peer);
            return false;
        }
    }
    answer->body[answer->length] = '\0';
    return true;
}

bool admin_call(const char *address, const char *request, uint64_t timeout_ms, struct admin_answer *answer,
                struct fault *fault)
{
    struct plain_connection connection;
    char text[REQUEST_BYTES];

    answer->status = 0;
    answer->length = 0;
    /* The admin port answers for localhost, whatever --admin-host says. */
    int length =
        snprintf(text, sizeof text,
                 "%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", request);
    if (!plain_connection_open(&connection, address, timeout_ms, fault))
        return false;
    bool is_answered = plain_connection_write(&connection, text, (size_t)length, fault) &&
                       answer_read(&connection, answer, fault);
    plain_connection_close(&connection);
    return is_answered;
}
